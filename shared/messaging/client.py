"""What the Kafka client knows and does not tell: the one place that reads its private fields.

`position()` of the client waits for the broker; what it holds already is enough here and costs nothing.
"""

from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition


def assignment(kafka: AIOKafkaConsumer) -> Any:
    """The assignment of now, another object after each rebalance; None before the first."""
    return kafka._subscription.subscription and kafka._subscription.subscription.assignment


def position(assigned: Any, tp: TopicPartition) -> int | None:
    """The offset that is fetched next in this assignment; None while it is not known."""
    offset: int | None = assigned.state_value(tp)._position
    return offset


def works(kafka: AIOKafkaConsumer) -> bool:
    """Whether its background tasks run: they can end without telling anyone."""
    return not kafka._coordinator._coordination_task.done() and not kafka._fetcher.error_future.done()
