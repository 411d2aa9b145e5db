"""Streams: what is appended is loaded whole; versions have neither holes nor doubles, whoever meets whom."""

from collections.abc import Sequence
from typing import Any

import pytest

from shared.events.envelope import Recorded
from shared.events.registry import Registry
from shared.store.errors import Conflict
from tests.integration.bank.accounts import ACCOUNT_ROWS
from tests.integration.contract.conftest import Begin
from tests.integration.contract.facts import REGISTRY, account, account_row, append, versions
from tests.integration.contract.places import Place

pytestmark = pytest.mark.integration


async def test_streams_are_loaded_whole_each_in_its_order(place: Place) -> None:
    async with place.backend.session() as session:
        await append(session, [*account("b", last=2), *account("a", last=3)])
        await append(session, account("b", first=3, last=4))

        assert await session.load(REGISTRY, ["account-b", "account-none", "account-a"]) == {
            "account-a": account("a", last=3),
            "account-b": account("b", last=4),
            "account-none": [],
        }
        assert await session.load(REGISTRY, []) == {}


async def test_of_a_stream_that_is_known_the_rest_is_loaded(begin: Begin) -> None:
    writer = await begin()
    await append(writer.session, [*account("a", last=4), *account("b", last=2)])

    assert await writer.session.load(
        REGISTRY,
        ["account-a", "account-b", "account-c", "account-d"],
        {"account-a": 3, "account-c": 1, "account-b": 9},
    ) == {
        "account-a": account("a", first=3, last=4),
        "account-b": [],
        "account-c": [],
        "account-d": [],
    }


async def test_events_are_lifted_to_the_newest_schema_when_they_are_loaded(place: Place) -> None:
    newer = Registry(REGISTRY.types.values(), {"Opened": (lambda old: {**old, "bonus": 5},)})
    async with place.backend.session() as session:
        await append(session, account("a"))
        ((event,),) = (await session.load(newer, ["account-a"])).values()
    assert (event.schema_version, event.data.bonus) == (2, 5)


async def test_the_events_of_an_append_may_come_in_any_order(place: Place) -> None:
    async with place.backend.session() as session:
        await append(session, account("a", last=3)[::-1], expected={"account-a": 0})
        assert await versions(session, "account-a") == [1, 2, 3]


@pytest.mark.parametrize(
    ("there", "expected", "first"), [(0, 1, 2), (2, 1, 2), (2, 0, 1), (2, 3, 4)], ids=str
)
async def test_a_version_that_is_taken_or_would_leave_a_hole_is_a_conflict(
    begin: Begin, place: Place, there: int, expected: int, first: int
) -> None:
    async with place.backend.session() as session:
        await append(session, account("a", last=there)) if there else None
    writer = await begin()
    await append(writer.session, account("b"))

    with pytest.raises(Conflict):
        await append(writer.session, account("a", first=first, last=first), expected={"account-a": expected})

    await writer.rollback()
    async with place.backend.session() as session:
        assert await versions(session, "account-a") == list(range(1, there + 1))
        assert await versions(session, "account-b") == []


async def test_a_stream_that_is_only_expected_must_be_there_too(begin: Begin) -> None:
    writer = await begin()
    with pytest.raises(Conflict):
        await append(writer.session, account("a"), expected={"account-a": 0, "account-b": 1})


async def test_of_two_open_transactions_with_the_same_version_the_second_has_a_conflict(
    begin: Begin, place: Place
) -> None:
    first, second = await begin(), await begin()
    await append(first.session, account("a", last=2))
    waiting = await second.waits(append(second.session, account("a")))
    await first.commit()

    with pytest.raises(Conflict):
        await waiting
    await second.rollback()
    async with place.backend.session() as session:
        assert await versions(session, "account-a") == [1, 2]


async def test_the_second_succeeds_when_the_first_is_rolled_back(begin: Begin, place: Place) -> None:
    first, second = await begin(), await begin()
    await append(first.session, account("a", last=2))
    waiting = await second.waits(append(second.session, account("a")))
    await first.rollback()
    await waiting
    await second.commit()

    async with place.backend.session() as session:
        assert await versions(session, "account-a") == [1]


async def test_an_uncommitted_event_is_no_expected_version_for_others(begin: Begin) -> None:
    first, second = await begin(), await begin()
    await append(first.session, account("a", last=2))

    with pytest.raises(Conflict):
        await append(second.session, account("a", first=3, last=3))


async def test_a_transaction_may_append_behind_its_own_events(begin: Begin, place: Place) -> None:
    writer = await begin()
    await append(writer.session, account("a", last=2))
    await append(writer.session, account("a", first=3, last=4))
    await writer.commit()

    async with place.backend.session() as session:
        assert await versions(session, "account-a") == [1, 2, 3, 4]


async def test_different_streams_do_not_wait_for_each_other(begin: Begin, place: Place) -> None:
    writers = [await begin() for _ in range(3)]
    for writer, name in zip(writers, "abc", strict=True):
        await append(writer.session, account(name))
        await writer.session.insert(ACCOUNT_ROWS, account_row(name))
    for writer in reversed(writers):
        await writer.commit()

    async with place.backend.session() as session:
        assert [await versions(session, f"account-{name}") for name in "abc"] == [[1]] * 3


async def test_locked_streams_are_exclusive_among_those_who_lock_them_only(begin: Begin) -> None:
    first, second, third = await begin(), await begin(), await begin()
    await first.session.lock_streams(["account-b", "account-a", "account-b"])
    waiting = await second.waits(second.session.lock_streams(["account-c", "account-a"]))
    await append(third.session, account("a"))
    await third.session.lock_streams(["account-d"])
    await first.commit()
    await waiting


async def test_streams_locked_in_another_order_are_no_deadlock(begin: Begin) -> None:
    first, second = await begin(), await begin()
    await first.session.lock_streams(["b", "a"])
    waiting = await second.waits(second.session.lock_streams(["a", "b"]))
    await first.session.lock_streams(["a", "b"])
    await first.commit()
    await waiting


async def append_alone(place: Place, events: Sequence[Recorded[Any]]) -> None:
    expected: dict[str, int] = {}
    for event in events:
        expected.setdefault(event.stream, event.version - 1)
    async with place.backend.transaction() as session:
        await session.append(REGISTRY, events, expected, {"account"}, alone=True)


@pytest.mark.parametrize(
    "events",
    [
        account("a"),
        account("a", first=4, last=4),
        account("a", first=4, last=5),
        [*account("a", first=3, last=3), *account("b", first=2, last=2)],
    ],
    ids=["taken", "hole", "holes", "one of two"],
)
async def test_an_append_that_stands_alone_is_kept_whole_or_not(
    begin: Begin, place: Place, events: Sequence[Recorded[Any]]
) -> None:
    await append_alone(place, account("a", last=2))
    with pytest.raises(Conflict):
        await append_alone(place, events)
    first, second = await begin(), await begin()
    await append(first.session, account("a", first=3, last=3))
    waiting = await second.waits(
        second.session.append(
            REGISTRY, account("a", first=3, last=3), {"account-a": 2}, {"account"}, alone=True
        )
    )
    await first.commit()
    with pytest.raises(Conflict):
        await waiting
    await second.rollback()

    async with place.backend.session() as session:
        assert await versions(session, "account-a") == [1, 2, 3]
        assert await versions(session, "account-b") == []
    async with place.outbox() as outbox:
        assert len(await outbox.oldest(10)) == 3
