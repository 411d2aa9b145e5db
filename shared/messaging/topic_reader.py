"""Reads topics without a group: for rebuilds, proofs and people, never disturbing a consumer."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.events.envelope import Recorded
from shared.events.registry import Registry
from shared.messaging.cloudevents import Incoming, KafkaRecord, Malformed, parse
from shared.messaging.topics import PARTITIONS
from shared.store.connection import Connection

RECORD_LOOKS, RECORD_LOOK_MS = 5, 500
"""How often and for how long a record is waited for that should be there."""
LOOKS = 4
SILENT_POLLS = 20


async def read_topics(
    bootstrap: str, topics: Sequence[str], start: dict[TopicPartition, int] | None = None
) -> AsyncIterator[list[KafkaRecord]]:
    """Every record up to the ends that the topics have now, in order within each partition.

    Batches are read whole, as some brokers count only the first record of the last batch into an end.
    Raises KafkaError, or TimeoutError if a topic loses data meanwhile.
    `start` (offsets to begin at, 0 by default) is moved along, so that a second call goes on from there.
    """
    offsets = start if start is not None else {}
    partitions = [TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    try:
        await consumer.start()
        known = await consumer.topics()
        partitions = [tp for tp in partitions if tp.topic in known]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions) if partitions else {}
        for tp in partitions:
            consumer.seek(tp, offsets.get(tp, 0))
        behind = {tp for tp in partitions if offsets.get(tp, 0) < ends[tp]}
        silent = 0
        while behind:
            batch = await consumer.getmany(*behind, timeout_ms=1000)
            silent = 0 if batch else silent + 1
            if silent == SILENT_POLLS:
                raise TimeoutError(
                    f"{len(behind)} partitions give nothing up to the ends that they announced"
                )
            for tp, records in batch.items():
                if records:
                    offsets[tp] = records[-1].offset + 1
                    yield records
            behind = {tp for tp in behind if offsets.get(tp, 0) < ends[tp]}
    finally:
        await consumer.stop()


async def records_at(
    bootstrap: str, offsets: Mapping[TopicPartition, int]
) -> dict[TopicPartition, KafkaRecord | None]:
    """By partition, the record at an offset; None if it is not there but a later one is.

    What the broker does not give within a few seconds is left out. Raises KafkaError or OSError.
    """
    found: dict[TopicPartition, KafkaRecord | None] = {}
    if not offsets:
        return found
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        request_timeout_ms=5_000,
    )
    try:
        await consumer.start()
        consumer.assign(list(offsets))
        for tp, offset in offsets.items():
            consumer.seek(tp, offset)
        for _ in range(RECORD_LOOKS):
            waiting = offsets.keys() - found.keys()
            if not waiting:
                break
            for tp, records in (await consumer.getmany(*waiting, timeout_ms=RECORD_LOOK_MS)).items():
                for record in records[:1]:
                    found[tp] = record if record.offset == offsets[tp] else None
    finally:
        await consumer.stop()
    return found


class AppliedEvents:
    """The foreign events that a consumer has applied, from its topics up to its marks, for a rebuild."""

    def __init__(self, bootstrap: str, topics: Sequence[str], consumer: str, registry: Registry) -> None:
        self.missing = 0
        """How many streams the topics did not hold up to their marks, after the last `applied`."""
        self._bootstrap = bootstrap
        self._topics = topics
        self._consumer = consumer
        self._registry = registry
        self._offsets: dict[TopicPartition, int] = {}
        self._given: dict[str, int] = {}
        self._waiting: dict[str, dict[int, Incoming]] = {}

    async def applied(self, connection: Connection) -> AsyncIterator[list[Recorded[Any]]]:
        """Those up to the marks that `connection` sees, less the ones given before, each stream in order.

        Looks again for a while if the topics end too early, as some brokers tell of their ends late.
        """
        marks = {
            row["stream_id"]: row["version"]
            for row in await connection.fetch(
                "SELECT stream_id, version FROM marks WHERE consumer = $1", self._consumer
            )
        }
        skipped = {
            (row["stream_id"], row["version"])
            for row in await connection.fetch(
                "SELECT stream_id, version FROM skipped WHERE consumer = $1", self._consumer
            )
        }
        yield self._up_to(marks, skipped, self._waiting.keys())
        for look in range(LOOKS):
            if not self._missing(marks):
                break
            await asyncio.sleep(0.2 * look)
            async for records in read_topics(self._bootstrap, self._topics, self._offsets):
                yield self._up_to(marks, skipped, {self._take(record) for record in records})
        self.missing = self._missing(marks)

    def _missing(self, marks: dict[str, int]) -> int:
        return sum(self._given.get(stream, 0) < version for stream, version in marks.items())

    def _take(self, record: KafkaRecord) -> str:
        """Keep the record until its turn; gives its stream."""
        try:
            item = parse(record)
        except Malformed:
            return ""
        if item.version > self._given.get(item.stream, 0):
            self._waiting.setdefault(item.stream, {}).setdefault(item.version, item)
        return item.stream

    def _up_to(
        self, marks: dict[str, int], skipped: set[tuple[str, int]], streams: Iterable[str]
    ) -> list[Recorded[Any]]:
        """What follows in order in `streams` and is not beyond its mark; it waits no longer."""
        events: list[Recorded[Any]] = []
        for stream in list(streams):
            waiting, version = self._waiting.get(stream, {}), self._given.get(stream, 0) + 1
            while version in waiting and version <= marks.get(stream, 0):
                item = waiting.pop(version)
                if item.type in self._registry and (stream, version) not in skipped:
                    events.append(item.decode(self._registry))
                self._given[stream] = version
                version += 1
            if not waiting:
                self._waiting.pop(stream, None)
        return events
