"""One transaction of hearing: the one parking rule for each of its records, and all that it writes."""

from bisect import bisect_left
from collections import Counter as Counted
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Self

import asyncpg
import structlog
from prometheus_client import Counter, Histogram

from shared.domain import Rejected
from shared.events.envelope import Cause, Recorded
from shared.messaging.cloudevents import Incoming, parse
from shared.messaging.reading import NOTHING, Reactions, reactions, stored
from shared.messaging.subscription import Do, Subscription
from shared.store.errors import CONNECTION_LOST, TRY_AGAIN
from shared.store.marks import Mark, Parked, Reason
from shared.store.todo import Wanted
from shared.store.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

FIRST_RETRY = timedelta(seconds=1)
LONGEST_RETRY = timedelta(minutes=5)

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


class Batch:
    """What one transaction has found out so far. Made by `open`; its marks are locked until the end."""

    def __init__(
        self,
        uow: UnitOfWork,
        subscription: Subscription,
        marks: dict[str, Mark],
        waiting: dict[tuple[str, int], Parked],
    ) -> None:
        self._uow = uow
        self._sub = subscription
        self._marks = marks
        self._waiting = waiting
        self._moved: dict[str, Mark] = {}
        self._applied: list[Recorded[Any]] = []
        self._parked: dict[tuple[str, int], Parked] = {}
        self._done: set[tuple[str, int]] = set()
        self._passed_over: list[str] = []

    @classmethod
    async def open(cls, uow: UnitOfWork, subscription: Subscription, streams: Collection[str]) -> Self:
        """Lock the marks of `streams` and look at what waits of them."""
        marks = await uow.session.lock_marks(subscription.consumer, streams)
        return cls(uow, subscription, marks, await uow.session.parked_of(subscription.consumer, streams))

    async def take(self, item: Incoming, following: Reactions) -> None:
        """The one parking rule for one record, and what waited behind it."""
        place, mark = (item.stream, item.version), self._marks[item.stream]
        if (item.epoch, item.version) <= (mark.epoch, mark.version):
            self._passed_over.append("duplicate")
            self._done.add(place)
            return
        if item.version != mark.version + 1 or item.epoch < mark.epoch:
            self._park(item, Reason.EARLY, None, readable=not isinstance(following.event, Exception))
            return
        next_one: Incoming | None = item
        while next_one is not None and await self._apply(next_one, following):
            place = (next_one.stream, next_one.version + 1)
            parked = self._waiting.get(place) or self._parked.get(place)
            next_one = parse(parked.record) if parked else None
            following = reactions(self._sub, next_one) if next_one else NOTHING

    def fail(self, item: Incoming, error: Exception) -> None:
        """Park a record whose transaction failed, unless it turned out not to be next in its turn."""
        mark = self._marks[item.stream]
        if (item.epoch, item.version) > (mark.epoch, mark.version):
            self._park(item, Reason.FAILED, error)

    async def write(self, malformed: Sequence[Parked]) -> None:
        """Project what was applied, move the marks, and keep what has to wait."""
        session, consumer = self._uow.session, self._sub.consumer
        for model in self._sub.read_models:
            await self._uow.hear(model, self._applied)
        await session.move_marks(consumer, self._moved)
        await session.unpark(consumer, self._done & self._waiting.keys())
        if rows := [*self._parked.values(), *malformed]:
            await session.park(consumer, rows)

    def count(self, malformed: Sequence[Parked], now: datetime) -> None:
        """Tell the metrics, once the transaction is committed."""
        consumer = self._sub.consumer
        for type_name, count in Counted(event.type for event in self._applied).items():
            APPLIED.labels(consumer, type_name).inc(count)
        observe_all(
            AGE.labels(consumer),
            [max(0.0, (now - event.occurred_at).total_seconds()) for event in self._applied],
        )
        for reason, count in Counted(self._passed_over).items():
            PASSED_OVER.labels(consumer, reason).inc(count)
        for parked in [*self._parked.values(), *malformed]:
            PARKED.labels(consumer, parked.reason).inc()

    async def _apply(self, item: Incoming, following: Reactions) -> bool:
        """Decide and project the event that follows its stream's mark; False if it was parked instead."""
        event, wanted = following
        place = (item.stream, item.version)
        if isinstance(event, Exception):
            self._park(item, Reason.FAILED, event, readable=False)
            return False
        if event is None:
            self._passed_over.append("unknown_type")
        else:
            try:
                if wanted:
                    with self._uow.attempt(_cause_of(item)):
                        await self._react(event, wanted)
            except (asyncpg.PostgresError, *CONNECTION_LOST, *TRY_AGAIN):
                raise
            except Exception as error:
                log.exception("reaction_failed", stream=item.stream, version=item.version, type=item.type)
                self._park(item, Reason.FAILED, error)
                return False
            self._applied.append(event)
        self._marks[item.stream] = self._moved[item.stream] = Mark(item.epoch, item.version)
        self._parked.pop(place, None)
        self._done.add(place)
        return True

    async def _react(self, event: Recorded[Any], wanted: Sequence[Do | Wanted]) -> None:
        for do in wanted:
            if isinstance(do, Wanted):
                self._uow.want(do, event.event_id)
                continue
            try:
                with self._uow.attempt(_cause_of(event)):
                    await self._sub.execute(self._uow, do.command)
            except Rejected as refusal:
                if refusal.code not in do.expects:
                    raise

    def _park(
        self, item: Incoming, reason: Reason, error: Exception | None, *, readable: bool = True
    ) -> None:
        """Let the record wait in its place; one that cannot be read does not drive out another."""
        place = (item.stream, item.version)
        before = self._waiting.get(place) or self._parked.get(place)
        attempts = before.attempts + 1 if before and error else int(error is not None)
        delay = min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(attempts - 1, 16)) if error else timedelta()
        self._done.discard(place)
        self._parked[place] = Parked(
            stream=item.stream,
            version=item.version,
            record=before.record if before and not readable else stored(item.record),
            reason=reason,
            error=repr(error) if error else None,
            attempts=attempts,
            retry_at=self._uow.now + delay,
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
