"""Where a consumer stands: the last version it applied of every stream, and the records that must wait."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import orjson

from shared.store.connection import Connection, Record


class Mark(NamedTuple):
    """The last applied event of a stream; (0, 0) before the first."""

    epoch: int = 0
    version: int = 0


class Reason(StrEnum):
    """Why a record waits."""

    EARLY = "EARLY"
    FAILED = "FAILED"
    MALFORMED = "MALFORMED"


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A broker's record as it was, to be tried again."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """A record that waits, under the place in its stream."""

    stream: str
    version: int
    record: StoredRecord
    reason: Reason
    error: str | None
    attempts: int
    retry_at: datetime

    def failed_again(self, error: str, retry_at: datetime) -> "Parked":
        """The same record after one more failure."""
        return replace(self, reason=Reason.FAILED, error=error, attempts=self.attempts + 1, retry_at=retry_at)


async def lock_marks(connection: Connection, consumer: str, streams: Iterable[str]) -> dict[str, Mark]:
    """The marks of `streams`, locked for this transaction; missing ones start at (0, 0).

    Those that are there are locked in sorted order, then the missing ones are written in sorted order.
    """
    wanted = sorted(set(streams))
    marks = await _lock(connection, consumer, wanted)
    if new := [stream for stream in wanted if stream not in marks]:
        written = await connection.fetch(_BEGIN, consumer, new)
        marks |= {row["stream_id"]: Mark() for row in written}
        marks |= await _lock(connection, consumer, [stream for stream in new if stream not in marks])
    return {stream: marks[stream] for stream in wanted}


_BEGIN = """
INSERT INTO marks (consumer, stream_id, epoch, version)
SELECT $1, s, 0, 0 FROM unnest($2::text[]) AS s ORDER BY s ON CONFLICT DO NOTHING RETURNING stream_id
"""


async def _lock(connection: Connection, consumer: str, ordered: Sequence[str]) -> dict[str, Mark]:
    """The marks that are there, the last word of whoever had them before."""
    if not ordered:
        return {}
    rows = await connection.fetch(
        "SELECT stream_id, epoch, version FROM marks WHERE consumer = $1 AND stream_id = ANY($2::text[]) "
        "ORDER BY stream_id FOR UPDATE",
        consumer,
        ordered,
    )
    return {row["stream_id"]: Mark(row["epoch"], row["version"]) for row in rows}


async def move_marks(connection: Connection, consumer: str, marks: Mapping[str, Mark]) -> None:
    """Write marks that this transaction has locked."""
    if marks:
        await connection.execute(
            "UPDATE marks SET epoch = new.epoch, version = new.version "
            "FROM unnest($2::text[], $3::int[], $4::int[]) AS new(stream_id, epoch, version) "
            "WHERE marks.consumer = $1 AND marks.stream_id = new.stream_id",
            consumer,
            list(marks),
            [mark.epoch for mark in marks.values()],
            [mark.version for mark in marks.values()],
        )


async def parked_of(
    connection: Connection, consumer: str, streams: Iterable[str]
) -> dict[tuple[str, int], Parked]:
    """What waits of these streams, by stream and version."""
    rows = await connection.fetch(
        "SELECT * FROM parked WHERE consumer = $1 AND stream_id = ANY($2::text[])",
        consumer,
        list(streams),
    )
    return {(row["stream_id"], row["version"]): _parked(row) for row in rows}


async def parked_due(connection: Connection, consumer: str, now: datetime, limit: int) -> list[Parked]:
    """Waiting records whose turn has come: next after their mark, or already passed by it, and due."""
    rows = await connection.fetch(
        "SELECT p.* FROM parked p JOIN marks m USING (consumer, stream_id) "
        "WHERE p.consumer = $1 AND p.version <= m.version + 1 AND p.retry_at <= $2 "
        "ORDER BY p.retry_at LIMIT $3",
        consumer,
        now,
        limit,
    )
    return [_parked(row) for row in rows]


async def park(connection: Connection, consumer: str, rows: Sequence[Parked]) -> None:
    """Keep records for later; one that waits already gives way to the newer in its place."""
    await connection.executemany(
        'INSERT INTO parked (consumer, stream_id, version, topic, partition, "offset", key, value, headers, '
        "reason, error, attempts, retry_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) "
        "ON CONFLICT (consumer, stream_id, version) DO UPDATE SET topic = excluded.topic, "
        'partition = excluded.partition, "offset" = excluded."offset", key = excluded.key, '
        "value = excluded.value, headers = excluded.headers, reason = excluded.reason, "
        "error = excluded.error, attempts = excluded.attempts, retry_at = excluded.retry_at",
        [
            (
                consumer,
                row.stream,
                row.version,
                row.record.topic,
                row.record.partition,
                row.record.offset,
                row.record.key,
                row.record.value,
                _dump_headers(row.record.headers),
                row.reason,
                row.error and row.error[:1000].replace("\x00", "\\0"),
                row.attempts,
                row.retry_at,
            )
            for row in rows
        ],
    )


async def unpark(connection: Connection, consumer: str, places: Iterable[tuple[str, int]]) -> None:
    """Forget records that are applied or no longer needed."""
    if rows := [(consumer, stream, version) for stream, version in places]:
        await connection.executemany(
            "DELETE FROM parked WHERE consumer = $1 AND stream_id = $2 AND version = $3", rows
        )


async def skip(connection: Connection, consumer: str, stream: str, version: int, by: str) -> bool:
    """Leave a parked version out for good: the mark moves over it. False unless it is the next in its turn.

    A malformed record, which has no stream, is simply given up. Runs in the caller's transaction.
    """
    gone = await connection.fetchrow(
        "DELETE FROM parked WHERE consumer = $1 AND stream_id = $2 AND version = $3 "
        "RETURNING reason, headers",
        consumer,
        stream,
        version,
    )
    if gone is None:
        return False
    await connection.execute(
        "INSERT INTO skipped (consumer, stream_id, version, skipped_by) VALUES ($1, $2, $3, $4)",
        consumer,
        stream,
        version,
        by,
    )
    if gone["reason"] == Reason.MALFORMED:
        return True
    headers = dict(_load_headers(gone["headers"]))
    moved = await connection.fetchval(
        "UPDATE marks SET version = $3, epoch = greatest(epoch, $4) "
        "WHERE consumer = $1 AND stream_id = $2 AND version = $3 - 1 RETURNING true",
        consumer,
        stream,
        version,
        int(headers["ce_epoch"] or b"1"),
    )
    if not moved:
        raise ValueError(
            f"version {version} of {stream} is not the next in its turn; skip the earlier one first"
        )
    return True


def _parked(row: Record) -> Parked:
    return Parked(
        stream=row["stream_id"],
        version=row["version"],
        record=StoredRecord(
            row["topic"],
            row["partition"],
            row["offset"],
            row["key"],
            row["value"],
            _load_headers(row["headers"]),
        ),
        reason=Reason(row["reason"]),
        error=row["error"],
        attempts=row["attempts"],
        retry_at=row["retry_at"],
    )


def _dump_headers(headers: Iterable[tuple[str, bytes | None]]) -> str:
    """As JSON that Postgres can hold: no name of ours has a NUL."""
    return orjson.dumps(
        [
            [name.replace("\x00", "\ufffd"), None if value is None else base64.b64encode(value).decode()]
            for name, value in headers
        ]
    ).decode()


def _load_headers(text: str) -> tuple[tuple[str, bytes | None], ...]:
    return tuple(
        (name, None if value is None else base64.b64decode(value)) for name, value in orjson.loads(text)
    )
