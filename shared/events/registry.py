"""Which event types exist, how each is written as JSON and how old versions are lifted to the newest."""

from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

import orjson
from pydantic import TypeAdapter

JsonObject = dict[str, Any]
Upcaster = Callable[[JsonObject], JsonObject]


class UnknownEventType(LookupError):  # noqa: N818 - named for what it says
    """No registered event has this type name."""


class Registry:
    """The event types that one process understands.

    A type's name is its class name and never changes. Its newest schema version is 1 + the number of its
    upcasters; upcaster n lifts the JSON of version n to version n + 1.
    """

    def __init__(
        self, types: Iterable[type[Any]], upcasters: Mapping[str, tuple[Upcaster, ...]] | None = None
    ) -> None:
        self._upcasters = dict(upcasters or {})
        self._adapters: dict[str, TypeAdapter[Any]] = {}
        self.types: dict[str, type[Any]] = {}
        for event in types:
            name = event.__name__
            if self.types.setdefault(name, event) is not event:
                raise ValueError(f"two event types are called {name}")
            self._adapters[name] = TypeAdapter(event)
        if strangers := self._upcasters.keys() - self.types.keys():
            raise ValueError(f"upcasters for unknown event types: {sorted(strangers)}")

    @classmethod
    def of(cls, *modules: ModuleType) -> "Registry":
        """The registry of the modules' `EVENTS` tuples and optional `UPCASTERS`."""
        upcasters: dict[str, tuple[Upcaster, ...]] = {}
        for module in modules:
            upcasters |= getattr(module, "UPCASTERS", {})
        return cls((event for module in modules for event in module.EVENTS), upcasters)

    def __contains__(self, type_name: str) -> bool:
        return type_name in self.types

    def schema_version(self, type_name: str) -> int:
        """The version that `encode` writes."""
        return 1 + len(self._upcasters.get(type_name, ()))

    def encode(self, event: object) -> bytes:
        """The event's JSON at its newest schema version. Raises UnknownEventType."""
        return self._adapter(type(event).__name__).serializer.to_json(event)

    def decode(self, type_name: str, schema_version: int, data: bytes) -> Any:
        """The event that `data` holds, lifted to the newest version.

        Raises UnknownEventType, or ValueError if the data does not fit its type or comes from a version that
        this process does not know yet. Unknown JSON members are ignored.
        """
        adapter = self._adapter(type_name)
        newest = self.schema_version(type_name)
        if schema_version == newest:
            return adapter.validator.validate_json(data)
        if not 1 <= schema_version < newest:
            raise ValueError(f"{type_name} has versions 1 to {newest}, not {schema_version}")
        document: JsonObject = orjson.loads(data)
        for upcast in self._upcasters[type_name][schema_version - 1 :]:
            document = upcast(document)
        return adapter.validate_python(document)

    def json_schema(self, type_name: str) -> JsonObject:
        """The JSON Schema (draft 2020-12) of the type's newest version, as consumers see it."""
        return self._adapter(type_name).json_schema(mode="serialization")

    def _adapter(self, type_name: str) -> TypeAdapter[Any]:
        try:
            return self._adapters[type_name]
        except KeyError:
            raise UnknownEventType(type_name) from None
