"""Wherever a connection breaks or a process dies, between any two statements: nothing lost, nothing twice."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import count

import pytest

from shared.events.envelope import Cause
from shared.store.idempotency import Answer
from shared.store.together import Together
from shared.store.unit_of_work import UnitOfWork
from tests.integration.bank.accounts import Deposit, Deposited, LetterSent, Open, Withdraw
from tests.unit.shell.bank import FAILURES, Bank, Snapshot, execute_account, failing, snapshot

ANSWER = Answer(principal="ann", route="POST /", key="k", body_hash=b"1", status=201, headers={}, body=b"{}")
every_failure = pytest.mark.parametrize("failure", FAILURES)


async def withdraw(uow: UnitOfWork) -> None:
    """Writes events, an outbox, rows, a timer, an effect and an answer."""
    await execute_account(uow, Withdraw(account="a", amount=600))
    uow.answer(ANSWER)


def deposit(account: str) -> Callable[[UnitOfWork], Awaitable[None]]:
    async def work(uow: UnitOfWork) -> None:
        await execute_account(uow, Deposit(account=account, amount=5))

    return work


async def two_accounts() -> Bank:
    bank = Bank()
    await bank.do(Open(account="a", owner="ann"), Open(account="b", owner="bob"))
    return bank


@every_failure
async def test_a_unit_of_work_is_whole_or_nothing(failure: type[BaseException]) -> None:
    bank = await two_accounts()
    nothing = snapshot(bank.tellers_memory)
    await bank.teller.transact(Cause(), withdraw)
    whole = snapshot(bank.tellers_memory)
    outcomes: list[Snapshot] = []

    for at in count(1):
        bank = await two_accounts()
        async with failing(bank, at, failure):
            await bank.teller.transact(Cause(), withdraw)
        if not bank.line.failed:
            break
        outcomes.append(snapshot(bank.tellers_memory))

    assert [outcome for outcome in outcomes if outcome not in (nothing, whole)] == []
    assert nothing in outcomes
    assert whole in outcomes, "the answer to a commit can be lost too"


async def test_units_that_share_a_transaction_happen_at_most_once() -> None:
    """One begins alone; the other two come while it is under way and share the next transaction."""
    for at in count(1):
        bank = Bank()
        await bank.do(*(Open(account=account, owner="ann") for account in "abc"))
        together = Together(bank.teller, most=10)
        bank.line.fail(at, FAILURES[0])

        answers = await asyncio.gather(
            *(together.transact(Cause(), deposit(account), [f"account-{account}"]) for account in "abc"),
            return_exceptions=True,
        )

        if not bank.line.failed:
            break
        assert any(isinstance(answer, FAILURES[0]) for answer in answers), at
        for account, answer in zip("abc", answers, strict=True):
            deposits = len(bank.tellers_memory.streams[f"account-{account}"]) - 1
            assert deposits == 1 if answer is None else deposits <= 1, at


async def a_days_records() -> Bank:
    bank = await two_accounts()
    await bank.do(Deposit(account="a", amount=5), Deposit(account="b", amount=7))
    await bank.do(Withdraw(account="a", amount=1))
    return bank


@every_failure
async def test_a_batch_has_its_effects_once(failure: type[BaseException]) -> None:
    bank = await a_days_records()
    await bank.consumer.handle_batch(bank.records())
    once = snapshot(bank.auditors_memory)
    assert set(once) >= {"marks", "account_rows", "holdings", "overviews", "todo", "events"}

    for at in count(1):
        bank = await a_days_records()
        async with failing(bank, at, failure):
            await bank.consumer.handle_batch(bank.records())
        if not bank.line.failed:
            break
        assert "parked" not in snapshot(bank.auditors_memory), at
        await bank.consumer.handle_batch(bank.records())
        assert snapshot(bank.auditors_memory) == once, at


@every_failure
async def test_what_is_to_do_is_recorded_once_and_keeps_its_key(failure: type[BaseException]) -> None:
    for at in count(1):
        bank = await two_accounts()
        await bank.do(Withdraw(account="a", amount=600), Open(account="c", owner="cy", bonus=50))
        async with failing(bank, at, failure):
            await bank.worker.run_due()
        if not bank.line.failed:
            break
        bank.clock.advance(timedelta(minutes=1))
        await bank.worker.run_due()

        outcomes = [event.type for event in bank.tellers_memory.events()[4:]]
        assert sorted(outcomes) == [Deposited.__name__, LetterSent.__name__], at
        assert len(set(bank.letters)) == 1, at
        assert [row.todo.kind for row in bank.tellers_memory.table("todo").values()] == ["TIMER"], at


@every_failure
async def test_a_relay_sends_everything_in_order(failure: type[BaseException]) -> None:
    for at in count(1):
        bank = await a_days_records()
        async with failing(bank, at, failure):
            await bank.send_everything()
        if not bank.line.failed:
            break
        await bank.send_everything()

        assert bank.unsent == 0
        assert bank.told() == bank.written(), at
