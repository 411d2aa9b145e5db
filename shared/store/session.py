"""How a service's memory is reached: in Postgres in production, in plain dictionaries in a simulation."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar
from uuid import UUID

from shared.events.envelope import Recorded
from shared.events.registry import Registry
from shared.store.connection import Pool
from shared.store.idempotency import Answer
from shared.store.marks import Mark, Parked
from shared.store.readmodel import Key, ReadModel, Table
from shared.store.todo import Entry, Todo

R = TypeVar("R")

NO_VERSIONS: Mapping[str, int] = {}


class Session(Protocol):
    """What can be read and written; in a transaction everything or nothing of it stays.

    Every statement sees what is committed when it starts, and its own transaction's writes. Whoever writes or
    locks what another transaction has written waits for that one's end. All raise the driver's errors
    (`shared.store.errors`) when the memory is away.
    """

    async def lock_streams(self, streams: Sequence[str]) -> None:
        """Wait for other transactions that lock any of these streams; until the end of this one."""
        ...

    async def load(
        self, registry: Registry, streams: Sequence[str], since: Mapping[str, int] = NO_VERSIONS
    ) -> dict[str, list[Recorded[Any]]]:
        """All events of `streams`, each list in version order; a stream without events has an empty list.

        Of a stream in `since`, those from that version on.
        """
        ...

    async def append(
        self,
        registry: Registry,
        events: Sequence[Recorded[Any]],
        expected: Mapping[str, int],
        public: Iterable[str],
        *,
        alone: bool = False,
    ) -> None:
        """Write events, and outbox rows for those of `public` categories. Raises Conflict, as
        `shared.store.streams.append` says; then the transaction must end.

        `alone`: nothing is written after it, so that it may be committed at once.
        """
        ...

    async def find(self, table: Table[R], key: Key, *, lock: bool = False) -> R | None:
        """The row with this key, or None; with `lock` nobody else changes it before this transaction ends."""
        ...

    async def query(self, table: Table[R], condition: str, *arguments: object) -> list[R]:
        """The rows where `condition` (SQL, may end in ORDER BY and LIMIT) holds."""
        ...

    async def insert(self, table: Table[R], row: R) -> bool:
        """Write a new row; False, and nothing is written, if its key is there."""
        ...

    async def update(self, table: Table[R], row: R) -> None:
        """Write the row over the one with its key."""
        ...

    async def project(self, model: ReadModel[Any], events: Sequence[Recorded[Any]]) -> None:
        """Fold `events`, in this order, into the rows of `model`; events of other types are passed over."""
        ...

    async def add_todo(self, entries: Iterable[Entry]) -> None:
        """Write todo rows; one that is there already stays as it is, but a timer moves to its new instant."""
        ...

    async def remove_timers(self, ids: Sequence[UUID]) -> None:
        """Forget timers that their streams no longer ask for."""
        ...

    async def claim_todo(self, now: datetime, limit: int, lease: timedelta) -> list[Todo]:
        """Up to `limit` due rows, leased to this caller; rows that others hold are passed over."""
        ...

    async def finish_todo(self, done: Todo) -> bool:
        """Delete a row whose outcome this transaction records; False if the lease has passed to another."""
        ...

    async def finish_todos(self, done: Sequence[Todo]) -> bool:
        """The same for several rows; False if one of them has passed to another."""
        ...

    async def postpone_todo(self, row: Todo, due: datetime, error: str | None) -> bool:
        """Give a row back until `due`; False if the lease has passed to another."""
        ...

    async def lock_marks(self, consumer: str, streams: Iterable[str]) -> dict[str, Mark]:
        """The marks of `streams`, locked for this transaction; missing ones start at (0, 0)."""
        ...

    async def move_marks(self, consumer: str, marks: Mapping[str, Mark]) -> None:
        """Write marks that this transaction has locked."""
        ...

    async def parked_of(self, consumer: str, streams: Iterable[str]) -> dict[tuple[str, int], Parked]:
        """What waits of these streams, by stream and version."""
        ...

    async def parked_due(self, consumer: str, now: datetime, limit: int) -> list[Parked]:
        """Waiting records whose turn has come, and due."""
        ...

    async def park(self, consumer: str, rows: Sequence[Parked]) -> None:
        """Keep records for later; one that waits already gives way to the newer in its place."""
        ...

    async def unpark(self, consumer: str, places: Iterable[tuple[str, int]]) -> None:
        """Forget records that are applied or no longer needed."""
        ...

    async def remember(self, answer: Answer) -> None:
        """Keep an answer with its command. Raises KeyReused if its key has one; then the work must end."""
        ...

    async def recall(self, principal: str, route: str, key: str) -> Answer | None:
        """The answer that this key got, or None."""
        ...


class Backend(Protocol):
    """The memory of one service."""

    @property
    def pool(self) -> Pool:
        """Postgres itself, for pages, metrics and migrations, which speak SQL of their own."""
        ...

    def session(self) -> AbstractAsyncContextManager[Session]:
        """A session in which every statement is a transaction of its own."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Session]:
        """One transaction: committed when the block is left, rolled back if it raises."""
        ...
