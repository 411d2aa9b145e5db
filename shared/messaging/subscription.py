"""What a service hears, and what follows from it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from shared.events.envelope import Recorded
from shared.events.registry import Registry
from shared.store.readmodel import ReadModel
from shared.store.todo import Wanted
from shared.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Do:
    """A command that follows from a foreign event; `expects` are the refusals that are no bug."""

    command: Any
    expects: frozenset[str] = frozenset()


class Execute(Protocol):
    """Runs one command of the service inside a unit of work. Raises Rejected."""

    async def __call__(self, uow: UnitOfWork, command: Any) -> None: ...


@dataclass(frozen=True)
class Subscription:
    """What a service hears and what follows from it.

    `react` is pure: a foreign event gives commands (Do) and effects (Wanted). `streams` names the streams a
    command will decide over, as far as known beforehand, so that a batch loads them in one query. Events
    older than `react_since` only project.
    """

    consumer: str
    topics: Sequence[str]
    registry: Registry
    execute: Execute
    react: Callable[[Recorded[Any]], Iterable[Do | Wanted]] = lambda _event: ()
    streams: Callable[[Any], Iterable[str]] = lambda _command: ()
    read_models: Sequence[ReadModel[Any]] = ()
    react_since: datetime | None = None
