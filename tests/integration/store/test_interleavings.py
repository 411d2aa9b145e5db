"""Writers that meet: every order of load, append and commit over real transactions loses nothing."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from typing import TypeAlias

import asyncpg
import pytest

from shared.events.envelope import Cause
from shared.store.connection import connect
from shared.store.errors import CONNECTION_LOST, Conflict
from shared.store.postgres import PostgresSession
from shared.store.unit_of_work import UnitOfWork
from tests.integration.bank.accounts import Deposit, Open
from tests.integration.bank.services import Teller, execute_account
from tests.waiting import until

pytestmark = pytest.mark.integration

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Writer:
    """One transaction taken step by step: load and decide, append everything, commit."""

    def __init__(self, teller: Teller, connection: Admin, accounts: Sequence[str], amount: int) -> None:
        self.amount = amount
        self.accounts = accounts
        self.outcome = ""
        self._teller = teller
        self._connection = connection
        self._transaction = connection.transaction()
        self._task: asyncio.Task[None] | None = None

    async def load(self) -> None:
        await self._transaction.start()
        self._uow = UnitOfWork(
            self._teller.store, PostgresSession(self._connection), Cause(), self._teller.clock()
        )
        for account in self.accounts:
            await execute_account(self._uow, Deposit(account=account, amount=self.amount))

    async def append(self, admin: Admin) -> None:
        """Begin to append, and wait until that is done or waits for another transaction."""
        self._task = asyncio.create_task(self._uow.flush())
        pid = self._connection.get_server_pid()

        async def waits() -> bool:
            return bool(await admin.fetchval("SELECT cardinality(pg_blocking_pids($1)) > 0", pid))

        await until(lambda: self._appended or waits(), poll=0.001)

    async def commit(self) -> None:
        """Commit what was appended; a conflict rolls back."""
        assert self._task is not None
        try:
            await self._task
        except Conflict:
            await self._transaction.rollback()
            self.outcome = "conflict"
        else:
            await self._transaction.commit()
            self.outcome = "committed"

    async def give_up(self) -> None:
        """Roll back what was appended."""
        assert self._task is not None
        await self._task
        await self._transaction.rollback()

    @property
    def _appended(self) -> bool:
        return self._task is not None and self._task.done()

    @property
    def blocked(self) -> bool:
        """Whether its append waits, so that it cannot commit yet."""
        return self._task is not None and not self._task.done()


def schedules(writers: int) -> Iterator[list[int]]:
    """Every order of three steps of each writer, up to renaming: who loads first has the lower number."""

    def extend(done: list[int], left: list[int]) -> Iterator[list[int]]:
        if not any(left):
            yield done
        started = sum(count < 3 for count in left)
        for writer, count in enumerate(left):
            if count and writer <= started:
                yield from extend([*done, writer], [n - (w == writer) for w, n in enumerate(left)])

    yield from extend([], [3] * writers)


async def play(order: Sequence[int], writers: Sequence[Writer], admin: Admin) -> None:
    """Take the steps in this order; a commit whose append waits for others is taken as soon as it can be."""
    progress = [0] * len(writers)
    postponed: list[int] = []

    async def commit_unblocked() -> None:
        while ready := [w for w in postponed if not writers[w].blocked]:
            for index in ready:
                postponed.remove(index)
                await writers[index].commit()

    for index in order:
        writer, step = writers[index], progress[index]
        progress[index] += 1
        if step == 0:
            await writer.load()
        elif step == 1:
            await writer.append(admin)
        else:
            postponed.append(index)
        await commit_unblocked()
    while postponed:
        await until(lambda: any(not writers[index].blocked for index in postponed), poll=0.001)
        await commit_unblocked()


@pytest.fixture
async def connections(teller: Teller) -> AsyncIterator[list[Admin]]:
    opened = [await connect(teller.database.url, name="writer") for _ in range(3)]
    yield opened
    for connection in opened:
        await connection.close()


def test_the_schedules_are_all_there_are() -> None:
    assert len(list(schedules(2))) == 20 // 2
    assert len(list(schedules(3))) == 1680 // 6


@pytest.mark.parametrize("count", [2, 3])
async def test_writers_to_one_stream_in_every_order(
    teller: Teller, connections: list[Admin], admin: Admin, count: int
) -> None:
    for number, order in enumerate(schedules(count)):
        account = f"s{number}"
        await teller.do(Open(account=account, owner="ann"))
        writers = [Writer(teller, connections[n], [account], 10**n) for n in range(count)]

        await play(order, writers, admin)

        committed = [writer.amount for writer in writers if writer.outcome == "committed"]
        assert [writer.outcome for writer in writers].count("conflict") == count - len(committed), order
        assert committed, order
        state = await teller.account(account)
        assert state is not None
        assert state.balance == sum(committed), order
    heads = await teller.store.pool.fetch(
        "SELECT max(version) = count(*) AS contiguous, array_agg(version ORDER BY position) AS versions "
        "FROM events GROUP BY stream_id"
    )
    assert all(row["contiguous"] and row["versions"] == sorted(row["versions"]) for row in heads)


async def test_batch_units_over_overlapping_streams_in_every_order(
    teller: Teller, connections: list[Admin], admin: Admin
) -> None:
    for number, order in enumerate(schedules(3)):
        a, b, c = (f"{name}{number}" for name in "abc")
        await teller.do(*(Open(account=account, owner=account) for account in (a, b, c)))
        touched = [(a, b), (b, a, c), (c, b)]
        writers = [Writer(teller, connections[n], touched[n], 10**n) for n in range(3)]

        await play(order, writers, admin)

        for account in (a, b, c):
            state = await teller.account(account)
            expected = sum(w.amount for w in writers if account in w.accounts and w.outcome == "committed")
            assert state is not None
            assert state.balance == expected, (order, account)


async def test_units_of_work_write_their_streams_in_one_order(
    teller: Teller, connections: list[Admin], admin: Admin
) -> None:
    """One waits with half of its streams written, the next wants some of them: nobody waits in a circle."""
    await teller.do(*(Open(account=account, owner=account) for account in "abz"))
    first, second, third = (
        Writer(teller, connections[n], accounts, 10**n) for n, accounts in enumerate(["z", "azb", "ba"])
    )
    for writer in (first, second, third):
        await writer.load()
        await writer.append(admin)

    await first.give_up()
    for writer in (second, third):
        await writer.commit()

    assert [writer.outcome for writer in (second, third)] == ["committed", "conflict"]


async def test_transact_hides_conflicts_and_deadlocks_and_loses_no_update(teller: Teller) -> None:
    chance = random.Random(7)
    accounts = [f"a{n}" for n in range(6)]
    await teller.do(*(Open(account=account, owner=account[-1]) for account in accounts))
    units = [chance.sample(accounts, 3) for _ in range(80)]

    async def unit(touched: Sequence[str]) -> None:
        await teller.do(*(Deposit(account=account, amount=1) for account in touched))

    async with asyncio.timeout(60):
        await asyncio.gather(*(unit(touched) for touched in units))

    for account in accounts:
        state = await teller.account(account)
        assert state is not None
        assert state.balance == sum(account in touched for touched in units)
    totals = await teller.store.pool.fetchval("SELECT sum(total) FROM holdings")
    assert totals == 3 * len(units)


async def test_a_second_try_waits_its_turn_under_locks(teller: Teller) -> None:
    """One hot stream, many writers: with optimistic tries alone, some would give up."""
    await teller.do(Open(account="hot", owner="ann"))

    await asyncio.gather(*(teller.do(Deposit(account="hot", amount=1)) for _ in range(60)))

    state = await teller.account("hot")
    assert state is not None
    assert state.balance == 60


async def test_a_lost_connection_in_a_unit_writes_nothing_and_the_pool_recovers(
    teller: Teller, admin: Admin
) -> None:
    await teller.do(Open(account="a", owner="ann"))

    with suppress(*CONNECTION_LOST):
        async with teller.store.unit_of_work(Cause()) as uow:
            await execute_account(uow, Deposit(account="a", amount=1))
            assert isinstance(uow.session, PostgresSession)
            await admin.execute("SELECT pg_terminate_backend($1)", uow.session.connection.get_server_pid())

    assert [event.version for event in await teller.events()] == [1]
