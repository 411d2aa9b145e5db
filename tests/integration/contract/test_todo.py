"""Things to do: written once, timers moved, claimed by one at a time, ended only by who holds the lease."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from shared.store import todo
from shared.store.todo import Entry, Kind, Todo
from tests.integration.contract.conftest import Begin
from tests.integration.contract.facts import LEASE, NOBODY, NOW, effect, entry, timer
from tests.integration.contract.places import Place

pytestmark = pytest.mark.integration

SECOND = timedelta(seconds=1)


async def add(place: Place, *entries: Entry) -> None:
    async with place.backend.session() as session:
        await session.add_todo(entries)


async def claim(place: Place, now: Any = NOW, limit: int = 10) -> list[Todo]:
    async with place.backend.session() as session:
        return await session.claim_todo(now, limit, LEASE)


async def claim_one(place: Place, now: Any = NOW) -> Todo:
    (row,) = await claim(place, now)
    return row


async def finish(place: Place, row: Todo) -> bool:
    async with place.backend.session() as session:
        return await session.finish_todo(row)


async def postpone(place: Place, row: Todo, due: Any, error: str | None = None) -> bool:
    async with place.backend.session() as session:
        return await session.postpone_todo(row, due, error)


def streams(rows: list[Todo]) -> list[str]:
    return sorted(row.stream.removeprefix("account-") for row in rows)


async def test_what_is_claimed_is_what_was_written(place: Place) -> None:
    wanted = todo.effect("letter", "account-a", target="x", amount=7, who=[UUID(int=1)], note="ü")
    written = entry(wanted)
    await add(place, written)

    row = await claim_one(place)

    assert row.created_at.tzinfo is not None
    assert row.lease != NOBODY
    assert row == Todo(
        todo_id=written.todo_id,
        kind=Kind.EFFECT,
        name="letter",
        stream="account-a",
        payload={"amount": 7, "who": [str(UUID(int=1))], "note": "ü"},
        due=NOW,
        correlation_id=written.correlation_id,
        causation_id=written.causation_id,
        attempts=1,
        lease=row.lease,
        created_at=row.created_at,
    )


async def test_nothing_to_write_is_nothing(begin: Begin) -> None:
    writer = await begin()
    await writer.session.add_todo([])
    await writer.session.remove_timers([])
    assert await writer.session.claim_todo(NOW, 10, LEASE) == []


async def test_what_is_there_already_stays_as_it_is_and_held(place: Place) -> None:
    await add(place, effect("a", amount=1))
    held = await claim_one(place)
    changed = effect("a", amount=2, due=NOW - SECOND)
    await add(place, changed, changed)

    assert await claim(place) == []
    (again,) = await claim(place, NOW + LEASE + SECOND)
    assert again == replace(held, attempts=2, lease=again.lease)


async def test_a_timer_that_is_there_moves_and_is_given_back(place: Place) -> None:
    await add(place, timer("a", cause="first"))
    held = await claim_one(place)
    await add(place, timer("a", due=NOW + SECOND, cause="second"))

    assert not await finish(place, held)
    assert not await postpone(place, held, NOW)
    assert await claim(place) == []
    (moved,) = await claim(place, NOW + SECOND)
    assert moved == replace(held, due=NOW + SECOND, lease=moved.lease)
    assert await finish(place, moved)


async def test_only_timers_are_removed(place: Place) -> None:
    letter = effect("a")
    await add(place, timer("a"), timer("b"), letter)
    async with place.backend.session() as session:
        await session.remove_timers([timer("a").todo_id, letter.todo_id, UUID(int=5)])

    assert [(row.kind, row.stream) for row in sorted(await claim(place), key=lambda row: row.kind)] == [
        (Kind.EFFECT, "account-a"),
        (Kind.TIMER, "account-b"),
    ]


async def test_the_longest_due_are_claimed_first_and_none_before_its_time(place: Place) -> None:
    await add(
        place,
        *(effect(name, due=NOW + SECOND * after) for name, after in zip("abcd", (0, -2, 1, -1), strict=True)),
    )

    assert streams(await claim(place, limit=2)) == ["b", "d"]
    assert streams(await claim(place)) == ["a"]
    assert streams(await claim(place)) == []
    assert streams(await claim(place, NOW + SECOND)) == ["c"]


async def test_a_lease_lasts_its_time_and_then_passes_to_another(place: Place) -> None:
    await add(place, effect("a"))
    first = await claim_one(place)
    assert await claim(place, NOW + LEASE) == []
    second = await claim_one(place, NOW + LEASE + timedelta(microseconds=1))

    assert (first.attempts, second.attempts) == (1, 2)
    assert not await finish(place, first)
    assert not await postpone(place, first, NOW)
    assert await finish(place, second)
    assert not await finish(place, second)
    assert not await postpone(place, second, NOW)


async def test_who_postpones_gives_back_until_then(place: Place) -> None:
    await add(place, effect("a"))
    held = await claim_one(place)
    assert await postpone(place, held, NOW + SECOND, "it rains" * 200)

    assert not await postpone(place, held, NOW)
    assert not await finish(place, held)
    assert await claim(place) == []
    again = await claim_one(place, NOW + SECOND)
    assert again == replace(held, due=NOW + SECOND, attempts=2, lease=again.lease)


async def test_open_transactions_claim_different_rows(begin: Begin, place: Place) -> None:
    await add(place, *(effect(name) for name in "abc"))
    first, second, third = [await begin() for _ in range(3)]
    one = await first.session.claim_todo(NOW, 1, LEASE)
    two = await second.session.claim_todo(NOW, 2, LEASE)
    assert streams([*one, *two]) == ["a", "b", "c"]
    assert await third.session.claim_todo(NOW, 10, LEASE) == []

    await first.rollback()
    await second.commit()
    assert await third.session.claim_todo(NOW, 10, LEASE) != []
    assert streams(await claim(place)) == []


async def test_a_row_that_is_being_ended_is_passed_over_though_its_lease_has_passed(
    begin: Begin, place: Place
) -> None:
    await add(place, effect("a"), effect("b"))
    held = {row.stream: row for row in await claim(place)}
    ending, later = await begin(), NOW + LEASE + SECOND
    assert await ending.session.finish_todo(held["account-a"])

    assert streams(await claim(place, later)) == ["b"]
    await ending.rollback()
    assert streams(await claim(place, later)) == ["a"]


@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_who_ends_a_row_waits_for_who_is_claiming_it(begin: Begin, place: Place, end: str) -> None:
    await add(place, effect("a"))
    held = await claim_one(place)
    claiming, ending = await begin(), await begin()
    assert len(await claiming.session.claim_todo(NOW + LEASE + SECOND, 1, LEASE)) == 1
    waiting = await ending.waits(ending.session.finish_todo(held))
    await (claiming.commit() if end == "commit" else claiming.rollback())

    assert await waiting is (end == "rollback")


async def test_a_lost_lease_is_seen_without_waiting(begin: Begin, place: Place) -> None:
    await add(place, effect("a"))
    lost = await claim_one(place)
    held = await claim_one(place, NOW + LEASE + SECOND)
    ending, other = await begin(), await begin()
    assert await ending.session.finish_todo(held)

    assert not await other.session.finish_todo(lost)
    assert not await other.session.postpone_todo(lost, NOW, None)


async def test_an_end_counts_once_it_is_committed(begin: Begin, place: Place) -> None:
    await add(place, effect("a"))
    held = await claim_one(place)
    ending = await begin()
    assert await ending.session.finish_todo(held)
    assert not await ending.session.finish_todo(held)
    await ending.rollback()

    assert await finish(place, held)
    assert await claim(place, NOW + LEASE * 9) == []


@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_writing_a_row_waits_for_another_who_writes_it(begin: Begin, place: Place, end: str) -> None:
    first, second = await begin(), await begin()
    await first.session.add_todo([timer("a", due=NOW + SECOND)])
    waiting = await second.waits(second.session.add_todo([timer("a"), effect("b")]))
    await (first.commit() if end == "commit" else first.rollback())
    await waiting
    await second.commit()

    assert streams(await claim(place)) == ["a", "b"]


async def test_removing_a_timer_waits_for_who_moves_it(begin: Begin, place: Place) -> None:
    await add(place, timer("a"))
    first, second = await begin(), await begin()
    await first.session.add_todo([timer("a", due=NOW + SECOND)])
    await second.session.remove_timers([timer("b").todo_id])
    waiting = await second.waits(second.session.remove_timers([timer("a").todo_id]))
    await first.commit()
    await waiting
    await second.commit()

    assert await claim(place, NOW + SECOND) == []
