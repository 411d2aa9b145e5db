"""A unit of work: load streams, decide in memory, write everything that follows in one transaction."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from shared.domain import Decider, category_of, key_of
from shared.domain.decider import no_deadlines
from shared.domain.ids import derive
from shared.events.envelope import Cause, Recorded, event_id
from shared.store import todo
from shared.store.errors import LeaseLost
from shared.store.idempotency import Answer
from shared.store.readmodel import ReadModel
from shared.store.session import Session
from shared.store.snapshots import Snapshot

if TYPE_CHECKING:
    from shared.store.store import Store

S = TypeVar("S")
C = TypeVar("C")
E = TypeVar("E")


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
