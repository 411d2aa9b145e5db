"""What an order remembers: one aggregate with three independent axes (order, payment, fulfilment)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from services.orders.domain.edit_state import Content, Edit
from shared.domain import share
from shared.events.common import (
    CancelReason,
    CaptureMode,
    Charge,
    Destination,
    Line,
    PlacedQty,
    Qty,
    RefundLine,
    RefundLineKind,
    Totals,
)
from shared.events.orders import (
    Allocation,
    HoldReason,
    IntentPurpose,
    PaidAllocation,
    RefundCause,
    RefundRequested,
    VoidCause,
)


class OrderStatus(StrEnum):
    """The order axis."""

    PLACED = "PLACED"
    CONFIRMED = "CONFIRMED"
    PROCESSING = "PROCESSING"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"


class PaymentStatus(StrEnum):
    """The payment axis (Shopify's names)."""

    PENDING = "PENDING"
    AUTHORIZED = "AUTHORIZED"
    PARTIALLY_PAID = "PARTIALLY_PAID"
    PAID = "PAID"
    PARTIALLY_REFUNDED = "PARTIALLY_REFUNDED"
    REFUNDED = "REFUNDED"
    VOIDED = "VOIDED"
    EXPIRED = "EXPIRED"


class FulfillmentStatus(StrEnum):
    """The fulfilment axis (Shopify's names). FULFILLED means handed over, never merely packed; ON_HOLD that
    what is left must not ship yet."""

    UNFULFILLED = "UNFULFILLED"
    ON_HOLD = "ON_HOLD"
    IN_PROGRESS = "IN_PROGRESS"
    PARTIALLY_FULFILLED = "PARTIALLY_FULFILLED"
    FULFILLED = "FULFILLED"
    DELIVERED = "DELIVERED"


class IntentStatus(StrEnum):
    """Where a payment intent stands; CLOSED: it ended without money."""

    OPEN = "OPEN"
    AUTHORIZED = "AUTHORIZED"
    CAPTURED = "CAPTURED"
    CLOSED = "CLOSED"
    VOIDED = "VOIDED"


class CaptureStatus(StrEnum):
    """Where a capture stands; REQUESTED covers the retries, FAILED is for good."""

    REQUESTED = "REQUESTED"
    DONE = "DONE"
    FAILED = "FAILED"


class RefundStatus(StrEnum):
    """Where a refund stands."""

    REQUESTED = "REQUESTED"
    ISSUED = "ISSUED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLine:
    """A priced line and how many of its units went how far; `refunded` counts returned and claimed ones."""

    line: Line
    ever_ordered: int
    requested: int = 0
    shipped: int = 0
    delivered: int = 0
    refunded: int = 0

    @property
    def ordered(self) -> int:
        """The units that the buyer still wants."""
        return self.line.quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One request for money. `expires_at` ends the buyer's window, `authorized_until` the provider's promise.

    `void_cause` is set once the authorized rest must not be used any more; an open intent that has one is
    being closed.
    """

    intent_id: UUID
    purpose: IntentPurpose
    amount: int
    expires_at: datetime
    replaces: UUID | None = None
    status: IntentStatus = IntentStatus.OPEN
    authorized: int = 0
    authorized_until: datetime | None = None
    multicapture: bool = True
    voided: int = 0
    void_cause: VoidCause | None = None
    provider_ref: str | None = None

    @property
    def payable(self) -> bool:
        """Money that comes for it is welcome."""
        return self.status is IntentStatus.OPEN and self.void_cause is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """Money taken or being taken; `late`: it came when it was no longer wanted and only goes back."""

    capture_id: UUID
    intent_id: UUID | None
    amount: int
    shipment_id: UUID | None
    requested_at: datetime
    status: CaptureStatus = CaptureStatus.REQUESTED
    late: bool = False
    failures: int = 0
    failed_at: datetime | None = None
    provider_ref: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Money going back. `request` is missing if more was wished for than could be paid back; `paid` is what
    went back although the whole has not."""

    refund_id: UUID
    amount: int
    status: RefundStatus
    changed_at: datetime
    attempt: int
    retryable: bool = False
    request: RefundRequested | None = None
    paid: tuple[PaidAllocation, ...] = ()

    @property
    def allocations(self) -> tuple[Allocation, ...]:
        """The captures that the money goes back over."""
        return self.request.allocations if self.request else ()

    @property
    def gone(self) -> int:
        """What of it went back to the buyer."""
        if self.status is RefundStatus.ISSUED:
            return self.amount
        return sum(part.amount for part in self.paid)

    @property
    def lines(self) -> tuple[RefundLine, ...]:
        """The units that it pays back."""
        return self.request.lines if self.request else ()

    @property
    def cause(self) -> RefundCause | None:
        """What it pays back for."""
        return self.request.cause if self.request else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fulfillment:
    """Units handed to a warehouse."""

    fulfillment_id: UUID
    location_id: UUID | None
    lines: tuple[Qty, ...]
    ship_by: datetime
    cancelled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    """A parcel on its way or arrived."""

    shipment_id: UUID
    fulfillment_id: UUID
    lines: tuple[Qty, ...]
    shipped_at: datetime
    estimated_delivery: date | None = None
    delivered_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The whole order; mappings keep the order in which their entries came."""

    order_id: UUID
    status: OrderStatus = OrderStatus.PLACED
    revision: int = 0
    edit: Edit | None = None
    edit_ids: tuple[UUID, ...] = ()
    destination: Destination
    pickup_location_id: UUID | None = None
    lines: Mapping[UUID, OrderLine]
    line_ids: tuple[UUID, ...] = ()
    shipping: Charge
    totals: Totals
    capture: CaptureMode
    stock_answer_by: datetime
    stock_secured: bool = False
    once_tracked: bool = False
    placed: tuple[PlacedQty, ...] = ()
    declined_for_good: bool = False
    confirmed_at: datetime | None = None
    cancellation: CancelReason | None = None
    paid: bool = False
    last_void: VoidCause | None = None
    intents: Mapping[UUID, Intent] = field(default_factory=dict)
    captures: Mapping[UUID, Capture] = field(default_factory=dict)
    refunds: Mapping[UUID, Refund] = field(default_factory=dict)
    holds: Mapping[UUID, HoldReason] = field(default_factory=dict)
    fulfillments: Mapping[UUID, Fulfillment] = field(default_factory=dict)
    shipments: Mapping[UUID, Shipment] = field(default_factory=dict)

    @property
    def cancelled(self) -> bool:
        """The order was cancelled."""
        return self.status is OrderStatus.CANCELLED

    @property
    def stock_tracked(self) -> bool:
        """Some line is, or before an edit was, held in inventory."""
        return self.once_tracked or any(entry.line.stock_tracked for entry in self.lines.values())

    @property
    def content(self) -> Content:
        """What the order consists of now."""
        lines = tuple(self.lines[line_id].line for line_id in self.line_ids)
        return Content(lines=lines, shipping=self.shipping, totals=self.totals)

    @property
    def waits_for_stock(self) -> bool:
        """Not all units that are wanted now are held."""
        return not self.stock_secured or (self.edit is not None and self.edit.waits_for_stock)

    @property
    def edit_pending(self) -> bool:
        """The last edit waits for its stock or its balance, and may still be taken back."""
        return self.edit is not None and (self.edit.waits_for_stock or self.edit.hold_id in self.holds)

    @property
    def certain_total(self) -> int:
        """What the order costs whatever becomes of a pending edit."""
        if self.edit is None or not self.edit_pending:
            return self.totals.total
        return min(self.totals.total, self.edit.before.totals.total)

    @property
    def all_shipped(self) -> bool:
        """Every unit left."""
        return all(entry.shipped == entry.ordered for entry in self.lines.values())

    @property
    def all_delivered(self) -> bool:
        """Every unit left and every parcel arrived."""
        return self.all_shipped and all(parcel.delivered_at for parcel in self.shipments.values())

    @property
    def open_intent(self) -> Intent | None:
        """The one intent that the buyer can still pay."""
        return next((i for i in self.intents.values() if i.status is IntentStatus.OPEN), None)

    @property
    def captured(self) -> int:
        """What was taken for this order and does not go back because an edit made it cheaper."""
        edited = sum(r.amount for r in self.refunds.values() if r.cause is RefundCause.EDIT)
        return self._captures(CaptureStatus.DONE, late=False) - edited

    @property
    def taken(self) -> int:
        """All that was taken, wanted or not."""
        return sum(self._captures(CaptureStatus.DONE, late=late) for late in (False, True))

    @property
    def in_flight(self) -> int:
        """What is being captured."""
        return self._captures(CaptureStatus.REQUESTED, late=False)

    def _captures(self, status: CaptureStatus, *, late: bool) -> int:
        return sum(c.amount for c in self.captures.values() if c.status is status and c.late is late)

    @property
    def refunded(self) -> int:
        """What went back to the buyer."""
        return sum(refund.gone for refund in self.refunds.values())

    @property
    def due(self) -> int:
        """What the buyer owes for the units that left so far; with the last one the whole total."""
        if self.all_shipped:
            return self.totals.total
        if not self.shipments:
            return 0
        return self.shipping.gross + sum(
            share(entry.line.gross, entry.ordered, 0, entry.shipped) for entry in self.lines.values()
        )

    def rest(self, intent: Intent) -> int:
        """What the provider still holds: authorized, not voided, neither captured nor being captured."""
        taken = sum(c.amount for c in self.captures_of(intent))
        return max(0, intent.authorized - intent.voided - taken)

    @property
    def serves_in_parts(self) -> bool:
        """The last authorization served its only capture: the rest is authorized before it ships."""
        held = [i for i in self.intents.values() if i.authorized_until]
        return bool(held) and not held[-1].multicapture and bool(self.captures_of(held[-1]))

    def room(self, intent: Intent, now: datetime) -> int:
        """What may still be captured of an intent; without multicapture it serves one capture."""
        lapsed = intent.authorized_until is not None and now >= intent.authorized_until
        if intent.status is not IntentStatus.AUTHORIZED or intent.void_cause or lapsed:
            return 0
        return self.rest(intent) if intent.multicapture or not self.captures_of(intent) else 0

    def secured(self, now: datetime) -> int:
        """What is captured, being captured or can be captured."""
        return self.captured + self.in_flight + sum(self.room(i, now) for i in self.intents.values())

    def void_due(self, intent: Intent) -> VoidCause | None:
        """Why the rest of an intent has to be let go now; None: it must not, or a capture is under way."""
        if not self.rest(intent) or any(
            c.status is CaptureStatus.REQUESTED for c in self.captures_of(intent)
        ):
            return None
        if intent.void_cause:
            return intent.void_cause
        return VoidCause.ORDER_CANCELLED if self.cancelled else None

    def captures_of(self, intent: Intent) -> list[Capture]:
        """The captures of an intent that were made or are under way."""
        return [
            c
            for c in self.captures.values()
            if c.intent_id == intent.intent_id and c.status is not CaptureStatus.FAILED
        ]

    def refunding(self, line_id: UUID, *kinds: RefundLineKind) -> int:
        """The units of a line that refunds of these kinds pay back, whether issued, asked for or failed."""
        return sum(
            line.quantity
            for refund in self.refunds.values()
            for line in refund.lines
            if line.line_id == line_id and line.kind in kinds
        )


def payment_status(order: Order) -> PaymentStatus:
    """The payment axis; authorized money counts until it is voided."""
    taken, total = order.taken, order.totals.total
    if order.refunded:
        return PaymentStatus.REFUNDED if order.refunded == taken else PaymentStatus.PARTIALLY_REFUNDED
    if taken >= total and (total or order.paid):
        return PaymentStatus.PAID
    if taken:
        return PaymentStatus.PARTIALLY_PAID
    if order.in_flight or any(order.rest(intent) for intent in order.intents.values()):
        return PaymentStatus.AUTHORIZED
    if order.last_void is VoidCause.EXPIRED:
        return PaymentStatus.EXPIRED
    return PaymentStatus.VOIDED if order.cancelled or order.last_void else PaymentStatus.PENDING


def fulfillment_status(order: Order) -> FulfillmentStatus:
    """The fulfilment axis."""
    if order.holds and not order.all_shipped:
        return FulfillmentStatus.ON_HOLD
    if order.shipments:
        if order.all_delivered:
            return FulfillmentStatus.DELIVERED
        return FulfillmentStatus.FULFILLED if order.all_shipped else FulfillmentStatus.PARTIALLY_FULFILLED
    if any(not fulfillment.cancelled for fulfillment in order.fulfillments.values()):
        return FulfillmentStatus.IN_PROGRESS
    return FulfillmentStatus.UNFULFILLED
