"""The topics: one per service, keyed by stream id, a fixed number of partitions, kept for ever."""

from collections.abc import Iterable, Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.partitioner import murmur2

PARTITIONS = 12
"""Never changed: the partition of a stream must not move while its events are kept."""


def topic_of(service: str) -> str:
    """The topic that a service writes, and nobody else."""
    return f"{service}.events"


def partition_of(key: bytes, partitions: int = PARTITIONS) -> int:
    """The partition of a key, as every Kafka client's default partitioner has it."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


async def ensure_topics(bootstrap: str, topics: Iterable[str], *, replication: int = 1) -> None:
    """Create the topics that are missing, with unlimited retention and `replication` replicas.

    Raises KafkaError if the broker is away or refuses.
    """
    wanted: Sequence[NewTopic] = [
        NewTopic(
            name=topic,
            num_partitions=PARTITIONS,
            replication_factor=replication,
            topic_configs={"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"},
        )
        for topic in topics
    ]
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=10_000)
    try:
        await admin.start()
        existing = set(await admin.list_topics())
        missing = [topic for topic in wanted if topic.name not in existing]
        if not missing:
            return
        response = await admin.create_topics(missing)
        for name, code, *detail in response.topic_errors:
            error: type[KafkaError] = for_code(code)
            if code and error is not TopicAlreadyExistsError:
                raise error(f"topic {name}: {detail}")
    finally:
        await admin.close()
