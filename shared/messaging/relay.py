"""Telling: moves events from the outbox to the service's topic, in order, and forgets none.

A row leaves the outbox only after the broker acknowledged its event. One relay a service works at a time,
elected by a lock of the outbox; the others stand by.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass

import asyncpg
import structlog
from aiokafka.errors import KafkaError
from prometheus_client import Counter, Gauge

from shared.messaging.topic_writer import Acknowledged, TopicWriter
from shared.messaging.topics import topic_of
from shared.store.errors import CONNECTION_LOST
from shared.store.outbox import Outbox

log = structlog.get_logger(__name__)

SENT = Counter("orderflow_relay_events_sent", "Events acknowledged by the broker", ["service"])
LEADER = Gauge("orderflow_relay_leader", "1 while this process is the service's relay", ["service"])
REPUBLISHED = Counter(
    "orderflow_relay_republished",
    "Times that all was sent again because the topic lost data",
    ["service"],
)


class TopicLostData(Exception):  # noqa: N818
    """The topic ends before an offset that the broker had acknowledged."""


@dataclass(frozen=True, kw_only=True)
class RelaySettings:
    """How one service's relay works: events a chunk, and seconds between looks, tries and checks for loss."""

    service: str
    public: frozenset[str]
    chunk: int = 5000
    poll_s: float = 0.2
    retry_s: float = 1.0
    check_every_s: float = 5.0


class Relay:
    """One service's relay; `wake` is set when the process has written to the outbox."""

    def __init__(
        self,
        settings: RelaySettings,
        outbox: Callable[[], AbstractAsyncContextManager[Outbox]],
        topic: Callable[[], AbstractAsyncContextManager[TopicWriter]],
        wake: asyncio.Event,
    ) -> None:
        self._settings = settings
        self._open_outbox = outbox
        self._open_topic = topic
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
        """One leadership."""
        async with self._open_outbox() as outbox:
            while not await outbox.lead():
                await _wait(stop, self._settings.retry_s)
                if stop.is_set():
                    return
            LEADER.labels(self._settings.service).set(1)
            try:
                async with self._open_topic() as topic:
                    await self._lead(outbox, topic, stop)
            except TopicLostData:
                await outbox.refill(self._settings.public)
                raise

    async def _lead(self, outbox: Outbox, topic: TopicWriter, stop: asyncio.Event) -> None:
        self._next = await outbox.offsets(self._topic)
        loop = asyncio.get_running_loop()
        check_at = loop.time()
        while not stop.is_set():
            if loop.time() >= check_at:
                await self._check_for_loss(topic)
                check_at = loop.time() + self._settings.check_every_s
            self._wake.clear()
            if not await self.send_chunk(outbox, topic):
                await _wait_either(stop, self._wake, self._settings.poll_s)

    async def send_chunk(self, outbox: Outbox, topic: TopicWriter) -> int:
        """Send the oldest outbox rows and delete them once all are acknowledged; gives how many.

        On any failure nothing is deleted, so the whole chunk is sent again.
        """
        rows = await outbox.oldest(self._settings.chunk)
        if not rows:
            return 0
        acked = self._least_ends(await topic.send([event for _, event in rows]))
        await outbox.told([position for position, _ in rows], self._topic, acked)
        self._next |= acked
        SENT.labels(self._settings.service).inc(len(rows))
        return len(rows)

    def _least_ends(self, batches: Sequence[Acknowledged]) -> dict[int, int]:
        """Where each partition must end at least: one past the first offset of its last batch.

        Not past its last record, as some brokers count only the first one of the last batch into an end.
        """
        ends: dict[int, int] = {}
        for batch in batches:
            if batch.offset < self._next.get(batch.partition, 0):
                raise TopicLostData(f"{self._topic}/{batch.partition} gave offset {batch.offset} anew")
            ends[batch.partition] = batch.offset + 1
        return ends

    async def _check_for_loss(self, topic: TopicWriter) -> None:
        """Raise TopicLostData if the topic ends before what was acknowledged, also on a second look.

        The second look is for brokers whose answer about the end lags behind.
        """
        for _ in range(4):
            behind = {
                partition: end
                for partition, end in (await topic.ends()).items()
                if end < self._next.get(partition, 0)
            }
            if not behind:
                return
            await asyncio.sleep(self._settings.retry_s / 2)
        raise TopicLostData(f"{self._topic} ends at {behind}, acknowledged were {self._next}")


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
