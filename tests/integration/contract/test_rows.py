"""Rows: found, inserted once, written over, locked, and folded from events without a lost update."""

from dataclasses import replace
from typing import Any

import pytest

from shared.events.envelope import Recorded
from shared.store.readmodel import Key, Table
from tests.integration.bank.accounts import ACCOUNT_ROWS, HOLDINGS, HoldingRow, Withdrawn, fold_holding
from tests.integration.contract.conftest import Begin
from tests.integration.contract.facts import NOW, account, account_row, recorded
from tests.integration.contract.places import Place, Transaction

pytestmark = pytest.mark.integration

A = ("account-a",)


def fold_until_withdrawn(row: HoldingRow | None, event: Recorded[Any], key: Key) -> HoldingRow | None:
    return None if isinstance(event.data, Withdrawn) else fold_holding(row, event, key)


CLOSING = replace(HOLDINGS, fold=fold_until_withdrawn)


def withdrawal(owner: str = "ann") -> Recorded[Any]:
    return recorded("account-a", 9, Withdrawn(owner=owner, amount=1))


@pytest.fixture
async def with_a(place: Place) -> None:
    """A row is there."""
    async with place.backend.session() as session:
        assert await session.insert(ACCOUNT_ROWS, account_row("a"))


async def row(place: Place, name: str = "a") -> Any:
    async with place.backend.session() as session:
        return await session.find(ACCOUNT_ROWS, (f"account-{name}",))


async def holding(place: Place, owner: str = "ann") -> Any:
    async with place.backend.session() as session:
        return await session.find(HOLDINGS, (owner,))


async def locked(transaction: Transaction, table: Table[Any], key: Key) -> Any:
    return await transaction.session.find(table, key, lock=True)


async def test_a_row_is_found_as_it_was_written(place: Place) -> None:
    rows = [
        account_row("a", balance=-(2**62), memos=("x", "ü", "'\"\\"), last_move_at=NOW),
        account_row("b", owner=""),
    ]
    async with place.backend.session() as session:
        for each in rows:
            assert await session.insert(ACCOUNT_ROWS, each)
        assert await session.find(ACCOUNT_ROWS, A) == rows[0]
        assert await session.find(ACCOUNT_ROWS, ("account-c",)) is None
        assert await session.query(ACCOUNT_ROWS, "true ORDER BY account") == rows
        assert await session.query(ACCOUNT_ROWS, "owner = $1", "bob") == []


@pytest.mark.usefixtures("with_a")
async def test_a_second_insert_changes_nothing(place: Place) -> None:
    async with place.backend.session() as session:
        assert not await session.insert(ACCOUNT_ROWS, account_row("a", balance=1))
    assert await row(place) == account_row("a")


async def test_an_insert_waits_for_another_of_its_key(begin: Begin, place: Place) -> None:
    first, second, third = [await begin() for _ in range(3)]
    assert await first.session.insert(ACCOUNT_ROWS, account_row("a", balance=1))
    assert not await first.session.insert(ACCOUNT_ROWS, account_row("a", balance=9))
    waiting = await second.waits(second.session.insert(ACCOUNT_ROWS, account_row("a", balance=2)))
    await first.rollback()
    assert await waiting
    late = await third.waits(third.session.insert(ACCOUNT_ROWS, account_row("a", balance=3)))
    await second.commit()
    assert not await late
    await third.commit()

    assert await row(place) == account_row("a", balance=2)


@pytest.mark.usefixtures("with_a")
async def test_an_insert_does_not_wait_for_who_merely_locked_the_row(begin: Begin) -> None:
    first, second = await begin(), await begin()
    await first.session.find(ACCOUNT_ROWS, A, lock=True)

    assert not await second.session.insert(ACCOUNT_ROWS, account_row("a"))


@pytest.mark.usefixtures("with_a")
async def test_an_insert_waits_for_who_changes_the_row(begin: Begin) -> None:
    first, second = await begin(), await begin()
    await first.session.update(ACCOUNT_ROWS, account_row("a", balance=1))
    waiting = await second.waits(second.session.insert(ACCOUNT_ROWS, account_row("a")))
    await first.commit()

    assert not await waiting


@pytest.mark.usefixtures("with_a")
async def test_an_insert_in_vain_locks_nothing(begin: Begin) -> None:
    first, second = await begin(), await begin()
    assert not await first.session.insert(ACCOUNT_ROWS, account_row("a"))

    await second.session.update(ACCOUNT_ROWS, account_row("a", balance=1))


@pytest.mark.usefixtures("with_a")
async def test_the_later_of_two_updates_stays(begin: Begin, place: Place) -> None:
    first, second = await begin(), await begin()
    await first.session.update(ACCOUNT_ROWS, account_row("a", balance=1))
    waiting = await second.waits(second.session.update(ACCOUNT_ROWS, account_row("a", balance=2)))
    await first.commit()
    await waiting
    assert await row(place) == account_row("a", balance=1)
    await second.commit()
    assert await row(place) == account_row("a", balance=2)


