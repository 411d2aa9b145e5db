"""Appending: expected versions, conflicts, gaps, the rights of the service's role, one unit's writes."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from shared.domain import Rejected
from shared.events.envelope import Cause, Recorded
from shared.store import streams
from shared.store.errors import Conflict, KeyReused
from shared.store.idempotency import Answer, recall
from shared.store.unit_of_work import UnitOfWork
from tests.integration.bank.accounts import ACCOUNT, Deposit, Deposited, Open, Opened, Withdraw
from tests.integration.bank.services import Teller, execute_account

pytestmark = pytest.mark.integration

ANSWER = Answer(
    principal="ann",
    route="POST /accounts",
    key="k1",
    body_hash=b"\x01",
    status=201,
    headers={"etag": '"1"'},
    body=b"{}",
)


async def append(teller: Teller, events: list[Recorded[Any]], expected: dict[str, int]) -> None:
    """Append without a unit of work, as a careless caller could."""
    async with teller.store.pool.acquire() as connection, connection.transaction():
        await streams.append(connection, teller.registry, events, expected, teller.store.public)


async def test_what_was_decided_is_loaded_again_with_contiguous_versions(teller: Teller) -> None:
    await teller.do(Open(account="a", owner="ann"), Deposit(account="a", amount=5))
    await teller.do(Deposit(account="a", amount=7, memo="x"))

    events = (await teller.store.load(["account-a"]))["account-a"]

    assert [(event.version, event.data) for event in events] == [
        (1, Opened(owner="ann")),
        (2, Deposited(owner="ann", amount=5)),
        (3, Deposited(owner="ann", amount=7, memo="x")),
    ]
    assert len({event.correlation_id for event in events}) == 1
    assert len({event.event_id for event in events}) == 3


async def test_a_clock_that_is_set_back_changes_no_order(teller: Teller) -> None:
    await teller.do(Open(account="a", owner="ann"))
    for amount in (1, 2):
        teller.clock.advance(timedelta(hours=-1))
        await teller.do(Deposit(account="a", amount=amount))

    events = (await teller.store.load(["account-a"]))["account-a"]

    assert [event.version for event in events] == [1, 2, 3]
    assert events[0].occurred_at > events[1].occurred_at > events[2].occurred_at


async def test_a_stale_expected_version_is_a_conflict_and_writes_nothing(teller: Teller) -> None:
    await teller.do(Open(account="a", owner="ann"), Open(account="b", owner="bob"))
    one, other = (await teller.events())[0], (await teller.events())[1]

    with pytest.raises(Conflict):
        await append(
            teller, [one._replace(version=1), other._replace(version=2)], {one.stream: 0, other.stream: 1}
        )

    assert len(await teller.events()) == 2
    assert await teller.outbox() == 2


async def test_a_version_that_would_leave_a_gap_is_refused(teller: Teller) -> None:
    await teller.do(Open(account="a", owner="ann"))
    (opened,) = await teller.events()

    with pytest.raises(Conflict):
        await append(teller, [opened._replace(version=6)], {opened.stream: 5})
    with pytest.raises(Conflict):
        await append(teller, [opened._replace(stream="account-new", version=2)], {"account-new": 1})

    assert [event.version for event in await teller.events()] == [1]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET data = '{}'",
        "DELETE FROM events",
        "TRUNCATE events",
        "DROP TABLE events",
        "UPDATE migrations SET name = ''",
        "DELETE FROM marks",
        "UPDATE skipped SET version = 1",
    ],
)
async def test_the_services_role_cannot_change_history(teller: Teller, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await teller.store.pool.execute(statement)


async def test_nobody_elses_role_may_enter_the_database(
    teller: Teller, auditor: Any, admin: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    allowed = "SELECT has_database_privilege($1, $2, 'CONNECT')"

    assert await admin.fetchval(allowed, teller.database.service, teller.database.service)
    assert not await admin.fetchval(allowed, auditor.database.service, teller.database.service)


async def test_a_unit_that_raises_writes_nothing(teller: Teller) -> None:
    with pytest.raises(Rejected):
        await teller.do(Open(account="a", owner="ann"), Withdraw(account="a", amount=9999))

    assert await teller.events() == []
    assert await teller.outbox() == 0
    assert await teller.store.pool.fetchval("SELECT count(*) FROM account_rows") == 0


async def test_an_attempt_that_raises_leaves_the_rest_of_its_unit(teller: Teller) -> None:
    async def work(uow: UnitOfWork) -> None:
        await execute_account(uow, Open(account="a", owner="ann"))
        with suppress(Rejected), uow.attempt(Cause()):
            await execute_account(uow, Open(account="b", owner="bob"))
            await execute_account(uow, Deposit(account="a", amount=1))
            await execute_account(uow, Withdraw(account="a", amount=9999))
        await execute_account(uow, Deposit(account="a", amount=2))

    await teller.store.transact(Cause(), work)

    assert [(event.stream, event.version, event.data) for event in await teller.events()] == [
        ("account-a", 1, Opened(owner="ann")),
        ("account-a", 2, Deposited(owner="ann", amount=2)),
    ]


async def test_an_answer_is_kept_with_its_command(teller: Teller) -> None:
    async def work(uow: UnitOfWork) -> None:
        await execute_account(uow, Open(account="a", owner="ann"))
        uow.answer(ANSWER)

    await teller.store.transact(Cause(), work)

    async with teller.store.pool.acquire() as connection:
        assert await recall(connection, "ann", "POST /accounts", "k1") == ANSWER
        assert await recall(connection, "bob", "POST /accounts", "k1") is None


async def test_a_reused_key_writes_neither_answer_nor_events(teller: Teller) -> None:
    async def work(uow: UnitOfWork) -> None:
        await uow.state(ACCOUNT, "a")
        uow.append("account-a", [Opened(owner="ann")])
        uow.answer(ANSWER)

    async def again(uow: UnitOfWork) -> None:
        await execute_account(uow, Deposit(account="a", amount=1))
        uow.answer(replace(ANSWER, body=b"other"))

    await teller.store.transact(Cause(), work)
    with pytest.raises(KeyReused):
        await teller.store.transact(Cause(), again)

    assert len(await teller.events()) == 1
    async with teller.store.pool.acquire() as connection:
        assert await recall(connection, "ann", "POST /accounts", "k1") == ANSWER
