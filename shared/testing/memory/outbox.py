"""The outbox of a service's memory without Postgres: what one relay reads and forgets."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from shared.domain import category_of
from shared.events.envelope import Recorded
from shared.store.outbox import NO_LANDMARKS
from shared.testing.memory.database import Connection, Database, Wire, quiet


class MemoryOutbox:
    """One relay's hold on the outbox of a database."""

    def __init__(self, database: Database, wire: Wire = quiet) -> None:
        self._database = database
        self._asking = Connection(database, wire, self.close).asking

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
