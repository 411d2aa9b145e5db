"""Consumer groups: at least once, in order within a stream, offsets kept only behind what was handled."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

import pytest

from shared.messaging.topic_writer import TopicWriter
from shared.messaging.topics import PARTITIONS, partition_of
from tests.backends import Broker
from tests.integration.bank.services import first_occurrences
from tests.integration.contract.facts import REGISTRY, account
from tests.integration.contract.hubs import Ears, Hub, KafkaHub, MemoryHub
from tests.waiting import until

pytestmark = pytest.mark.integration

NAMES = [
    next(str(n) for n in range(1000) if partition_of(f"account-{n}".encode()) == partition)
    for partition in range(PARTITIONS)
]
"""An account for each partition."""


async def send(topic: TopicWriter, first: int, last: int) -> set[tuple[str, int]]:
    """Versions `first` to `last` of every account; gives their places."""
    events = [event for name in NAMES for event in account(name, first=first, last=last)]
    await topic.send([event._replace(data=REGISTRY.encode(event.data)) for event in events])
    return {(event.stream, event.version) for event in events}


async def all_heard(sent: set[tuple[str, int]], *ears: Ears) -> None:
    await until(lambda: sent <= {place for each in ears for place in each.heard}, what="all being heard")


def in_order(heard: Iterable[tuple[str, int]]) -> bool:
    """Whether the versions of every stream came first one after the other."""
    return all(
        versions == list(range(1, len(versions) + 1)) for versions in first_occurrences(heard).values()
    )


async def every_group_hears_all_from_the_beginning_in_order(hub: Hub) -> None:
    early, late = Ears(), Ears()
    async with hub.topic() as topic:
        sent = await send(topic, 1, 3)
        async with hub.member("early", early):
            await all_heard(sent, early)
            sent |= await send(topic, 4, 5)
            await all_heard(sent, early)
            async with hub.member("late", late):
                await all_heard(sent, late)

    assert in_order(early.heard)
    assert in_order(late.heard)
    assert len(early.heard) == len(late.heard) == len(sent)


async def a_batch_that_fails_comes_again_whole_and_then_what_follows(hub: Hub) -> None:
    ears = Ears()
    async with hub.topic() as topic:
        sent = await send(topic, 1, 2)
        ears.failing = True
        async with hub.member("g", ears):
            await until(lambda: set(ears.tried[0]) <= _places(ears.tried[1:]) if ears.tried else False)
            assert ears.heard == []
            sent |= await send(topic, 3, 4)
            ears.failing = False
            await all_heard(sent, ears)

    assert in_order(ears.heard)


async def who_stops_without_having_handled_its_batch_leaves_it_to_the_next(hub: Hub) -> None:
    failing, next_one = Ears(), Ears()
    failing.failing = True
    async with hub.topic() as topic:
        sent = await send(topic, 1, 2)
        async with hub.member("g", failing):
            await until(lambda: failing.tried)
        async with hub.member("g", next_one):
            await all_heard(sent, next_one)

    assert in_order(next_one.heard)


async def a_restart_goes_on_behind_what_was_handled(hub: Hub) -> None:
    first, second = Ears(), Ears()
    async with hub.topic() as topic:
        before = await send(topic, 1, 2)
        async with hub.member("g", first):
            await all_heard(before, first)
        later = await send(topic, 3, 4)
        async with hub.member("g", second):
            await all_heard(later, second)

    assert set(second.heard) == later


async def a_batch_in_hand_does_not_hold_a_new_member_up_and_is_its_too(hub: Hub) -> None:
    """Nothing is committed for what is in hand, so whoever gets its partitions hears it as well."""
    holding, joining = Ears(), Ears()
    async with hub.topic() as topic:
        sent = await send(topic, 1, 2)
        holding.go_on.clear()
        async with hub.member("g", holding):
            await until(lambda: holding.tried)
            async with hub.member("g", joining):
                await until(lambda: set(holding.tried[0]) & set(joining.heard), what="a share of the batch")
                assert holding.heard == []
                holding.go_on.set()
                await all_heard(sent, holding, joining)

    assert in_order(joining.heard)
    assert in_order(holding.heard)


async def members_share_the_partitions_and_the_one_who_stays_gets_all(hub: Hub) -> None:
    one, two = Ears(), Ears()
    async with hub.topic() as topic, hub.member("g", one):
        version = 0
        async with hub.member("g", two):
            shares: Sequence[set[tuple[str, int]]] = ()
            while not shares or not all(shares):
                version += 1
                assert version < 200, "both members never heard something of the same round"
                sent = await send(topic, version, version)
                await all_heard(sent, one, two)
                shares = [sent & set(each.heard) for each in (one, two)]
        for _ in range(2):
            version += 1
            await all_heard(await send(topic, version, version), one)

    assert first_occurrences([*one.heard, *two.heard]).keys() == {f"account-{name}" for name in NAMES}
    assert in_order(sorted({*one.heard, *two.heard}, key=lambda place: place[1]))


SCENARIOS: Sequence[Callable[[Hub], Coroutine[Any, Any, None]]] = (
    every_group_hears_all_from_the_beginning_in_order,
    a_batch_that_fails_comes_again_whole_and_then_what_follows,
    who_stops_without_having_handled_its_batch_leaves_it_to_the_next,
    a_restart_goes_on_behind_what_was_handled,
    a_batch_in_hand_does_not_hold_a_new_member_up_and_is_its_too,
    members_share_the_partitions_and_the_one_who_stays_gets_all,
)


@pytest.fixture(scope="module", params=["kafka", "memory"])
async def under_way(
    request: pytest.FixtureRequest, broker: Broker
) -> AsyncIterator[Mapping[str, asyncio.Task[None]]]:
    """All scenarios at once, each on a topic of its own: they mostly wait for rebalances."""
    tasks = {
        scenario.__name__: asyncio.create_task(
            scenario(KafkaHub(broker) if request.param == "kafka" else MemoryHub())
        )
        for scenario in SCENARIOS
    }
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


@pytest.mark.parametrize("scenario", [scenario.__name__ for scenario in SCENARIOS])
async def test_group(under_way: Mapping[str, asyncio.Task[None]], scenario: str) -> None:
    await under_way[scenario]


def _places(batches: Iterable[Iterable[tuple[str, int]]]) -> set[tuple[str, int]]:
    return {place for batch in batches for place in batch}
