"""The outbox: one leader at a time, the oldest first, nothing uncommitted and nothing late is missed."""

from collections.abc import Sequence
from uuid import uuid4

import pytest

from shared.events.envelope import Recorded
from tests.integration.bank.accounts import Opened
from tests.integration.contract.conftest import Begin
from tests.integration.contract.facts import REGISTRY, account, append, recorded
from tests.integration.contract.places import Place

pytestmark = pytest.mark.integration

PUBLIC = frozenset({"account"})


async def write(place: Place, *events: Recorded[object]) -> None:
    async with place.backend.session() as session:
        await append(session, events)


def names(rows: Sequence[tuple[int, Recorded[bytes]]]) -> list[str]:
    return [f"{event.stream.removeprefix('account-')}{event.version}" for _, event in rows]


async def told_of(place: Place) -> list[str]:
    async with place.outbox() as outbox:
        return names(await outbox.oldest(100))


async def test_one_leads_until_its_hold_ends(place: Place) -> None:
    async with place.outbox() as second:
        async with place.outbox() as first:
            assert await first.lead()
            assert not await second.lead()
            assert await first.lead()
            assert not await second.lead()
        assert await second.lead()
    async with place.outbox() as third:
        assert await third.lead()


async def test_public_events_wait_by_position_with_the_json_as_written(place: Place) -> None:
    await write(place, *account("b"), *account("a", last=2))
    await write(place, recorded("private-a", 1, Opened(owner="ann")))
    await write(place, *account("b", first=2, last=2))

    async with place.outbox() as outbox:
        rows = await outbox.oldest(10)
        assert names(rows) == ["a1", "a2", "b1", "b2"]
        assert [position for position, _ in rows] == sorted(position for position, _ in rows)
        assert names(await outbox.oldest(2)) == ["a1", "a2"]
    for (_, stored), event in zip(rows, [*account("a", last=2), *account("b", last=2)], strict=True):
        assert REGISTRY.decode(stored.type, stored.schema_version, stored.data) == event.data
        assert stored == event._replace(data=stored.data)


async def test_what_is_not_committed_is_not_told_and_what_comes_late_is(begin: Begin, place: Place) -> None:
    slow, quick, failing = [await begin() for _ in range(3)]
    await append(slow.session, account("slow"))
    await append(quick.session, account("quick"))
    await append(failing.session, account("failing"))
    assert await told_of(place) == []
    await quick.commit()
    async with place.outbox() as outbox:
        ((position, _),) = await outbox.oldest(10)
        await outbox.told([position], "t", {})
        await slow.commit()
        await failing.rollback()
        ((late, event),) = await outbox.oldest(10)

    assert event.stream == "account-slow"
    assert late < position


async def test_what_is_under_way_is_left_out_and_what_is_told_is_gone(place: Place) -> None:
    await write(place, *account("a", last=5))
    async with place.outbox() as outbox:
        positions = [position for position, _ in await outbox.oldest(5)]
        assert names(await outbox.oldest(2, positions[:2])) == ["a3", "a4"]
        assert names(await outbox.oldest(9, positions[1::2])) == ["a1", "a3", "a5"]
        await outbox.told(positions[1:3], "t", {})
        assert names(await outbox.oldest(9)) == ["a1", "a4", "a5"]
        assert names(await outbox.oldest(1, positions[:3])) == ["a4"]
        await outbox.told([], "t", {})
        await outbox.told(positions, "t", {})
        assert await outbox.oldest(9) == []


async def test_acknowledged_offsets_are_remembered_by_topic(place: Place) -> None:
    async with place.outbox() as outbox:
        assert await outbox.offsets("t") == {}
        await outbox.told([], "t", {0: 5, 11: 1})
        await outbox.told([], "u", {0: 9})
        await outbox.told([], "t", {0: 7, 3: 2**40})
    async with place.outbox() as outbox:
        assert await outbox.offsets("t") == {0: 7, 11: 1, 3: 2**40}
        assert await outbox.offsets("u") == {0: 9}


async def test_a_refill_puts_every_public_event_back(begin: Begin, place: Place) -> None:
    await write(place, *account("b"), *account("a", last=2))
    await write(place, recorded("private-a", 1, Opened(owner="ann")))
    writer = await begin()
    await append(writer.session, account("open"))
    async with place.outbox() as outbox:
        rows = await outbox.oldest(10)
        await outbox.told([position for position, _ in rows[:2]], "t", {0: 5})

        assert await outbox.refill(PUBLIC) == 2
        assert await outbox.oldest(10) == rows
        assert await outbox.offsets("t") == {}
        assert await outbox.refill(PUBLIC) == 0
        await writer.commit()
        assert names(await outbox.oldest(10)) == ["a1", "a2", "b1", "open1"]


async def test_a_landmark_is_remembered_with_its_offset_and_forgotten_with_it(place: Place) -> None:
    first, second = uuid4(), uuid4()
    async with place.outbox() as outbox:
        assert await outbox.landmarks("t") == {}
        await outbox.told([], "t", {0: 5, 3: 1}, {0: first, 3: second})
        await outbox.told([], "t", {0: 7})
        assert await outbox.landmarks("t") == {3: second}
        await outbox.refill(frozenset())
        assert await outbox.landmarks("t") == {}
