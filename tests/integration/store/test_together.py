"""Group commit: what units that share a transaction get, and what one of them cannot do to the others."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from shared.domain import Rejected
from shared.events.envelope import Actor, ActorKind, Cause
from shared.store.errors import KeyReused
from shared.store.together import Together
from shared.store.unit_of_work import UnitOfWork
from tests.integration.bank.accounts import Deposit, Open, Withdraw
from tests.integration.bank.services import Teller, execute_account
from tests.integration.store.test_streams import ANSWER

pytestmark = pytest.mark.integration


def do(*commands: Any) -> Callable[[UnitOfWork], Awaitable[str]]:
    """A unit of work that runs commands and gives the name of the first one's account."""

    async def work(uow: UnitOfWork) -> str:
        for command in commands:
            await execute_account(uow, command)
        return str(commands[0].account)

    return work


def by(name: str) -> Cause:
    return Cause(actor=Actor(ActorKind.CUSTOMER, name))


async def transactions(teller: Teller) -> int:
    """How many transactions wrote events."""
    count: int = await teller.store.pool.fetchval("SELECT count(DISTINCT transaction_id) FROM events")
    return count


async def test_units_that_are_asked_for_at_once_share_a_transaction(teller: Teller) -> None:
    together = Together(teller.store, most=10)
    names = [f"{number}" for number in range(6)]

    answers = await asyncio.gather(
        *(
            together.transact(by(name), do(Open(account=name, owner=name)), [f"account-{name}"])
            for name in names
        )
    )

    assert answers == names
    assert await transactions(teller) == 2, "the first waits for nobody, the others for its end"
    assert {(event.stream, event.actor.id) for event in await teller.events()} == {
        (f"account-{name}", name) for name in names
    }


async def test_no_more_share_one_than_may(teller: Teller) -> None:
    together = Together(teller.store, most=2)

    await asyncio.gather(
        *(together.transact(by("ann"), do(Open(account=f"{n}", owner="ann")), []) for n in range(5))
    )

    assert await transactions(teller) == 3


async def test_a_refused_unit_leaves_nothing_and_the_others_alone(teller: Teller) -> None:
    together = Together(teller.store, most=10)
    await teller.do(Open(account="a", owner="ann"))

    first, refused, last = await asyncio.gather(
        together.transact(by("ann"), do(Deposit(account="a", amount=1)), ["account-a"]),
        together.transact(
            by("eve"), do(Deposit(account="a", amount=7), Withdraw(account="a", amount=9999)), ["account-a"]
        ),
        together.transact(by("bob"), do(Deposit(account="a", amount=2)), ["account-a"]),
        return_exceptions=True,
    )

    assert (first, last) == ("a", "a")
    assert isinstance(refused, Rejected)
    account = await teller.account("a")
    assert account is not None
    assert account.balance == 3


async def test_a_unit_that_breaks_is_the_only_one_that_does(teller: Teller) -> None:
    together = Together(teller.store, most=10)

    async def broken(uow: UnitOfWork) -> None:
        await execute_account(uow, Open(account="x", owner="eve"))
        raise ZeroDivisionError

    outcomes = await asyncio.gather(
        together.transact(by("ann"), do(Open(account="a", owner="ann")), []),
        together.transact(by("bob"), do(Open(account="b", owner="bob")), []),
        together.transact(by("eve"), broken, []),
        return_exceptions=True,
    )

    assert list(outcomes[:2]) == ["a", "b"]
    assert isinstance(outcomes[2], ZeroDivisionError)
    assert {event.stream for event in await teller.events()} == {"account-a", "account-b"}


async def test_two_requests_with_one_key_are_one_answer_and_one_refusal(teller: Teller) -> None:
    together = Together(teller.store, most=10)

    def answered(account: str) -> Callable[[UnitOfWork], Awaitable[None]]:
        async def work(uow: UnitOfWork) -> None:
            await execute_account(uow, Open(account=account, owner="ann"))
            uow.answer(replace(ANSWER, body=account.encode()))

        return work

    outcomes = await asyncio.gather(
        together.transact(by("ann"), do(Open(account="first", owner="ann")), []),
        together.transact(by("ann"), answered("a"), []),
        together.transact(by("ann"), answered("b"), []),
        return_exceptions=True,
    )

    assert sorted(type(outcome).__name__ for outcome in outcomes[1:]) == [KeyReused.__name__, "NoneType"]
    assert len(await teller.events()) == 2


async def test_one_that_takes_long_does_not_hold_up_the_next(teller: Teller) -> None:
    together = Together(teller.store, most=10)
    go_on = asyncio.Event()

    async def slow(uow: UnitOfWork) -> None:
        await go_on.wait()
        await execute_account(uow, Open(account="slow", owner="ann"))

    waiting = asyncio.create_task(together.transact(by("ann"), slow, []))
    assert await together.transact(by("bob"), do(Open(account="b", owner="bob")), []) == "b"
    go_on.set()
    await waiting
    assert [event.stream for event in await teller.events()] == ["account-b", "account-slow"]
