"""The port of a unit of work over plain dictionaries: one method a statement, and who hands out sessions."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast
from uuid import UUID, uuid4

import asyncpg
import orjson

from shared.domain import category_of
from shared.events.envelope import Recorded
from shared.events.registry import Registry
from shared.store.connection import Pool
from shared.store.errors import Conflict, KeyReused
from shared.store.idempotency import Answer
from shared.store.marks import Mark, Parked
from shared.store.readmodel import Key, ReadModel, Table
from shared.store.session import NO_VERSIONS, Session
from shared.store.todo import Entry, Kind, Todo
from shared.testing.conditions import choose
from shared.testing.memory.database import Connection, Database, Stored, Transaction, Wire, quiet

R = TypeVar("R")

_NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A row of the todo table."""

    todo: Todo
    leased_until: datetime | None = None
    last_error: str | None = None


class MemorySession(Session):
    """A session; without `transaction` every statement is a transaction of its own."""

    def __init__(self, database: Database, wire: Wire, transaction: Transaction | None) -> None:
        self._database = database
        self._transaction = transaction
        self.connection = Connection(database, wire, transaction.fail if transaction else lambda: None)

    @asynccontextmanager
    async def _statement(self, what: str) -> AsyncIterator[Transaction]:
        async with self.connection.asking(what):
            transaction = self._transaction or Transaction(self._database)
            if transaction.failed:
                raise asyncpg.InFailedSQLTransactionError("current transaction is aborted")
            try:
                yield transaction
            except BaseException:
                transaction.fail()
                raise
            if self._transaction is None:
                transaction.commit()

    async def lock_streams(self, streams: Sequence[str]) -> None:
        async with self._statement("lock streams") as tx:
            for stream in sorted(set(streams)):
                await tx.lock("advisory", "stream", stream)

    async def load(
        self, registry: Registry, streams: Sequence[str], since: Mapping[str, int] = NO_VERSIONS
    ) -> dict[str, list[Recorded[Any]]]:
        async with self._statement(f"load {' '.join(streams)}") as tx:
            found = {}
            for stream in streams:
                stored = list(self._database.streams.get(stream, ()))
                stored += [row for place, row in tx.writes.items() if place[:2] == ("events", stream)]
                stored.sort(key=lambda row: row.event.version)
                first = since.get(stream, 1)
                found[stream] = [decoded(registry, row.event) for row in stored if row.event.version >= first]
        return found

    async def append(
        self,
        registry: Registry,
        events: Sequence[Recorded[Any]],
        expected: Mapping[str, int],
        public: Iterable[str],
        *,
        alone: bool = False,
    ) -> None:
        categories = frozenset(public)
        ordered = sorted(events, key=lambda event: (event.stream, event.version))
        async with self._statement(f"append {' '.join(f'{e.stream}#{e.version}' for e in ordered)}") as tx:
            for stream, version in sorted(expected.items()):
                if version > 0 and tx.get("events", (stream, version)) is None:
                    raise Conflict(f"{stream} does not have its expected version {version}")
            for event in ordered:
                key = (event.stream, event.version)
                await tx.lock("events", *key)
                if tx.get("events", key) is not None:
                    raise Conflict(f"{event.stream} has moved on")
                self._database.position += 1
                stored = event._replace(data=registry.encode(event.data))
                await tx.put("events", key, Stored(self._database.position, stored))
                if category_of(event.stream) in categories:
                    await tx.put("outbox", (self._database.position,), stored)

    async def find(self, table: Table[R], key: Key, *, lock: bool = False) -> R | None:
        async with self._statement(f"find {table.name}") as tx:
            if lock and tx.get(table.name, key) is not None:
                await tx.lock(table.name, *key)
            return cast(R | None, tx.get(table.name, key))

    async def query(self, table: Table[R], condition: str, *arguments: object) -> list[R]:
        async with self._statement(f"query {table.name}") as tx:
            rows = tx.all(table.name)
            return choose([rows[key] for key in sorted(rows, key=repr)], condition, arguments)

    async def insert(self, table: Table[R], row: R) -> bool:
        key = table.key_of(row)
        async with self._statement(f"insert {table.name}") as tx:
            await tx.settled(table.name, key)
            if tx.get(table.name, key) is not None:
                return False
            await tx.put(table.name, key, row)
            return True

    async def update(self, table: Table[R], row: R) -> None:
        key = table.key_of(row)
        async with self._statement(f"update {table.name}") as tx:
            if tx.get(table.name, key) is None:
                return
            await tx.lock(table.name, *key)
            if tx.get(table.name, key) is not None:
                await tx.put(table.name, key, row)

    async def project(self, model: ReadModel[Any], events: Sequence[Recorded[Any]]) -> None:
        touched = model.touched(events)
        keys = sorted({key for _, of_event in touched for key in of_event}, key=repr)
        if not keys:
            return
        if model.shared_rows:
            async with self._statement(f"lock rows of {model.name}") as tx:
                for key in keys:
                    await tx.lock("advisory", model.name, *key)
        async with self._statement(f"read rows of {model.name}") as tx:
            before = {key: row for key in keys if (row := tx.get(model.name, key)) is not None}
        after = model.folded(before, touched)
        if kept := [key for key in keys if after.get(key) is not None]:
            async with self._statement(f"write rows of {model.name}") as tx:
                for key in kept:
                    await tx.put(model.name, key, after[key])
        if gone := [key for key in keys if key in after and after[key] is None]:
            async with self._statement(f"delete rows of {model.name}") as tx:
                for key in gone:
                    await tx.drop(model.name, key)

    async def add_todo(self, entries: Iterable[Entry]) -> None:
        rows = list(entries)
        if not rows:
            return
        async with self._statement(f"want {' '.join(f'{e.wanted.name}' for e in rows)}") as tx:
            for entry in rows:
                key = (entry.todo_id,)
                await tx.lock("todo", *key)
                there: _Row | None = tx.get("todo", key)
                if there is None:
                    await tx.put("todo", key, _Row(todo=_new_todo(entry, self._database.clock())))
                elif there.todo.kind is Kind.TIMER:
                    moved = replace(there.todo, due=entry.due, lease=_NOBODY, attempts=0)
                    await tx.put("todo", key, replace(there, todo=moved, leased_until=None))

    async def remove_timers(self, ids: Sequence[UUID]) -> None:
        if not ids:
            return
        async with self._statement("remove timers") as tx:
            for todo_id in ids:
                row: _Row | None = tx.get("todo", (todo_id,))
                if row is not None and row.todo.kind is Kind.TIMER:
                    await tx.drop("todo", (todo_id,))

    async def claim_todo(self, now: datetime, limit: int, lease: timedelta) -> list[Todo]:
        async with self._statement("claim todo") as tx:
            due = [
                row
                for row in tx.all("todo").values()
                if row.todo.due <= now
                and (row.leased_until is None or row.leased_until < now)
                and self._database.locks.get(("todo", row.todo.todo_id)) in (None, tx)
            ]
            due.sort(key=lambda row: (row.todo.due, str(row.todo.todo_id)))
            claimed, holder = [], uuid4()
            for row in due[:limit]:
                mine = replace(row.todo, lease=holder, attempts=row.todo.attempts + 1)
                await tx.put("todo", (mine.todo_id,), replace(row, todo=mine, leased_until=now + lease))
                claimed.append(mine)
        return claimed

    async def finish_todo(self, done: Todo) -> bool:
        async with self._statement(f"finish {done.name}") as tx:
            if await self._leased(tx, done) is None:
                return False
            await tx.drop("todo", (done.todo_id,))
            return True

    async def finish_todos(self, done: Sequence[Todo]) -> bool:
        return all([await self.finish_todo(row) for row in done])

    async def postpone_todo(self, row: Todo, due: datetime, error: str | None) -> bool:
        async with self._statement(f"postpone {row.name}") as tx:
            kept = await self._leased(tx, row)
            if kept is None:
                return False
            later = replace(kept.todo, due=due, lease=_NOBODY)
            await tx.put("todo", (row.todo_id,), _Row(todo=later, last_error=error and error[:500]))
            return True

    async def _leased(self, tx: Transaction, todo: Todo) -> _Row | None:
        """The row, locked, if this lease still holds it."""

        def held() -> _Row | None:
            row: _Row | None = tx.get("todo", (todo.todo_id,))
            return row if row is not None and row.todo.lease == todo.lease else None

        if held() is None:
            return None
        await tx.lock("todo", todo.todo_id)
        return held()

    async def lock_marks(self, consumer: str, streams: Iterable[str]) -> dict[str, Mark]:
        ordered = sorted(set(streams))
        if not ordered:
            return {}
        async with self._statement("begin marks") as tx:
            for stream in ordered:
                await tx.settled("marks", (consumer, stream))
                if tx.get("marks", (consumer, stream)) is None:
                    await tx.put("marks", (consumer, stream), Mark())
        async with self._statement("lock marks") as tx:
            for stream in ordered:
                await tx.lock("marks", consumer, stream)
            return {stream: tx.get("marks", (consumer, stream)) for stream in ordered}

    async def move_marks(self, consumer: str, marks: Mapping[str, Mark]) -> None:
        if not marks:
            return
        async with self._statement("move marks") as tx:
            for stream, mark in marks.items():
                await tx.put("marks", (consumer, stream), mark)

    async def parked_of(self, consumer: str, streams: Iterable[str]) -> dict[tuple[str, int], Parked]:
        wanted = frozenset(streams)
        async with self._statement("parked of streams") as tx:
            rows = tx.all("parked").items()
            return {(key[1], key[2]): row for key, row in rows if key[0] == consumer and key[1] in wanted}

    async def parked_due(self, consumer: str, now: datetime, limit: int) -> list[Parked]:
        async with self._statement("parked due") as tx:
            marks = tx.all("marks")
            due = [
                row
                for (owner, stream, version), row in tx.all("parked").items()
                if owner == consumer
                and row.retry_at <= now
                and (owner, stream) in marks
                and version <= marks[owner, stream].version + 1
            ]
        return sorted(due, key=lambda row: (row.retry_at, row.stream, row.version))[:limit]

    async def park(self, consumer: str, rows: Sequence[Parked]) -> None:
        async with self._statement(f"park {' '.join(f'{r.stream}#{r.version}' for r in rows)}") as tx:
            for row in rows:
                key = (consumer, row.stream, row.version)
                await tx.lock("parked", *key)
                error = row.error and row.error[:1000].replace("\x00", "\\0")
                await tx.put("parked", key, replace(row, error=error))

    async def unpark(self, consumer: str, places: Iterable[tuple[str, int]]) -> None:
        gone = sorted(places)
        if not gone:
            return
        async with self._statement("unpark") as tx:
            for place in gone:
                await tx.drop("parked", (consumer, *place))

    async def remember(self, answer: Answer) -> None:
        key = (answer.principal, answer.route, answer.key)
        async with self._statement("remember answer") as tx:
            await tx.lock("idempotency", *key)
            if tx.get("idempotency", key) is not None:
                raise KeyReused(answer.key)
            await tx.put("idempotency", key, answer)

    async def recall(self, principal: str, route: str, key: str) -> Answer | None:
        async with self._statement("recall answer") as tx:
            return cast(Answer | None, tx.get("idempotency", (principal, route, key)))


