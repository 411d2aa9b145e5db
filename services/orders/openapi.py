"""Orders' part of its OpenAPI document: what its routes answer, and with which problems.

The answers are written out here as types for the document; fuzzing holds what is really answered to them.
"""

from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from services.orders.domain import OrderStatus
from services.orders.domain.orphan import OrphanStatus
from services.orders.domain.state import FulfillmentStatus, IntentStatus, PaymentStatus, RefundStatus
from services.orders.readmodels.order_tracking import TrackedParcel
from shared.events.common import CancelReason, Charge, Qty, Totals
from shared.events.orders import HoldReason
from shared.service.openapi import Answer, Operation, Operations, examples_of


class Progress(Answer):
    """Where an order stands."""

    order_id: UUID
    order_status: OrderStatus
    payment_status: PaymentStatus
    fulfillment_status: FulfillmentStatus


class FulfillmentPage(Answer):
    """What a warehouse was asked to ship: OPEN, SHIPPED or CANCELLED."""

    fulfillment_id: UUID
    location_id: UUID
    lines: tuple[Qty, ...]
    ship_by: datetime
    status: str


class Processing(Progress):
    """An order that is being packed."""

    fulfillments: list[FulfillmentPage]


class ParcelSent(Progress):
    """An order, and the parcel that left."""

    shipment_id: UUID


class Edited(Progress):
    """An order, and its content's revision: `edit_pending` while that waits for its stock or its balance."""

    edit_id: UUID
    revision: int
    total: int
    edit_pending: bool
    holds: list[HoldReason]


class ContactPage(Answer):
    """Who is written to; None for what cannot be opened any more."""

    name: str | None
    email: str | None
    phone: str | None


class LinePage(Answer):
    """A line as it was bought, and what became of its units."""

    line_id: UUID
    sku: str
    title: str
    quantity: int
    unit_price: int
    discount: int
    net: int
    tax: int
    gross: int
    shipped: int
    delivered: int
    refunded: int


class Money(Answer):
    """Where the order's money is, in minor units."""

    authorized: int
    captured: int
    refunded: int
    balance: int


class IntentPage(Answer):
    """A payment that was asked for."""

    intent_id: UUID
    amount: int
    status: IntentStatus


class RefundPage(Answer):
    """A refund of the order."""

    refund_id: UUID
    amount: int
    status: RefundStatus
    cause: str | None
    attempt: int
    retryable: bool
    paid_back: int


class OrderPage(Progress):
    """The whole order."""

    order_number: str
    placed_at: datetime
    customer_id: UUID | None
    locale: str
    currency: str
    contact: ContactPage
    destination: dict[str, Any] | None
    customer_note: str | None
    lines: list[LinePage]
    shipping: Charge
    totals: Totals
    money: Money
    intents: list[IntentPage]
    fulfillments: list[FulfillmentPage]
    shipments: list[TrackedParcel]
    refunds: list[RefundPage]
    revision: int
    edit_pending: bool
    holds: list[HoldReason]
    cancellation: CancelReason | None
    delivered_at: datetime | None


class AskedFor(Answer):
    """A payment that is open now."""

    intent_id: UUID
    amount: int
    expires_at: datetime


class HowToPay(Answer):
    """What a buyer's browser needs; the secret only while there is something to pay."""

    intent_id: UUID
    status: IntentStatus
    amount: int
    currency: str
    provider_ref: str
    client_secret: str | None
    confirm_url: str | None
    expires_at: datetime


class RefundTried(Answer):
    """A refund that is tried again."""

    refund_id: UUID
    status: RefundStatus


class OrphanGivenBack(Answer):
    """An orphan payment that goes back."""

    orphan_id: UUID
    status: OrphanStatus
    attempts: int


_ORDER: Final = ("unknown_order",)


def _command(summary: str, *refusals: str, answer: Any = Progress) -> Operation:
    """A command on one order."""
    return Operation(
        summary=summary, refusals=(*_ORDER, *refusals), answer=answer, keyed=True, matched=True, tagged=True
    )


OPERATIONS: Final[Operations] = {
    "POST /webhooks/payments": Operation(
        summary="Take a webhook of the payment provider",
        refusals=("invalid_signature", "invalid_request", "webhook_too_large"),
    ),
    "POST /orders/{order_id}/payment-attempts": _command(
        "Ask for the money anew",
        "order_cancelled",
        "payment_open",
        "nothing_due",
        "too_many_attempts",
        answer=AskedFor,
    ),
    "POST /orders/{order_id}/reauthorizations": _command(
        "Secure the rest anew",
        "order_cancelled",
        "payment_open",
        "nothing_due",
        "too_many_attempts",
        answer=AskedFor,
    ),
    "POST /orders/{order_id}/cancel": _command("Cancel an order", "already_shipped", "already_processing"),
    "POST /orders/{order_id}/edits": _command(
        "Change what is in an order",
        "invalid_quote",
        "quote_expired",
        "order_cancelled",
        "order_completed",
        "not_confirmed",
        "already_in_fulfillment",
        "edit_pending",
        "payment_open",
        "line_differs",
        "use_cancel",
        answer=Edited,
    ),
    "POST /orders/{order_id}/processing": _command(
        "Start processing", "order_cancelled", "not_confirmed", "on_hold", "incomplete", answer=Processing
    ),
    "POST /orders/{order_id}/shipments": _command(
        "Ship a parcel",
        "invalid_estimated_delivery",
        "parcel_exists",
        "order_cancelled",
        "not_requested",
        "on_hold",
        "invalid_quantity",
        "unknown_line",
        "exceeds_ordered",
        "stock_not_secured",
        "payment_not_secured",
        answer=ParcelSent,
    ),
    "POST /orders/{order_id}/shipments/{shipment_id}/delivery": _command(
        "Confirm a delivery", "invalid_delivered_at", "unknown_shipment"
    ),
    "POST /orders/{order_id}/captures": _command(
        "Capture money now", "order_cancelled", "invalid_amount", "exceeds_authorized"
    ),
    "POST /orders/{order_id}/refunds/{refund_id}/retry": _command(
        "Try a refund again", "unknown_refund", "refund_settled", answer=RefundTried
    ),
    "GET /orders": Operation(summary="List orders"),
    "GET /processing-queue": Operation(summary="List orders to be processed"),
    "GET /orders/{order_id}": Operation(
        summary="Read an order", refusals=_ORDER, answer=OrderPage, tagged=True
    ),
    "GET /orders/{order_id}/timeline": Operation(summary="Read what happened", refusals=_ORDER),
    "GET /orders/{order_id}/tracking": Operation(summary="Follow the parcels", refusals=_ORDER),
    "GET /orders/{order_id}/ledger": Operation(summary="Read the movements of money", refusals=_ORDER),
    "GET /orders/{order_id}/payment": Operation(
        summary="Read how to pay",
        refusals=(*_ORDER, "order_cancelled", "payment_not_ready", "provider_unavailable"),
        answer=HowToPay,
    ),
    "GET /orphan-payments": Operation(summary="List orphan payments"),
    "GET /orphan-payments/{orphan_id}": Operation(
        summary="Read an orphan payment", refusals=("unknown_orphan_payment",)
    ),
    "POST /orphan-payments/{orphan_id}/refund": Operation(
        summary="Give an orphan payment back",
        refusals=("unknown_orphan_payment", "orphan_settled"),
        answer=OrphanGivenBack,
        keyed=True,
        matched=True,
        tagged=True,
    ),
}

EXAMPLES: Final = examples_of(Path(__file__).parent)
