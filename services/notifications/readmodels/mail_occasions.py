"""`mail_occasions`: the events that somebody gets mail about, whole, so that it can be written, again too."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from services.notifications.domain.occasions import OCCASION_EVENTS, occasions
from shared.domain import category_of, key_of
from shared.events import orders, returns
from shared.events.envelope import Recorded
from shared.events.registry import Registry
from shared.store.readmodel import Key, ReadModel

HEARD = Registry.of(orders, returns)
"""The events of other services that this one understands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailOccasion:
    """An event as it was told; personal data in it is sealed."""

    event_id: UUID
    type: str
    schema_version: int
    order_id: UUID
    at: datetime
    data: dict[str, Any]

    def event(self) -> Any:
        """The event itself."""
        return HEARD.decode(self.type, self.schema_version, orjson.dumps(self.data))


def order_of(event: Recorded[Any]) -> UUID:
    """The order that an event of orders or returns is about."""
    if category_of(event.stream) == "order":
        return UUID(key_of(event.stream))
    order_id: UUID = event.data.order_id
    return order_id


def _keys(event: Recorded[Any]) -> Sequence[Key]:
    return [(event.event_id,)] if occasions(event.data) else []


def _fold(row: MailOccasion | None, event: Recorded[Any], key: Key) -> MailOccasion:
    return MailOccasion(
        event_id=event.event_id,
        type=event.type,
        schema_version=event.schema_version,
        order_id=order_of(event),
        at=event.occurred_at,
        data=orjson.loads(HEARD.encode(event.data)),
    )


MAIL_OCCASIONS = ReadModel(
    name="mail_occasions",
    row=MailOccasion,
    key=("event_id",),
    events=frozenset(OCCASION_EVENTS),
    keys=_keys,
    fold=_fold,
)
