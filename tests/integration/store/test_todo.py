"""The todo table and its worker: timers, own reactions and effects, each done once in effect."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from shared.domain import Rejected
from shared.store import todo
from shared.store.errors import CONNECTION_LOST
from shared.store.todo import Todo
from shared.store.unit_of_work import UnitOfWork
from shared.store.worker import Duties, Unavailable
from tests.integration.bank.accounts import (
    GRACE,
    Deposit,
    Deposited,
    LetterSent,
    Open,
    RecordLetter,
    Remind,
    Reminded,
    Withdraw,
)
from tests.integration.bank.services import Teller, execute_account
from tests.waiting import in_background, until

pytestmark = pytest.mark.integration


class Post:
    """The outside world: delivers letters, and may fail."""

    def __init__(self) -> None:
        self.keys: list[UUID] = []
        self.failures: list[Exception] = []

    async def letter(self, row: Todo) -> Sequence[Any]:
        self.keys.append(row.todo_id)
        if self.failures:
            raise self.failures.pop(0)
        return [RecordLetter(account=row.stream.removeprefix("account-"), letter_id=row.todo_id)]


def duties(post: Post, **changes: Any) -> Duties:
    everything: dict[str, Any] = {
        "execute": execute_account,
        "commands": [Deposit],
        "effects": {"letter": post.letter},
        "on_deadline": {"account": lambda state, _timer, _now: Remind(account=state.owner)},
    }
    return Duties(**{**everything, **changes})


async def rows(teller: Teller) -> list[tuple[str, str]]:
    """Kind and name of what is to do."""
    found = await teller.store.pool.fetch("SELECT kind, name FROM todo ORDER BY kind, name")
    return [(row["kind"], row["name"]) for row in found]


async def timer_due(teller: Teller) -> Any:
    return await teller.store.pool.fetchval("SELECT due FROM todo WHERE kind = 'TIMER'")


async def data(teller: Teller) -> list[object]:
    return [event.data for event in await teller.events()]


async def test_a_deadline_sets_moves_and_removes_its_timer(teller: Teller) -> None:
    await teller.do(Open(account="ann", owner="ann"))
    assert await rows(teller) == []

    await teller.do(Withdraw(account="ann", amount=10))
    first = await timer_due(teller)
    assert first == (await teller.events())[-1].occurred_at + GRACE

    await teller.do(Withdraw(account="ann", amount=10))
    assert await timer_due(teller) == (await teller.events())[-1].occurred_at + GRACE > first

    await teller.do(Deposit(account="ann", amount=20))
    assert await rows(teller) == []


async def test_a_timer_fires_when_its_time_has_come_and_once(teller: Teller) -> None:
    worker = teller.worker(duties(Post()))
    await teller.do(Open(account="ann", owner="ann"), Withdraw(account="ann", amount=10))

    assert await worker.run_due() == 0
    teller.clock.advance(GRACE)
    assert await worker.run_due() == 1
    assert await worker.run_due() == 0

    assert (await data(teller))[2:] == [Reminded(owner="ann")]
    assert await rows(teller) == []


@pytest.mark.parametrize("limit", [1, 5])
async def test_no_more_is_claimed_than_asked_for_however_it_is_planned(teller: Teller, limit: int) -> None:
    names = [f"owner{n}" for n in range(20)]
    for name in names:
        await teller.do(Open(account=name, owner=name), Withdraw(account=name, amount=10))
    teller.clock.advance(GRACE)
    claimed: list[UUID] = []
    async with teller.store.pool.acquire() as connection:
        for plan in ("hashjoin", "mergejoin", "material", "hashagg", "sort", "incremental_sort"):
            await connection.execute(f"SET enable_{plan} = off")
        while rows := await todo.claim(connection, teller.clock(), limit, timedelta(seconds=30)):
            assert len(rows) == limit
            claimed += [row.todo_id for row in rows]
        await connection.execute("RESET ALL")
    assert len(claimed) == len(set(claimed)) == len(names)


async def test_a_timer_whose_state_moved_on_meanwhile_decides_nothing(teller: Teller) -> None:
    worker = teller.worker(duties(Post()))
    await teller.do(Open(account="ann", owner="ann"), Withdraw(account="ann", amount=10))
    teller.clock.advance(GRACE)
    async with teller.store.pool.acquire() as connection:
        (claimed,) = await todo.claim(connection, teller.clock(), 1, timedelta(seconds=30))
    await teller.do(Withdraw(account="ann", amount=1))

    await worker.perform(claimed)

    assert Reminded(owner="ann") not in await data(teller)
    assert await timer_due(teller) == (await teller.events())[-1].occurred_at + GRACE


async def test_a_timer_that_comes_before_its_deadline_is_moved_to_it(teller: Teller) -> None:
    """As if a policy gave more time than it did when the timer was set."""
    await teller.do(Open(account="ann", owner="ann"), Withdraw(account="ann", amount=10))
    await teller.store.pool.execute("UPDATE todo SET due = $1", teller.clock())

    assert await teller.worker(duties(Post())).run_due() == 1

    assert Reminded(owner="ann") not in await data(teller)
    assert await timer_due(teller) == (await teller.events())[-1].occurred_at + GRACE


async def test_a_deadline_that_a_command_leaves_open_is_looked_at_again_later(teller: Teller) -> None:
    worker = teller.worker(duties(Post(), on_deadline={"account": lambda *_: None}))
    await teller.do(Open(account="ann", owner="ann"), Withdraw(account="ann", amount=10))
    teller.clock.advance(GRACE)

    assert await worker.run_due() == 1

    assert await rows(teller) == [("TIMER", "remind")]
    assert await timer_due(teller) > teller.clock()


async def test_a_timer_may_want_an_effect(teller: Teller) -> None:
    post = Post()
    wanted = duties(
        post, on_deadline={"account": lambda state, *_: todo.effect("letter", f"account-{state.owner}")}
    )
    await teller.do(Open(account="ann", owner="ann"), Withdraw(account="ann", amount=10))
    teller.clock.advance(GRACE)

    await teller.worker(wanted).run_due()

    assert len(post.keys) == 1
    assert (await data(teller))[-1] == LetterSent(owner="ann", letter_id=post.keys[0])


async def test_an_own_event_asks_for_a_command_which_runs_once(teller: Teller) -> None:
    await teller.do(Open(account="ann", owner="ann", bonus=50))
    assert await rows(teller) == [("COMMAND", "Deposit")]

    assert await teller.worker(duties(Post())).run_due() == 1

    opened, bonus = await teller.events()
    assert bonus.data == Deposited(owner="ann", amount=50, memo="bonus")
    assert bonus.causation_id == opened.event_id
    assert bonus.correlation_id == opened.correlation_id
    assert await rows(teller) == []


async def test_a_crash_between_call_and_record_repeats_the_call_with_the_same_key(teller: Teller) -> None:
    post = Post()
    worker = teller.worker(duties(post), lease_s=30)
    await teller.do(Open(account="ann", owner="ann"), Withdraw(account="ann", amount=600))
    called = asyncio.Event()

    async def crash_after_call(row: Todo) -> Sequence[Any]:
        await post.letter(row)
        called.set()
        await asyncio.Event().wait()
        raise AssertionError

    crashing = asyncio.create_task(
        teller.worker(duties(post, effects={"letter": crash_after_call})).run_due()
    )
    await called.wait()
    crashing.cancel()
    await asyncio.wait([crashing])
    assert await worker.run_due() == 0, "the lease still runs"
    teller.clock.advance(timedelta(seconds=31))

    assert await worker.run_due() == 1

    assert len(post.keys) == 2
    assert len(set(post.keys)) == 1
    assert (await data(teller))[2:] == [LetterSent(owner="ann", letter_id=post.keys[0])]
    assert ("EFFECT", "letter") not in await rows(teller)


async def test_a_worker_that_lost_its_lease_records_nothing(teller: Teller) -> None:
    outcomes: list[str] = []
    worker = teller.worker(duties(Post()), on_done=lambda _row, outcome: outcomes.append(outcome))
    await teller.do(Open(account="ann", owner="ann", bonus=50))
    async with teller.store.pool.acquire() as connection:
        (slow,) = await todo.claim(connection, teller.clock(), 1, timedelta(seconds=1))
        assert await todo.claim(connection, teller.clock(), 1, timedelta(seconds=1)) == []
        teller.clock.advance(timedelta(seconds=2))
        (quick,) = await todo.claim(connection, teller.clock(), 1, timedelta(seconds=1))

    await worker.perform(slow)
    await worker.perform(quick)
    await worker.perform(quick)

    assert outcomes == ["lease_lost", "done", "lease_lost"]
    assert (await data(teller))[1:] == [Deposited(owner="ann", amount=50, memo="bonus")]


async def test_two_workers_at_the_same_time_do_each_row_once(teller: Teller) -> None:
    await teller.do(*(Open(account=f"a{n}", owner="ann", bonus=1) for n in range(30)))

    async with asyncio.timeout(30):
        counts = await asyncio.gather(*(teller.worker(duties(Post())).run_due() for _ in range(3)))

    assert sum(counts) == 30
    assert await teller.store.pool.fetchval("SELECT total FROM holdings") == 30


async def test_an_outside_that_gives_no_answer_is_asked_again_with_the_same_key(teller: Teller) -> None:
    post = Post()
    post.failures = [Unavailable("no answer"), RuntimeError("a bug")]
    worker = teller.worker(duties(post))
    await teller.do(Open(account="ann", owner="ann"), Withdraw(account="ann", amount=600))

    for _ in range(3):
        assert await worker.run_due() == 1
        teller.clock.advance(timedelta(seconds=10))

    assert len(post.keys) == 3
    assert len(set(post.keys)) == 1
    assert (await data(teller))[2:] == [LetterSent(owner="ann", letter_id=post.keys[0])]


async def test_an_unexpected_refusal_is_retried_and_not_lost(teller: Teller) -> None:
    refuse = True

    async def execute(uow: UnitOfWork, command: Any) -> None:
        if refuse:
            raise Rejected("closed", "not today")
        await execute_account(uow, command)

    worker = teller.worker(duties(Post(), execute=execute))
    await teller.do(Open(account="ann", owner="ann", bonus=50))

    assert await worker.run_due() == 1
    error = await teller.store.pool.fetchval("SELECT last_error FROM todo")
    refuse = False
    teller.clock.advance(timedelta(seconds=10))
    assert await worker.run_due() == 1

    assert "closed" in error
    assert (await data(teller))[1:] == [Deposited(owner="ann", amount=50, memo="bonus")]


async def test_an_expected_refusal_ends_the_row(teller: Teller) -> None:
    async def execute(_uow: UnitOfWork, _command: Any) -> None:
        raise Rejected("closed", "not today")

    expecting = duties(Post(), execute=execute, expected={Deposit: frozenset({"closed"})})
    await teller.do(Open(account="ann", owner="ann", bonus=50))

    assert await teller.worker(expecting).run_due() == 1

    assert await rows(teller) == []


async def test_the_running_worker_wakes_for_what_is_written_and_survives_a_lost_database(
    teller: Teller, admin: Any
) -> None:
    post = Post()
    worker = teller.worker(duties(post), poll_s=0.2)

    async def opened(account: str) -> bool:
        try:
            await teller.do(Open(account=account, owner=account, bonus=5))
        except CONNECTION_LOST:
            return False
        return True

    async with in_background(worker.run):
        await teller.do(Open(account="ann", owner="ann"), Withdraw(account="ann", amount=600))
        await until(lambda: len(post.keys) == 1)
        await admin.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1",
            teller.database.service,
        )
        await until(lambda: opened("bob"))

        async def bonus_given() -> bool:
            account = await teller.account("bob")
            return account is not None and account.balance == 5

        await until(bonus_given)
