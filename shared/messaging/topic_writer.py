"""Writes one service's topic: pipelined, in order within each partition, acknowledged by the broker."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from shared.events.envelope import Recorded
from shared.messaging.cloudevents import KafkaRecord, Malformed, parse, to_headers
from shared.messaging.topic_reader import records_at
from shared.messaging.topics import PARTITIONS, ensure_topics, partition_of, topic_of

MANY = 50
"""Events of a partition that are worth a request of their own."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A batch that the broker has: its partition, the offset of its first record and that record's event.

    A batch is kept or lost as a whole.
    """

    partition: int
    offset: int
    event_id: UUID


class TopicWriter(Protocol):
    """A topic as its writer sees it. All raise KafkaError or OSError when the broker is away."""

    async def send(self, events: Sequence[Recorded[bytes]]) -> Sequence[Acknowledged]:
        """Send events, in this order within each partition; gives the batches in the order of sending.

        Raises if any was not acknowledged; some of them may be on the topic all the same.
        """
        ...

    async def ends(self) -> dict[int, int]:
        """One past the last offset of every partition; 0 for a partition that the broker does not have."""
        ...

    async def events_at(self, offsets: Mapping[int, int]) -> dict[int, UUID | None]:
        """By partition, the event at an offset; None if it is not there or none of ours. What the broker does
        not give within a few seconds is left out."""
        ...


class KafkaTopicWriter:
    """A topic of a Kafka broker."""

    def __init__(self, bootstrap: str, service: str, producer: AIOKafkaProducer) -> None:
        self._bootstrap = bootstrap
        self._service = service
        self._topic = topic_of(service)
        self._producer = producer

    async def send(self, events: Sequence[Recorded[bytes]]) -> Sequence[Acknowledged]:
        """Send in batches of the producer's, all of them before the first answer."""
        if not events:
            return []
        by_partition: dict[int, list[Recorded[bytes]]] = defaultdict(list)
        for event in events:
            by_partition[partition_of(event.stream.encode())].append(event)
        sent: list[tuple[int, UUID, asyncio.Future[Any]]] = []
        for partition, of_partition in by_partition.items():
            batch, first = self._producer.create_batch(), of_partition[0].event_id
            for event in of_partition:
                while not self._put(batch, event):
                    sent.append((partition, first, await self._submit(batch, partition)))
                    batch, first = self._producer.create_batch(), event.event_id
            sent.append((partition, first, await self._submit(batch, partition)))
            if len(of_partition) >= MANY:
                await asyncio.sleep(0)  # the broker may work on it while the next one is put together
        await asyncio.wait([future for _, _, future in sent])
        return [Acknowledged(partition, future.result().offset, first) for partition, first, future in sent]

    async def ends(self) -> dict[int, int]:
        """As the broker tells them."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, request_timeout_ms=5_000)
        try:
            await consumer.start()
            if self._topic not in await consumer.topics():
                return dict.fromkeys(range(PARTITIONS), 0)
            ends = await consumer.end_offsets(
                [TopicPartition(self._topic, number) for number in range(PARTITIONS)]
            )
            return {tp.partition: end for tp, end in ends.items()}
        finally:
            await consumer.stop()

    async def events_at(self, offsets: Mapping[int, int]) -> dict[int, UUID | None]:
        """As the broker gives them."""
        wanted = {TopicPartition(self._topic, partition): offset for partition, offset in offsets.items()}
        found = await records_at(self._bootstrap, wanted)
        return {tp.partition: event_of(record) if record else None for tp, record in found.items()}

    def _put(self, batch: Any, event: Recorded[bytes]) -> bool:
        return (
            batch.append(
                key=event.stream.encode(),
                value=event.data,
                timestamp=int(event.occurred_at.timestamp() * 1000),
                headers=list(to_headers(event, self._service)),
            )
            is not None
        )

    async def _submit(self, batch: Any, partition: int) -> asyncio.Future[Any]:
        batch.close()
        future: asyncio.Future[Any] = await self._producer.send_batch(batch, self._topic, partition=partition)
        return future


def event_of(record: KafkaRecord) -> UUID | None:
    """The event that a record carries; None if it is none of ours."""
    try:
        return parse(record).event_id
    except Malformed:
        return None


@asynccontextmanager
async def open_topic(
    bootstrap: str, service: str, *, idempotent: bool = True, replication: int = 1
) -> AsyncIterator[KafkaTopicWriter]:
    """The topic of a service, made or mended if need be, with a producer that ends with the block.

    `idempotent`: use the idempotent producer (where the broker has it). Raises KafkaError or OSError.
    """
    await ensure_topics(bootstrap, [topic_of(service)], replication=replication, mend=True)
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=idempotent,
        max_batch_size=131_072,
        max_request_size=8 * 2**20,
        request_timeout_ms=10_000,
        metadata_max_age_ms=10_000,
    )
    try:
        await producer.start()
        yield KafkaTopicWriter(bootstrap, service, producer)
    finally:
        await producer.stop()
