"""`order_snippets`: what messages say about an order. Name, e-mail and address stay sealed as they came."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.domain import Sealed, key_of
from shared.events.common import CaptureMode, Line, Totals
from shared.events.envelope import Recorded
from shared.events.orders import (
    OrderCancelled,
    OrderEdited,
    OrderPlaced,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentRequested,
    RefundIssued,
    Shipped,
)
from shared.store.readmodel import Key, ReadModel


@dataclass(frozen=True, slots=True, kw_only=True)
class SnippetLine:
    """What was ordered; `gross` in minor units."""

    line_id: UUID
    sku: str
    title: str
    quantity: int
    gross: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SnippetIntent:
    """A payment that was asked for; `method_label` is known once it was authorized."""

    intent_id: UUID
    amount: int
    pay_by: datetime
    method_label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderSnippet:
    """One order. `refund_due`: what was captured and not refunded when it was cancelled."""

    order_id: UUID
    number: str
    locale: str
    currency: str
    name: Sealed
    email: Sealed
    address: Sealed
    lines: tuple[SnippetLine, ...]
    shipping_title: str
    totals: Totals
    capture: CaptureMode
    intents: tuple[SnippetIntent, ...] = ()
    captured: int = 0
    refunded: int = 0
    refund_due: int = 0
    shipped_units: int = 0

    @property
    def method_label(self) -> str | None:
        """How the buyer pays, None before any authorization."""
        return next((intent.method_label for intent in reversed(self.intents) if intent.method_label), None)

    def intent(self, intent_id: UUID) -> SnippetIntent | None:
        """One of the order's payments."""
        return next((intent for intent in self.intents if intent.intent_id == intent_id), None)


def _keys(event: Recorded[Any]) -> Sequence[Key]:
    return [(UUID(key_of(event.stream)),)]


def _fold(row: OrderSnippet | None, event: Recorded[Any], key: Key) -> OrderSnippet | None:
    if isinstance(event.data, OrderPlaced):
        return _placed(UUID(key_of(event.stream)), event.data)
    return _after(row, event.data) if row else None


def _placed(order_id: UUID, placed: OrderPlaced) -> OrderSnippet:
    return OrderSnippet(
        order_id=order_id,
        number=placed.order_number,
        locale=placed.locale,
        currency=placed.currency,
        name=placed.contact.name,
        email=placed.contact.email,
        address=placed.destination.address,
        lines=_lines(placed.lines),
        shipping_title=placed.shipping.title,
        totals=placed.totals,
        capture=placed.capture,
    )


def edited(row: OrderSnippet, edit: OrderEdited) -> OrderSnippet:
    """The order with the content that an edit gave it."""
    return replace(row, lines=_lines(edit.lines), shipping_title=edit.shipping.title, totals=edit.totals)


def _lines(lines: Sequence[Line]) -> tuple[SnippetLine, ...]:
    return tuple(
        SnippetLine(
            line_id=line.line_id, sku=line.sku, title=line.title, quantity=line.quantity, gross=line.gross
        )
        for line in lines
    )


def _after(row: OrderSnippet, data: object) -> OrderSnippet:
    match data:
        case OrderEdited() as edit:
            return edited(row, edit)
        case PaymentRequested() as asked:
            intent = SnippetIntent(intent_id=asked.intent_id, amount=asked.amount, pay_by=asked.expires_at)
            return replace(row, intents=(*row.intents, intent))
        case PaymentAuthorized(intent_id=intent_id, method_label=label):
            return replace(
                row,
                intents=tuple(
                    replace(intent, method_label=label) if intent.intent_id == intent_id else intent
                    for intent in row.intents
                ),
            )
        case PaymentCaptured(amount=amount):
            return replace(row, captured=row.captured + amount)
        case RefundIssued(amount=amount):
            return replace(row, refunded=row.refunded + amount)
        case OrderCancelled():
            return replace(row, refund_due=row.captured - row.refunded)
        case Shipped(lines=lines):
            return replace(row, shipped_units=row.shipped_units + sum(line.quantity for line in lines))
        case _:
            return row


ORDER_SNIPPETS = ReadModel(
    name="order_snippets",
    row=OrderSnippet,
    key=("order_id",),
    events=frozenset(
        {
            OrderPlaced,
            OrderEdited,
            PaymentRequested,
            PaymentAuthorized,
            PaymentCaptured,
            RefundIssued,
            OrderCancelled,
            Shipped,
        }
    ),
    keys=_keys,
    fold=_fold,
)
