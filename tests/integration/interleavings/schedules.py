"""Real transactions taken step by step, in every order that there is.

A step is what a transaction does from one gate to the next; gates stand before the statements that a test
names and before every commit. A transaction that waits for another's lock, as Postgres itself tells, has no
turn until it gets the lock. Orders are enumerated depth first: each run repeats the choices of the one before
up to the last place where another transaction could have gone on, and lets that one go on.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from shared.store.connection import connect
from tests.waiting import pause

Connection = Any
EVENTS = re.compile(r"\b(FROM|INTO) events\b")
"""Statements that load or append."""
APPENDS = re.compile(r"\bINSERT INTO events\b")
EVERY = re.compile("")
LONGEST_RUN_S = 20.0


class Turnstile:
    """Where a transaction waits for its turn."""

    def __init__(self) -> None:
        self.waiting_for: str | None = None
        self._go = asyncio.Event()

    async def step(self, what: str) -> None:
        """Wait before `what` until it is this transaction's turn."""
        self.waiting_for = what
        await self._go.wait()
        self._go.clear()

    def grant(self) -> str:
        """Let it do what it waits for, and go on to the next gate."""
        granted, self.waiting_for = self.waiting_for or "", None
        self._go.set()
        return granted


class GatedConnection:
    """A connection whose statements that match `gates`, and whose commits, wait for their turn."""

    def __init__(self, real: Connection, turnstile: Turnstile, gates: re.Pattern[str]) -> None:
        self._real, self._turnstile, self._gates = real, turnstile, gates

    def __getattr__(self, name: str) -> Any:
        """Statements by way of the turnstile, all else as it is."""
        there = getattr(self._real, name)
        if name not in ("execute", "executemany", "fetch", "fetchrow", "fetchval"):
            return there

        async def gated(statement: str, *arguments: Any, **more: Any) -> Any:
            if self._gates.search(statement):
                await self._turnstile.step(" ".join(statement.split())[:60])
            return await there(statement, *arguments, **more)

        return gated

    def transaction(self, **more: Any) -> "GatedTransaction":
        """A transaction whose commit is a step."""
        return GatedTransaction(self._real.transaction(**more), self._turnstile)


class GatedTransaction:
    """The driver's transaction, which waits for its turn to commit."""

    def __init__(self, real: Any, turnstile: Turnstile) -> None:
        self._real, self._turnstile = real, turnstile
        self.start, self.rollback = real.start, real.rollback

    async def commit(self) -> None:
        """Commit in its turn."""
        await self._turnstile.step("COMMIT")
        await self._real.commit()

    async def __aenter__(self) -> None:
        await self.start()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await (self.commit() if kind is None else self.rollback())


class GatedPool:
    """A pool of one gated connection."""

    def __init__(self, connection: GatedConnection) -> None:
        self._connection = connection

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[GatedConnection]:
        """The connection."""
        yield self._connection


Work = Callable[[GatedPool], Awaitable[Any]]
"""What one transaction does, by way of a pool whose every step it has to wait for."""


@dataclass
class Player:
    """One transaction under way."""

    turnstile: Turnstile
    task: asyncio.Task[Any]
    pid: int
    started: bool = False


@dataclass
class Run:
    """One order of steps and what came of it: each transaction's answer, or what it raised."""

    choices: list[tuple[int, list[int]]] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    outcomes: list[Any] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join([*self.steps, repr(self.outcomes)])


class Stage:
    """Connections on which transactions are played, and one that watches them."""

    def __init__(self, connections: Sequence[Connection], admin: Connection) -> None:
        self._connections = connections
        self._admin = admin

    async def every_order(
        self,
        scene: Callable[[int], Awaitable[Sequence[Work]]],
        check: Callable[[int, Run], Awaitable[None]],
        *,
        gates: re.Pattern[str] = EVENTS,
        alike: bool = False,
        most: int = 5000,
    ) -> int:
        """Play the transactions of `scene(number)` once in each order, and `check` each; gives how many.

        `alike`: the transactions do the same, so those that have not begun are interchangeable.
        """
        prefix: list[int] | None = []
        number = 0
        while prefix is not None:
            assert number < most, f"more than {most} orders"
            async with asyncio.timeout(LONGEST_RUN_S):
                run = await self._play(await scene(number), prefix, gates, alike)
            await check(number, run)
            number += 1
            prefix = _next(run.choices)
        return number

    async def _play(
        self, works: Sequence[Work], prefix: Sequence[int], gates: re.Pattern[str], alike: bool
    ) -> Run:
        run = Run()
        players = []
        for work, connection in zip(works, self._connections, strict=False):
            turnstile = Turnstile()
            pool = GatedPool(GatedConnection(connection, turnstile, gates))
            task = asyncio.ensure_future(work(pool))
            players.append(Player(turnstile, task, connection.get_server_pid()))
        while ready := await self._settled(players):
            if alike:
                first = next((n for n in ready if not players[n].started), None)
                ready = [n for n in ready if players[n].started or n == first]
            place = len(run.choices)
            chosen = prefix[place] if place < len(prefix) else ready[0]
            assert chosen in ready, f"the order cannot be repeated\n{run}"
            run.choices.append((chosen, ready))
            players[chosen].started = True
            run.steps.append(f"{chosen}: {players[chosen].turnstile.grant()}")
        run.outcomes = await asyncio.gather(*(p.task for p in players), return_exceptions=True)
        return run

    async def _settled(self, players: Sequence[Player]) -> list[int]:
        """Who waits for a turn, once all others have ended or wait for a lock; nobody once all have ended."""
        while True:
            await pause(0)
            moving = [p for p in players if p.turnstile.waiting_for is None and not p.task.done()]
            ready = [n for n, p in enumerate(players) if p.turnstile.waiting_for is not None]
            if not moving or (ready and await self._blocked(moving)):
                return ready

    async def _blocked(self, players: Sequence[Player]) -> bool:
        blocked: int = await self._admin.fetchval(
            "SELECT count(*) FROM unnest($1::int[]) AS pid WHERE cardinality(pg_blocking_pids(pid)) > 0",
            [player.pid for player in players],
        )
        return blocked == len(players)


def _next(choices: Sequence[tuple[int, list[int]]]) -> list[int] | None:
    """The choices of the next order, up to the last place where there is another choice; None at the end."""
    for place in reversed(range(len(choices))):
        chosen, ready = choices[place]
        if later := [n for n in ready if n > chosen]:
            return [*(each for each, _ in choices[:place]), later[0]]
    return None


@asynccontextmanager
async def stage(url: str, admin: "asyncpg.Connection[asyncpg.Record]", size: int = 3) -> AsyncIterator[Stage]:
    """A stage for up to `size` transactions on this database."""
    connections = [await connect(url, name="player") for _ in range(size)]
    try:
        yield Stage(connections, admin)
    finally:
        for connection in connections:
            await connection.close()
