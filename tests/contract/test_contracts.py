"""The committed contracts are the code's contracts, and no change slips in that would break readers."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from shared.events import contracts
from shared.events.compatibility import breaking_changes

COMMITTED = contracts.DIRECTORY
GENERATED = contracts.documents()
JsonObject = dict[str, Any]


def committed(path: str) -> JsonObject:
    document: JsonObject = orjson.loads((COMMITTED / path).read_bytes())
    return document


def resolve(document: JsonObject, reference: str) -> JsonObject:
    """What a reference inside the AsyncAPI document, or to a schema file beside it, points to."""
    if not reference.startswith("#/"):
        return committed(reference)
    node = document
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


@pytest.mark.parametrize("path", GENERATED)
def test_committed_contract_is_what_the_code_says(path: str) -> None:
    file = COMMITTED / path
    assert file.exists(), f"{path} is missing; `make contracts` writes it"
    assert file.read_bytes() == GENERATED[path], f"{path} is outdated; `make contracts` writes it"


def test_every_committed_schema_belongs_to_an_event() -> None:
    newest = {
        path.rsplit(".v", 1)[0]: int(path.removesuffix(".json").rsplit(".v", 1)[1])
        for path in contracts.schemas()
    }
    for file in (COMMITTED / "schemas").rglob("*"):
        if file.is_file():
            name = re.fullmatch(
                r"(schemas/\w+/\w+)\.v([1-9]\d*)\.json", file.relative_to(COMMITTED).as_posix()
            )
            assert name is not None, file
            assert int(name[2]) <= newest.get(name[1], 0), f"{file} belongs to no event"


@pytest.mark.parametrize("path", contracts.schemas())
def test_schemas_are_valid_json_schemas(path: str) -> None:
    Draft202012Validator.check_schema(committed(path))


def test_asyncapi_names_five_topics_with_their_messages() -> None:
    document = committed("asyncapi.json")

    assert document["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= document["info"].keys()
    assert {channel["address"] for channel in document["channels"].values()} == {
        "cart.events",
        "orders.events",
        "inventory.events",
        "returns.events",
        "notifications.events",
    }
    for service, module in contracts.PUBLIC.items():
        channel = document["channels"][service]
        assert set(channel["messages"]) == {event.__name__ for event in module.EVENTS}
        assert channel["bindings"]["kafka"]["partitions"] == contracts.PARTITIONS


def test_asyncapi_operations_send_and_receive_every_channel() -> None:
    document = committed("asyncapi.json")

    said = {
        (operation["action"], operation["channel"]["$ref"]) for operation in document["operations"].values()
    }

    assert said == {
        (action, f"#/channels/{service}") for action in ("send", "receive") for service in contracts.PUBLIC
    }


def test_asyncapi_messages_lead_to_their_headers_key_and_payload() -> None:
    document = committed("asyncapi.json")

    for channel in document["channels"].values():
        for name, reference in channel["messages"].items():
            message = resolve(document, reference["$ref"])
            common, own = message["headers"]["allOf"]
            headers = resolve(document, common["$ref"])
            assert own["properties"]["ce_type"] == {"const": name}
            assert own["properties"]["ce_dataschema"] == {
                "const": message["payload"]["schema"]["$ref"].removeprefix("./")
            }
            assert set(headers["required"]) <= headers["properties"].keys()
            assert message["bindings"]["kafka"]["key"]["type"] == "string"
            assert resolve(document, message["payload"]["schema"]["$ref"])["title"] == name


SCHEMA: JsonObject = {
    "type": "object",
    "$defs": {
        "Side": {"type": "string", "enum": ["LEFT", "RIGHT"]},
        "Part": {
            "type": "object",
            "properties": {"amount": {"type": "integer"}},
            "required": ["amount"],
        },
    },
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "side": {"$ref": "#/$defs/Side"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}},
    },
    "required": ["id", "side", "parts"],
}


def changed(path: str, value: object) -> JsonObject:
    """SCHEMA with the value at `path` (slashes between keys) replaced, or removed where it is `...`."""
    copy: JsonObject = orjson.loads(orjson.dumps(SCHEMA))
    *way, last = path.split("/")
    node = copy
    for part in way:
        node = node[part]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("properties/id", ..., "id is gone"),
        ("properties/note", ..., "note is gone"),
        ("properties/id", {"type": "integer"}, "id was string uuid, is integer"),
        ("properties/id", {"type": "string"}, "id was string uuid, is string"),
        ("properties/note", {"type": "string"}, "note was string or null, is string"),
        ("required", ["id", "side"], "parts was required, is optional"),
        ("required", ["id", "side", "parts", "note"], "note is required now"),
        ("$defs/Side/enum", ["LEFT"], "side no longer takes RIGHT"),
        ("$defs/Side", {"type": "string"}, "side was string enum, is string"),
        ("$defs/Part/properties/amount", {"type": "string"}, "parts[].amount was integer, is string"),
        ("$defs/Part/properties", {"value": {"type": "integer"}}, "parts[].amount is gone"),
    ],
)
def test_a_change_that_breaks_readers_is_found(path: str, value: object, expected: str) -> None:
    assert breaking_changes(SCHEMA, changed(path, value)) == [expected]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("properties/more", {"type": "integer"}),
        ("$defs/Side/enum", ["LEFT", "MIDDLE", "RIGHT"]),
        ("properties/id/description", "names it"),
    ],
)
def test_what_readers_can_take_is_no_breaking_change(path: str, value: object) -> None:
    assert breaking_changes(SCHEMA, changed(path, value)) == []


def test_a_renamed_field_of_a_committed_event_is_not_written(tmp_path: Path) -> None:
    assert contracts.write(tmp_path) == []
    path = contracts.schema_path("cart", "CartItemRemoved", 1)
    earlier: JsonObject = orjson.loads((tmp_path / path).read_bytes())
    earlier["properties"]["article"] = earlier["properties"].pop("sku")
    earlier["required"] = ["line_id", "article", "quantity"]
    (tmp_path / path).write_bytes(orjson.dumps(earlier))

    refused = contracts.write(tmp_path)

    assert refused == [f"{path}: article is gone", f"{path}: sku is required now"]
    assert orjson.loads((tmp_path / path).read_bytes()) == earlier
