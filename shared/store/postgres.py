"""A service's memory in Postgres."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

import asyncpg
from asyncpg.transaction import Transaction

from shared.events.envelope import Recorded
from shared.events.registry import Registry
from shared.store import idempotency, marks, streams, todo
from shared.store.connection import Connection, Pool
from shared.store.errors import KeyReused
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

    async def to_write(self) -> Connection:
        """The connection, where something is about to be written or locked."""
        return self.connection

    async def lock_streams(self, streams: Sequence[str]) -> None:
        await (await self.to_write()).execute(_LOCK_STREAMS, list(streams))

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
        *,
        alone: bool = False,
    ) -> None:
        connection = self.connection if alone else await self.to_write()
        await streams.append(connection, registry, events, expected, public)

    async def find(self, table: Table[R], key: Key, *, lock: bool = False) -> R | None:
        connection = await self.to_write() if lock else self.connection
        return await table.select_one(connection, key, lock=lock)

    async def query(self, table: Table[R], condition: str, *arguments: object) -> list[R]:
        return await table.select_where(self.connection, condition, *arguments)

    async def insert(self, table: Table[R], row: R) -> bool:
        return await table.insert(await self.to_write(), row)

    async def update(self, table: Table[R], row: R) -> None:
        await table.update(await self.to_write(), row)

    async def project(self, model: ReadModel[Any], events: Sequence[Recorded[Any]]) -> None:
        await model.project(await self.to_write(), events)

    async def add_todo(self, entries: Iterable[Entry]) -> None:
        await todo.add(await self.to_write(), entries)

    async def remove_timers(self, ids: Sequence[UUID]) -> None:
        await todo.remove_timers(await self.to_write(), ids)

    async def claim_todo(self, now: datetime, limit: int, lease: timedelta) -> list[Todo]:
        return await todo.claim(await self.to_write(), now, limit, lease)

    async def finish_todo(self, done: Todo) -> bool:
        return await todo.finish(await self.to_write(), done)

    async def finish_todos(self, done: Sequence[Todo]) -> bool:
        return await todo.finish_all(await self.to_write(), done)

    async def postpone_todo(self, row: Todo, due: datetime, error: str | None) -> bool:
        return await todo.postpone(await self.to_write(), row, due, error)

    async def lock_marks(self, consumer: str, streams: Iterable[str]) -> dict[str, Mark]:
        return await marks.lock_marks(await self.to_write(), consumer, streams)

    async def move_marks(self, consumer: str, marks_: Mapping[str, Mark]) -> None:
        await marks.move_marks(await self.to_write(), consumer, marks_)

    async def parked_of(self, consumer: str, streams: Iterable[str]) -> dict[tuple[str, int], Parked]:
        return await marks.parked_of(self.connection, consumer, streams)

    async def parked_due(self, consumer: str, now: datetime, limit: int) -> list[Parked]:
        return await marks.parked_due(self.connection, consumer, now, limit)

    async def park(self, consumer: str, rows: Sequence[Parked]) -> None:
        await marks.park(await self.to_write(), consumer, rows)

    async def unpark(self, consumer: str, places: Iterable[tuple[str, int]]) -> None:
        await marks.unpark(await self.to_write(), consumer, places)

    async def remember(self, answer: Answer) -> None:
        try:
            await idempotency.remember(await self.to_write(), answer)
        except asyncpg.UniqueViolationError as error:
            raise KeyReused(answer.key) from error

    async def recall(self, principal: str, route: str, key: str) -> Answer | None:
        return await idempotency.recall(self.connection, principal, route, key)


class PostgresTransaction(PostgresSession):
    """A session whose transaction, READ COMMITTED, begins with the first write or lock.

    What is read before it is no older than what would be read in it. It ends with the `async with` block.
    """

    def __init__(self, pool: Pool) -> None:
        self._acquired = pool.acquire()
        self._transaction: Transaction | None = None

    async def __aenter__(self) -> Self:
        self.connection = await self._acquired.__aenter__()
        return self

    async def to_write(self) -> Connection:
        if self._transaction is None:
            transaction = self.connection.transaction()
            await transaction.start()
            self._transaction = transaction
        return self.connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._transaction is not None:
                await self._transaction.__aexit__(kind, error, trace)
        finally:
            await self._acquired.__aexit__(kind, error, trace)


class Postgres:
    """The backend over a pool of connections to one service's database."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    @asynccontextmanager
    async def session(self) -> AsyncIterator[PostgresSession]:
        """A session in which every statement is a transaction of its own."""
        async with self.pool.acquire() as connection:
            yield PostgresSession(connection)

    def transaction(self) -> PostgresTransaction:
        """One transaction; none at all if nothing is written."""
        return PostgresTransaction(self.pool)
