"""Telling: moves events from the outbox to the service's topic, in order, and forgets none.

A row leaves the outbox only after the broker acknowledged its event. One relay a service works at a time,
elected by a session advisory lock; the others stand by.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import Counter, Gauge

from shared.events.envelope import Recorded
from shared.messaging.cloudevents import to_headers
from shared.messaging.topics import PARTITIONS, ensure_topics, partition_of, topic_of
from shared.store import streams
from shared.store.connection import Connection, connect
from shared.store.errors import CONNECTION_LOST

log = structlog.get_logger(__name__)

SENT = Counter("orderflow_relay_events_sent", "Events acknowledged by the broker", ["service"])
LEADER = Gauge("orderflow_relay_leader", "1 while this process is the service's relay", ["service"])
REPUBLISHED = Counter(
    "orderflow_relay_republished",
    "Times that all was sent again because the topic lost data",
    ["service"],
)

_NEXT = """
WITH o AS MATERIALIZED (SELECT position FROM outbox ORDER BY position LIMIT $1)
SELECT o.position, e.stream_id, e.version, e.event_id, e.type, e.schema_version, e.occurred_at, e.data, e.meta
FROM o JOIN events e USING (position) ORDER BY o.position
"""

_REMEMBER = """
INSERT INTO relay_offsets (topic, partition, next_offset)
SELECT $1, p, o FROM unnest($2::int[], $3::bigint[]) AS acked(p, o)
ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset
"""


class TopicLostData(Exception):  # noqa: N818
    """The topic ends before an offset that the broker had acknowledged."""


@dataclass(frozen=True, kw_only=True)
class RelaySettings:
    """Where a relay reads and writes. `idempotent`: use the idempotent producer (where the broker has it)."""

    service: str
    database_url: str
    bootstrap: str
    idempotent: bool = True
    replication: int = 1
    chunk: int = 5000
    poll_s: float = 0.2
    retry_s: float = 1.0
    check_every_s: float = 5.0


class Relay:
    """One service's relay; `wake` is set when the process has written to the outbox."""

    def __init__(self, settings: RelaySettings, public: frozenset[str], wake: asyncio.Event) -> None:
        self._settings = settings
        self._public = public
        self._wake = wake
        self._topic = topic_of(settings.service)
        self._next: dict[int, int] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Lead or stand by until `stop` is set; starts anew after any failure of broker or database."""
        while not stop.is_set():
            try:
                await self._session(stop)
            except (KafkaError, asyncpg.PostgresError, *CONNECTION_LOST) as error:
                log.warning("relay_restarts", service=self._settings.service, error=repr(error))
            except TopicLostData as loss:
                log.error("topic_lost_data", service=self._settings.service, detail=str(loss))
                REPUBLISHED.labels(self._settings.service).inc()
            finally:
                LEADER.labels(self._settings.service).set(0)
            await _wait(stop, self._settings.retry_s)

    async def _session(self, stop: asyncio.Event) -> None:
        """One leadership: lock, SELECT and DELETE share a connection, so losing it ends the leadership."""
        connection = await connect(self._settings.database_url, name=f"{self._settings.service} relay")
        try:
            while not await connection.fetchval("SELECT pg_try_advisory_lock(hashtext('orderflow relay'))"):
                await _wait(stop, self._settings.retry_s)
                if stop.is_set():
                    return
            LEADER.labels(self._settings.service).set(1)
            await ensure_topics(
                self._settings.bootstrap, [self._topic], replication=self._settings.replication, mend=True
            )
            producer = AIOKafkaProducer(
                bootstrap_servers=self._settings.bootstrap,
                acks="all",
                enable_idempotence=self._settings.idempotent,
                max_batch_size=131_072,
                max_request_size=8 * 2**20,
                request_timeout_ms=10_000,
                metadata_max_age_ms=10_000,
            )
            try:
                await producer.start()
                await self._lead(connection, producer, stop)
            except TopicLostData:
                await send_everything_again(connection, self._public)
                raise
            finally:
                await producer.stop()
        finally:
            with suppress(asyncpg.PostgresError, *CONNECTION_LOST):
                await connection.close(timeout=5)

    async def _lead(self, connection: Connection, producer: AIOKafkaProducer, stop: asyncio.Event) -> None:
        rows = await connection.fetch(
            "SELECT partition, next_offset FROM relay_offsets WHERE topic = $1", self._topic
        )
        self._next = {row["partition"]: row["next_offset"] for row in rows}
        loop = asyncio.get_running_loop()
        check_at = loop.time()
        while not stop.is_set():
            if loop.time() >= check_at:
                await self._check_for_loss()
                check_at = loop.time() + self._settings.check_every_s
            self._wake.clear()
            if not await self.send_chunk(connection, producer):
                await _wait_either(stop, self._wake, self._settings.poll_s)

    async def send_chunk(self, connection: Connection, producer: AIOKafkaProducer) -> int:
        """Send the oldest outbox rows and delete them once all are acknowledged; gives how many.

        On any failure nothing is deleted, so the whole chunk is sent again.
        """
        rows = await connection.fetch(_NEXT, self._settings.chunk)
        if not rows:
            return 0
        acked = await self._send([streams.as_stored(row) for row in rows], producer)
        async with connection.transaction():
            await connection.execute(
                "DELETE FROM outbox WHERE position = ANY($1::bigint[])", [row["position"] for row in rows]
            )
            await connection.execute(_REMEMBER, self._topic, list(acked), list(acked.values()))
        self._next |= acked
        SENT.labels(self._settings.service).inc(len(rows))
        return len(rows)

    async def _send(self, events: Sequence[Recorded[bytes]], producer: AIOKafkaProducer) -> dict[int, int]:
        """Send pipelined, in order within each partition; gives the least end of each partition.

        That is one past the first offset of the last batch: a batch is kept or lost as a whole, and some
        brokers count only the first record of the last batch into a topic's end.
        """
        by_partition: dict[int, list[Recorded[bytes]]] = defaultdict(list)
        for event in events:
            by_partition[partition_of(event.stream.encode())].append(event)
        futures: list[tuple[int, asyncio.Future[Any]]] = []
        for partition, of_partition in by_partition.items():
            batch = producer.create_batch()
            for event in of_partition:
                while not self._put(batch, event):
                    futures.append((partition, await self._submit(producer, batch, partition)))
                    batch = producer.create_batch()
            futures.append((partition, await self._submit(producer, batch, partition)))
        results = await asyncio.gather(*(future for _, future in futures), return_exceptions=True)
        acked: dict[int, int] = {}
        for (partition, _), result in zip(futures, results, strict=True):
            if isinstance(result, BaseException):
                raise result
            if result.offset < self._next.get(partition, 0):
                raise TopicLostData(f"{self._topic}/{partition} gave offset {result.offset} anew")
            acked[partition] = result.offset + 1
        return acked

    def _put(self, batch: Any, event: Recorded[bytes]) -> bool:
        return (
            batch.append(
                key=event.stream.encode(),
                value=event.data,
                timestamp=int(event.occurred_at.timestamp() * 1000),
                headers=list(to_headers(event, self._settings.service)),
            )
            is not None
        )

    async def _submit(self, producer: AIOKafkaProducer, batch: Any, partition: int) -> asyncio.Future[Any]:
        batch.close()
        future: asyncio.Future[Any] = await producer.send_batch(batch, self._topic, partition=partition)
        return future

    async def _check_for_loss(self) -> None:
        """Raise TopicLostData if the topic ends before what was acknowledged, also on a second look.

        The second look is for brokers whose answer about the end lags behind.
        """
        for _ in range(4):
            behind = {
                partition: end
                for partition, end in (await topic_ends(self._settings.bootstrap, self._topic)).items()
                if end < self._next.get(partition, 0)
            }
            if not behind:
                return
            await asyncio.sleep(self._settings.retry_s / 2)
        raise TopicLostData(f"{self._topic} ends at {behind}, acknowledged were {self._next}")


async def topic_ends(bootstrap: str, topic: str) -> dict[int, int]:
    """One past the last offset of every partition; 0 for a partition that the broker does not have."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, request_timeout_ms=5_000)
    try:
        await consumer.start()
        if topic not in await consumer.topics():
            return dict.fromkeys(range(PARTITIONS), 0)
        ends = await consumer.end_offsets([TopicPartition(topic, number) for number in range(PARTITIONS)])
        return {tp.partition: end for tp, end in ends.items()}
    finally:
        await consumer.stop()


async def send_everything_again(connection: Connection, public: frozenset[str]) -> int:
    """Put every public event back into the outbox and forget the topic's offsets; gives how many events."""
    async with connection.transaction():
        await connection.execute("DELETE FROM relay_offsets")
        status = await connection.execute(
            "INSERT INTO outbox (position) SELECT position FROM events "
            "WHERE split_part(stream_id, '-', 1) = ANY($1::text[]) ON CONFLICT DO NOTHING",
            sorted(public),
        )
    return int(status.rsplit(" ", 1)[1])


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


async def _wait_either(stop: asyncio.Event, wake: asyncio.Event, seconds: float) -> None:
    waiters = [asyncio.create_task(event.wait()) for event in (stop, wake)]
    try:
        await asyncio.wait(waiters, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()
