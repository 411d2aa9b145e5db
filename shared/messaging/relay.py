"""Telling: moves events from the outbox to the service's topic, in order, and forgets none.

A row leaves the outbox only after the broker acknowledged its event. One relay a service works at a time,
elected by a lock of the outbox; the others stand by.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias, TypeVar
from uuid import UUID

import asyncpg
import structlog
from aiokafka.errors import KafkaError
from prometheus_client import Counter, Gauge

from shared.events.envelope import Recorded
from shared.messaging.topic_writer import Acknowledged, TopicWriter
from shared.messaging.topics import topic_of
from shared.store.errors import CONNECTION_LOST
from shared.store.outbox import Outbox

log = structlog.get_logger(__name__)

S = TypeVar("S")
T = TypeVar("T")
Rows: TypeAlias = Sequence[tuple[int, Recorded[bytes]]]

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
    gather_s: float = 0.05
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
        await self._check_landmarks(outbox, topic)
        loop = asyncio.get_running_loop()
        check_at = loop.time()
        while not stop.is_set():
            if loop.time() >= check_at:
                await self._check_for_loss(topic)
                check_at = loop.time() + self._settings.check_every_s
            self._wake.clear()
            due = partial(_is_set_or_after, stop, check_at)
            if not await self.send_chunks(outbox, topic, due):
                await _wait_either(stop, self._wake, self._settings.poll_s)
            elif self._settings.chunk > 1:
                await _wait(stop, self._settings.gather_s)

    async def send_chunks(self, outbox: Outbox, topic: TopicWriter, enough: Callable[[], bool]) -> int:
        """Send chunk after chunk of the oldest outbox rows until one is not full or it is `enough`; how many.

        While a chunk is under way, the rows of the one before are deleted and the next one is read, which is
        sent once all of this one is acknowledged. On any failure what was not deleted is sent again.
        """
        count = 0
        told: _Chunk | None = None
        chunk = _Chunk(await outbox.oldest(self._settings.chunk))
        while chunk.rows:
            batches, ahead = await _both(
                topic.send([event for _, event in chunk.rows]), self._turn(outbox, told, chunk)
            )
            chunk.acked = self._least_ends(batches)
            chunk.landmarks = {batch.partition: batch.event_id for batch in batches}
            self._next |= chunk.acked
            count += len(chunk.rows)
            told, chunk = chunk, _Chunk(() if enough() else ahead)
        if told is not None:
            await self._tell(outbox, told)
        return count

    async def _turn(self, outbox: Outbox, told: "_Chunk | None", under_way: "_Chunk") -> Rows:
        """What the outbox is asked while a chunk is under way; a chunk that is not full was the last."""
        if told is not None:
            await self._tell(outbox, told)
        if len(under_way.rows) < self._settings.chunk:
            return ()
        return await outbox.oldest(self._settings.chunk, under_way.positions)

    async def _tell(self, outbox: Outbox, chunk: "_Chunk") -> None:
        """Delete the rows of an acknowledged chunk."""
        await outbox.told(chunk.positions, self._topic, chunk.acked, chunk.landmarks)
        SENT.labels(self._settings.service).inc(len(chunk.rows))

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

    async def _check_landmarks(self, outbox: Outbox, topic: TopicWriter) -> None:
        """Raise TopicLostData if another event is where the last acknowledged one was.

        A topic that lost data may be as long again as it was: the relay before may have sent to it without
        living to hear the answer, which would have told it of the loss.
        """
        landmarks = await outbox.landmarks(self._topic)
        if not landmarks:
            return
        found = await topic.events_at({partition: self._next[partition] - 1 for partition in landmarks})
        for partition, event_id in landmarks.items():
            if found.get(partition, event_id) not in (event_id, None):
                raise TopicLostData(f"{self._topic}/{partition} has another event where {event_id} was")

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


@dataclass(slots=True)
class _Chunk:
    """Outbox rows that are sent together, and the ends that the broker acknowledged."""

    rows: Rows
    acked: dict[int, int] = field(default_factory=dict)
    landmarks: dict[int, UUID] = field(default_factory=dict)

    @property
    def positions(self) -> list[int]:
        return [position for position, _ in self.rows]


async def _both(one: Awaitable[S], other: Awaitable[T]) -> tuple[S, T]:
    """The answers of two that run side by side; raises what one raised after both have ended."""
    first, second = await asyncio.gather(one, other, return_exceptions=True)
    if isinstance(first, BaseException):
        raise first
    if isinstance(second, BaseException):
        raise second
    return first, second


def _is_set_or_after(stop: asyncio.Event, instant: float) -> bool:
    return stop.is_set() or asyncio.get_running_loop().time() >= instant


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
