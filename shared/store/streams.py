"""The events table: load whole streams, append with expected versions, read on in order."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import orjson
from asyncpg.pgproto.pgproto import UUID as DriversUUID  # noqa: N811 - it is one

from shared.domain import category_of
from shared.events.envelope import Actor, ActorKind, Recorded
from shared.events.registry import Registry
from shared.store.connection import Connection, Record
from shared.store.errors import Conflict

T = TypeVar("T")

_COLUMNS = "stream_id, version, event_id, type, schema_version, occurred_at, data, meta"

_LOAD = f"""
SELECT {_COLUMNS} FROM events WHERE stream_id = ANY($1::text[]) ORDER BY stream_id, version
"""  # noqa: S608 - constant text
_LOAD_ONE = f"SELECT {_COLUMNS} FROM events WHERE stream_id = $1 ORDER BY version"  # noqa: S608 - constant text
_WHOLE: Mapping[str, int] = {}

_LOAD_ON = f"""
SELECT {_COLUMNS} FROM unnest($1::text[], $2::int[]) AS known(stream, first)
JOIN events ON stream_id = known.stream AND version >= known.first ORDER BY stream_id, version
"""  # noqa: S608 - constant text

# A version whose predecessor is not there must not be written: the unique constraint alone would let it pass.
_APPEND_ONE = """
WITH stored AS (
    INSERT INTO events (stream_id, version, event_id, type, schema_version, occurred_at, data, meta)
    SELECT $1::text, $2::int, $3::uuid, $4::text, $5::int, $6::timestamptz, $7::bytea, $8::jsonb
    WHERE $2::int = 1 OR EXISTS (SELECT FROM events WHERE stream_id = $1::text AND version = $2::int - 1)
    RETURNING position
), told AS (
    INSERT INTO outbox (position) SELECT position FROM stored WHERE $9::bool
)
SELECT 1 - count(*) FROM stored
"""

_APPEND = """
WITH gaps AS MATERIALIZED (
    SELECT FROM unnest($10::text[], $11::int[]) AS expected(stream_id, version)
    WHERE NOT EXISTS (SELECT FROM events e
                      WHERE e.stream_id = expected.stream_id AND e.version = expected.version)
), stored AS (
    INSERT INTO events (stream_id, version, event_id, type, schema_version, occurred_at, data, meta)
    SELECT stream_id, version, event_id, type, schema_version, occurred_at, data, meta
    FROM unnest($1::text[], $2::int[], $3::uuid[], $4::text[], $5::int[], $6::timestamptz[],
                $7::bytea[], $8::jsonb[])
         WITH ORDINALITY AS new(stream_id, version, event_id, type, schema_version, occurred_at,
                                data, meta, n)
    WHERE NOT EXISTS (SELECT FROM gaps)
    ORDER BY n
    RETURNING position, stream_id
), told AS (
    INSERT INTO outbox (position)
    SELECT position FROM stored WHERE split_part(stream_id, '-', 1) = ANY($9::text[])
)
SELECT count(*) FROM gaps
"""


async def load(
    connection: Connection, registry: Registry, streams: Sequence[str], since: Mapping[str, int] = _WHOLE
) -> dict[str, list[Recorded[Any]]]:
    """All events of `streams`, each list in version order; a stream without events has an empty list.

    Of a stream in `since`, those from that version on.
    """
    found: dict[str, list[Recorded[Any]]] = {stream: [] for stream in streams}
    whole = [stream for stream in streams if stream not in since]
    if len(whole) == 1:
        found[whole[0]] = [recorded(registry, row) for row in await connection.fetch(_LOAD_ONE, whole[0])]
    elif whole:
        for row in await connection.fetch(_LOAD, whole):
            found[row["stream_id"]].append(recorded(registry, row))
    if since:
        for row in await connection.fetch(_LOAD_ON, list(since), list(since.values())):
            found[row["stream_id"]].append(recorded(registry, row))
    return found


async def append(
    connection: Connection,
    registry: Registry,
    events: Sequence[Recorded[Any]],
    expected: Mapping[str, int],
    public: Iterable[str],
) -> None:
    """Write `events` sorted by stream, and an outbox row for those of `public` categories, in one statement.

    `expected` is the last version each stream had when it was loaded. Raises Conflict, and nothing is written
    (the caller's transaction, if any, must end), if a stream has moved on or never had that version.
    """
    try:
        if len(events) == 1 and expected == {events[0].stream: events[0].version - 1}:
            gaps = await _append_one(connection, registry, events[0], public)
        else:
            gaps = await _append_many(connection, registry, events, expected, public)
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "events_stream_version":
            raise Conflict(error.detail or "a stream has moved on") from error
        raise
    if gaps:
        raise Conflict(f"{gaps} of {len(expected)} streams do not have their expected version")


async def _append_one(
    connection: Connection, registry: Registry, event: Recorded[Any], public: Iterable[str]
) -> int:
    """The same for the most common case, which costs the database half as much without arrays."""
    missing: int = await connection.fetchval(
        _APPEND_ONE,
        event.stream,
        event.version,
        event.event_id,
        event.type,
        event.schema_version,
        event.occurred_at,
        registry.encode(event.data),
        encode_meta(event),
        category_of(event.stream) in public,
    )
    return missing


async def _append_many(
    connection: Connection,
    registry: Registry,
    events: Sequence[Recorded[Any]],
    expected: Mapping[str, int],
    public: Iterable[str],
) -> int:
    ordered = sorted(events, key=lambda event: (event.stream, event.version))
    needed = [(stream, version) for stream, version in sorted(expected.items()) if version > 0]
    gaps: int = await connection.fetchval(
        _APPEND,
        [event.stream for event in ordered],
        [event.version for event in ordered],
        [event.event_id for event in ordered],
        [event.type for event in ordered],
        [event.schema_version for event in ordered],
        [event.occurred_at for event in ordered],
        [registry.encode(event.data) for event in ordered],
        [encode_meta(event) for event in ordered],
        list(public),
        [stream for stream, _ in needed],
        [version for _, version in needed],
    )
    return gaps


async def read_on(
    connection: Connection, registry: Registry, where: str, *arguments: object, chunk: int = 2000
) -> AsyncIterator[list[Recorded[Any]]]:
    """Committed events that `where` selects, by position, in bounded memory; needs an open transaction."""
    async for rows in rows_on(connection, where, *arguments, chunk=chunk):
        yield [recorded(registry, row) for row in rows]


async def rows_on(
    connection: Connection, where: str, *arguments: object, chunk: int = 2000
) -> AsyncIterator[list[Record]]:
    """The same as rows, for those who need an event's JSON as it is stored."""
    query = f"SELECT {_COLUMNS} FROM events WHERE {where} ORDER BY position"  # noqa: S608 - from our own code
    cursor = await connection.cursor(query, *arguments)
    while rows := await cursor.fetch(chunk):
        yield rows


def encode_meta(event: Recorded[Any]) -> str:
    """The part of the envelope that has no column of its own, as JSON."""
    return orjson.dumps(
        {
            "correlation_id": event.correlation_id,
            "causation_id": event.causation_id,
            "actor": {"kind": event.actor.kind, "id": event.actor.id},
            "epoch": event.epoch,
            "traceparent": event.traceparent,
        }
    ).decode()


def recorded(registry: Registry, row: Record) -> Recorded[Any]:
    """The event of one row of the events table, lifted to its newest schema version."""
    data = registry.decode(row["type"], row["schema_version"], row["data"])
    return _envelope(row, registry.schema_version(row["type"]), data, _uuid)


def as_stored(row: Record) -> Recorded[bytes]:
    """The same with its JSON and schema version as they were written.

    Its ids are of the driver's own kind of UUID, which is quicker and which JSON encoders do not take.
    """
    return _envelope(row, row["schema_version"], row["data"], DriversUUID)


def _envelope(row: Record, schema_version: int, data: T, uuid: Callable[[str], UUID]) -> Recorded[T]:
    meta = orjson.loads(row["meta"])
    causation = meta["causation_id"]
    return Recorded(
        stream=row["stream_id"],
        version=row["version"],
        event_id=row["event_id"],
        type=row["type"],
        schema_version=schema_version,
        occurred_at=row["occurred_at"],
        correlation_id=uuid(meta["correlation_id"]),
        causation_id=uuid(causation) if causation else None,
        actor=_actor(meta["actor"]["kind"], meta["actor"]["id"]),
        epoch=meta["epoch"],
        data=data,
        traceparent=meta.get("traceparent"),
    )


@lru_cache(maxsize=4096)
def _uuid(text: str) -> UUID:
    """Remembered, as the events of a stream mostly share their correlation."""
    return UUID(text)


@lru_cache(maxsize=4096)
def _actor(kind: str, name: str) -> Actor:
    return Actor(ActorKind(kind), name)
