"""`message_ledger`: what became of every message. For staff, the resend button and an order's timeline."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from prometheus_client import Gauge

from shared.domain import key_of
from shared.events.envelope import Recorded
from shared.events.notifications import Channel, Locale, MessageFailed, MessageSent
from shared.store.connection import Connection
from shared.store.readmodel import Key, ReadModel

MESSAGES = Gauge("orderflow_messages", "Messages by what became of them", ["status"])


class MessageStatus(StrEnum):
    """The furthest that a message got: a bounce or complaint outlives the sending before it."""

    SENT = "SENT"
    SUPPRESSED = "SUPPRESSED"
    REJECTED = "REJECTED"
    BOUNCED = "BOUNCED"
    COMPLAINED = "COMPLAINED"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """One message; `at` is when its first outcome was recorded. No address: only its keyed hash."""

    message_id: UUID
    cause_event_id: UUID
    template: str
    recipient_hash: str
    channel: Channel
    status: MessageStatus
    at: datetime
    order_id: UUID | None = None
    locale: Locale | None = None
    detail: str | None = None
    resend_of: UUID | None = None
    sent_at: datetime | None = None


def _keys(event: Recorded[Any]) -> Sequence[Key]:
    return [(UUID(key_of(event.stream)),)]


def _fold(row: LedgerRow | None, event: Recorded[Any], key: Key) -> LedgerRow:
    match event.data:
        case MessageSent() as sent:
            row = row or _first(event, MessageStatus.SENT)
            came_back = row.status in (MessageStatus.BOUNCED, MessageStatus.COMPLAINED)
            return replace(
                row,
                status=row.status if came_back else MessageStatus.SENT,
                locale=sent.locale,
                resend_of=sent.resend_of,
                sent_at=event.occurred_at,
            )
        case MessageFailed(stage=stage, detail=detail):
            status = MessageStatus(stage)
            return replace(row or _first(event, status), status=status, detail=detail)
        case _:
            raise TypeError(f"{event.type} is no outcome of a message")


def _first(event: Recorded[Any], status: MessageStatus) -> LedgerRow:
    data: MessageSent | MessageFailed = event.data
    return LedgerRow(
        message_id=UUID(key_of(event.stream)),
        cause_event_id=data.cause_event_id,
        template=data.template,
        recipient_hash=data.recipient_hash,
        channel=data.channel,
        status=status,
        at=event.occurred_at,
        order_id=data.order_id,
    )


MESSAGE_LEDGER = ReadModel(
    name="message_ledger",
    row=LedgerRow,
    key=("message_id",),
    events=frozenset({MessageSent, MessageFailed}),
    keys=_keys,
    fold=_fold,
)


async def sample(connection: Connection) -> None:
    """Count messages by status."""
    rows = await connection.fetch("SELECT status, count(*) AS n FROM message_ledger GROUP BY status")
    counts = {row["status"]: row["n"] for row in rows}
    for status in MessageStatus:
        MESSAGES.labels(status).set(counts.get(status, 0))
