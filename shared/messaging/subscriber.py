"""FastStream in front of `handle_batch`: offsets are committed only after the database transaction."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import structlog
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaAckableMessage
from prometheus_client import Gauge

from shared.messaging.client import assignment, position, works
from shared.messaging.cloudevents import KafkaRecord
from shared.messaging.consumer import Consumer
from shared.messaging.places import Places
from shared.messaging.topics import PARTITIONS, ensure_topics
from shared.store.errors import CONNECTION_LOST

log = structlog.get_logger(__name__)

LAG = Gauge(
    "orderflow_consumer_lag_events", "Events in assigned partitions not yet fetched", ["consumer", "topic"]
)
AHEAD = 2
"""Batches that are fetched together, so that one can be read while another is applied."""
RETRY_PARKED_S = 1.0
RETRY_BATCH_S = 1.0
LOOK_MS = 50
"""The client looks for what was fetched at least so often: it sleeps as long after it found nothing."""
GATHER_S = 0.05
MANY = 100
"""Records that need not wait for others to share their transaction: a batch costs much, a record little."""


class AllPartitions(RoundRobinPartitionAssignor):  # type: ignore[misc]
    """Shares out the fixed number of partitions, whatever a topic has while its writer still mends it.

    Some brokers keep what members got in a generation for as long as these members stay: whoever joined
    while a topic was too small would never hear the rest.
    """

    @classmethod
    def assign(cls, _cluster: object, members: Any) -> Any:
        """The partitions by member."""
        return super().assign(_Complete, members)


class _Complete:
    @staticmethod
    def partitions_for_topic(_topic: str) -> range:
        return range(PARTITIONS)


class Subscriber:
    """One member of a service's consumer group.

    `instance` names this replica for ever, so that its restart costs no rebalance; None: a dynamic member.
    `batch` is how many records are handled together at most; while there are few, a batch begins `gather_s`
    after the one before it at the earliest.
    """

    def __init__(
        self,
        consumer: Consumer,
        *,
        group: str,
        topics: Sequence[str],
        bootstrap: str,
        instance: str | None,
        batch: int = 1000,
        gather_s: float = GATHER_S,
    ) -> None:
        self._consumer = consumer
        self._gather_s = gather_s if batch > 1 else 0.0
        self._group = group
        self._topics = topics
        self._bootstrap = bootstrap
        self._places = Places(consumer, bootstrap)
        self._broker = KafkaBroker(
            bootstrap,
            consumer_only=True,
            graceful_timeout=15,
            metadata_max_age_ms=5_000,
            logger=logging.getLogger("faststream"),
            log_level=logging.DEBUG,
        )
        self._subscription = self._broker.subscriber(
            *topics,
            group_id=group,
            batch=True,
            max_records=batch * AHEAD if batch > 1 else 1,
            batch_timeout_ms=LOOK_MS,
            fetch_max_wait_ms=int(2 * gather_s * 1000),  # some brokers look only twice in that time
            no_reply=True,
            ack_policy=AckPolicy.NACK_ON_ERROR,
            auto_offset_reset="earliest",
            group_instance_id=instance,
            partition_assignment_strategy=(AllPartitions,),
            session_timeout_ms=6_000,
            heartbeat_interval_ms=2_000,
            parser=self._parse,
            decoder=self._decode,
        )
        self._subscription(self._handle)

    @property
    def alive(self) -> bool:
        """Whether this member hears at all."""
        kafka = self._subscription.consumer
        hears = any(not task.done() for task in self._subscription.tasks)
        return hears and kafka is not None and works(kafka)

    async def run(self, stop: asyncio.Event) -> None:
        """Hear until `stop` is set, then finish the batch in hand, commit and leave the group."""
        if not await self._start(stop):
            return
        try:
            while not stop.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), RETRY_PARKED_S)
                if not self.alive and not stop.is_set():
                    log.error("consumer_died", group=self._group)
                    await self._broker.stop()
                    if not await self._start(stop):
                        return
                await self._look_after()
        finally:
            await self._broker.stop()

    async def _start(self, stop: asyncio.Event) -> bool:
        """Join the group as soon as the broker answers; False if `stop` came first."""
        while not stop.is_set():
            try:
                await ensure_topics(self._bootstrap, self._topics)
                await self._broker.start()
            except (KafkaError, OSError) as error:
                log.warning("broker_away", group=self._group, error=repr(error))
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), 1.0)
            else:
                return True
        return False

    async def _look_after(self) -> None:
        """Retry parked records and measure the lag; a lost database or broker only postpones this."""
        kafka = self._subscription.consumer
        try:
            await self._consumer.retry_parked()
            if kafka is not None:
                await self._places.look(kafka)
        except (KafkaError, *CONNECTION_LOST) as error:
            log.warning("not_looked_after", group=self._group, error=repr(error))
        if kafka is None:
            return
        lag, assigned = dict.fromkeys(self._topics, 0), assignment(kafka)
        for partition in kafka.assignment():
            highwater, place = kafka.highwater(partition), position(assigned, partition)
            if highwater is not None and place is not None:
                lag[partition.topic] += max(0, highwater - place)
        for topic, behind in lag.items():
            LAG.labels(self._group, topic).set(behind)

    async def _handle(self, records: Any) -> None:
        batch: Sequence[KafkaRecord] = records
        clock = asyncio.get_running_loop().time
        start = clock()
        try:
            await self._places.look(self._subscription.consumer, batch)
            await self._consumer.handle_batch(batch)
        except Exception as error:
            self._places.forget()
            lost = isinstance(error, (KafkaError, *CONNECTION_LOST))
            log.log(
                logging.WARNING if lost else logging.ERROR,
                "batch_waits",
                group=self._group,
                records=len(batch),
                error=repr(error),
            )
            await asyncio.sleep(RETRY_BATCH_S)  # the broker client itself would try again without a pause
            raise
        if len(batch) < MANY:
            await asyncio.sleep(max(0.0, start + self._gather_s - clock()))

    async def _parse(self, records: Any) -> KafkaAckableMessage:
        """Hand the records on untouched: the default parser loses a batch over one bad header."""
        assert self._subscription.consumer is not None
        return KafkaAckableMessage(
            body=b"",
            headers={},
            raw_message=records,
            consumer=self._subscription.consumer,
            message_id=f"{records[0].partition}-{records[0].offset}",
            correlation_id=None,
            reply_to="",
            content_type=None,
        )

    async def _decode(self, message: Any) -> Any:
        return message.raw_message
