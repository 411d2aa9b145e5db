"""Reading: what records say and what follows from it, before any transaction."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from shared.events.envelope import Recorded
from shared.messaging.cloudevents import Incoming, KafkaRecord, Malformed, parse
from shared.messaging.subscription import Do, Subscription
from shared.store.marks import Parked, Reason, StoredRecord
from shared.store.todo import Wanted

TURN = 50
"""Records that are read before other tasks have their turn."""


class Reactions(NamedTuple):
    """The decoded event and what follows from it; None for an unknown type, an exception for bad data."""

    event: Recorded[Any] | Exception | None
    wanted: tuple[Do | Wanted, ...] = ()


NOTHING = Reactions(None)


class Read(NamedTuple):
    """Readable records in order with their reactions, and the damaged ones, which only a person can end."""

    incoming: list[tuple[Incoming, Reactions]]
    malformed: list[Parked]


async def read(
    subscription: Subscription, records: Sequence[KafkaRecord], clock: Callable[[], datetime]
) -> Read:
    """What the records say and what follows from it, while others have their turns in between."""
    found = Read([], [])
    for n, record in enumerate(records, start=1):
        try:
            item = parse(record)
        except Malformed as error:
            found.malformed.append(_unreadable(record, error, clock()))
        else:
            found.incoming.append((item, reactions(subscription, item)))
        if n % TURN == 0:
            await asyncio.sleep(0)
    return found


def reactions(subscription: Subscription, item: Incoming) -> Reactions:
    """What follows from one record; never raises."""
    if item.type not in subscription.registry:
        return NOTHING
    try:
        event = item.decode(subscription.registry)
        if subscription.react_since is not None and event.occurred_at < subscription.react_since:
            return Reactions(event)
        return Reactions(event, tuple(subscription.react(event)))
    except Exception as error:  # noqa: BLE001 - bad data or a bug: the event is parked with it
        return Reactions(error)


def stored(record: KafkaRecord) -> StoredRecord:
    """A copy that does not depend on the broker client."""
    return StoredRecord(
        record.topic, record.partition, record.offset, record.key, record.value, tuple(record.headers)
    )


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
