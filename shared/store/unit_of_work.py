"""A unit of work: load streams, decide in memory, write everything that follows in one transaction."""

import random
from asyncio import Event, sleep
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from shared.domain import Decider, category_of, key_of
from shared.domain.decider import no_deadlines
from shared.domain.ids import derive
from shared.events.envelope import Cause, Recorded, event_id
from shared.events.registry import Registry
from shared.store import todo
from shared.store.connection import Pool
from shared.store.errors import TRY_AGAIN, LeaseLost
from shared.store.gathering import Gathering
from shared.store.idempotency import Answer
from shared.store.readmodel import ReadModel
from shared.store.session import Backend, Session
from shared.store.snapshots import Snapshot, Snapshots
from shared.store.together import Together

S = TypeVar("S")
C = TypeVar("C")
E = TypeVar("E")
T = TypeVar("T")
React = Callable[[Recorded[Any]], Iterable[todo.Wanted]]

ATTEMPTS = 12
"""How often a unit of work is tried when others keep writing the same streams first."""


@dataclass(frozen=True, slots=True)
class _Stream:
    """One stream as this unit of work sees it: stored events plus its own new ones."""

    loaded: int
    version: int
    before: Any
    state: Any
    correlation_id: UUID | None
    last: Recorded[Any] | None


