"""Hearing: apply a batch of records in one transaction, exactly once in effect, whatever the broker repeats.

`handle_batch` is the entrance; it knows neither FastStream nor aiokafka. A record is dropped when its
(epoch, version) is not above its stream's mark, applied when it is the next one, and parked otherwise
(`shared.messaging.batch`).
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import structlog
from prometheus_client import Histogram

from shared.events.envelope import Cause
from shared.messaging.batch import Batch
from shared.messaging.cloudevents import Incoming, KafkaRecord, Malformed, parse
from shared.messaging.reading import Read, read
from shared.messaging.subscription import Do, Subscription
from shared.store.errors import CONNECTION_LOST, TRY_AGAIN
from shared.store.store import Store

log = structlog.get_logger(__name__)

BATCH_SIZE = Histogram(
    "orderflow_batch_size_events", "Records in a batch", ["consumer"], buckets=(1, 3, 10, 30, 100, 300, 1000)
)


class Consumer:
    """Applies records to one service's store. Any number of replicas may run; marks keep them apart."""

    def __init__(self, store: Store, subscription: Subscription, *, together: int = 1000) -> None:
        self._store = store
        self._sub = subscription
        self._together = together

    async def handle_batch(self, records: Sequence[KafkaRecord]) -> None:
        """Apply records in order; when it returns, every one is applied, dropped or parked for good.

        Raises only when the database is away; then nothing is lost if the same records come again. More
        than `together` are applied in parts: while the database works for one, the next is read.
        """
        parts = [records[n : n + self._together] for n in range(0, len(records), self._together)]
        ahead = [asyncio.create_task(self._read(part)) for part in parts[:1]]
        try:
            for n, part in enumerate(parts):
                found = await ahead.pop()
                ahead += [asyncio.create_task(self._read(part)) for part in parts[n + 1 : n + 2]]
                await self._apply_part(part, found)
        finally:
            for task in ahead:
                task.cancel()

    async def unheard(self, records: Iterable[KafkaRecord]) -> list[KafkaRecord]:
        """Those of `records` that were never here: neither applied nor passed over nor parked.

        One that is too damaged to name its stream is taken for heard.
        """
        items: list[Incoming] = []
        for record in records:
            with suppress(Malformed):
                items.append(parse(record))
        streams = {item.stream for item in items}
        async with self._store.session() as session:
            marks = await session.lock_marks(self._sub.consumer, streams)
            waiting = await session.parked_of(self._sub.consumer, streams)
        return [
            item.record
            for item in items
            if (item.epoch, item.version) > marks[item.stream] and (item.stream, item.version) not in waiting
        ]

    async def retry_parked(self, limit: int = 100) -> int:
        """Try records again whose turn and time have come; gives how many were tried."""
        async with self._store.session() as session:
            due = await session.parked_due(self._sub.consumer, self._store.clock(), limit)
        for parked in due:
            await self._apply_alone(parked.record)
        return len(due)

    async def _read(self, records: Sequence[KafkaRecord]) -> Read:
        return await read(self._sub, records, self._store.clock)

    async def _apply_part(self, records: Sequence[KafkaRecord], found: Read) -> None:
        BATCH_SIZE.labels(self._sub.consumer).observe(len(records))
        try:
            await self._again_on_conflict(lambda serial: self._apply(found, serial))
        except CONNECTION_LOST:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the other events must flow
            if len(records) > 1:
                log.warning("batch_failed", records=len(records), error=repr(error))
            for record in records:
                await self._apply_alone(record)

    async def _apply_alone(self, record: KafkaRecord) -> None:
        """One record in its own transaction; if that fails for a reason of its own, it is parked."""
        try:
            found = await self._read([record])
            await self._again_on_conflict(lambda serial: self._apply(found, serial))
        except (*CONNECTION_LOST, *TRY_AGAIN):
            raise
        except Exception as error:
            log.exception("event_failed", topic=record.topic, offset=record.offset)
            failure = error
            await self._again_on_conflict(lambda serial: self._park_failed(record, failure, serial))

    async def _again_on_conflict(self, work: Callable[[bool], Any]) -> None:
        """Conflicts and deadlocks say nothing about the events: try for as long as it takes."""
        attempt = 0
        while True:
            try:
                await work(attempt > 0)
                return
            except TRY_AGAIN:
                attempt += 1
                await asyncio.sleep(random.uniform(0, 0.002 * 2 ** min(attempt, 8)))  # noqa: S311 - jitter

    async def _apply(self, found: Read, serial: bool) -> None:
        streams = {item.stream for item, _ in found.incoming}
        prefetch = {
            stream
            for _, following in found.incoming
            for do in following.wanted
            if isinstance(do, Do)
            for stream in self._sub.streams(do.command)
        }
        async with self._store.unit_of_work(Cause(), lock=prefetch if serial else ()) as uow:
            batch = await Batch.open(uow, self._sub, streams)
            await uow.prefetch(prefetch)
            for item, following in found.incoming:
                await batch.take(item, following)
            await batch.write(found.malformed)
        batch.count(found.malformed, self._store.clock())

    async def _park_failed(self, record: KafkaRecord, error: Exception, serial: bool) -> None:
        item = parse(record)
        async with self._store.unit_of_work(Cause(), lock=[item.stream] if serial else ()) as uow:
            batch = await Batch.open(uow, self._sub, [item.stream])
            batch.fail(item, error)
            await batch.write([])
        batch.count([], self._store.clock())