class Memory:
    """The backend of one process over a database; `wire` lies between the two."""

    def __init__(self, database: Database, wire: Wire = quiet) -> None:
        self.database = database
        self._wire = wire

    @property
    def pool(self) -> Pool:
        """There is none: pages and metrics with SQL of their own need Postgres."""
        raise TypeError("the in-memory store speaks no SQL")

    @asynccontextmanager
    async def session(self) -> AsyncIterator[MemorySession]:
        """A session in which every statement is a transaction of its own."""
        yield MemorySession(self.database, self._wire, None)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[MemorySession]:
        """One transaction; a failed one that is committed all the same leaves nothing, and says nothing."""
        transaction = Transaction(self.database)
        session = MemorySession(self.database, self._wire, transaction)
        try:
            await session.connection.say("begin")
            yield session
            async with session.connection.asking("commit"):
                if not transaction.failed:
                    transaction.commit()
        finally:
            transaction.end()


def _new_todo(entry: Entry, now: datetime) -> Todo:
    return Todo(
        todo_id=entry.todo_id,
        kind=entry.wanted.kind,
        name=entry.wanted.name,
        stream=entry.wanted.stream,
        payload=orjson.loads(orjson.dumps(dict(entry.wanted.payload))),
        due=entry.due,
        correlation_id=entry.correlation_id,
        causation_id=entry.causation_id,
        attempts=0,
        lease=_NOBODY,
        created_at=now,
    )


def decoded(registry: Registry, event: Recorded[bytes]) -> Recorded[Any]:
    """The event, lifted to its newest schema version."""
    return event._replace(
        data=registry.decode(event.type, event.schema_version, event.data),
        schema_version=registry.schema_version(event.type),
    )
