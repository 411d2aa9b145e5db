"""The memories under test: a service's database in Postgres, and one of dictionaries."""

import asyncio
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any, Protocol, TypeAlias, TypeVar

import asyncpg

from shared.store.connection import Pool
from shared.store.outbox import Outbox, PostgresOutbox, open_outbox
from shared.store.postgres import Postgres, PostgresSession
from shared.store.session import Backend, Session
from shared.testing.memory.database import Database as Rows
from shared.testing.memory.database import quiet
from shared.testing.memory.outbox import MemoryOutbox, memory_outbox
from shared.testing.memory.session import Memory, MemorySession
from tests.conftest import Database
from tests.waiting import until

T = TypeVar("T")
Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


# Autovacuum may hold somebody up for a moment as well.
_WAITS_FOR_A_CLIENT = """
SELECT count(*) > 0 FROM unnest(pg_blocking_pids($1)) AS blocking(pid) JOIN pg_stat_activity USING (pid)
WHERE backend_type = 'client backend'
"""


class Place(Protocol):
    """One service's memory, and what a test must do to it from outside."""

    @property
    def backend(self) -> Backend: ...

    def outbox(self) -> AbstractAsyncContextManager[Outbox]:
        """Another hold on the outbox."""
        ...

    async def waits(self, session: Session) -> bool:
        """Whether a statement of this session waits for another transaction."""
        ...

    async def cut(self, session: Session) -> None:
        """Lose the session's connection."""
        ...


class PostgresPlace:
    """A database; `admin` is a superuser's connection to it."""

    def __init__(self, database: Database, pool: Pool, admin: Admin) -> None:
        self.backend = Postgres(pool)
        self._database = database
        self._admin = admin

    async def clear(self) -> None:
        """Delete every row of every test."""
        tables = await self._admin.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' "
            "AND tablename NOT IN ('epoch', 'migrations')"
        )
        await self._admin.execute("; ".join(f"DELETE FROM {row['tablename']}" for row in tables))

    def outbox(self) -> AbstractAsyncContextManager[PostgresOutbox]:
        return open_outbox(self._database.url, self._database.service)

    async def waits(self, session: Session) -> bool:
        pid = _connection(session).get_server_pid()
        return bool(await self._admin.fetchval(_WAITS_FOR_A_CLIENT, pid))

    async def cut(self, session: Session) -> None:
        pid = _connection(session).get_server_pid()
        await self._admin.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)


def _connection(session: Session) -> Any:
    assert isinstance(session, PostgresSession)
    return session.connection


class MemoryPlace:
    """Dictionaries."""

    def __init__(self) -> None:
        self._database = Rows(lambda: datetime.now(UTC))
        self._cut = False
        self.backend = Memory(self._database, self._wire)

    async def _wire(self, what: str) -> None:
        await quiet(what)
        if self._cut:
            self._cut = False
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    def outbox(self) -> AbstractAsyncContextManager[MemoryOutbox]:
        return memory_outbox(self._database)

    async def waits(self, session: Session) -> bool:
        assert isinstance(session, MemorySession)
        return session._transaction is not None and session._transaction.waits_for is not None

    async def cut(self, _session: Session) -> None:
        self._cut = True


class Transaction:
    """A transaction that a test takes step by step."""

    def __init__(self, place: Place) -> None:
        self.open = False
        self._place = place
        self._block = place.backend.transaction()
        self._waiting: set[asyncio.Task[Any]] = set()

    async def begin(self) -> "Transaction":
        self.session = await self._block.__aenter__()
        self.open = True
        return self

    async def commit(self) -> None:
        self.open = False
        await self._block.__aexit__(None, None, None)

    async def rollback(self) -> None:
        self.open = False
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)
        error = RuntimeError("the work failed")
        await self._block.__aexit__(RuntimeError, error, None)

    async def waits(self, statement: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin a statement of this transaction, which must wait for another one; gives it as a task."""
        task = asyncio.create_task(statement)
        self._waiting.add(task)

        async def waits() -> bool:
            return task.done() or await self._place.waits(self.session)

        await until(waits, poll=0.001)
        assert not task.done(), f"it did not wait: {task.exception() or task.result()}"
        return task
