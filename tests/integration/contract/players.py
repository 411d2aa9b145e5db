"""Plays a made-up schedule of three transactions on one memory and writes down all that it answers."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import asyncpg

from shared.store.session import Session
from shared.store.todo import Todo
from tests.integration.bank.accounts import ACCOUNT_ROWS, HOLDINGS, Withdrawn
from tests.integration.contract.facts import (
    CONSUMER,
    LEASE,
    NOW,
    account,
    account_row,
    answer,
    append,
    effect,
    parked,
    recorded,
    timer,
    versions,
)
from tests.integration.contract.places import Place, Transaction
from tests.integration.contract.test_rows import CLOSING
from tests.waiting import until

SLOTS = 3
Step = tuple[int, str, tuple[Any, ...]]
"""Which transaction does what with which arguments."""


class Unclear(Exception):  # noqa: N818
    """From here on the contract leaves open who is first."""


def schedule(seed: int) -> Iterator[Step]:
    """Steps without end."""
    source = random.Random(seed)
    kinds = source.sample(sorted(STATEMENTS), 5)
    while True:
        slot = source.randrange(SLOTS)
        if source.random() < 0.25:
            yield slot, source.choice(("commit", "commit", "rollback")), ()
        else:
            kind = source.choice(kinds)
            yield slot, kind, tuple(source.choice(values) for values in STATEMENTS[kind][1])


class Player:
    """Three transactions on one memory, and what waits."""

    def __init__(self, place: Place) -> None:
        self.held: dict[str, Todo] = {}
        self._place = place
        self._open: dict[int, Transaction] = {}
        self._pending: dict[int, asyncio.Task[Any]] = {}

    async def take(self, step: Step) -> list[Any]:
        """Take a step and give what it and those that waited answer. Raises Unclear."""
        slot, kind, arguments = step
        if slot in self._pending:
            return ["is waiting"]
        if kind in ("commit", "rollback"):
            return [await self._end(slot, kind), *await self._settled()]
        if slot not in self._open:
            self._open[slot] = await Transaction(self._place).begin()
        work = STATEMENTS[kind][0](self, self._open[slot].session, *arguments)
        self._pending[slot] = asyncio.ensure_future(work)
        return await self._settled()

    async def close(self) -> None:
        """Roll everything back."""
        for slot in [*self._open]:
            if slot not in self._pending:
                await self._end(slot, "rollback")
        while self._pending:
            with suppress(Unclear):
                await self._settled()
            for slot in [slot for slot in self._open if slot not in self._pending]:
                await self._end(slot, "rollback")

    async def _end(self, slot: int, how: str) -> Any:
        transaction = self._open.pop(slot, None)
        if transaction is None:
            return "nothing to end"
        await (transaction.commit() if how == "commit" else transaction.rollback())
        async with self._place.backend.session() as session:
            return [await read(self, session) for read in READ.values()]

    async def _settled(self) -> list[Any]:
        """Wait until each pending statement is answered or waits for another transaction.

        A transaction whose statement fails is rolled back, which may let others go on.
        """
        answers: dict[int, Any] = {}
        while True:
            for slot, task in self._pending.items():
                await until(partial(self._is_settled, slot, task), poll=0.0005)
            done = [slot for slot, task in self._pending.items() if task.done()]
            for slot in done:
                answers[slot] = await self._answer(slot)
            if not done:
                break
        if len(self._pending) > 1:
            raise Unclear
        return [sorted(answers.items()), sorted(self._pending)]

    async def _is_settled(self, slot: int, task: asyncio.Task[Any]) -> bool:
        return task.done() or await self._place.waits(self._open[slot].session)

    async def _answer(self, slot: int) -> Any:
        task = self._pending.pop(slot)
        error = task.exception()
        if error is None:
            return task.result()
        await self._open.pop(slot).rollback()
        if isinstance(error, asyncpg.DeadlockDetectedError):
            raise Unclear
        return type(error).__name__


async def _claim(player: Player, session: Session, later: int) -> Any:
    claimed = await session.claim_todo(NOW + timedelta(seconds=later), 10, LEASE)
    player.held |= {row.stream: row for row in claimed}
    return sorted((row.stream, row.kind, row.due, row.attempts) for row in claimed)


async def _finish(player: Player, session: Session, name: str) -> Any:
    held = player.held.get(f"account-{name}")
    return held and await session.finish_todo(held)


async def _postpone(player: Player, session: Session, name: str, later: int) -> Any:
    held = player.held.get(f"account-{name}")
    return held and await session.postpone_todo(held, NOW + timedelta(seconds=later), "later")


async def _move(_player: Player, session: Session, *streams: str) -> Any:
    marks = await session.lock_marks(CONSUMER, streams)
    await session.move_marks(
        CONSUMER, {stream: mark._replace(version=mark.version + 1) for stream, mark in marks.items()}
    )
    return marks


async def _parked(_player: Player, session: Session) -> Any:
    waiting = await session.parked_of(CONSUMER, [f"account-{name}" for name in NAMES])
    return sorted((place, row.attempts, row.retry_at) for place, row in waiting.items())


async def _due(_player: Player, session: Session) -> Any:
    due = await session.parked_due(CONSUMER, NOW, 10)
    return sorted((row.stream, row.version) for row in due)


async def _close(_player: Player, session: Session, owner: str) -> Any:
    return await session.project(CLOSING, [recorded("account-z", 1, Withdrawn(owner=owner, amount=1))])


NAMES = ("a", "b")
_SOON = (-1, 0, 1, 40)
Statement = Callable[..., Awaitable[Any]]

STATEMENTS: Mapping[str, tuple[Statement, tuple[tuple[Any, ...], ...]]] = {
    "append": (
        lambda _p, s, name, version: append(s, account(name, first=version, last=version)),
        (NAMES, (1, 2, 3)),
    ),
    "load": (lambda _p, s, name: versions(s, f"account-{name}"), (NAMES,)),
    "lock streams": (lambda _p, s, name: s.lock_streams([name]), (NAMES,)),
    "insert": (
        lambda _p, s, name, n: s.insert(ACCOUNT_ROWS, account_row(name, balance=n)),
        (NAMES, (1, 2, 3)),
    ),
    "update": (
        lambda _p, s, name, n: s.update(ACCOUNT_ROWS, account_row(name, balance=n)),
        (NAMES, (4, 5, 6)),
    ),
    "find": (lambda _p, s, name: s.find(ACCOUNT_ROWS, (f"account-{name}",)), (NAMES,)),
    "lock row": (lambda _p, s, name: s.find(ACCOUNT_ROWS, (f"account-{name}",), lock=True), (NAMES,)),
    "query": (lambda _p, s: s.query(ACCOUNT_ROWS, "balance > $1 ORDER BY account", 1), ()),
    "project": (
        lambda _p, s, owner, times: s.project(HOLDINGS, account("x", last=times, owner=owner)),
        (NAMES, (1, 2)),
    ),
    "project rows": (lambda _p, s, name: s.project(ACCOUNT_ROWS, account(name)), (NAMES,)),
    "close": (_close, (NAMES,)),
    "lock holding": (lambda _p, s, name: s.find(HOLDINGS, (name,), lock=True), (NAMES,)),
    "add effects": (lambda _p, s, *names: s.add_todo([effect(name) for name in names]), (NAMES, NAMES)),
    "add timer": (
        lambda _p, s, name, later: s.add_todo([timer(name, due=NOW + timedelta(seconds=later))]),
        (NAMES, _SOON),
    ),
    "remove timer": (lambda _p, s, name: s.remove_timers([timer(name).todo_id]), (NAMES,)),
    "claim": (_claim, (_SOON,)),
    "finish": (_finish, (NAMES,)),
    "postpone": (_postpone, (NAMES, _SOON)),
    "lock marks": (lambda _p, s, *names: s.lock_marks(CONSUMER, names), (NAMES, NAMES)),
    "move marks": (_move, (NAMES, NAMES)),
    "park": (
        lambda _p, s, name, version, n: s.park(CONSUMER, [parked(name, version, attempts=n)]),
        (NAMES, (1, 2), (0, 1, 2)),
    ),
    "unpark": (
        lambda _p, s, name, version: s.unpark(CONSUMER, [(f"account-{name}", version)]),
        (NAMES, (1, 2)),
    ),
    "parked": (_parked, ()),
    "due": (_due, ()),
    "remember": (lambda _p, s, key, status: s.remember(answer(key, status=status)), (NAMES, (200, 201))),
    "recall": (lambda _p, s, key: s.recall("ann", "POST /accounts", key), (NAMES,)),
}

READ: Mapping[str, Statement] = {
    "streams": lambda _p, s: _both(versions(s, "account-a"), versions(s, "account-b")),
    "rows": lambda _p, s: s.query(ACCOUNT_ROWS, "true ORDER BY account"),
    "holdings": lambda _p, s: s.query(HOLDINGS, "true ORDER BY owner"),
    "parked": _parked,
    "due": _due,
    "answers": lambda _p, s: _both(*(s.recall("ann", "POST /accounts", key) for key in NAMES)),
}


async def _both(*reads: Awaitable[Any]) -> list[Any]:
    return [await read for read in reads]
