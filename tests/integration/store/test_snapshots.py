"""Snapshots of long streams: a shortcut that never changes what is decided, whatever it holds."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from shared.events.envelope import Cause, Recorded
from shared.events.registry import Registry
from shared.store.errors import Conflict
from shared.store.postgres import PostgresSession
from shared.store.snapshots import Snapshot, Snapshots
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork
from tests.integration.bank.accounts import ACCOUNT, Deposit, Open
from tests.integration.bank.services import Teller, execute_account

pytestmark = pytest.mark.integration

STREAM = "account-a"
LONG = 5


class Loads:
    """How many events each load brought, as long as the patch holds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counts: list[int] = []
        load = PostgresSession.load

        async def counted(
            session: PostgresSession, registry: Registry, streams: Sequence[str], *more: Any
        ) -> dict[str, list[Recorded[Any]]]:
            found = await load(session, registry, streams, *more)
            self.counts.append(sum(map(len, found.values())))
            return found

        monkeypatch.setattr(PostgresSession, "load", counted)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    return Loads(monkeypatch)


async def deposit(store: Store, amount: int) -> None:
    async def work(uow: UnitOfWork) -> None:
        await execute_account(uow, Deposit(account="a", amount=amount))

    await store.transact(Cause(), work)


async def balance(store: Store) -> int:
    """As a unit of work sees it, snapshots and all."""
    async with store.unit_of_work(Cause()) as uow:
        state = await uow.state(ACCOUNT, "a")
    assert state is not None
    return state.balance


async def a_long_stream(store: Store, events: int = 9) -> None:
    """An account with deposits of one; snapshots start from LONG events."""
    store.snapshots = Snapshots(long=LONG)

    async def work(uow: UnitOfWork) -> None:
        await execute_account(uow, Open(account="a", owner="ann"))
        for _ in range(events - 1):
            await execute_account(uow, Deposit(account="a", amount=1))

    await store.transact(Cause(), work)


def another_process(teller: Teller) -> Store:
    """The same database with snapshots of its own."""
    return Teller(teller.database, teller.store.pool).store


def kept(store: Store) -> Snapshot | None:
    return store.snapshots.of([STREAM]).get(STREAM)


async def test_only_the_last_event_of_a_known_stream_is_loaded(teller: Teller, loads: Loads) -> None:
    await a_long_stream(teller.store)
    await deposit(teller.store, 100)
    await deposit(teller.store, 100)

    assert loads.counts == [0, 1, 1]
    assert await balance(teller.store) == await balance(another_process(teller)) == 208


async def test_what_another_process_wrote_since_is_folded_on_top(teller: Teller, loads: Loads) -> None:
    await a_long_stream(teller.store)
    other = another_process(teller)
    for _ in range(3):
        await deposit(other, 100)
    loads.counts.clear()

    assert await balance(teller.store) == 308
    assert loads.counts == [4]


async def test_a_short_stream_is_not_kept(teller: Teller) -> None:
    await a_long_stream(teller.store, events=LONG - 1)
    assert kept(teller.store) is None
    await deposit(teller.store, 1)
    snapshot = kept(teller.store)
    assert snapshot is not None
    assert (snapshot.version, snapshot.state.balance) == (LONG, LONG - 1)


async def test_a_unit_that_fails_leaves_nothing_behind(teller: Teller) -> None:
    await a_long_stream(teller.store)

    async def fail() -> None:
        async with teller.store.unit_of_work(Cause()) as uow:
            await execute_account(uow, Deposit(account="a", amount=1_000_000))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert kept(teller.store) is None
    assert await balance(teller.store) == 8


async def test_a_unit_that_fails_at_the_commit_leaves_nothing_behind(teller: Teller) -> None:
    await a_long_stream(teller.store)
    other = another_process(teller)

    async def come_second() -> None:
        async with teller.store.unit_of_work(Cause()) as uow:
            await execute_account(uow, Deposit(account="a", amount=1_000_000))
            await deposit(other, 1)

    with pytest.raises(Conflict):
        await come_second()

    assert kept(teller.store) is None
    assert await balance(teller.store) == 9


async def test_an_attempt_taken_back_is_not_in_the_snapshot(teller: Teller) -> None:
    await a_long_stream(teller.store)

    async def fail(uow: UnitOfWork) -> None:
        with uow.attempt(Cause()):
            await execute_account(uow, Deposit(account="a", amount=1_000_000))
            raise ZeroDivisionError

    async with teller.store.unit_of_work(Cause()) as uow:
        await execute_account(uow, Deposit(account="a", amount=1))
        with pytest.raises(ZeroDivisionError):
            await fail(uow)

    snapshot = kept(teller.store)
    assert snapshot is not None
    assert (snapshot.version, snapshot.state.balance) == (10, 9)


@pytest.mark.parametrize("ahead", [0, 1, 50])
async def test_a_snapshot_of_what_is_not_stored_is_found_out(
    teller: Teller, loads: Loads, ahead: int
) -> None:
    """As if the state of an aborted transaction had got in, or the database were a restored, older one."""
    await a_long_stream(teller.store)
    true = kept(teller.store)
    assert true is not None
    last = true.last._replace(version=true.version + ahead, data=replace(true.last.data, amount=1_000_000))
    teller.store.snapshots.keep([Snapshot(last, replace(true.state, balance=1_000_000), true.correlation_id)])
    loads.counts.clear()

    assert await balance(teller.store) == 8
    assert loads.counts[-1] == 9
    await deposit(teller.store, 1)
    assert await balance(another_process(teller)) == 9


async def test_the_longest_unused_goes_first(teller: Teller) -> None:
    await a_long_stream(teller.store)
    snapshot = kept(teller.store)
    assert snapshot is not None
    snapshots = Snapshots(kept=2, long=LONG)

    for name in "xyxz":
        last = snapshot.last._replace(stream=f"account-{name}")
        snapshots.keep([replace(snapshot, last=last)])

    assert snapshots.of([f"account-{name}" for name in "xyz"]).keys() == {"account-x", "account-z"}


async def test_an_older_snapshot_does_not_replace_a_newer_one(teller: Teller) -> None:
    await a_long_stream(teller.store)
    older = kept(teller.store)
    assert older is not None
    await deposit(teller.store, 1)
    newer = kept(teller.store)

    teller.store.snapshots.keep([older])

    assert kept(teller.store) == newer != older
