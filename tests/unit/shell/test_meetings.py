"""What meets at the same moment, in an order that the test decides: writers, replicas, the relay."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from shared.events.envelope import Cause, Recorded
from shared.messaging.subscription import Do
from shared.store.marks import Reason
from shared.store.unit_of_work import UnitOfWork
from shared.testing.broker import MemoryTopicWriter
from shared.testing.memory.outbox import memory_outbox
from shared.testing.memory.session import Memory
from tests.integration.bank.accounts import ACCOUNT, Deposit, Deposited, Open
from tests.integration.bank.tallies import TALLY, Tally
from tests.unit.shell.bank import AUDITOR, TELLER, Bank, execute_account
from tests.waiting import in_background, until


async def test_who_came_second_decides_on_fresh_state() -> None:
    bank = Bank()
    await bank.do(Open(account="a", owner="ann"))
    seen: list[int] = []

    async def work(uow: UnitOfWork) -> None:
        state = await uow.state(ACCOUNT, "a")
        assert state is not None
        seen.append(state.balance)
        if len(seen) == 1:
            await bank.do(Deposit(account="a", amount=5))
        await execute_account(uow, Deposit(account="a", amount=state.balance))

    await bank.teller.transact(Cause(), work)

    assert seen == [0, 5]
    account = await bank.teller.read(ACCOUNT, "a")
    assert account is not None
    assert account.balance == 10


async def test_replicas_that_add_to_one_stream_both_count() -> None:
    bank = Bank()
    await bank.do(*(Open(account=account, owner="ann") for account in "ab"))
    await bank.do(*(Deposit(account=account, amount=1) for account in "ab"))
    of_a, of_b = ([r for r in bank.records() if r.key == f"account-{account}".encode()] for account in "ab")

    await asyncio.gather(bank.consumer.handle_batch(of_a), bank.consumer.handle_batch(of_b))

    tally = await bank.auditor.read(TALLY, "ann")
    assert tally is not None
    assert (tally.count, tally.total) == (2, 2)


async def test_what_commits_late_is_sent_late() -> None:
    """The one that commits late has the lower position."""
    bank = Bank()
    await bank.do(Open(account="late", owner="ann"), Open(account="early", owner="bob"))
    async with Memory(bank.tellers_memory).transaction() as session:
        uow = UnitOfWork(bank.teller, session, Cause(), bank.clock())
        await execute_account(uow, Deposit(account="late", amount=1))
        await uow.flush()
        await bank.do(Deposit(account="early", amount=1))
        await bank.send_everything()
        assert bank.told() == {"account-early": [1, 2], "account-late": [1]}
    await bank.send_everything()

    assert bank.told() == bank.written()
    assert bank.unsent == 0


async def test_a_topic_that_lost_everything_is_filled_again() -> None:
    bank = Bank()
    await bank.do(*(Open(account=account, owner="ann") for account in "abcd"))
    async with in_background(bank.relay.run):
        await until(lambda: bank.unsent == 0)
        bank.broker.lose_everything()
        await until(lambda: bank.told() == bank.written(), seconds=30)


async def test_a_topic_that_lost_data_and_grew_again_before_anybody_noticed_is_filled_again() -> None:
    """The relay before sent to the new topic and died before it heard the answer."""
    bank = Bank()
    await bank.do(Open(account="a", owner="ann"))
    async with in_background(bank.relay.run):
        await until(lambda: bank.unsent == 0)
    bank.broker.lose_everything()
    await bank.do(Deposit(account="a", amount=1))
    async with memory_outbox(bank.tellers_memory) as outbox:
        unheard = [event for _, event in await outbox.oldest(10)]
    await MemoryTopicWriter(bank.broker, TELLER).send(unheard)

    async with in_background(bank.relay.run):
        await until(lambda: sorted(bank.told()["account-a"]) == [1, 2], seconds=30)


async def test_a_clock_that_is_set_back_loses_nothing() -> None:
    bank = Bank()
    await bank.do(Open(account="a", owner="ann"))
    for amount in (1, 2):
        bank.clock.advance(timedelta(hours=-1))
        await bank.do(Deposit(account="a", amount=amount))

    await bank.consumer.handle_batch(bank.records())
    await bank.consumer.handle_batch(bank.records())

    tally = await bank.auditor.read(TALLY, "ann")
    assert tally is not None
    assert (tally.count, tally.total) == (2, 3)
    assert not bank.auditors_memory.table("parked")


async def test_a_refusal_that_nobody_expects_parks_its_event() -> None:
    bank = Bank()

    def careless(event: Recorded[Any]) -> Iterable[Do]:
        if isinstance(event.data, Deposited):
            yield Do(Tally(owner=event.data.owner, amount=event.data.amount - 1))

    bank.react = careless
    bank.restart()
    await bank.do(Open(account="a", owner="ann"), Deposit(account="a", amount=1))

    await bank.consumer.handle_batch(bank.records())

    (parked,) = bank.auditors_memory.table("parked").values()
    assert (parked.stream, parked.version, parked.reason) == ("account-a", 2, Reason.FAILED)
    assert bank.auditors_memory.table("marks")[AUDITOR, "account-a"].version == 1
