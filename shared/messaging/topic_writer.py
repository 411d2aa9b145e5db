"""Writes one service's topic: pipelined, in order within each partition, acknowledged by the broker."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from shared.events.envelope import Recorded
from shared.messaging.cloudevents import to_headers
from shared.messaging.topics import PARTITIONS, ensure_topics, partition_of, topic_of


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A batch that the broker has: its partition and the offset of its first record.

    A batch is kept or lost as a whole.
    """

    partition: int
    offset: int


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
        futures: list[tuple[int, asyncio.Future[Any]]] = []
        for partition, of_partition in by_partition.items():
            batch = self._producer.create_batch()
            for event in of_partition:
                while not self._put(batch, event):
                    futures.append((partition, await self._submit(batch, partition)))
                    batch = self._producer.create_batch()
            futures.append((partition, await self._submit(batch, partition)))
            await asyncio.sleep(0)  # the broker may work on it while the next one is put together
        await asyncio.wait([future for _, future in futures])
        return [Acknowledged(partition, future.result().offset) for partition, future in futures]

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
