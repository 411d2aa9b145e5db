"""The todo table: commands and outside calls, due now or later, written with the events that cause them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

import orjson
from pydantic import TypeAdapter

from shared.domain.ids import derive
from shared.events.envelope import Recorded
from shared.store.connection import Connection


class Kind(StrEnum):
    """What a todo row asks for."""

    TIMER = "TIMER"
    COMMAND = "COMMAND"
    EFFECT = "EFFECT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Something to do that is not written down yet.

    EFFECT: `name` is the effect and `payload` its JSON. COMMAND: `name` is the command's type. `stream` is
    the stream it is about. The row's id, an effect's idempotency key, is derived from `cause_id`, kind, name
    and `target`, so writing it twice is writing it once. `due` None: at once.
    """

    kind: Kind
    name: str
    stream: str
    payload: Mapping[str, Any]
    target: str = ""
    due: datetime | None = None

    def todo_id(self, cause_id: UUID) -> UUID:
        """The id that this has when `cause_id` (an event, or a timer's row) wants it."""
        return derive("todo", cause_id, self.kind, self.name, self.target or self.stream)


def effect(
    name: str, stream: str, *, target: object = "", due: datetime | None = None, **payload: Any
) -> Wanted:
    """An outside call to make; `payload` must be JSON (ids as UUID are written as text)."""
    return Wanted(kind=Kind.EFFECT, name=name, stream=stream, payload=payload, target=str(target), due=due)


def command(value: Any, stream: str, *, target: object = "", due: datetime | None = None) -> Wanted:
    """A command of this service to run in a transaction of its own."""
    payload = TypeAdapter(type(value)).dump_python(value, mode="json")
    return Wanted(
        kind=Kind.COMMAND,
        name=type(value).__name__,
        stream=stream,
        payload=payload,
        target=str(target),
        due=due,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Todo:
    """One row that a worker holds under a lease. `todo_id` is an effect's idempotency key."""

    todo_id: UUID
    kind: Kind
    name: str
    stream: str
    payload: Mapping[str, Any]
    due: datetime
    correlation_id: UUID
    causation_id: UUID | None
    attempts: int
    lease: UUID
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row to write: what is wanted, under which id and why."""

    todo_id: UUID
    wanted: Wanted
    due: datetime
    correlation_id: UUID
    causation_id: UUID | None


def timer_id(stream: str, name: str) -> UUID:
    """The id of a stream's timer row."""
    return derive("timer", stream, name)


def timer(stream: str, name: str) -> Wanted:
    """The wish to look at a stream again at one of its deadlines."""
    return Wanted(kind=Kind.TIMER, name=name, stream=stream, payload={})


def follow_up(event: Recorded[Any], wanted: Wanted) -> Entry:
    """The row for something that an own event wants done."""
    return Entry(
        todo_id=wanted.todo_id(event.event_id),
        wanted=wanted,
        due=wanted.due or event.occurred_at,
        correlation_id=event.correlation_id,
        causation_id=event.event_id,
    )


async def add(connection: Connection, entries: Iterable[Entry]) -> None:
    """Write rows; one that is there already stays as it is, but a timer moves to its new instant."""
    rows = [
        (
            e.todo_id,
            e.wanted.kind,
            e.wanted.name,
            e.wanted.stream,
            orjson.dumps(dict(e.wanted.payload)).decode(),
            e.due,
            e.correlation_id,
            e.causation_id,
        )
        for e in entries
    ]
    if rows:
        await connection.executemany(
            "INSERT INTO todo (todo_id, kind, name, stream_id, payload, due, correlation_id, causation_id) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (todo_id) DO UPDATE SET due = excluded.due, "
            "lease = NULL, leased_until = NULL, attempts = 0 WHERE todo.kind = 'TIMER'",
            rows,
        )


async def remove_timers(connection: Connection, ids: Sequence[UUID]) -> None:
    """Forget timers that their streams no longer ask for."""
    if ids:
        await connection.execute(
            "DELETE FROM todo WHERE todo_id = ANY($1::uuid[]) AND kind = 'TIMER'", list(ids)
        )


async def claim(connection: Connection, now: datetime, limit: int, lease: timedelta) -> list[Todo]:
    """Up to `limit` due rows, leased to this caller; rows that others hold are passed over.

    `lease` must be longer than any outside call's time-out. What is claimed is chosen once, materialized: as
    a plain subquery Postgres may choose anew for every row, and claim more than `limit`.
    """
    rows = await connection.fetch(
        "WITH claimed AS MATERIALIZED (SELECT todo_id FROM todo WHERE due <= $1 "
        "AND (leased_until IS NULL OR leased_until < $1) ORDER BY due LIMIT $2 FOR UPDATE SKIP LOCKED) "
        "UPDATE todo SET lease = $3, leased_until = $1::timestamptz + $4::interval, attempts = attempts + 1 "
        "FROM claimed WHERE todo.todo_id = claimed.todo_id "
        "RETURNING todo.todo_id, kind, name, stream_id, payload, due, correlation_id, causation_id, "
        "attempts, lease, created_at",
        now,
        limit,
        uuid4(),
        lease,
    )
    return [
        Todo(
            todo_id=row["todo_id"],
            kind=Kind(row["kind"]),
            name=row["name"],
            stream=row["stream_id"],
            payload=orjson.loads(row["payload"]),
            due=row["due"],
            correlation_id=row["correlation_id"],
            causation_id=row["causation_id"],
            attempts=row["attempts"],
            lease=row["lease"],
            created_at=row["created_at"],
        )
        for row in rows
    ]


async def finish(connection: Connection, done: Todo) -> bool:
    """Delete a row whose outcome this transaction records; False if the lease has passed to another."""
    gone = await connection.fetchval(
        "DELETE FROM todo WHERE todo_id = $1 AND lease = $2 RETURNING true", done.todo_id, done.lease
    )
    return bool(gone)


async def finish_all(connection: Connection, done: Sequence[Todo]) -> bool:
    """The same for several rows; False if the lease of one of them has passed to another."""
    gone = await connection.fetchval(
        "WITH gone AS (DELETE FROM todo USING unnest($1::uuid[], $2::uuid[]) AS done(todo_id, lease) "
        "WHERE todo.todo_id = done.todo_id AND todo.lease = done.lease RETURNING 1) "
        "SELECT count(*) FROM gone",
        [row.todo_id for row in done],
        [row.lease for row in done],
    )
    return bool(gone == len(done))


async def postpone(connection: Connection, row: Todo, due: datetime, error: str | None) -> bool:
    """Give a row back until `due`; False if the lease has passed to another."""
    kept = await connection.fetchval(
        "UPDATE todo SET due = $3, lease = NULL, leased_until = NULL, last_error = $4 "
        "WHERE todo_id = $1 AND lease = $2 RETURNING true",
        row.todo_id,
        row.lease,
        due,
        error and error[:500],
    )
    return bool(kept)
