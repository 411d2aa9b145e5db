"""The todo worker: runs due timers, own reactions and effects, each until its outcome is recorded."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import asyncpg
import structlog
from pydantic import TypeAdapter

from shared.domain import Rejected, category_of, key_of
from shared.events.envelope import Cause
from shared.store.errors import CONNECTION_LOST, LeaseLost
from shared.store.store import Store
from shared.store.todo import Kind, Todo, Wanted
from shared.store.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

FIRST_RETRY_S = 0.25
LONGEST_RETRY_S = 300.0
GATHER_S = 0.02
"""With all hands full, so long is waited for more of them to be free, so that a claim is for several rows."""
TIMER_REPEAT = timedelta(seconds=60)
"""A deadline that its state still asks for after it fired is looked at again after this time."""


class Unavailable(Exception):  # noqa: N818
    """The outside gave no answer that can be recorded; the effect is tried again with the same key."""


class Execute(Protocol):
    """Runs one command of the service inside a unit of work. Raises Rejected."""

    async def __call__(self, uow: UnitOfWork, command: Any) -> None: ...


Effect = Callable[[Todo], Awaitable[Sequence[Any]]]
"""Makes one outside call and gives the commands that record its outcome. Raises Unavailable."""

OnDeadline = Callable[[Any, str, datetime], Any]
"""(state, timer, now) -> a command, a Wanted effect, or None if nothing is to be decided.

