"""A service's memory in Postgres."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import asyncpg

from shared.events.envelope import Recorded
from shared.events.registry import Registry
from shared.store import idempotency, marks, streams, todo
from shared.store.connection import Connection, Pool
from shared.store.errors import KeyReused, Unstorable
from shared.store.idempotency import Answer
from shared.store.marks import Mark, Parked
from shared.store.readmodel import Key, ReadModel, Table
from shared.store.session import NO_VERSIONS, Session
from shared.store.todo import Entry, Todo

R = TypeVar("R")

_LOCK_STREAMS = """
SELECT pg_advisory_xact_lock(h) FROM (
    SELECT DISTINCT hashtextextended(s, 3) AS h FROM unnest($1::text[]) AS s ORDER BY h
) AS ordered
"""


class PostgresSession(Session):
    """A session over one connection; the statements are beside what they are about."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def lock_streams(self, streams: Sequence[str]) -> None:
        await self.connection.execute(_LOCK_STREAMS, list(streams))

    async def load(
        self, registry: Registry, streams_: Sequence[str], since: Mapping[str, int] = NO_VERSIONS
    ) -> dict[str, list[Recorded[Any]]]:
        return await streams.load(self.connection, registry, streams_, since)

    async def append(
        self,
        registry: Registry,
        events: Sequence[Recorded[Any]],
        expected: Mapping[str, int],
        public: Iterable[str],
    ) -> None:
        await streams.append(self.connection, registry, events, expected, public)

    async def find(self, table: Table[R], key: Key, *, lock: bool = False) -> R | None:
        return await table.select_one(self.connection, key, lock=lock)

    async def query(self, table: Table[R], condition: str, *arguments: object) -> list[R]:
        return await table.select_where(self.connection, condition, *arguments)

    async def insert(self, table: Table[R], row: R) -> bool:
        return await table.insert(self.connection, row)

    async def update(self, table: Table[R], row: R) -> None:
        await table.update(self.connection, row)

    async def project(self, model: ReadModel[Any], events: Sequence[Recorded[Any]]) -> None:
        await model.project(self.connection, events)

    async def add_todo(self, entries: Iterable[Entry]) -> None:
        await todo.add(self.connection, entries)

    async def remove_timers(self, ids: Sequence[UUID]) -> None:
        await todo.remove_timers(self.connection, ids)

    async def claim_todo(self, now: datetime, limit: int, lease: timedelta) -> list[Todo]:
        return await todo.claim(self.connection, now, limit, lease)

    async def finish_todo(self, done: Todo) -> bool:
        return await todo.finish(self.connection, done)

    async def postpone_todo(self, row: Todo, due: datetime, error: str | None) -> bool:
        return await todo.postpone(self.connection, row, due, error)

    async def lock_marks(self, consumer: str, streams: Iterable[str]) -> dict[str, Mark]:
        return await marks.lock_marks(self.connection, consumer, streams)

    async def move_marks(self, consumer: str, marks_: Mapping[str, Mark]) -> None:
        await marks.move_marks(self.connection, consumer, marks_)

    async def parked_of(self, consumer: str, streams: Iterable[str]) -> dict[tuple[str, int], Parked]:
        return await marks.parked_of(self.connection, consumer, streams)

    async def parked_due(self, consumer: str, now: datetime, limit: int) -> list[Parked]:
        return await marks.parked_due(self.connection, consumer, now, limit)

    async def park(self, consumer: str, rows: Sequence[Parked]) -> None:
        await marks.park(self.connection, consumer, rows)

    async def unpark(self, consumer: str, places: Iterable[tuple[str, int]]) -> None:
        await marks.unpark(self.connection, consumer, places)

    async def remember(self, answer: Answer) -> None:
        try:
            await idempotency.remember(self.connection, answer)
        except asyncpg.UniqueViolationError as error:
            raise KeyReused(answer.key) from error

    async def recall(self, principal: str, route: str, key: str) -> Answer | None:
        return await idempotency.recall(self.connection, principal, route, key)


class Postgres:
    """The backend over a pool of connections to one service's database."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    @asynccontextmanager
    async def session(self) -> AsyncIterator[PostgresSession]:
        """A session in which every statement is a transaction of its own."""
        with _told_apart():
            async with self.pool.acquire() as connection:
                yield PostgresSession(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresSession]:
        """One transaction, READ COMMITTED."""
        with _told_apart():
            async with self.pool.acquire() as connection, connection.transaction():
                yield PostgresSession(connection)


@contextmanager
def _told_apart() -> Iterator[None]:
    """The driver raises an InterfaceError for a lost connection and for a value that does not fit alike."""
    try:
        yield
    except asyncpg.InterfaceError as error:
        if isinstance(error, ValueError):
            raise Unstorable(str(error)) from error
        raise
