"""A broker without Kafka: topics of twelve partitions, consumer groups, and at-least-once as Kafka has it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from uuid import UUID

from aiokafka.errors import KafkaConnectionError

from shared.events.envelope import Recorded
from shared.messaging.cloudevents import KafkaRecord, to_headers
from shared.messaging.topic_writer import Acknowledged, event_of
from shared.messaging.topics import PARTITIONS, partition_of, topic_of
from shared.store.marks import StoredRecord
from shared.testing.memory.database import Wire, quiet

SESSION_TIMEOUT_S = 6.0
RETRY_BATCH_S = 1.0
POLL_S = 120.0
MAX_RECORDS = 1000

Partition = tuple[str, int]


@dataclass
class _Group:
    """A consumer group: who is in it, and what it committed."""

    topics: Sequence[str]
    members: list["Member"] = field(default_factory=list)
    committed: dict[Partition, int] = field(default_factory=dict)

    def rebalance(self) -> None:
        """Share the partitions among the members; each begins anew at what is committed."""
        partitions = [(topic, number) for topic in self.topics for number in range(PARTITIONS)]
        for place, member in enumerate(self.members):
            member.assign(partitions[place :: len(self.members)], self.committed)


class Broker:
    """All topics and groups. `lose_everything` is what a broker without a disk does when it is killed."""

    def __init__(self) -> None:
        self.topics: dict[str, list[list[StoredRecord]]] = {}
        self.groups: dict[str, _Group] = {}
        self.up = True
        self.lost = 0

    def partitions(self, topic: str) -> list[list[StoredRecord]]:
        """The logs of a topic; it is made when it is first asked for."""
        return self.topics.setdefault(topic, [[] for _ in range(PARTITIONS)])

    def lose_everything(self) -> None:
        """Forget every record and every committed offset."""
        self.lost += 1
        self.topics.clear()
        for group in self.groups.values():
            group.committed.clear()
            group.rebalance()

    def tell(self) -> None:
        """There is something new for members that wait."""
        for group in self.groups.values():
            for member in group.members:
                member.news.set()

    def reached(self) -> None:
        """Raise as a client does when nobody answers."""
        if not self.up:
            raise KafkaConnectionError("the broker is away")


class MemoryTopicWriter:
    """A service's topic on a broker; `wire` lies between the two."""

    def __init__(self, broker: Broker, service: str, wire: Wire = quiet) -> None:
        self._broker = broker
        self._service = service
        self._topic = topic_of(service)
        self._wire = wire

    async def send(self, events: Sequence[Recorded[bytes]]) -> Sequence[Acknowledged]:
        """One batch for each partition."""
        by_partition: dict[int, list[Recorded[bytes]]] = {}
        for event in events:
            by_partition.setdefault(partition_of(event.stream.encode()), []).append(event)
        acknowledged = []
        for partition, of_partition in by_partition.items():
            await self._wire(f"send {' '.join(f'{e.stream}#{e.version}' for e in of_partition)}")
            self._broker.reached()
            log = self._broker.partitions(self._topic)[partition]
            acknowledged.append(Acknowledged(partition, len(log), of_partition[0].event_id))
            for event in of_partition:
                log.append(
                    StoredRecord(
                        self._topic,
                        partition,
                        len(log),
                        event.stream.encode(),
                        event.data,
                        tuple(to_headers(event, self._service)),
                    )
                )
            self._broker.tell()
            await self._wire("send: answer")
            self._broker.reached()
        return acknowledged

    async def ends(self) -> dict[int, int]:
        """Where the logs end."""
        await self._wire("ends")
        self._broker.reached()
        ends = {number: len(log) for number, log in enumerate(self._broker.partitions(self._topic))}
        await self._wire("ends: answer")
        return ends

    async def events_at(self, offsets: Mapping[int, int]) -> dict[int, UUID | None]:
        """What the logs have there."""
        await self._wire("events at")
        self._broker.reached()
        logs = self._broker.partitions(self._topic)
        found = {
            partition: event_of(logs[partition][offset])
            for partition, offset in offsets.items()
            if offset < len(logs[partition])
        }
        await self._wire("events at: answer")
        return found


@asynccontextmanager
async def memory_topic(broker: Broker, service: str, wire: Wire = quiet) -> AsyncIterator[MemoryTopicWriter]:
    """The topic of a service."""
    await wire("open topic")
    broker.reached()
    broker.partitions(topic_of(service))
    yield MemoryTopicWriter(broker, service, wire)


class Member:
    """One consumer of a group, as the subscriber in production behaves.

    A batch that fails comes again after a pause, offsets are committed only after the batch, and a rebalance
    does not wait for the batch in hand.
    """

    def __init__(
        self,
        broker: Broker,
        name: str,
        topics: Sequence[str],
        handle: Callable[[Sequence[KafkaRecord]], Awaitable[None]],
        *,
        wire: Wire = quiet,
        batch: Callable[[int], int] = lambda available: available,
    ) -> None:
        self._broker = broker
        self._group = broker.groups.setdefault(name, _Group(topics))
        self._handle = handle
        self._wire = wire
        self._batch = batch
        self.news = asyncio.Event()
        self._generation = 0
        self._position: dict[Partition, int] = {}

    def assign(self, partitions: Sequence[Partition], committed: dict[Partition, int]) -> None:
        """Read these partitions from now on, from where the group committed."""
        self._generation += 1
        self.news.set()
        self._position = {partition: committed.get(partition, 0) for partition in partitions}

    def join(self) -> None:
        """Become a member; everybody's share changes."""
        if self not in self._group.members:
            self._group.members.append(self)
            self._group.rebalance()

    def leave(self) -> None:
        """Stop being one, by a stop or because the session timed out."""
        if self in self._group.members:
            self._group.members.remove(self)
            self._group.rebalance()

    async def run(self, stop: asyncio.Event) -> None:
        """Hear until `stop` is set, which is noticed with the next news or after POLL_S seconds."""
        while not stop.is_set():
            self.news.clear()
            try:
                worked = await self.poll()
            except (KafkaConnectionError, ConnectionError):
                worked = False
            if not worked:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.news.wait(), POLL_S)

    async def poll(self) -> bool:
        """Take the next batch; whether there was one that was applied."""
        await self._wire("fetch")
        self._broker.reached()
        generation, records = self._generation, self._next()
        if not records:
            return False
        try:
            await self._handle(records)
        except Exception:  # noqa: BLE001 - as the broker client: whatever it was, the batch comes again
            await asyncio.sleep(RETRY_BATCH_S)
            if generation == self._generation:
                self._position |= {place: self._group.committed.get(place, 0) for place in self._position}
            self.news.set()
            return False
        if generation != self._generation:
            return True
        await self._wire("commit offsets")
        self._broker.reached()
        if generation == self._generation:
            self._group.committed |= self._position
        return True

    def _next(self) -> list[StoredRecord]:
        """The next records of one or several partitions; moves the position past them."""
        records: list[StoredRecord] = []
        for place in list(self._position):
            topic, number = place
            log = self._broker.partitions(topic)[number]
            if self._position[place] == len(log):
                continue
            start = self._position[place] if self._position[place] <= len(log) else 0
            taken = log[start : start + self._batch(min(len(log) - start, MAX_RECORDS - len(records)))]
            self._position[place] = start + len(taken)
            records += taken
        return records
