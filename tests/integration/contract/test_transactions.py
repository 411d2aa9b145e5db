"""READ COMMITTED: own writes are seen at once, others' once committed; a transaction is kept whole or not."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from shared.store.errors import CONNECTION_LOST, Conflict
from shared.store.session import Session
from tests.integration.bank.accounts import ACCOUNT_ROWS
from tests.integration.contract.conftest import Begin
from tests.integration.contract.facts import (
    CONSUMER,
    EVERYTHING,
    NOTHING,
    REGISTRY,
    account,
    account_row,
    append,
    read_everything,
    versions,
    write_everything,
)
from tests.integration.contract.places import Place

pytestmark = pytest.mark.integration

Lock = Callable[[Session, str], Awaitable[object]]
LOCKS: dict[str, Lock] = {
    "streams": lambda session, name: session.lock_streams([name]),
    "row": lambda session, name: session.find(ACCOUNT_ROWS, (f"account-{name}",), lock=True),
    "update": lambda session, name: session.update(ACCOUNT_ROWS, account_row(name, balance=1)),
    "insert": lambda session, name: session.insert(ACCOUNT_ROWS, account_row(f"new {name}")),
    "marks": lambda session, name: session.lock_marks(CONSUMER, [name]),
    "append": lambda session, name: append(session, account(name)),
}


async def test_a_transaction_sees_its_own_writes_and_others_see_them_once_committed(
    begin: Begin, place: Place
) -> None:
    writer, reader = await begin(), await begin()
    assert await read_everything(reader.session) == NOTHING

    await write_everything(writer.session)

    assert await read_everything(writer.session) == EVERYTHING
    assert await read_everything(reader.session) == NOTHING
    await writer.commit()
    assert await read_everything(reader.session) == EVERYTHING
    async with place.backend.session() as session:
        assert await read_everything(session) == EVERYTHING


async def test_a_rollback_leaves_nothing(begin: Begin, place: Place) -> None:
    writer = await begin()
    await write_everything(writer.session)
    await writer.rollback()

    async with place.backend.session() as session:
        assert await read_everything(session) == NOTHING
        await write_everything(session)
        assert await read_everything(session) == EVERYTHING


async def test_without_a_transaction_every_statement_is_one(begin: Begin, place: Place) -> None:
    reader = await begin()
    async with place.backend.session() as session:
        await append(session, account("a"))
        assert await versions(reader.session, "account-a") == [1]
        with pytest.raises(Conflict):
            await append(session, account("a"))
        await append(session, account("a", first=2, last=2))
        assert await versions(reader.session, "account-a") == [1, 2]


async def test_a_failed_statement_without_a_transaction_holds_nothing(begin: Begin, place: Place) -> None:
    async with place.backend.session() as session:
        await append(session, account("b"))
        with pytest.raises(Conflict):
            await append(session, [*account("a"), *account("b")])
        writer = await begin()
        await append(writer.session, account("a"))


async def test_a_failed_transaction_refuses_more_and_leaves_nothing(begin: Begin, place: Place) -> None:
    async with place.backend.session() as session:
        await append(session, account("b"))
    writer = await begin()
    await append(writer.session, account("a"))
    with pytest.raises(Conflict):
        await append(writer.session, account("b"))

    with pytest.raises(asyncpg.InFailedSQLTransactionError):
        await versions(writer.session, "account-a")
    with pytest.raises(asyncpg.InFailedSQLTransactionError):
        await writer.session.insert(ACCOUNT_ROWS, account_row("a"))

    await writer.commit()
    async with place.backend.session() as session:
        assert await versions(session, "account-a") == []


async def test_a_failed_transaction_holds_nobody_up(begin: Begin, place: Place) -> None:
    async with place.backend.session() as session:
        await append(session, account("b"))
    failing, other = await begin(), await begin()
    await append(failing.session, account("a"))
    waiting = await other.waits(append(other.session, account("a")))
    with pytest.raises(Conflict):
        await append(failing.session, account("b"))

    await waiting


async def test_a_lost_connection_ends_its_transaction(begin: Begin, place: Place) -> None:
    losing, other = await begin(), await begin()
    await append(losing.session, account("a"))
    waiting = await other.waits(append(other.session, account("a")))
    await place.cut(losing.session)

    for _ in range(2):
        with pytest.raises(CONNECTION_LOST):
            await versions(losing.session, "account-a")
    await waiting
    with pytest.raises(CONNECTION_LOST):
        await losing.commit()
    await other.rollback()
    async with place.backend.session() as session:
        assert await versions(session, "account-a") == []


async def test_a_session_that_lost_its_connection_does_not_come_back(place: Place) -> None:
    async with place.backend.session() as session:
        await versions(session, "account-a")
        await place.cut(session)
        for _ in range(2):
            with pytest.raises(CONNECTION_LOST):
                await session.load(REGISTRY, ["account-a"])
    async with place.backend.session() as session:
        assert await versions(session, "account-a") == []


@pytest.mark.parametrize("kind", LOCKS)
@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_who_writes_or_locks_what_another_has_waits_for_that_ones_end(
    begin: Begin, place: Place, kind: str, end: str
) -> None:
    lock = LOCKS[kind]
    async with place.backend.session() as session:
        for name in ("a", "b"):
            await session.insert(ACCOUNT_ROWS, account_row(name))
    first, second, third = await begin(), await begin(), await begin()
    await lock(first.session, "a")

    waiting = await second.waits(_any(lock, second.session, "a"))
    await lock(third.session, "b")
    await (first.commit() if end == "commit" else first.rollback())

    if (kind, end) == ("append", "commit"):
        with pytest.raises(Conflict):
            await waiting
    else:
        await waiting


@pytest.mark.parametrize("kind", LOCKS)
async def test_a_circle_of_waiting_ends_for_one_and_the_other_goes_on(
    begin: Begin, place: Place, kind: str
) -> None:
    lock = LOCKS[kind]
    async with place.backend.session() as session:
        for name in ("a", "b"):
            await session.insert(ACCOUNT_ROWS, account_row(name))
    transactions = [await begin(), await begin()]
    for transaction, name in zip(transactions, "ab", strict=True):
        await lock(transaction.session, name)
    tasks = [
        asyncio.create_task(_any(lock, transaction.session, name))
        for transaction, name in zip(transactions, "ba", strict=True)
    ]

    outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)

    (failed,) = (each for each in range(2) if isinstance(outcomes[each], asyncpg.DeadlockDetectedError))
    assert not isinstance(outcomes[1 - failed], BaseException)
    with pytest.raises(asyncpg.InFailedSQLTransactionError):
        await versions(transactions[failed].session, "account-a")
    await transactions[1 - failed].commit()


async def _any(lock: Lock, session: Session, name: str) -> object:
    return await lock(session, name)
