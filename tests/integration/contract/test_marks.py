"""Marks are exclusive and locked in order; parked records wait for their turn; an answer is given once."""

from datetime import timedelta

import asyncpg
import pytest

from shared.store.errors import KeyReused
from shared.store.marks import Mark, Reason, StoredRecord
from tests.integration.contract.conftest import Begin
from tests.integration.contract.facts import CONSUMER, NOW, answer, parked
from tests.integration.contract.places import Place

pytestmark = pytest.mark.integration

SECOND = timedelta(seconds=1)


async def move(place: Place, marks: dict[str, Mark], consumer: str = CONSUMER) -> None:
    async with place.backend.transaction() as session:
        await session.lock_marks(consumer, marks)
        await session.move_marks(consumer, marks)


async def marks(place: Place, *streams: str, consumer: str = CONSUMER) -> dict[str, Mark]:
    async with place.backend.transaction() as session:
        return await session.lock_marks(consumer, streams)


async def test_marks_start_at_nothing_and_stay_where_they_are_moved(place: Place) -> None:
    assert await marks(place, "b", "a", "b") == {"a": Mark(0, 0), "b": Mark(0, 0)}
    assert await marks(place) == {}
    await move(place, {"b": Mark(2, 7)})
    await move(place, {"c": Mark(1, 1)}, consumer="another")
    await move(place, {})

    assert await marks(place, "a", "b", "c") == {"a": Mark(), "b": Mark(2, 7), "c": Mark()}
    assert await marks(place, "b", "c", consumer="another") == {"b": Mark(), "c": Mark(1, 1)}


async def test_moves_that_are_rolled_back_have_not_happened(begin: Begin, place: Place) -> None:
    mover = await begin()
    await mover.session.lock_marks(CONSUMER, ["a"])
    await mover.session.move_marks(CONSUMER, {"a": Mark(1, 5)})
    assert await mover.session.lock_marks(CONSUMER, ["a"]) == {"a": Mark(1, 5)}
    await mover.rollback()

    assert await marks(place, "a") == {"a": Mark()}


@pytest.mark.parametrize("there", [True, False], ids=["there", "new"])
@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_marks_are_exclusive_and_then_as_the_other_left_them(
    begin: Begin, place: Place, there: bool, end: str
) -> None:
    if there:
        await move(place, {"a": Mark(1, 1)})
    before = await marks(place, "a") if there else {"a": Mark()}
    first, second, third = [await begin() for _ in range(3)]
    await first.session.lock_marks(CONSUMER, ["a"])
    waiting = await second.waits(second.session.lock_marks(CONSUMER, ["a", "b"]))
    await third.session.lock_marks("another", ["a"])
    await first.session.move_marks(CONSUMER, {"a": Mark(1, 2)})
    await (first.commit() if end == "commit" else first.rollback())

    assert await waiting == {**(before if end == "rollback" else {"a": Mark(1, 2)}), "b": Mark()}


@pytest.mark.parametrize("there", [True, False], ids=["there", "new"])
async def test_marks_are_locked_in_sorted_order(begin: Begin, place: Place, there: bool) -> None:
    """Who waits for one of them holds those before it and none behind it."""
    if there:
        await move(place, {stream: Mark(1, 1) for stream in "cab"})
    first, second, third, fourth = [await begin() for _ in range(4)]
    await first.session.lock_marks(CONSUMER, ["b"])
    middle = await second.waits(second.session.lock_marks(CONSUMER, ["c", "b", "a"]))
    await third.session.lock_marks(CONSUMER, ["c"])
    last = await fourth.waits(fourth.session.lock_marks(CONSUMER, ["a"]))
    await third.commit()
    await first.commit()
    assert list(await middle) == ["a", "b", "c"]
    await second.commit()
    await last


async def test_parked_records_are_kept_as_they_were(place: Place) -> None:
    rows = [
        parked("a", 2),
        parked("a", 3, reason=Reason.FAILED, error="no", attempts=3, retry_at=NOW + SECOND),
        parked("b", 2**40, record=StoredRecord("t", 0, 2**40, None, b"\x00\xff", ())),
    ]
    async with place.backend.session() as session:
        await session.park(CONSUMER, rows)
        await session.park("another", [parked("a", 9)])
        found = await session.parked_of(CONSUMER, ["account-a", "account-b", "account-c"])
        assert found == {(row.stream, row.version): row for row in rows}
        assert await session.parked_of(CONSUMER, ["account-b"]) == {("account-b", 2**40): rows[2]}
        assert await session.parked_of(CONSUMER, []) == {}


