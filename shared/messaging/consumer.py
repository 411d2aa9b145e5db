"""Hearing: apply a batch of records in one transaction, exactly once in effect, whatever the broker repeats.

`handle_batch` is the entrance; it knows neither FastStream nor aiokafka. A record is dropped when its
(epoch, version) is not above its stream's mark, applied when it is the next one, and parked otherwise.
"""

import asyncio
import random
from bisect import bisect_left
from collections import Counter as Counted
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

import asyncpg
import structlog
from prometheus_client import Counter, Histogram

from shared.domain import Rejected
from shared.events.envelope import Cause, Recorded
from shared.events.registry import Registry
from shared.messaging.cloudevents import Incoming, KafkaRecord, Malformed, parse
from shared.store.errors import CONNECTION_LOST, TRY_AGAIN
from shared.store.marks import Mark, Parked, Reason, StoredRecord
from shared.store.readmodel import ReadModel
from shared.store.store import Store
from shared.store.todo import Wanted
from shared.store.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

FIRST_RETRY = timedelta(seconds=1)
LONGEST_RETRY = timedelta(minutes=5)
TURN = 50
"""Records that are read before other tasks have their turn."""

APPLIED = Counter("orderflow_events_applied", "Events of other services applied", ["consumer", "type"])
PASSED_OVER = Counter(
    "orderflow_events_passed_over", "Records that changed nothing, by reason", ["consumer", "reason"]
)
PARKED = Counter("orderflow_events_parked", "Records parked, by reason", ["consumer", "reason"])
AGE = Histogram(
    "orderflow_event_age_seconds",
    "From an event's commit at its owner to its effects committed here",
    ["consumer"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
)
BATCH_SIZE = Histogram(
    "orderflow_batch_size_events", "Records in a batch", ["consumer"], buckets=(1, 3, 10, 30, 100, 300, 1000)
)


@dataclass(frozen=True, slots=True)
class Do:
    """A command that follows from a foreign event; `expects` are the refusals that are no bug."""

    command: Any
    expects: frozenset[str] = frozenset()


class Execute(Protocol):
    """Runs one command of the service inside a unit of work. Raises Rejected."""

    async def __call__(self, uow: UnitOfWork, command: Any) -> None: ...


@dataclass(frozen=True)
class Subscription:
    """What a service hears and what follows from it.

    `react` is pure: a foreign event gives commands (Do) and effects (Wanted). `streams` names the streams a
    command will decide over, as far as known beforehand, so that a batch loads them in one query. Events
    older than `react_since` only project.
    """

    consumer: str
    topics: Sequence[str]
    registry: Registry
    execute: Execute
    react: Callable[[Recorded[Any]], Iterable[Do | Wanted]] = lambda _event: ()
    streams: Callable[[Any], Iterable[str]] = lambda _command: ()
    read_models: Sequence[ReadModel[Any]] = ()
    react_since: datetime | None = None


@dataclass
class _Batch:
    """What one transaction has found out so far."""

    uow: UnitOfWork
    marks: dict[str, Mark]
    waiting: dict[tuple[str, int], Parked]
    moved: dict[str, Mark] = field(default_factory=dict)
    applied: list[Recorded[Any]] = field(default_factory=list)
    park: dict[tuple[str, int], Parked] = field(default_factory=dict)
    unpark: set[tuple[str, int]] = field(default_factory=set)
    passed_over: list[str] = field(default_factory=list)


class Consumer:
    """Applies records to one service's store. Any number of replicas may run; marks keep them apart."""

    def __init__(self, store: Store, subscription: Subscription, *, together: int = 1000) -> None:
        self._store = store
        self._sub = subscription
        self._together = together

    async def handle_batch(self, records: Sequence[KafkaRecord]) -> None:
        """Apply records in order; when it returns, every one is applied, dropped or parked for good.

        Raises only when the database is away; then nothing is lost if the same records come again. More
        than `together` are applied in parts: while the database works for one, the next is read.
        """
        parts = [records[n : n + self._together] for n in range(0, len(records), self._together)]
        ahead = [asyncio.create_task(self._read(part)) for part in parts[:1]]
        try:
            for n, part in enumerate(parts):
                read = await ahead.pop()
                ahead += [asyncio.create_task(self._read(part)) for part in parts[n + 1 : n + 2]]
                await self._apply_part(part, read)
        finally:
            for task in ahead:
                task.cancel()

    async def unheard(self, records: Iterable[KafkaRecord]) -> list[KafkaRecord]:
        """Those of `records` that were never here: neither applied nor passed over nor parked.

        One that is too damaged to name its stream is taken for heard.
        """
        items: list[Incoming] = []
        for record in records:
            with suppress(Malformed):
                items.append(parse(record))
        streams = {item.stream for item in items}
        async with self._store.session() as session:
            marks = await session.lock_marks(self._sub.consumer, streams)
            waiting = await session.parked_of(self._sub.consumer, streams)
        return [
            item.record
            for item in items
            if (item.epoch, item.version) > marks[item.stream] and (item.stream, item.version) not in waiting
        ]

    async def _apply_part(self, records: Sequence[KafkaRecord], read: "_Read") -> None:
        BATCH_SIZE.labels(self._sub.consumer).observe(len(records))
        try:
            await self._again_on_conflict(lambda serial: self._apply(read, serial))
        except CONNECTION_LOST:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the other events must flow
            if len(records) > 1:
                log.warning("batch_failed", records=len(records), error=repr(error))
            for record in records:
                await self._apply_alone(record)

    async def retry_parked(self, limit: int = 100) -> int:
        """Try records again whose turn and time have come; gives how many were tried."""
        async with self._store.session() as session:
            due = await session.parked_due(self._sub.consumer, self._store.clock(), limit)
        for parked in due:
            await self._apply_alone(parked.record)
        return len(due)

    async def _apply_alone(self, record: KafkaRecord) -> None:
        """One record in its own transaction; if that fails for a reason of its own, it is parked."""
        try:
            read = await self._read([record])
            await self._again_on_conflict(lambda serial: self._apply(read, serial))
        except (*CONNECTION_LOST, *TRY_AGAIN):
            raise
        except Exception as error:
            log.exception("event_failed", topic=record.topic, offset=record.offset)
            failure = error
            await self._again_on_conflict(lambda serial: self._park_failed(record, failure, serial))

    async def _again_on_conflict(self, work: Callable[[bool], Any]) -> None:
        """Conflicts and deadlocks say nothing about the events: try for as long as it takes."""
        attempt = 0
        while True:
            try:
                await work(attempt > 0)
                return
            except TRY_AGAIN:
                attempt += 1
                await asyncio.sleep(random.uniform(0, 0.002 * 2 ** min(attempt, 8)))  # noqa: S311 - jitter

    async def _read(self, records: Sequence[KafkaRecord]) -> "_Read":
        """What the records say and what follows from it, while others have their turns in between."""
        incoming: list[tuple[Incoming, _Reactions]] = []
        malformed: list[Parked] = []
        for n, record in enumerate(records, start=1):
            try:
                item = parse(record)
            except Malformed as error:
                malformed.append(_unreadable(record, error, self._store.clock()))
            else:
                incoming.append((item, self._reactions(item)))
            if n % TURN == 0:
                await asyncio.sleep(0)
        return _Read(incoming, malformed)

    async def _apply(self, read: "_Read", serial: bool) -> None:
        incoming, malformed = read
        streams = {item.stream for item, _ in incoming}
        prefetch = {
            stream
            for _, (_, wanted) in incoming
            for do in wanted
            if isinstance(do, Do)
            for stream in self._sub.streams(do.command)
        }
        async with self._store.unit_of_work(Cause(), lock=prefetch if serial else ()) as uow:
            batch = _Batch(
                uow=uow,
                marks=await uow.session.lock_marks(self._sub.consumer, streams),
                waiting=await uow.session.parked_of(self._sub.consumer, streams),
            )
            await uow.prefetch(prefetch)
            for item, reactions in incoming:
                await self._take(batch, item, reactions)
            await self._write(batch, malformed)
        self._count(batch, malformed)

    async def _take(self, batch: _Batch, item: Incoming, reactions: "_Reactions") -> None:
        """The one parking rule for one record, and what waited behind it."""
        place, mark = (item.stream, item.version), batch.marks[item.stream]
        if (item.epoch, item.version) <= (mark.epoch, mark.version):
            batch.passed_over.append("duplicate")
            batch.unpark.add(place)
            return
        if item.version != mark.version + 1 or item.epoch < mark.epoch:
            self._park(batch, item, Reason.EARLY, None, readable=not isinstance(reactions[0], Exception))
            return
        following: Incoming | None = item
        while following is not None and await self._apply_next(batch, following, reactions):
            parked = batch.waiting.get((following.stream, following.version + 1)) or batch.park.get(
                (following.stream, following.version + 1)
            )
            following = parse(parked.record) if parked else None
            reactions = self._reactions(following) if following else _NOTHING

    async def _apply_next(self, batch: _Batch, item: Incoming, reactions: "_Reactions") -> bool:
        """Decide and project the event that follows its stream's mark; False if it was parked instead."""
        event, wanted = reactions
        place = (item.stream, item.version)
        if isinstance(event, Exception):
            self._park(batch, item, Reason.FAILED, event, readable=False)
            return False
        if event is None:
            batch.passed_over.append("unknown_type")
        else:
            try:
                if wanted:
                    with batch.uow.attempt(_cause_of(item)):
                        await self._react(batch.uow, event, wanted)
            except (asyncpg.PostgresError, *CONNECTION_LOST, *TRY_AGAIN):
                raise
            except Exception as error:
                log.exception("reaction_failed", stream=item.stream, version=item.version, type=item.type)
                self._park(batch, item, Reason.FAILED, error)
                return False
            batch.applied.append(event)
        batch.marks[item.stream] = batch.moved[item.stream] = Mark(item.epoch, item.version)
        batch.park.pop(place, None)
        batch.unpark.add(place)
        return True

    async def _react(self, uow: UnitOfWork, event: Recorded[Any], wanted: Sequence[Do | Wanted]) -> None:
        for do in wanted:
            if isinstance(do, Wanted):
                uow.want(do, event.event_id)
                continue
            try:
                with uow.attempt(_cause_of(event)):
                    await self._sub.execute(uow, do.command)
            except Rejected as refusal:
                if refusal.code not in do.expects:
                    raise

    def _reactions(self, item: Incoming) -> "_Reactions":
        """The decoded event and what follows from it; None for an unknown type, an exception for bad data."""
        if item.type not in self._sub.registry:
            return None, ()
        try:
            event = item.decode(self._sub.registry)
            if self._sub.react_since is not None and event.occurred_at < self._sub.react_since:
                return event, ()
            return event, tuple(self._sub.react(event))
        except Exception as error:  # noqa: BLE001 - bad data or a bug: the event is parked with it
            return error, ()

    def _park(
        self,
        batch: _Batch,
        item: Incoming,
        reason: Reason,
        error: Exception | None,
        *,
        readable: bool = True,
    ) -> None:
        """Let the record wait in its place; one that cannot be read does not drive out another."""
        place = (item.stream, item.version)
        before = batch.waiting.get(place) or batch.park.get(place)
        attempts = before.attempts + 1 if before and error else int(error is not None)
        now = self._store.clock()
        delay = min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(attempts - 1, 16)) if error else timedelta()
        batch.unpark.discard(place)
        batch.park[place] = Parked(
            stream=item.stream,
            version=item.version,
            record=before.record if before and not readable else stored(item.record),
            reason=reason,
            error=repr(error) if error else None,
            attempts=attempts,
            retry_at=now + delay,
        )

    async def _park_failed(self, record: KafkaRecord, error: Exception, serial: bool) -> None:
        """Park a record whose transaction failed, unless it turned out not to be next in its turn."""
        item = parse(record)
        async with self._store.unit_of_work(Cause(), lock=[item.stream] if serial else ()) as uow:
            batch = _Batch(
                uow=uow,
                marks=await uow.session.lock_marks(self._sub.consumer, [item.stream]),
                waiting=await uow.session.parked_of(self._sub.consumer, [item.stream]),
            )
            mark = batch.marks[item.stream]
            if (item.epoch, item.version) > (mark.epoch, mark.version):
                self._park(batch, item, Reason.FAILED, error)
            await self._write(batch, [])
        self._count(batch, [])

    async def _write(self, batch: _Batch, malformed: Sequence[Parked]) -> None:
        session, consumer = batch.uow.session, self._sub.consumer
        for model in self._sub.read_models:
            await batch.uow.hear(model, batch.applied)
        await session.move_marks(consumer, batch.moved)
        await session.unpark(consumer, batch.unpark & batch.waiting.keys())
        if rows := [*batch.park.values(), *malformed]:
            await session.park(consumer, rows)

    def _count(self, batch: _Batch, malformed: Sequence[Parked]) -> None:
        consumer, now = self._sub.consumer, self._store.clock()
        for type_name, count in Counted(event.type for event in batch.applied).items():
            APPLIED.labels(consumer, type_name).inc(count)
        observe_all(
            AGE.labels(consumer),
            [max(0.0, (now - event.occurred_at).total_seconds()) for event in batch.applied],
        )
        for reason, count in Counted(batch.passed_over).items():
            PASSED_OVER.labels(consumer, reason).inc(count)
        for parked in [*batch.park.values(), *malformed]:
            PARKED.labels(consumer, parked.reason).inc()