class UnitOfWork:
    """What one transaction reads and writes. Made by Store.unit_of_work; used inside its `async with`."""

    def __init__(self, store: "Store", session: Session, cause: Cause, now: datetime) -> None:
        self.session = session
        self.now = now
        self._store = store
        self._cause = cause
        self._streams: dict[str, _Stream] = {}
        self._replaced: list[tuple[str, _Stream]] = []
        self._correlation = cause.correlation_id
        self._events: list[Recorded[Any]] = []
        self._wanted: list[todo.Entry] = []
        self._finished: list[todo.Todo] = []
        self._answers: list[Answer] = []
        self._heard: dict[str, Sequence[Recorded[Any]]] = {}
        self.told = False
        """Whether it wrote events for the topic; known once it is flushed."""
        self.asked = False
        """Whether it wrote something that is to be done now; known once it is flushed."""

    @property
    def events(self) -> Sequence[Recorded[Any]]:
        """The new events so far, in the order of their decisions."""
        return tuple(self._events)

    @property
    def touched(self) -> frozenset[str]:
        """The streams loaded so far."""
        return frozenset(self._streams)

    @property
    def snapshots(self) -> Iterator[Snapshot]:
        """The states of all streams as this unit leaves them, those without events left out."""
        for found in self._streams.values():
            if found.last is not None:
                yield Snapshot(found.last, found.state, found.correlation_id)

    async def prefetch(self, stream_ids: Iterable[str]) -> None:
        """Load streams in one query, so that the `state` calls that follow ask the database nothing."""
        missing = sorted({stream for stream in stream_ids if stream not in self._streams})
        if not missing:
            return
        known = self._store.snapshots.of(missing)
        since = {stream: snapshot.version for stream, snapshot in known.items()}
        found = await self.session.load(self._store.registry, missing, since)
        if wrong := [stream for stream, snapshot in known.items() if found[stream][:1] != [snapshot.last]]:
            self._store.snapshots.drop(wrong)
            known = {stream: known[stream] for stream in known.keys() - wrong}
            found |= await self.session.load(self._store.registry, wrong)
        for stream, events in found.items():
            self._streams[stream] = self._folded(stream, events, known.get(stream))

    def _folded(self, stream: str, events: Sequence[Recorded[Any]], snapshot: Snapshot | None) -> _Stream:
        """The stream after `events`, the first of which is the snapshot's last."""
        evolve = self._store.decider_of(stream).evolve
        state: Any = snapshot.state if snapshot else None
        for event in events[1:] if snapshot else events:
            state = evolve(state, event.data, event.occurred_at)
        last = events[-1] if events else None
        correlation = snapshot.correlation_id if snapshot else events[0].correlation_id if events else None
        version = last.version if last else 0
        return _Stream(version, version, state, state, correlation, last)

    async def state(self, decider: Decider[S, C, E], key: object) -> S | None:
        """The state of one aggregate, this unit's own new events included; None if it does not exist."""
        state: S | None = await self._state(decider.stream(key))
        return state

    async def _state(self, stream: str) -> Any:
        if stream not in self._streams:
            await self.prefetch([stream])
        found = self._streams[stream]
        if self._correlation is None:
            self._correlation = found.correlation_id
        return found.state

    def version(self, decider: Decider[S, C, E], key: object) -> int:
        """The version of a stream that was loaded, this unit's own new events included; 0 if it is empty."""
        return self._streams[decider.stream(key)].version

    async def decide(self, decider: Decider[S, C, E], key: object, command: C) -> Sequence[E]:
        """Let the aggregate decide and take its events down. Raises Rejected."""
        stream = decider.stream(key)
        state: S | None = await self._state(stream)
        events = decider.decide(state, command)
        self.append(stream, events)
        return events

    def append(self, stream: str, events: Sequence[object]) -> None:
        """Take down new events of a stream that this unit has loaded."""
        if not events:
            return
        found = self._streams[stream]
        if self._correlation is None:
            self._correlation = found.correlation_id or _own_correlation(stream)
        evolve = self._store.decider_of(stream).evolve
        version, state = found.version, found.state
        for data in events:
            version += 1
            state = evolve(state, data, self.now)
            self._events.append(self._record(stream, version, data, self._correlation))
        self._replaced.append((stream, found))
        self._streams[stream] = _Stream(
            found.loaded,
            version,
            found.before,
            state,
            found.correlation_id or self._correlation,
            self._events[-1],
        )

    def want(self, wanted: todo.Wanted, cause_id: UUID) -> None:
        """Note something to do that no event asks for, such as an effect that a timer starts."""
        correlation = self._correlation or _own_correlation(wanted.stream)
        self._wanted.append(
            todo.Entry(
                todo_id=wanted.todo_id(cause_id),
                wanted=wanted,
                due=wanted.due or self.now,
                correlation_id=correlation,
                causation_id=self._cause.causation_id,
            )
        )

    async def hear(self, model: ReadModel[Any], events: Sequence[Recorded[Any]]) -> None:
        """Project events of others; if this unit's own make the same rows, together with them at its end."""
        if model in self._store.read_models and model.heeds(self._events):
            self._heard[model.name] = events
        else:
            await self.session.project(model, events)

    def finish(self, row: todo.Todo) -> None:
        """The outcome of this todo row is recorded here: delete it in the same transaction."""
        self._finished.append(row)

    def answer(self, answer: Answer) -> None:
        """Keep the answer to a request with an Idempotency-Key."""
        self._answers.append(answer)

    @contextmanager
    def attempt(self, cause: Cause) -> Iterator[None]:
        """Decide for `cause`; if the block raises, nothing of it stays in this unit of work."""
        saved = (self._cause, self._correlation)
        replaced, taken_down = len(self._replaced), [len(part) for part in self._taken_down]
        self._cause, self._correlation = cause, cause.correlation_id
        try:
            yield
        except BaseException:
            while len(self._replaced) > replaced:
                stream, before = self._replaced.pop()
                self._streams[stream] = before
            for part, length in zip(self._taken_down, taken_down, strict=True):
                del part[length:]
            raise
        finally:
            self._cause, self._correlation = saved

    @property
    def _taken_down(self) -> tuple[list[Any], ...]:
        return self._events, self._wanted, self._finished, self._answers

    async def flush(self, *, last: bool = False) -> None:
        """Write everything. Raises Conflict, LeaseLost or KeyReused; then the transaction must end.

        `last`: the transaction ends here, so that events and nothing else may be committed at once.
        """
        if self._finished and not await self.session.finish_todos(self._finished):
            raise LeaseLost(", ".join(str(row.todo_id) for row in self._finished))
        follow_ups = [
            todo.follow_up(event, wanted) for event in self._events for wanted in self._store.react(event)
        ]
        asked, dropped = self._timers()
        entries = [*follow_ups, *self._wanted, *asked]
        models = [model for model in self._store.read_models if model.heeds(self._events)]
        if self._events:
            expected = {event.stream: self._streams[event.stream].loaded for event in self._events}
            alone = last and not (self._finished or models or entries or dropped or self._answers)
            await self.session.append(
                self._store.registry, self._events, expected, self._store.public, alone=alone
            )
        for model in models:
            if heard := self._heard.pop(model.name, None):
                await self.session.project(model, [*heard, *self._events])
            else:
                await self.session.project(model, self._events)
        if dropped:
            await self.session.remove_timers(dropped)
        if entries:
            await self.session.add_todo(entries)
        for answer in self._answers:
            await self.session.remember(answer)
        self.told = any(category_of(event.stream) in self._store.public for event in self._events)
        self.asked = any(entry.due <= self.now for entry in entries)

    def _timers(self) -> tuple[list[todo.Entry], list[UUID]]:
        """Timers to set or move, and timers to forget: what `deadlines` says now against before."""
        asked: list[todo.Entry] = []
        dropped: list[UUID] = []
        last = {event.stream: event for event in self._events}
        for stream, event in last.items():
            found, deadlines = self._streams[stream], self._store.decider_of(stream).deadlines
            if deadlines is no_deadlines:
                continue
            before = deadlines(found.before) if found.before is not None else {}
            after = deadlines(found.state)
            dropped.extend(todo.timer_id(stream, name) for name in before.keys() - after.keys())
            asked.extend(
                todo.Entry(
                    todo_id=todo.timer_id(stream, name),
                    wanted=todo.timer(stream, name),
                    due=due,
                    correlation_id=event.correlation_id,
                    causation_id=event.event_id,
                )
                for name, due in after.items()
                if before.get(name) != due
            )
        return asked, dropped

    def _record(self, stream: str, version: int, data: object, correlation: UUID) -> Recorded[Any]:
        name = type(data).__name__
        return Recorded(
            stream=stream,
            version=version,
            event_id=event_id(self._store.epoch, stream, version),
            type=name,
            schema_version=self._store.registry.schema_version(name),
            occurred_at=self.now,
            correlation_id=correlation,
            causation_id=self._cause.causation_id,
            actor=self._cause.actor,
            epoch=self._store.epoch,
            data=data,
            traceparent=self._cause.traceparent,
        )


def _own_correlation(stream: str) -> UUID:
    """A new stream that nothing else caused is followed by its own id."""
    try:
        return UUID(key_of(stream))
    except ValueError:
        return derive("correlation", stream)


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
