"""Where a member begins to hear: only behind a record that its service has heard.

Offsets can be those of a topic that is no more: a broker that comes back without its data may be told of
them by a member that was just committing, and a topic that was filled again has other events at them.
What lies before would never be heard. Marks know what was heard, so a member looks at the record before its
place; if that one is missing or new, it begins at the beginning, and what comes again is dropped.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.messaging.client import assignment, position
from shared.messaging.cloudevents import KafkaRecord
from shared.messaging.consumer import Consumer
from shared.messaging.topic_reader import records_at

log = structlog.get_logger(__name__)


class Places:
    """The places of one member, looked at once in each of its assignments."""

    def __init__(self, consumer: Consumer, bootstrap: str) -> None:
        self._consumer = consumer
        self._bootstrap = bootstrap
        self._assignment: Any = None
        self._known: set[TopicPartition] = set()
        self._looking = asyncio.Lock()

    def forget(self) -> None:
        """Look at every place again: the member has gone back to where it was."""
        self._known.clear()

    async def look(self, kafka: AIOKafkaConsumer, batch: Iterable[KafkaRecord] = ()) -> None:
        """Look at the places that are not known yet, `batch` being in hand, and go to the beginning where
        nobody has been. Raises KafkaError, or the driver's errors when the database is away.
        """
        async with self._looking:
            assigned = assignment(kafka)
            if assigned is not self._assignment:
                self._assignment, self._known = assigned, set()
            if assigned is None:
                return
            first: dict[TopicPartition, int] = {}
            for record in batch:
                first.setdefault(TopicPartition(record.topic, record.partition), record.offset)
            for tp in assigned.tps - self._known - first.keys():
                if (place := position(assigned, tp)) is not None:
                    first[tp] = place
            new = {tp: offset for tp, offset in first.items() if tp not in self._known}
            strange = await self._strange(new)
            if not assigned.active:
                return
            for tp in strange:
                log.warning("reads_from_the_beginning", topic=tp.topic, partition=tp.partition, place=new[tp])
                kafka.seek(tp, 0)
            self._known |= new.keys()

    async def _strange(self, places: dict[TopicPartition, int]) -> list[TopicPartition]:
        """Those places before which there is nothing, or something that was never heard."""
        before = await records_at(
            self._bootstrap, {tp: place - 1 for tp, place in places.items() if place > 0}
        )
        there = [record for record in before.values() if record is not None]
        unheard = await self._consumer.unheard(there) if there else []
        new = {TopicPartition(record.topic, record.partition) for record in unheard}
        return [tp for tp, place in places.items() if place > 0 and (before.get(tp) is None or tp in new)]
