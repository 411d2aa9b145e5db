"""Reads topics without a group: for rebuilds, proofs and people, never disturbing a consumer."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.events.envelope import Recorded
from shared.events.registry import Registry
from shared.messaging.cloudevents import KafkaRecord, Malformed, parse
from shared.messaging.topics import PARTITIONS
from shared.store.connection import Connection


async def read_topics(
    bootstrap: str, topics: Sequence[str], start: dict[TopicPartition, int] | None = None
) -> AsyncIterator[list[KafkaRecord]]:
    """Every record up to the ends that the topics have now, in order within each partition.

    Batches are read whole, as some brokers count only the first record of the last batch into an end.
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
        while behind:
            for tp, records in (await consumer.getmany(*behind, timeout_ms=1000)).items():
                if records:
                    offsets[tp] = records[-1].offset + 1
                    yield records
            behind = {tp for tp in behind if offsets.get(tp, 0) < ends[tp]}
    finally:
        await consumer.stop()


class AppliedEvents:
    """The foreign events that a consumer has applied, from its topics up to its marks, for a rebuild."""

    def __init__(self, bootstrap: str, topics: Sequence[str], consumer: str, registry: Registry) -> None:
        self._bootstrap = bootstrap
        self._topics = topics
        self._consumer = consumer
        self._registry = registry
        self._offsets: dict[TopicPartition, int] = {}
        self._given: dict[str, int] = {}
        self._waiting: dict[str, dict[int, Recorded[Any] | None]] = {}

    async def applied(self, connection: Connection) -> AsyncIterator[list[Recorded[Any]]]:
        """Those up to the marks that `connection` sees, less the ones given before, each stream in order."""
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
        yield self._up_to(marks, skipped, self._waiting)
        async for records in read_topics(self._bootstrap, self._topics, self._offsets):
            for record in records:
                self._take(record)
            yield self._up_to(marks, skipped, {item: self._waiting[item] for item in self._streams(records)})

    def _take(self, record: KafkaRecord) -> None:
        try:
            item = parse(record)
        except Malformed:
            return
        if item.version <= self._given.get(item.stream, 0):
            return
        known = item.type in self._registry
        waiting = self._waiting.setdefault(item.stream, {})
        if item.version not in waiting:
            waiting[item.version] = item.decode(self._registry) if known else None

    def _streams(self, records: Sequence[KafkaRecord]) -> set[str]:
        keys = {record.key.decode(errors="replace") for record in records if record.key is not None}
        return keys & self._waiting.keys()

    def _up_to(
        self,
        marks: dict[str, int],
        skipped: set[tuple[str, int]],
        streams: dict[str, dict[int, Recorded[Any] | None]],
    ) -> list[Recorded[Any]]:
        """Take out of `streams` what follows in order and is not beyond its mark."""
        events: list[Recorded[Any]] = []
        for stream, waiting in list(streams.items()):
            version = self._given.get(stream, 0) + 1
            while version in waiting and version <= marks.get(stream, 0):
                event = waiting.pop(version)
                if event is not None and (stream, version) not in skipped:
                    events.append(event)
                self._given[stream] = version
                version += 1
            if not waiting:
                self._waiting.pop(stream, None)
        return events
