"""A service's memory without Postgres: the same promises about visibility, in plain dictionaries.

READ COMMITTED: a statement sees what is committed when it runs, and its own transaction's writes. Writing or
locking a row that another transaction has written waits for that transaction; a circle of waiting is a
deadlock. Positions are given when an event is inserted, not when it is committed. It passes the same contract
tests as Postgres (tests/integration/contract).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
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
from shared.store.outbox import NO_LANDMARKS
from shared.store.readmodel import Key, ReadModel, Table
from shared.store.session import NO_VERSIONS, Session
from shared.store.todo import Entry, Kind, Todo
from shared.testing.conditions import choose

R = TypeVar("R")
Place = tuple[Any, ...]
"""A table's name and a primary key."""

_GONE = object()

Wire = Callable[[str], Awaitable[None]]
"""Called when a statement is sent and when its answer comes back, so that a simulation can wait, fail or
crash there; raising from it loses the connection."""


async def quiet(_what: str) -> None:
    """A wire on which nothing happens but that others get their turn."""
    await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class _Stored:
    """A row of the events table."""

    position: int
    event: Recorded[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A row of the todo table."""

    todo: Todo
    leased_until: datetime | None = None
    last_error: str | None = None


class Database:
    """What outlives every process: one service's committed rows, and the locks of open transactions."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.clock = clock
        self.rows: dict[str, dict[Place, Any]] = {}
        self.streams: dict[str, list[_Stored]] = {}
        self.locks: dict[Place, _Transaction] = {}
        self.position = 0
        self.leader: object | None = None
        self.away = False
        self.life = 0

    def still_lives(self, life: int) -> None:
        """Raise as the driver does, if a connection made in this life has been lost since."""
        if life != self.life:
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    def restart(self) -> None:
        """What an immediate stop does: open transactions are rolled back, every connection is lost."""
        self.life += 1
        self.leader = None
        for transaction in set(self.locks.values()):
            transaction.fail()

    def table(self, name: str) -> dict[Place, Any]:
        """The committed rows of a table, by key."""
        return self.rows.setdefault(name, {})

    def events(self) -> list[Recorded[bytes]]:
        """Every committed event, by position."""
        stored = [each for stream in self.streams.values() for each in stream]
        return [each.event for each in sorted(stored, key=lambda each: each.position)]


class _Transaction:
    """Uncommitted writes over a database, and the locks that they hold."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.writes: dict[Place, Any] = {}
        self.held: list[Place] = []
        self.waits_for: _Transaction | None = None
        self.ended: asyncio.Event = asyncio.Event()
        self.failed = False
        self.life = database.life

    def get(self, table: str, key: Key) -> Any:
        """The row as this transaction sees it now, or None."""
        place = (table, *key)
        if place in self.writes:
            value = self.writes[place]
            return None if value is _GONE else value
        return self.database.table(table).get(key)

    def all(self, table: str) -> dict[Place, Any]:
        """All rows of a table as this transaction sees them now."""
        rows = dict(self.database.table(table))
        for place, value in self.writes.items():
            if place[0] == table:
                if value is _GONE:
                    rows.pop(place[1:], None)
                else:
                    rows[place[1:]] = value
        return rows

    async def lock(self, *place: Any) -> None:
        """Wait until nobody else has written or locked this, and keep others from it until the end."""
        while (holder := self.database.locks.get(place)) not in (None, self):
            await self._wait_for(holder, place)
        if place not in self.database.locks:
            self.database.locks[place] = self
            self.held.append(place)

    async def settled(self, table: str, key: Key) -> None:
        """Wait until nobody else has written this row, though others may have locked it."""
        place = (table, *key)
        while (holder := self.database.locks.get(place)) not in (None, self):
            if place not in holder.writes and key in self.database.table(table):
                return
            await self._wait_for(holder, place)

    async def _wait_for(self, holder: "_Transaction", place: Place) -> None:
        self.waits_for = holder
        try:
            if self._in_a_circle():
                raise asyncpg.DeadlockDetectedError(f"deadlock detected at {place}")
            await holder.ended.wait()
        finally:
            self.waits_for = None
        self.database.still_lives(self.life)

    def _in_a_circle(self) -> bool:
        follower = self.waits_for
        while follower is not None:
            if follower is self:
                return True
            follower = follower.waits_for
        return False

    async def put(self, table: str, key: Key, value: Any) -> None:
        """Write a row."""
        await self.lock(table, *key)
        self.writes[(table, *key)] = value

    async def drop(self, table: str, key: Key) -> None:
        """Delete a row, if this transaction sees it."""
        if self.get(table, key) is None:
            return
        await self.lock(table, *key)
        if self.get(table, key) is not None:
            self.writes[(table, *key)] = _GONE

    def commit(self) -> None:
        """Make every write visible at once."""
        for (table, *key), value in self.writes.items():
            if table == "events":
                self.database.streams.setdefault(key[0], []).append(value)
            rows = self.database.table(table)
            if value is _GONE:
                rows.pop(tuple(key), None)
            else:
                rows[tuple(key)] = value
        self.end()

    def fail(self) -> None:
        """Nothing of this transaction will stay: give way to others at once."""
        self.failed = True
        self.end()

    def end(self) -> None:
        """Release the locks; what was not committed is gone."""
        for place in self.held:
            self.database.locks.pop(place, None)
        self.held.clear()
        self.ended.set()


class _Connection:
    """A way to the database. When `wire` raises or the database restarts, it is lost for ever."""

    def __init__(self, database: Database, wire: Wire, on_lost: Callable[[], None]) -> None:
        self._database = database
        self._wire = wire
        self._on_lost = on_lost
        self._life = database.life
        self._lost = False

    async def say(self, what: str) -> None:
        """Let something pass. Raises what the wire raises, and InterfaceError ever after."""
        if self._lost:
            raise asyncpg.InterfaceError("connection is closed")
        try:
            await self._wire(what)
            self._database.still_lives(self._life)
        except BaseException:
            self._lost = True
            self._on_lost()
            raise

    @asynccontextmanager
    async def asking(self, what: str) -> AsyncIterator[None]:
        """The block is what the database does between a question and its answer."""
        await self.say(what)
        yield
        await self.say(f"{what}: answer")


class MemorySession(Session):
    """A session; without `transaction` every statement is a transaction of its own."""

    def __init__(self, database: Database, wire: Wire, transaction: _Transaction | None) -> None:
        self._database = database
        self._transaction = transaction
        self.connection = _Connection(database, wire, transaction.fail if transaction else lambda: None)

    @asynccontextmanager
    async def _statement(self, what: str) -> AsyncIterator[_Transaction]:
        async with self.connection.asking(what):
            transaction = self._transaction or _Transaction(self._database)
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
                await tx.put("events", key, _Stored(self._database.position, stored))
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

    async def _leased(self, tx: _Transaction, todo: Todo) -> _Row | None:
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
        transaction = _Transaction(self.database)
        session = MemorySession(self.database, self._wire, transaction)
        try:
            await session.connection.say("begin")
            yield session
            async with session.connection.asking("commit"):
                if not transaction.failed:
                    transaction.commit()
        finally:
            transaction.end()


class MemoryOutbox:
    """One relay's hold on the outbox of a database."""

    def __init__(self, database: Database, wire: Wire = quiet) -> None:
        self._database = database
        self._asking = _Connection(database, wire, self.close).asking

    async def lead(self) -> bool:
        """Take the lock, if nobody has it."""
        async with self._asking("lead"):
            if self._database.leader is None:
                self._database.leader = self
        return self._database.leader is self

    async def offsets(self, topic: str) -> dict[int, int]:
        """What `told` remembered."""
        async with self._asking("offsets"):
            known = self._database.table("relay_offsets").items()
            return {partition: offset for (of, partition), (offset, _) in known if of == topic}

    async def landmarks(self, topic: str) -> dict[int, UUID]:
        """What `told` remembered."""
        async with self._asking("landmarks"):
            known = self._database.table("relay_offsets").items()
            return {partition: event for (of, partition), (_, event) in known if of == topic and event}

    async def oldest(
        self, limit: int, under_way: Sequence[int] = ()
    ) -> Sequence[tuple[int, Recorded[bytes]]]:
        """The oldest events to tell."""
        async with self._asking("oldest"):
            rows = self._database.table("outbox")
            waiting = sorted(key for key in rows if key[0] not in set(under_way))
            return [(key[0], rows[key]) for key in waiting[:limit]]

    async def told(
        self,
        positions: Sequence[int],
        topic: str,
        acked: Mapping[int, int],
        landmarks: Mapping[int, UUID] = NO_LANDMARKS,
    ) -> None:
        """Forget rows, remember offsets."""
        async with self._asking(f"told {' '.join(map(str, positions))}"):
            for position in positions:
                self._database.table("outbox").pop((position,), None)
            for partition, offset in acked.items():
                self._database.table("relay_offsets")[topic, partition] = (offset, landmarks.get(partition))

    async def refill(self, public: frozenset[str]) -> int:
        """Put everything back."""
        async with self._asking("refill"):
            self._database.table("relay_offsets").clear()
            outbox, before = self._database.table("outbox"), len(self._database.table("outbox"))
            for stored in (each for stream in self._database.streams.values() for each in stream):
                if category_of(stored.event.stream) in public:
                    outbox[stored.position,] = stored.event
            return len(outbox) - before

    def close(self) -> None:
        """Give the lock back."""
        if self._database.leader is self:
            self._database.leader = None


@asynccontextmanager
async def memory_outbox(database: Database, wire: Wire = quiet) -> AsyncIterator[MemoryOutbox]:
    """An outbox whose lock ends with the block."""
    outbox = MemoryOutbox(database, wire)
    try:
        yield outbox
    finally:
        outbox.close()


_NOBODY = UUID(int=0)


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