async def test_an_update_of_a_row_that_it_does_not_see_changes_nothing(begin: Begin, place: Place) -> None:
    first, second = await begin(), await begin()
    await first.session.insert(ACCOUNT_ROWS, account_row("a"))
    await second.session.update(ACCOUNT_ROWS, account_row("a", balance=1))
    await first.commit()
    await second.commit()

    assert await row(place) == account_row("a")


@pytest.mark.usefixtures("with_a")
async def test_a_locked_row_is_waited_for_and_found_as_it_then_is(begin: Begin) -> None:
    first, second, reader = [await begin() for _ in range(3)]
    assert await first.session.find(ACCOUNT_ROWS, A, lock=True) == account_row("a")
    await first.session.update(ACCOUNT_ROWS, account_row("a", balance=1))
    waiting = await second.waits(locked(second, ACCOUNT_ROWS, A))
    assert await reader.session.find(ACCOUNT_ROWS, A) == account_row("a")
    assert await reader.session.query(ACCOUNT_ROWS, "true") == [account_row("a")]
    await first.commit()

    assert await waiting == account_row("a", balance=1)


async def test_a_locked_row_that_is_deleted_meanwhile_is_not_found(begin: Begin, place: Place) -> None:
    async with place.backend.session() as session:
        await session.project(HOLDINGS, account("a"))
    first, second = await begin(), await begin()
    await first.session.project(CLOSING, [withdrawal()])
    assert await first.session.find(HOLDINGS, ("ann",)) is None
    waiting = await second.waits(locked(second, HOLDINGS, ("ann",)))
    await first.commit()

    assert await waiting is None


async def test_a_row_that_nobody_has_is_locked_by_nobody(begin: Begin) -> None:
    first, second = await begin(), await begin()
    assert await first.session.find(ACCOUNT_ROWS, A, lock=True) is None

    assert await second.session.insert(ACCOUNT_ROWS, account_row("a"))


async def test_events_are_folded_in_their_order_and_others_are_passed_over(place: Place) -> None:
    events = [*account("a", last=3), *account("b", last=2, owner="bob")]
    async with place.backend.session() as session:
        await session.project(replace(ACCOUNT_ROWS, events=frozenset()), events)
        assert await session.query(ACCOUNT_ROWS, "true") == []
        await session.project(ACCOUNT_ROWS, events)
        await session.project(ACCOUNT_ROWS, account("a", first=4, last=4))

    assert await row(place) == account_row(
        "a", balance=9, moves=3, last_move_at=account("a", last=4)[3].occurred_at
    )
    assert (await row(place, "b")).owner == "bob"


async def test_a_fold_to_none_deletes_the_row(place: Place) -> None:
    async with place.backend.session() as session:
        await session.project(CLOSING, [*account("a"), *account("b", owner="bob")])
        await session.project(CLOSING, [withdrawal(), withdrawal("eve")])
        assert await session.query(HOLDINGS, "true") == [HoldingRow(owner="bob", accounts=1, total=0)]
        await session.project(CLOSING, [withdrawal("bob"), *account("c", owner="bob")])
        assert await session.query(HOLDINGS, "true") == [HoldingRow(owner="bob", accounts=1, total=0)]


async def project(transaction: Transaction, name: str, *owners: str) -> None:
    await transaction.session.project(
        HOLDINGS, [event for owner in owners for event in account(name, last=2, owner=owner)]
    )


async def test_shared_rows_are_folded_one_transaction_after_the_other(begin: Begin, place: Place) -> None:
    first, second, third = [await begin() for _ in range(3)]
    await project(first, "a", "ann")
    waiting = await second.waits(project(second, "b", "ann"))
    await project(third, "c", "bob")
    await first.commit()
    await waiting
    await second.commit()

    assert await holding(place) == HoldingRow(owner="ann", accounts=2, total=4)


async def test_shared_rows_after_a_rollback_hold_what_stayed(begin: Begin, place: Place) -> None:
    first, second = await begin(), await begin()
    await project(first, "a", "ann")
    waiting = await second.waits(project(second, "b", "ann"))
    await first.rollback()
    await waiting
    await second.commit()

    assert await holding(place) == HoldingRow(owner="ann", accounts=1, total=2)


async def test_shared_rows_in_another_order_are_no_deadlock(begin: Begin, place: Place) -> None:
    first, second = await begin(), await begin()
    await project(first, "a", "bob", "ann")
    waiting = await second.waits(project(second, "b", "ann", "bob"))
    await project(first, "c", "ann", "bob")
    await first.commit()
    await waiting
    await second.commit()

    assert [(await holding(place, owner)).accounts for owner in ("ann", "bob")] == [3, 3]
