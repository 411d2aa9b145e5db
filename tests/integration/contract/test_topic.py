"""A topic: acknowledged is kept, in order within each partition; who lost it says so by its ends."""

from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka.errors import KafkaError

from shared.events.envelope import Recorded
from shared.messaging.cloudevents import parse
from shared.messaging.topics import PARTITIONS, partition_of
from tests.backends import Broker, OwnBroker
from tests.integration.contract.facts import REGISTRY, account
from tests.integration.contract.hubs import Hub, KafkaHub, MemoryHub, PerishableHub
from tests.waiting import until

pytestmark = pytest.mark.integration


@pytest.fixture(params=["kafka", "memory"])
async def hub(request: pytest.FixtureRequest, broker: Broker) -> Hub:
    """A broker with a new topic."""
    return KafkaHub(broker) if request.param == "kafka" else MemoryHub()


@pytest.fixture(params=["kafka", "memory"])
async def perishable(request: pytest.FixtureRequest, own_broker: OwnBroker) -> PerishableHub:
    """A broker that this test may stop."""
    return KafkaHub(own_broker.address, own_broker) if request.param == "kafka" else MemoryHub()


def encoded(events: Sequence[Recorded[Any]]) -> list[Recorded[bytes]]:
    return [event._replace(data=REGISTRY.encode(event.data)) for event in events]


async def test_a_new_topic_ends_where_it_begins(hub: Hub) -> None:
    async with hub.topic() as topic:
        assert await topic.ends() == dict.fromkeys(range(PARTITIONS), 0)
        assert list(await topic.send([])) == []
    assert await hub.records() == {}


async def test_what_is_sent_is_kept_whole_and_in_order(hub: Hub) -> None:
    sent = encoded([event for n in range(20) for event in account(f"a{n}", last=3)])
    async with hub.topic() as topic:
        await topic.send(sent[::2])
        await topic.send(sent[1::2])
    logs = await hub.records()

    expected: dict[int, list[Recorded[bytes]]] = {}
    for event in [*sent[::2], *sent[1::2]]:
        expected.setdefault(partition_of(event.stream.encode()), []).append(event)
    assert {number: [parse(record).event_id for record in log] for number, log in logs.items()} == {
        number: [event.event_id for event in events] for number, events in expected.items()
    }
    for number, log in logs.items():
        assert [(record.partition, record.offset) for record in log] == [(number, n) for n in range(len(log))]
        for record, event in zip(log, expected[number], strict=True):
            assert (record.key, record.value) == (event.stream.encode(), event.data)
            decoded = event._replace(data=REGISTRY.decode(event.type, 1, event.data))
            assert parse(record).decode(REGISTRY) == decoded


async def test_batches_are_acknowledged_with_their_place_and_the_ends_lie_behind(hub: Hub) -> None:
    async with hub.topic() as topic:
        first = await topic.send(encoded(account("a", last=3)))
        other = await topic.send(encoded(account("b", last=2)))
        second = await topic.send(encoded(account("a", first=4, last=5)))
        a, b = partition_of(b"account-a"), partition_of(b"account-b")

        assert [(each.partition, each.offset) for each in (*first, *other)] == [(a, 0), (b, 0)]
        assert [(each.partition, each.offset) for each in second] == [(a, 3)]

        async def told_of() -> bool:
            ends = await topic.ends()
            return 4 <= ends[a] <= 5 and 1 <= ends[b] <= 2

        await until(told_of, what="the ends behind the first record of the last batch")


async def test_a_large_send_is_acknowledged_in_ascending_batches(hub: Hub) -> None:
    events = account("a", last=1500)
    async with hub.topic() as topic:
        acknowledged = await topic.send(encoded(events))
    offsets = [each.offset for each in acknowledged]
    assert offsets[0] == 0
    assert offsets == sorted(offsets)
    assert {each.partition for each in acknowledged} == {partition_of(b"account-a")}
    (log,) = (await hub.records()).values()
    assert [parse(record).version for record in log] == list(range(1, 1501))


async def test_writers_of_one_topic_go_on_behind_each_other(hub: Hub) -> None:
    async with hub.topic() as topic:
        await topic.send(encoded(account("a", last=3)))
    async with hub.topic() as topic:
        (acknowledged,) = await topic.send(encoded(account("a", first=4, last=4)))
    assert acknowledged.offset == 3


async def test_a_broker_that_is_away_opens_no_topic_and_one_that_lost_everything_begins_anew(
    perishable: PerishableHub,
) -> None:
    async with perishable.topic() as topic:
        await topic.send(encoded(account("a", last=3)))
    await perishable.stop()
    with pytest.raises((KafkaError, OSError)):
        async with perishable.topic():
            pass
    await perishable.start()
    async with perishable.topic() as topic:
        assert (await topic.ends())[partition_of(b"account-a")] == 0
        (acknowledged,) = await topic.send(encoded(account("a", last=1)))
    assert acknowledged.offset == 0
    assert [len(log) for log in (await perishable.records()).values()] == [1]
