"""The contracts that others code against: a JSON Schema of every event and an AsyncAPI 3 document.

`python -m shared.events.contracts [directory]` writes them (default docs/contracts) and refuses a change that
would break readers of events that exist already.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson

from shared.events import cart, inventory, notifications, orders, returns
from shared.events.compatibility import breaking_changes
from shared.events.registry import Registry

JsonObject = dict[str, Any]
DIRECTORY = Path(__file__).resolve().parents[2] / "docs" / "contracts"
DESCRIPTION = (
    "What the services say to each other on Kafka. Delivery is at least once and in version order within a "
    "stream; nothing may rely on order between streams. A consumer drops what it has seen by stream (the "
    "record key), epoch and version, and ignores types and members that it does not know."
)
DIALECT = "https://json-schema.org/draft/2020-12/schema"
PARTITIONS = 12
PUBLIC: Mapping[str, ModuleType] = {
    "cart": cart,
    "orders": orders,
    "inventory": inventory,
    "returns": returns,
    "notifications": notifications,
}
"""The module of public events of every service; a service's topic is `<service>.events`."""


def schema_path(service: str, type_name: str, schema_version: int) -> str:
    """Where a schema lies below the contracts directory."""
    return f"schemas/{service}/{type_name}.v{schema_version}.json"


def schemas() -> dict[str, JsonObject]:
    """The JSON Schema of every public event's newest version, by its path below the contracts directory."""
    documents: dict[str, JsonObject] = {}
    for service, module in PUBLIC.items():
        registry = Registry.of(module)
        for name in registry.types:
            path = schema_path(service, name, registry.schema_version(name))
            documents[path] = {"$schema": DIALECT, **registry.json_schema(name)}
    return documents


def asyncapi() -> JsonObject:
    """The AsyncAPI 3.0 document: one channel a topic, one message an event type."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "orderflow events",
            "version": "1.0.0",
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {service: _channel(service, module) for service, module in PUBLIC.items()},
        "operations": {
            f"{action}{service.capitalize()}Events": {
                "action": action,
                "channel": {"$ref": f"#/channels/{service}"},
                "summary": summary.format(service=service),
            }
            for service in PUBLIC
            for action, summary in (
                ("send", "The {service} service tells what happened."),
                ("receive", "Any other service hears it, in a consumer group of its own."),
            )
        },
        "components": {
            "messages": {
                name: _message(service, registry, name)
                for service, module in PUBLIC.items()
                for registry in (Registry.of(module),)
                for name in registry.types
            },
            "schemas": {"Headers": _headers()},
        },
    }


def _channel(service: str, module: ModuleType) -> JsonObject:
    return {
        "address": f"{service}.events",
        "description": (module.__doc__ or "").strip(),
        "messages": {
            event.__name__: {"$ref": f"#/components/messages/{event.__name__}"} for event in module.EVENTS
        },
        "bindings": {
            "kafka": {
                "topic": f"{service}.events",
                "partitions": PARTITIONS,
                "topicConfiguration": {
                    "cleanup.policy": ["delete"],
                    "retention.ms": -1,
                    "retention.bytes": -1,
                },
                "bindingVersion": "0.5.0",
            }
        },
    }


def _message(service: str, registry: Registry, name: str) -> JsonObject:
    path = schema_path(service, name, registry.schema_version(name))
    return {
        "name": name,
        "title": name,
        "summary": " ".join((registry.types[name].__doc__ or "").split()),
        "contentType": "application/json",
        "headers": {
            "allOf": [
                {"$ref": "#/components/schemas/Headers"},
                {
                    "type": "object",
                    "properties": {
                        "ce_type": {"const": name},
                        "ce_source": {"const": f"/orderflow/{service}"},
                        "ce_dataschema": {"const": path},
                    },
                },
            ]
        },
        "payload": {
            "schemaFormat": "application/schema+json;version=2020-12",
            "schema": {"$ref": f"./{path}"},
        },
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": "The stream id, as in ce_subject."},
                "bindingVersion": "0.5.0",
            }
        },
    }


def _headers() -> JsonObject:
    text = {"type": "string"}
    uuid = {"type": "string", "format": "uuid"}
    number = {"type": "string", "pattern": "^[1-9][0-9]*$"}
    properties: dict[str, JsonObject] = {
        "ce_specversion": {"const": "1.0"},
        "ce_id": uuid | {"description": "The event's id; a repeated delivery has the same."},
        "ce_source": text | {"description": "The service that tells: /orderflow/<service>."},
        "ce_type": text | {"description": "The event type's name."},
        "ce_time": {"type": "string", "format": "date-time", "description": "When it happened, in UTC."},
        "ce_subject": text | {"description": "The stream: <category>-<key>."},
        "ce_sequence": number | {"description": "The version in the stream: 1, 2, 3 ... without holes."},
        "ce_epoch": number | {"description": "Rises when the service's store is restored from a backup."},
        "ce_actor": {"type": "string", "pattern": ":", "description": "Who caused it, as <kind>:<id>."},
        "ce_dataschema": text
        | {"description": "The schema below this directory; its v<n> is the schema version."},
        "ce_correlationid": uuid | {"description": "Follows one order through all services."},
        "ce_causationid": uuid | {"description": "The event or command that led here."},
        "traceparent": text | {"description": "W3C Trace Context."},
        "content-type": {"const": "application/json"},
    }
    optional = {"ce_causationid", "traceparent"}
    return {
        "type": "object",
        "description": "CloudEvents 1.0, Kafka protocol binding, binary content mode; values are UTF-8 text.",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
    }


def documents() -> dict[str, bytes]:
    """Every generated file's content, by its path below the contracts directory."""
    return {path: _pretty(content) for path, content in ({"asyncapi.json": asyncapi()} | schemas()).items()}


def write(directory: Path = DIRECTORY) -> list[str]:
    """Write all contracts below `directory`; if changes would break readers, only return those."""
    breaking = [
        f"{path}: {change}"
        for path, schema in schemas().items()
        if (directory / path).exists()
        for change in breaking_changes(orjson.loads((directory / path).read_bytes()), schema)
    ]
    if not breaking:
        for path, content in documents().items():
            file = directory / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    return breaking


def _pretty(document: JsonObject) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


if __name__ == "__main__":
    refused = write(*map(Path, sys.argv[1:2]))
    if refused:
        sys.exit("\n".join([*refused, "A new schema version with an upcaster keeps the old one readable."]))