Where a state does not know its own id, a function that gives the command for the stream's key.
"""


@dataclass(frozen=True)
class Duties:
    """What a worker can do: commands by type, effects by name, deadlines by stream category.

    `expected` names the refusals that a command from this table may get; any other is a bug and is retried,
    logged and shown as overdue. `streams` names those that a command will decide over, as far as known.
    """

    execute: Execute
    commands: Sequence[type[Any]] = ()
    effects: Mapping[str, Effect] = ()  # type: ignore[assignment]
    on_deadline: Mapping[str, OnDeadline] = ()  # type: ignore[assignment]
    expected: Mapping[type[Any], frozenset[str]] = ()  # type: ignore[assignment]
    streams: Callable[[Any], Iterable[str]] = lambda _command: ()


class Worker:
    """Works off one service's todo table; any number may run side by side."""

    def __init__(
        self,
        store: Store,
        duties: Duties,
        *,
        concurrency: int = 8,
        poll_s: float = 0.2,
        lease_s: float = 30.0,
        on_done: Callable[[Todo, str], None] = lambda _row, _outcome: None,
    ) -> None:
        self._store = store
        self._duties = duties
        self._concurrency = concurrency
        self._poll_s = poll_s
        self._lease = timedelta(seconds=lease_s)
        self._on_done = on_done
        self._adapters = {kind.__name__: TypeAdapter(kind) for kind in duties.commands}

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; rows in hand are finished first. Survives a lost database."""
        running: set[asyncio.Task[None]] = set()
        while not stop.is_set():
            self._store.todo_written.clear()
            free = self._concurrency - len(running)
            rows = await self._claim(free)
            for row in rows:
                task = asyncio.create_task(self.perform(row))
                running.add(task)
                task.add_done_callback(running.discard)
            if len(rows) < free:
                await self._pause(stop)
            else:
                await self._until_some_are_done(running)
        if running:
            await asyncio.wait(running)

    async def run_due(self) -> int:
        """Perform what is due now, one after another, and give how many rows that were."""
        count = 0
        while rows := await self._claim(1):
            await self.perform(rows[0])
            count += 1
        return count

    async def perform(self, row: Todo) -> None:
        """Do one row: its outcome and its deletion are one transaction, a failure gives it back for later."""
        try:
            outcome = await self._do(row)
        except LeaseLost:
            outcome = "lease_lost"
        except asyncio.CancelledError:
            raise
        except Unavailable as error:
            outcome = await self._retry_later(row, f"unavailable: {error}")
        except Rejected as refusal:
            log.error("todo_rejected", todo=row.name, stream=row.stream, code=refusal.code)
            outcome = await self._retry_later(row, str(refusal))
        except CONNECTION_LOST as error:
            outcome = await self._retry_later(row, repr(error))
        except Exception as error:
            log.exception("todo_failed", todo=row.name, stream=row.stream)
            outcome = await self._retry_later(row, repr(error))
        self._on_done(row, outcome)

    async def _do(self, row: Todo) -> str:
        cause = Cause(correlation_id=row.correlation_id, causation_id=row.causation_id or row.todo_id)
        if row.kind is Kind.TIMER:
            await self._store.transact(cause, lambda uow: self._fire(uow, row, cause), streams=[row.stream])
            return "done"
        if row.kind is Kind.EFFECT:
            outcome: Sequence[Any] = await self._duties.effects[row.name](row)
        else:
            outcome = [self._adapters[row.name].validate_python(row.payload)]

        async def record(uow: UnitOfWork) -> None:
            for command in outcome:
                await self._execute(uow, command, cause)
            uow.finish(row)

        streams = [stream for command in outcome for stream in self._duties.streams(command)]
        await self._store.transact(cause, record, streams=streams)
        return "done"

    async def _execute(self, uow: UnitOfWork, command: Any, cause: Cause) -> None:
        try:
            with uow.attempt(cause):
                await self._duties.execute(uow, command)
        except Rejected as refusal:
            if refusal.code not in dict(self._duties.expected).get(type(command), ()):
                raise

    async def _fire(self, uow: UnitOfWork, row: Todo, cause: Cause) -> None:
        decider = self._store.decider_of(row.stream)
        key = key_of(row.stream)
        state: Any = await uow.state(decider, key)
        due = decider.deadlines(state).get(row.name) if state is not None else None
        if due is not None and due <= uow.now:
            wanted = self._duties.on_deadline[category_of(row.stream)](state, row.name, uow.now)
            if callable(wanted):
                wanted = wanted(key)
            if isinstance(wanted, Wanted):
                uow.want(wanted, row.todo_id)
            elif wanted is not None:
                await self._execute(uow, wanted, cause)
            state = await uow.state(decider, key)
            due = decider.deadlines(state).get(row.name)
        if due is None:
            uow.finish(row)
        else:
            again = due if due > uow.now else uow.now + TIMER_REPEAT
            if not await uow.session.postpone_todo(row, again, None):
                raise LeaseLost(str(row.todo_id))

    async def _claim(self, limit: int) -> list[Todo]:
        try:
            async with self._store.session() as session:
                return await session.claim_todo(self._store.clock(), limit, self._lease)
        except (*CONNECTION_LOST, asyncpg.PostgresError) as error:
            log.warning("todo_claim_failed", error=repr(error))
            return []

    async def _retry_later(self, row: Todo, error: str) -> str:
        """Give the row back; while the database is away, wait for it as long as the lease lasts anyway."""
        delay = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(row.attempts, 20)) * random.uniform(0.7, 1.3)  # noqa: S311
        give_up = asyncio.get_running_loop().time() + self._lease.total_seconds()
        while asyncio.get_running_loop().time() < give_up:
            try:
                async with self._store.session() as session:
                    due = self._store.clock() + timedelta(seconds=delay)
                    await session.postpone_todo(row, due, error)
                return "retry"
            except (*CONNECTION_LOST, asyncpg.PostgresError) as lost:
                log.warning("todo_postpone_failed", todo=row.name, error=repr(lost))
                await asyncio.sleep(FIRST_RETRY_S)
        return "database_away"

    async def _until_some_are_done(self, running: set[asyncio.Task[None]]) -> None:
        """Until one of the rows in hand is done, and as many more as are done in the same moment."""
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        if running:
            await asyncio.wait(running, timeout=GATHER_S)

    async def _pause(self, stop: asyncio.Event) -> None:
        """Until something due was committed here or the polling time has passed."""
        wakers = [asyncio.create_task(event.wait()) for event in (stop, self._store.todo_written)]
        try:
            await asyncio.wait(wakers, timeout=self._poll_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waker in wakers:
                waker.cancel()
                with suppress(asyncio.CancelledError):
                    await waker