_Reactions = tuple[Recorded[Any] | Exception | None, tuple[Do | Wanted, ...]]
_NOTHING: _Reactions = (None, ())


class _Read(NamedTuple):
    """Readable records in order with their reactions, and the damaged ones, which only a person can end."""

    incoming: list[tuple[Incoming, _Reactions]]
    malformed: list[Parked]


def stored(record: KafkaRecord) -> StoredRecord:
    """A copy that does not depend on the broker client."""
    return StoredRecord(
        record.topic, record.partition, record.offset, record.key, record.value, tuple(record.headers)
    )


def _cause_of(event: Incoming | Recorded[Any]) -> Cause:
    return Cause(
        correlation_id=event.correlation_id, causation_id=event.event_id, traceparent=event.traceparent
    )


def observe_all(histogram: Histogram, values: Sequence[float]) -> None:
    """The same as `observe` for each value, at a tenth of the cost."""
    for place, count in Counted(bisect_left(histogram._upper_bounds, value) for value in values).items():
        histogram._buckets[place].inc(count)
    histogram._sum.inc(sum(values))


def _unreadable(record: KafkaRecord, error: Malformed, now: datetime) -> Parked:
    return Parked(
        stream=f"!{record.topic}/{record.partition}",
        version=record.offset,
        record=stored(record),
        reason=Reason.MALFORMED,
        error=str(error),
        attempts=1,
        retry_at=now,
    )
