"""Read models: one fold serves inline, consumed and rebuilt rows, also while the service goes on writing."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from shared.events.envelope import Cause, Recorded
from shared.store.connection import Pool, connect, open_pool
from shared.store.postgres import PostgresSession
from shared.store.readmodel import ReadModel
from shared.store.rebuild import RebuildRunning, rebuild
from shared.store.shadow import Shadow
from shared.store.unit_of_work import UnitOfWork
from tests.integration.bank.accounts import (
    ACCOUNT_ROWS,
    HOLDINGS,
    AccountRow,
    Deposit,
    HoldingRow,
    Open,
    Withdraw,
    fold_holding,
)
from tests.integration.bank.services import Teller, execute_account
from tests.waiting import in_background, until

pytestmark = pytest.mark.integration

MODELS: list[ReadModel[Any]] = [ACCOUNT_ROWS, HOLDINGS]


@pytest.fixture
async def owner(teller: Teller) -> AsyncIterator[Pool]:
    pool = await open_pool(teller.database.owner_url, name="rebuild", size=4)
    yield pool
    await pool.close()


async def a_day(teller: Teller) -> None:
    """Five accounts of two owners and some moves."""
    accounts = [f"a{n}" for n in range(5)]
    for n, account in enumerate(accounts):
        await teller.do(Open(account=account, owner=("ann", "bob")[n % 2]))
    for n in range(20):
        await teller.do(Deposit(account=accounts[n % 5], amount=n, memo=f"m{n}"))
        await teller.do(Withdraw(account=accounts[n % 3], amount=1), Withdraw(account="a4", amount=2))


async def contents(teller: Teller, model: ReadModel[Any]) -> str:
    async with teller.store.pool.acquire() as connection:
        return await model.content_hash(connection)


async def test_rows_are_there_in_the_transaction_that_writes_their_events(teller: Teller) -> None:
    async with teller.store.unit_of_work(Cause()) as uow:
        await execute_account(uow, Open(account="a", owner="ann"))
        await execute_account(uow, Deposit(account="a", amount=5, memo="x"))
        moment = uow.now

    async with teller.store.session() as session:
        assert await ACCOUNT_ROWS.find(session, "account-a") == AccountRow(
            "account-a", "ann", 5, 1, moment, ("x",)
        )
        assert await HOLDINGS.query(session, "total > $1", 1) == [HoldingRow("ann", 1, 5)]
        assert await HOLDINGS.find(session, "nobody") is None


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
async def test_a_rebuild_gives_the_same_rows_and_can_be_repeated(
    teller: Teller, owner: Pool, model: ReadModel[Any]
) -> None:
    await a_day(teller)
    before = await contents(teller, model)

    for _ in range(2):
        rebuilt = await rebuild(owner, teller.registry, model)
        assert rebuilt.equal
        assert rebuilt.swapped
        assert rebuilt.rows > 0

    assert await contents(teller, model) == before
    await teller.do(Deposit(account="a1", amount=1000))
    assert await contents(teller, model) != before
    assert (await rebuild(owner, teller.registry, model)).equal


async def test_a_rebuild_asks_for_nothing_to_be_done(teller: Teller, owner: Pool) -> None:
    await a_day(teller)
    await teller.do(Withdraw(account="a4", amount=600))
    everything = "SELECT todo_id, kind, name, due, (SELECT max(position) FROM events) FROM todo ORDER BY 1"
    before = await teller.store.pool.fetch(everything)

    await rebuild(owner, teller.registry, ACCOUNT_ROWS)

    assert await teller.store.pool.fetch(everything) == before
    assert ("EFFECT", "letter") in [(row["kind"], row["name"]) for row in before]


async def test_a_rebuild_notices_and_mends_a_wrong_row(teller: Teller, owner: Pool) -> None:
    await a_day(teller)
    before = await contents(teller, HOLDINGS)
    await owner.execute("UPDATE holdings SET total = total + 1 WHERE owner = 'ann'")

    rebuilt = await rebuild(owner, teller.registry, HOLDINGS)

    assert not rebuilt.equal
    assert await contents(teller, HOLDINGS) == before


async def test_without_a_swap_the_table_stays_as_it_is(teller: Teller, owner: Pool) -> None:
    await a_day(teller)
    await owner.execute("UPDATE holdings SET total = total + 1 WHERE owner = 'ann'")
    before = await contents(teller, HOLDINGS), await table_id(owner)

    rebuilt = await rebuild(owner, teller.registry, HOLDINGS, swap=False)

    assert not rebuilt.equal
    assert (await contents(teller, HOLDINGS), await table_id(owner)) == before
    assert await owner.fetchval("SELECT to_regclass('holdings_rebuild')") is None


async def test_an_interrupted_rebuild_leaves_the_table_and_nothing_else(teller: Teller, owner: Pool) -> None:
    await a_day(teller)
    before = await contents(teller, HOLDINGS), await table_id(owner)

    def interrupt() -> None:
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        await rebuild(owner, teller.registry, HOLDINGS, after_first_pass=interrupt)

    assert (await contents(teller, HOLDINGS), await table_id(owner)) == before
    assert await owner.fetchval("SELECT to_regclass('holdings_rebuild')") is None


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
async def test_a_rebuild_during_writes_fails_no_write_and_misses_none(
    teller: Teller, owner: Pool, model: ReadModel[Any]
) -> None:
    await a_day(teller)
    written = 0

    async def write(stop: asyncio.Event) -> None:
        nonlocal written
        chance = random.Random(written)
        while not stop.is_set():
            await teller.do(*(Deposit(account=f"a{n}", amount=1) for n in chance.sample(range(5), 2)))
            written += 1

    async with in_background(write), in_background(write), in_background(write):
        await until(lambda: written > 20)
        for _ in range(6):
            start = written
            rebuilt = await rebuild(owner, teller.registry, model)
            assert rebuilt.equal
            await until(lambda start=start: written > start + 5)  # type: ignore[misc]

    assert (await rebuild(owner, teller.registry, model, swap=False)).equal
    assert await teller.store.pool.fetchval("SELECT sum(moves) FROM account_rows") == 60 + 2 * written
    assert (
        await teller.store.pool.fetchval("SELECT sum(total) FROM holdings")
        == sum(range(20)) - 60 + 2 * written
    )


async def test_a_write_that_was_open_during_the_first_pass_is_not_missed(teller: Teller, owner: Pool) -> None:
    """Its position is lower than what the first pass saw, and it commits before the second pass."""
    await a_day(teller)
    service = await connect(teller.database.url, name="test")
    transaction = service.transaction()
    await transaction.start()
    uow = UnitOfWork(teller.store, PostgresSession(service), Cause(), teller.clock())
    await execute_account(uow, Deposit(account="a0", amount=7))
    await uow.flush()
    await teller.do(Deposit(account="a3", amount=1))
    committing: list[asyncio.Task[None]] = []

    rebuilt = await rebuild(
        owner,
        teller.registry,
        ACCOUNT_ROWS,
        after_first_pass=lambda: committing.append(asyncio.create_task(transaction.commit())),
    )
    await asyncio.gather(*committing)
    await service.close()

    assert rebuilt.equal
    assert (await rebuild(owner, teller.registry, ACCOUNT_ROWS, swap=False)).equal


async def test_shared_rows_do_not_depend_on_the_order_of_streams(teller: Teller, owner: Pool) -> None:
    """Any order that keeps each stream's own order gives the same rows."""
    await a_day(teller)
    expected = await contents(teller, HOLDINGS)
    events = await teller.events()

    for seed in range(20):
        async with owner.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute("DELETE FROM holdings")
            for chunk in chunks(shuffled(events, random.Random(seed))):
                await HOLDINGS.project(connection, chunk)
            assert await HOLDINGS.content_hash(connection) == expected
            await transaction.rollback()


