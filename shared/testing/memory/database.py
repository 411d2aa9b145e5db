"""What a service's memory keeps in a simulation: committed rows, transactions over them, and their locks.

READ COMMITTED: a statement sees what is committed when it runs, and its own transaction's writes. Writing or
locking a row that another transaction has written waits for that transaction; a circle of waiting is a
deadlock. Positions are given when an event is inserted, not when it is committed.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from shared.events.envelope import Recorded
from shared.store.readmodel import Key

Place = tuple[Any, ...]
"""A table's name and a primary key."""

GONE = object()
"""What a transaction has written where it has deleted a row."""

Wire = Callable[[str], Awaitable[None]]
"""Called when a statement is sent and when its answer comes back, so that a simulation can wait, fail or
crash there; raising from it loses the connection."""


async def quiet(_what: str) -> None:
    """A wire on which nothing happens but that others get their turn."""
    await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Stored:
    """A row of the events table."""

    position: int
    event: Recorded[bytes]


class Database:
    """What outlives every process: one service's committed rows, and the locks of open transactions."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.clock = clock
        self.rows: dict[str, dict[Place, Any]] = {}
        self.streams: dict[str, list[Stored]] = {}
        self.locks: dict[Place, Transaction] = {}
        self.position = 0
        self.leader: object | None = None
        self.away = False
        self.life = 0

    def still_lives(self, life: int) -> None:
        """Raise as the driver does, if a connection made in this life has been lost since."""
        if life != self.life:
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    def restart(self) -> None:
        """What an immediate stop does: open transactions are rolled back, every connection is lost."""
        self.life += 1
        self.leader = None
        for transaction in set(self.locks.values()):
            transaction.fail()

    def table(self, name: str) -> dict[Place, Any]:
        """The committed rows of a table, by key."""
        return self.rows.setdefault(name, {})

    def events(self) -> list[Recorded[bytes]]:
        """Every committed event, by position."""
        stored = [each for stream in self.streams.values() for each in stream]
        return [each.event for each in sorted(stored, key=lambda each: each.position)]


class Transaction:
    """Uncommitted writes over a database, and the locks that they hold."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.writes: dict[Place, Any] = {}
        self.held: list[Place] = []
        self.waits_for: Transaction | None = None
        self.ended: asyncio.Event = asyncio.Event()
        self.failed = False
        self.life = database.life

    def get(self, table: str, key: Key) -> Any:
        """The row as this transaction sees it now, or None."""
        place = (table, *key)
        if place in self.writes:
            value = self.writes[place]
            return None if value is GONE else value
        return self.database.table(table).get(key)

    def all(self, table: str) -> dict[Place, Any]:
        """All rows of a table as this transaction sees them now."""
        rows = dict(self.database.table(table))
        for place, value in self.writes.items():
            if place[0] == table:
                if value is GONE:
                    rows.pop(place[1:], None)
                else:
                    rows[place[1:]] = value
        return rows

    async def lock(self, *place: Any) -> None:
        """Wait until nobody else has written or locked this, and keep others from it until the end."""
        while (holder := self.database.locks.get(place)) not in (None, self):
            await self._wait_for(holder, place)
        if place not in self.database.locks:
            self.database.locks[place] = self
            self.held.append(place)

    async def settled(self, table: str, key: Key) -> None:
        """Wait until nobody else has written this row, though others may have locked it."""
        place = (table, *key)
        while (holder := self.database.locks.get(place)) not in (None, self):
            if place not in holder.writes and key in self.database.table(table):
                return
            await self._wait_for(holder, place)

    async def _wait_for(self, holder: "Transaction", place: Place) -> None:
        self.waits_for = holder
        try:
            if self._in_a_circle():
                raise asyncpg.DeadlockDetectedError(f"deadlock detected at {place}")
            await holder.ended.wait()
        finally:
            self.waits_for = None
        self.database.still_lives(self.life)

    def _in_a_circle(self) -> bool:
        follower = self.waits_for
        while follower is not None:
            if follower is self:
                return True
            follower = follower.waits_for
        return False

    async def put(self, table: str, key: Key, value: Any) -> None:
        """Write a row."""
        await self.lock(table, *key)
        self.writes[(table, *key)] = value

    async def drop(self, table: str, key: Key) -> None:
        """Delete a row, if this transaction sees it."""
        if self.get(table, key) is None:
            return
        await self.lock(table, *key)
        if self.get(table, key) is not None:
            self.writes[(table, *key)] = GONE

    def commit(self) -> None:
        """Make every write visible at once."""
        for (table, *key), value in self.writes.items():
            if table == "events":
                self.database.streams.setdefault(key[0], []).append(value)
            rows = self.database.table(table)
            if value is GONE:
                rows.pop(tuple(key), None)
            else:
                rows[tuple(key)] = value
        self.end()

    def fail(self) -> None:
        """Nothing of this transaction will stay: give way to others at once."""
        self.failed = True
        self.end()

    def end(self) -> None:
        """Release the locks; what was not committed is gone."""
        for place in self.held:
            self.database.locks.pop(place, None)
        self.held.clear()
        self.ended.set()


class Connection:
    """A way to the database. When `wire` raises or the database restarts, it is lost for ever."""

    def __init__(self, database: Database, wire: Wire, on_lost: Callable[[], None]) -> None:
        self._database = database
        self._wire = wire
        self._on_lost = on_lost
        self._life = database.life
        self._lost = False

    async def say(self, what: str) -> None:
        """Let something pass. Raises what the wire raises, and InterfaceError ever after."""
        if self._lost:
            raise asyncpg.InterfaceError("connection is closed")
        try:
            await self._wire(what)
            self._database.still_lives(self._life)
        except BaseException:
            self._lost = True
            self._on_lost()
            raise

    @asynccontextmanager
    async def asking(self, what: str) -> AsyncIterator[None]:
        """The block is what the database does between a question and its answer."""
        await self.say(what)
        yield
        await self.say(f"{what}: answer")
