"""The topics: one per service, keyed by stream id, a fixed number of partitions, kept for ever."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.partitioner import murmur2

PARTITIONS = 12
"""Never changed: the partition of a stream must not move while its events are kept."""


def topic_of(service: str) -> str:
    """The topic that a service writes, and nobody else."""
    return f"{service}.events"


@lru_cache(maxsize=32_768)
def partition_of(key: bytes, partitions: int = PARTITIONS) -> int:
    """The partition of a key, as every Kafka client's default partitioner has it.

    Remembered, as it is slow and the events of a stream come close together.
    """
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


async def ensure_topics(
    bootstrap: str, topics: Iterable[str], *, replication: int = 1, mend: bool = False
) -> None:
    """Create the topics that are missing, with unlimited retention and `replication` replicas.

    `mend`, for the one who writes them: a topic with too few partitions, as a broker makes it when a client
    merely asks for it, gets the rest. Raises KafkaError if the broker is away or refuses.
    """
    wanted = {
        topic: NewTopic(
            name=topic,
            num_partitions=PARTITIONS,
            replication_factor=replication,
            topic_configs={"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"},
        )
        for topic in topics
    }
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=10_000)
    try:
        await admin.start()
        existing = set(await admin.list_topics())
        if mend:
            existing -= await _mend(admin, [topic for topic in wanted if topic in existing])
        if missing := [topic for name, topic in wanted.items() if name not in existing]:
            _raise_for((await admin.create_topics(missing)).topic_errors)
    finally:
        await admin.close()


async def _mend(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> set[str]:
    """Add missing partitions; gives the topics that had to be deleted because the broker cannot add any.

    Deleting is safe for the topic's writer: its relay notices that the topic ends before what was
    acknowledged and sends everything again.
    """
    if not topics:
        return set()
    described = await admin.describe_topics(list(topics))
    small = [each["topic"] for each in described if 0 < len(each["partitions"]) < PARTITIONS]
    if not small:
        return set()
    try:
        response = await admin.create_partitions({topic: NewPartitions(PARTITIONS) for topic in small})
        _raise_for(response.topic_errors)
    except IncompatibleBrokerVersion:
        await admin.delete_topics(small)
        return set(small)
    return set()


def _raise_for(topic_errors: Iterable[Sequence[Any]]) -> None:
    for name, code, *detail in topic_errors:
        error: type[KafkaError] = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise error(f"topic {name}: {detail}")