async def test_concurrent_writers_of_a_shared_row_lose_nothing(teller: Teller) -> None:
    await teller.do(*(Open(account=f"a{n}", owner="ann") for n in range(20)))

    await asyncio.gather(*(teller.do(Deposit(account=f"a{n}", amount=1)) for n in range(20)))

    async with teller.store.session() as session:
        assert await HOLDINGS.find(session, "ann") == HoldingRow("ann", 20, 20)


async def test_the_services_role_writes_rows_but_cannot_swap_tables(teller: Teller) -> None:
    service = await connect(teller.database.url, name="test")
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await service.execute("CREATE TABLE holdings_rebuild (LIKE holdings)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await service.execute("DROP TABLE holdings")
    finally:
        await service.close()


def shuffled(events: Sequence[Recorded[Any]], chance: random.Random) -> list[Recorded[Any]]:
    """The events in another order, each stream's own order kept."""
    streams: dict[str, list[Recorded[Any]]] = {}
    for event in events:
        streams.setdefault(event.stream, []).append(event)
    order = [event.stream for event in events]
    chance.shuffle(order)
    return [streams[stream].pop(0) for stream in order]


def chunks(events: Sequence[Recorded[Any]], size: int = 7) -> list[Sequence[Recorded[Any]]]:
    return [events[start : start + size] for start in range(0, len(events), size)]


async def table_id(pool: Pool) -> int:
    number: int = await pool.fetchval("SELECT 'holdings'::regclass::oid::bigint")
    return number


async def test_two_rebuilds_of_one_model_do_not_meet(teller: Teller, owner: Pool) -> None:
    await a_day(teller)
    second: list[asyncio.Task[Any]] = []

    def begin_another() -> None:
        second.append(asyncio.create_task(rebuild(owner, teller.registry, HOLDINGS)))

    async with owner.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE holdings IN ACCESS SHARE MODE")
        first = asyncio.create_task(rebuild(owner, teller.registry, HOLDINGS, after_first_pass=begin_another))
        await until(lambda: bool(second) and second[0].done())
        assert not first.done()
        assert (await rebuild(owner, teller.registry, ACCOUNT_ROWS)).equal

    with pytest.raises(RebuildRunning, match="holdings"):
        await second[0]
    assert (await first).swapped
    assert (await rebuild(owner, teller.registry, HOLDINGS)).equal


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
@pytest.mark.parametrize("in_hand", [0, 2, 4])
async def test_rows_that_leave_memory_and_come_back_are_folded_on(
    teller: Teller, owner: Pool, model: ReadModel[Any], in_hand: int
) -> None:
    await a_day(teller)
    events = shuffled(await teller.events(), random.Random(in_hand))

    async with owner.acquire() as connection:
        await connection.execute(f"CREATE TABLE spilled (LIKE {model.name} INCLUDING ALL)")
        shadow = Shadow(model, "spilled", connection, in_hand=in_hand)
        for chunk in chunks(events, 3):
            await shadow.fold(chunk)
        await shadow.flush()
        assert await model.content_hash(connection, "spilled") == await model.content_hash(connection)


async def test_a_row_that_its_last_event_removes_is_gone(teller: Teller, owner: Pool) -> None:
    await a_day(teller)
    gone = replace(
        HOLDINGS, fold=lambda row, event, key: fold_holding(row, event, key) if row is None else None
    )

    async with owner.acquire() as connection:
        await connection.execute("CREATE TABLE spilled (LIKE holdings INCLUDING ALL)")
        shadow = Shadow(gone, "spilled", connection, in_hand=0)
        events = [event for event in await teller.events() if event.stream == "account-a0"]
        await shadow.fold(events[:1])
        await shadow.fold(events[1:2])
        await shadow.flush()
        assert await connection.fetchval("SELECT count(*) FROM spilled") == 0
        await shadow.fold(events[2:3])
        await shadow.flush()
        assert await connection.fetchval("SELECT count(*) FROM spilled") == 1
