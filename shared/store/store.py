"""A service's memory: what it keeps, and the units of work that change it."""

import random
from asyncio import Event, sleep
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from shared.domain import Decider, category_of
from shared.events.envelope import Cause, Recorded
from shared.events.registry import Registry
from shared.store import todo
from shared.store.connection import Pool
from shared.store.errors import TRY_AGAIN
from shared.store.gathering import Gathering
from shared.store.readmodel import ReadModel
from shared.store.session import Backend, Session
from shared.store.snapshots import Snapshots
from shared.store.together import Together
from shared.store.unit_of_work import UnitOfWork

S = TypeVar("S")
C = TypeVar("C")
E = TypeVar("E")
T = TypeVar("T")
React = Callable[[Recorded[Any]], Iterable[todo.Wanted]]

ATTEMPTS = 12
"""How often a unit of work is tried when others keep writing the same streams first."""


@dataclass(frozen=True)
class Definition:
    """What a service keeps: its event types, aggregates, own read models, and what its own events ask for."""

    registry: Registry
    deciders: Sequence[Decider[Any, Any, Any]]
    read_models: Sequence[ReadModel[Any]] = ()
    react: React = lambda _event: ()


class Store:
    """One service's memory. `clock` gives aware UTC instants.

    `together`: at most so many units of work that are asked for at the same time share a transaction.
    """

    def __init__(
        self,
        backend: Backend,
        definition: Definition,
        *,
        epoch: int,
        clock: Callable[[], datetime],
        together: int = 1,
    ) -> None:
        self._backend = backend
        self.registry = definition.registry
        self.read_models = tuple(definition.read_models)
        self.react = definition.react
        self.public = frozenset(decider.category for decider in definition.deciders if decider.public)
        self.epoch = epoch
        self.clock = clock
        self.snapshots = Snapshots()
        self.outbox_written = Event()
        self.todo_written = Event()
        self._deciders = {decider.category: decider for decider in definition.deciders}
        self._histories = Gathering(self.load)
        self._together = Together(self, together) if together > 1 else None

    @property
    def pool(self) -> Pool:
        """Postgres itself, for pages and metrics, which speak SQL of their own."""
        return self._backend.pool

    def session(self) -> AbstractAsyncContextManager[Session]:
        """A session for reading rows, outside any unit of work."""
        return self._backend.session()

    def decider_of(self, stream: str) -> Decider[Any, Any, Any]:
        """The aggregate kind of a stream id."""
        return self._deciders[category_of(stream)]

    @asynccontextmanager
    async def unit_of_work(
        self, cause: Cause, *, lock: Iterable[str] = (), now: datetime | None = None
    ) -> AsyncIterator[UnitOfWork]:
        """One try at a unit of work: leaving the block writes all in one transaction, an exception nothing.

        `lock`: streams that other units with the same wish must wait for. Raises Conflict, LeaseLost,
        KeyReused or the driver's errors.
        """
        touched: Iterable[str] = ()
        try:
            async with self._backend.transaction() as session:
                if names := sorted(lock):
                    await session.lock_streams(names)
                uow = UnitOfWork(self, session, cause, now or self.clock())
                try:
                    yield uow
                    await uow.flush(last=True)
                finally:
                    touched = uow.touched
        except BaseException:
            self.snapshots.drop(touched)
            raise
        self.snapshots.keep(uow.snapshots)
        if uow.told:
            self.outbox_written.set()
        if uow.asked:
            self.todo_written.set()

    async def transact(
        self, cause: Cause, work: Callable[[UnitOfWork], Awaitable[T]], *, streams: Iterable[str] = ()
    ) -> T:
        """Run `work` as a unit of work, again with jitter on fresh state when another writer was first.

        From the second try on it waits its turn under advisory locks. `work` must have no effect but on its
        unit, and if it writes through `uow.session` it must not raise Rejected afterwards: units that are
        asked for at the same time may share a transaction (see `together`). `streams` are those that it
        will decide over, as far as they are known. Raises what `work` raises, and Conflict after ATTEMPTS
        tries.
        """
        if self._together is not None:
            return await self._together.transact(cause, work, streams)
        return await self.transact_alone(cause, work)

    async def transact_alone(self, cause: Cause, work: Callable[[UnitOfWork], Awaitable[T]]) -> T:
        """The same in a transaction of its own."""
        lock: frozenset[str] = frozenset()
        for attempt in range(1, ATTEMPTS + 1):
            uow: UnitOfWork | None = None
            try:
                async with self.unit_of_work(cause, lock=lock) as uow:
                    return await work(uow)
            except TRY_AGAIN:
                if attempt == ATTEMPTS:
                    raise
                lock |= uow.touched if uow is not None else frozenset()
                await sleep(random.uniform(0, 0.002 * 2 ** min(attempt, 6)))  # noqa: S311 - jitter
        raise AssertionError("unreachable")

    def wake(self) -> None:
        """Tell this process's relay and worker that there may be work."""
        self.outbox_written.set()
        self.todo_written.set()

    async def load(self, stream_ids: Sequence[str]) -> Mapping[str, list[Recorded[Any]]]:
        """The events of streams as they stand now, for reading only."""
        async with self.session() as session:
            return await session.load(self.registry, stream_ids)

    async def history(self, stream: str) -> Sequence[Recorded[Any]]:
        """The events of one stream as they stand now; several that are asked for at once share a query."""
        return await self._histories.get(stream) or ()

    async def read(self, decider: Decider[S, C, E], key: object) -> S | None:
        """The state of one aggregate as it stands now, for reading only."""
        state: S | None = None
        for event in await self.history(decider.stream(key)):
            state = decider.evolve(state, event.data, event.occurred_at)
        return state