async def test_a_record_that_waits_already_gives_way_to_the_newer_in_its_place(place: Place) -> None:
    newer = parked(
        "a",
        2,
        record=StoredRecord("elsewhere", 1, 1, None, None, ()),
        reason=Reason.FAILED,
        error="broken",
        attempts=1,
        retry_at=NOW + SECOND,
    )
    async with place.backend.session() as session:
        await session.park(CONSUMER, [parked("a", 2), newer])
        assert await session.parked_of(CONSUMER, ["account-a"]) == {("account-a", 2): newer}


async def test_an_error_is_kept_as_far_as_it_can_be(place: Place) -> None:
    async with place.backend.session() as session:
        await session.park(CONSUMER, [parked("a", 2, error="\x00" + "x" * 2000)])
        (row,) = (await session.parked_of(CONSUMER, ["account-a"])).values()
    assert row.error == "\\0" + "x" * 999


async def test_what_is_no_longer_parked_is_gone(place: Place) -> None:
    async with place.backend.session() as session:
        await session.park(CONSUMER, [parked("a", version) for version in (2, 3, 4)])
        await session.park("another", [parked("a", 2)])
        await session.unpark(CONSUMER, {("account-a", 2), ("account-a", 4), ("account-b", 2)})
        await session.unpark(CONSUMER, [])
        assert list(await session.parked_of(CONSUMER, ["account-a"])) == [("account-a", 3)]
        assert list(await session.parked_of("another", ["account-a"])) == [("account-a", 2)]


async def test_due_is_what_has_its_turn_and_its_time_the_longest_due_first(place: Place) -> None:
    await move(place, {"account-a": Mark(1, 4), "account-b": Mark(1, 1)})
    await move(place, {"account-c": Mark(1, 1)}, consumer="another")
    turn = [
        parked("a", 3, retry_at=NOW - SECOND),
        parked("b", 2, retry_at=NOW - 2 * SECOND),
        parked("a", 5, retry_at=NOW),
    ]
    wait = [
        parked("a", 4, retry_at=NOW + SECOND),
        parked("a", 6, retry_at=NOW - SECOND),
        parked("c", 2, retry_at=NOW - SECOND),
        parked("d", 1, retry_at=NOW - SECOND),
    ]
    async with place.backend.session() as session:
        await session.park(CONSUMER, [*wait, *turn])
        await session.park("another", [parked("a", 2)])

        assert await session.parked_due(CONSUMER, NOW, 10) == [turn[1], turn[0], turn[2]]
        assert await session.parked_due(CONSUMER, NOW, 2) == [turn[1], turn[0]]
        assert await session.parked_due(CONSUMER, NOW - 3 * SECOND, 10) == []


async def test_an_answer_is_recalled_under_its_own_key_only(place: Place) -> None:
    given = answer("k", headers={"a": "1", "b": "ü"}, body=b"\x00\xff", status=409)
    async with place.backend.session() as session:
        assert await session.recall("ann", given.route, "k") is None
        await session.remember(given)
        await session.remember(answer("k", principal="bob"))
        await session.remember(answer("k", route="POST /else"))

        assert await session.recall("ann", given.route, "k") == given
        assert await session.recall("ann", given.route, "l") is None
        assert await session.recall("eve", given.route, "k") is None


async def test_a_key_that_was_used_refuses_the_work(begin: Begin, place: Place) -> None:
    async with place.backend.session() as session:
        await session.remember(answer("k"))
    late = await begin()
    with pytest.raises(KeyReused):
        await late.session.remember(answer("k", status=500))
    with pytest.raises(asyncpg.InFailedSQLTransactionError):
        await late.session.recall("ann", "POST /accounts", "k")
    await late.rollback()

    async with place.backend.session() as session:
        assert await session.recall("ann", "POST /accounts", "k") == answer("k")


@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_the_same_key_at_the_same_time_waits_for_the_first(
    begin: Begin, place: Place, end: str
) -> None:
    first, second = await begin(), await begin()
    await first.session.remember(answer("k"))
    waiting = await second.waits(second.session.remember(answer("k", status=204)))
    if end == "commit":
        await first.commit()
        with pytest.raises(KeyReused):
            await waiting
    else:
        await first.rollback()
        await waiting
        await second.commit()
    async with place.backend.session() as session:
        kept = await session.recall("ann", "POST /accounts", "k")
    assert kept == answer("k", status=201 if end == "commit" else 204)
