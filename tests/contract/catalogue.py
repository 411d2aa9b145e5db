"""Every event type of the system, public and private, found where the services declare them."""

import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import services
from shared.events.contracts import PUBLIC
from shared.events.registry import Registry

GOLDEN = Path(__file__).with_name("golden")


@dataclass(frozen=True, slots=True)
class EventType:
    """One event type, its owner, and the registry of the module that declares it."""

    service: str
    name: str
    public: bool
    registry: Registry

    @property
    def event(self) -> type[Any]:
        return self.registry.types[self.name]

    @property
    def newest(self) -> int:
        return self.registry.schema_version(self.name)

    def golden(self, schema_version: int) -> Path:
        """Where the example of a version is kept."""
        return GOLDEN / self.service / f"{self.name}.v{schema_version}.json"

    def __str__(self) -> str:
        return f"{self.service}.{self.name}"


def event_types() -> list[EventType]:
    """All event types, each once, public ones first."""
    public = [
        EventType(service, name, True, registry)
        for service, module in PUBLIC.items()
        for registry in (Registry.of(module),)
        for name in registry.types
    ]
    private = {
        event: EventType(module.__name__.split(".")[1], name, False, registry)
        for module in _domain_modules()
        if hasattr(module, "EVENTS")
        for registry in (Registry.of(module),)
        for name, event in registry.types.items()
        if not event.__module__.startswith("shared.events.")
    }
    return [*public, *private.values()]


def _domain_modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(services.__path__, "services."):
        if ".domain." in found.name:
            yield import_module(found.name)
