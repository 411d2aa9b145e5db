"""The outbox: events that their topic does not have yet, and what the relay remembers of the topic."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Protocol
from uuid import UUID

import asyncpg

from shared.events.envelope import Recorded
from shared.store import streams
from shared.store.connection import Connection, connect
from shared.store.errors import CONNECTION_LOST

# OFFSET 0 keeps this a loop over the rows of `o`: a join planned by the size of `events` slows with history.
_NEXT = """
WITH first AS MATERIALIZED (
    SELECT position FROM outbox ORDER BY position LIMIT $1 + cardinality($2::bigint[])
), o AS MATERIALIZED (
    SELECT position FROM first EXCEPT ALL SELECT unnest($2::bigint[]) ORDER BY position LIMIT $1
)
SELECT o.position, e.stream_id, e.version, e.event_id, e.type, e.schema_version, e.occurred_at, e.data, e.meta
FROM o CROSS JOIN LATERAL (SELECT * FROM events WHERE events.position = o.position OFFSET 0) AS e
ORDER BY o.position
"""

_TOLD = """
WITH gone AS (DELETE FROM outbox WHERE position = ANY($4::bigint[]))
INSERT INTO relay_offsets (topic, partition, next_offset, event_id)
SELECT $1, p, o, e FROM unnest($2::int[], $3::bigint[], $5::uuid[]) AS acked(p, o, e)
ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset, event_id = excluded.event_id
"""


NO_LANDMARKS: Mapping[int, UUID] = {}


class Outbox(Protocol):
    """One relay's hold on a service's outbox; losing it ends the leadership.

    All raise the driver's errors (`shared.store.errors`) when the memory is away.
    """

    async def lead(self) -> bool:
        """Try to become the one that empties this outbox; True once it is."""
        ...

    async def offsets(self, topic: str) -> dict[int, int]:
        """By partition, a lower bound of where the topic must end, as far as it was acknowledged."""
        ...

    async def landmarks(self, topic: str) -> dict[int, UUID]:
        """By partition, the event that must be at the last offset before that bound, where it is known."""
        ...

    async def oldest(
        self, limit: int, under_way: Sequence[int] = ()
    ) -> Sequence[tuple[int, Recorded[bytes]]]:
        """The oldest events to tell but for those `under_way`, by position, their JSON as it was written.

        Not all that come after a position: a lower one may be committed later.
        """
        ...

    async def told(
        self,
        positions: Sequence[int],
        topic: str,
        acked: Mapping[int, int],
        landmarks: Mapping[int, UUID] = NO_LANDMARKS,
    ) -> None:
        """Forget these rows and remember offsets and landmarks, in one transaction."""
        ...

    async def refill(self, public: frozenset[str]) -> int:
        """Put every event of `public` categories back and forget the topic's offsets; gives how many."""
        ...


class PostgresOutbox:
    """An outbox over one connection: the lock, the reading and the deleting share it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def lead(self) -> bool:
        """Try to take the session's advisory lock."""
        return bool(
            await self._connection.fetchval("SELECT pg_try_advisory_lock(hashtext('orderflow relay'))")
        )

    async def offsets(self, topic: str) -> dict[int, int]:
        """What `told` remembered."""
        rows = await self._connection.fetch(
            "SELECT partition, next_offset FROM relay_offsets WHERE topic = $1", topic
        )
        return {row["partition"]: row["next_offset"] for row in rows}

    async def landmarks(self, topic: str) -> dict[int, UUID]:
        """What `told` remembered."""
        rows = await self._connection.fetch(
            "SELECT partition, event_id FROM relay_offsets WHERE topic = $1 AND event_id IS NOT NULL", topic
        )
        return {row["partition"]: row["event_id"] for row in rows}

    async def oldest(
        self, limit: int, under_way: Sequence[int] = ()
    ) -> Sequence[tuple[int, Recorded[bytes]]]:
        """The oldest events to tell."""
        rows = await self._connection.fetch(_NEXT, limit, list(under_way))
        return [(row["position"], streams.as_stored(row)) for row in rows]

    async def told(
        self,
        positions: Sequence[int],
        topic: str,
        acked: Mapping[int, int],
        landmarks: Mapping[int, UUID] = NO_LANDMARKS,
    ) -> None:
        """Forget rows, remember offsets."""
        await self._connection.execute(
            _TOLD,
            topic,
            list(acked),
            list(acked.values()),
            list(positions),
            [landmarks.get(partition) for partition in acked],
        )

    async def refill(self, public: frozenset[str]) -> int:
        """Put everything back."""
        async with self._connection.transaction():
            await self._connection.execute("DELETE FROM relay_offsets")
            status = await self._connection.execute(
                "INSERT INTO outbox (position) SELECT position FROM events "
                "WHERE split_part(stream_id, '-', 1) = ANY($1::text[]) ON CONFLICT DO NOTHING",
                sorted(public),
            )
        return int(status.rsplit(" ", 1)[1])


@asynccontextmanager
async def open_outbox(database_url: str, service: str) -> AsyncIterator[PostgresOutbox]:
    """The outbox of a service's database, over a connection of its own that ends with the block."""
    connection = await connect(database_url, name=f"{service} relay", plain_uuids=False)
    try:
        yield PostgresOutbox(connection)
    finally:
        with suppress(asyncpg.PostgresError, *CONNECTION_LOST):
            await connection.close(timeout=5)
