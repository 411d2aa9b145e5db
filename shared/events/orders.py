"""The public events of orders: an order's life, its money and its parcels, all in the stream `order-<id>`.

Money that belongs to no order has streams of its own, see `orphan_payments`. Amounts are minor units in the
order's currency. Fields that nothing fills yet are optional.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from shared.domain import Sealed
from shared.events import orphan_payments
from shared.events.common import (
    Breakdown,
    CancelReason,
    CaptureMode,
    Charge,
    Contact,
    Destination,
    Line,
    PlacedQty,
    Qty,
    RefundLine,
    RefundMethod,
    ShortLine,
    Totals,
)
from shared.events.registry import JsonObject, Upcaster


class SourceKind(StrEnum):
    """What an order comes from."""

    CART = "CART"
    EXCHANGE = "EXCHANGE"
    CLAIM = "CLAIM"


class PartialStock(StrEnum):
    """Whether an order goes on with only some of its units."""

    ALL_OR_NOTHING = "ALL_OR_NOTHING"
    RESERVE_AVAILABLE = "RESERVE_AVAILABLE"


class StockTrigger(StrEnum):
    """What secured the stock: the reservation's answer, or a delivery that filled a backorder."""

    RESERVED = "RESERVED"
    BACKORDER_FILLED = "BACKORDER_FILLED"


class PaymentBasis(StrEnum):
    """What made an order certain enough to confirm."""

    AUTHORIZED = "AUTHORIZED"
    CAPTURED = "CAPTURED"
    CREDIT = "CREDIT"
    NOTHING_DUE = "NOTHING_DUE"


class ProcessingMode(StrEnum):
    """Whether a person or the system starts the processing."""

    AUTOMATIC = "AUTOMATIC"
    MANUAL = "MANUAL"


class NextStep(StrEnum):
    """What follows a confirmation: processing by itself, a person's queue, or waiting for a hold."""

    AUTOMATIC = "AUTOMATIC"
    MANUAL = "MANUAL"
    WAIT = "WAIT"


class IntentPurpose(StrEnum):
    """What a payment intent asks money for."""

    ORDER = "ORDER"
    BALANCE = "BALANCE"
    REAUTHORIZATION = "REAUTHORIZATION"


class Risk(StrEnum):
    """The provider's opinion of a payment."""

    NORMAL = "NORMAL"
    HIGH = "HIGH"


class DeclineCode(StrEnum):
    """Why the provider gave no money."""

    DECLINED = "DECLINED"
    TIMEOUT = "TIMEOUT"
    FRAUD = "FRAUD"
    ERROR = "ERROR"


class VoidCause(StrEnum):
    """Why authorized money was let go."""

    ORDER_CANCELLED = "ORDER_CANCELLED"
    SUPERSEDED = "SUPERSEDED"
    REMAINDER = "REMAINDER"
    EXPIRED = "EXPIRED"
    LATE = "LATE"
    EDIT_REVERTED = "EDIT_REVERTED"


class LatePaymentKind(StrEnum):
    """What the provider did too late."""

    AUTHORIZED = "AUTHORIZED"
    CAPTURED = "CAPTURED"


class LatePaymentCause(StrEnum):
    """Why a payment was too late."""

    ORDER_CANCELLED = "ORDER_CANCELLED"
    INTENT_CLOSED = "INTENT_CLOSED"


class CaptureMethod(StrEnum):
    """Where captured money comes from."""

    PROVIDER = "PROVIDER"
    EXCHANGE_CREDIT = "EXCHANGE_CREDIT"


class RefundCause(StrEnum):
    """What a refund pays back for."""

    CANCEL = "CANCEL"
    EDIT = "EDIT"
    LATE_PAYMENT = "LATE_PAYMENT"
    RETURN = "RETURN"
    CLAIM = "CLAIM"
    GOODWILL = "GOODWILL"


class RefundFailureCode(StrEnum):
    """Why a refund was not paid."""

    EXCEEDS_REFUNDABLE = "EXCEEDS_REFUNDABLE"
    PROVIDER_REFUSED = "PROVIDER_REFUSED"
    PROVIDER_UNREACHABLE = "PROVIDER_UNREACHABLE"


class FulfillmentService(StrEnum):
    """Who hands the goods over."""

    OWN = "OWN"
    THIRD_PARTY = "THIRD_PARTY"
    SUPPLIER = "SUPPLIER"
    DIGITAL = "DIGITAL"
    PICKUP = "PICKUP"


class FulfillmentCancelCause(StrEnum):
    """Why a fulfillment was called off."""

    ORDER_CANCELLED = "ORDER_CANCELLED"
    EDITED = "EDITED"
    NOT_COLLECTED = "NOT_COLLECTED"


class ShipmentMethod(StrEnum):
    """How units left."""

    CARRIER = "CARRIER"
    PICKUP = "PICKUP"
    DIGITAL = "DIGITAL"


class DeliveryProof(StrEnum):
    """Who says that a parcel arrived."""

    CARRIER = "CARRIER"
    SIGNATURE = "SIGNATURE"
    CUSTOMER = "CUSTOMER"
    STAFF = "STAFF"
    ASSUMED = "ASSUMED"


class EditCause(StrEnum):
    """Why an order's content was changed; REVERT: it went back to what it was before an edit."""

    STAFF = "STAFF"
    CUSTOMER = "CUSTOMER"
    UPSELL = "UPSELL"
    ADDRESS = "ADDRESS"
    INVENTORY = "INVENTORY"
    NOT_COLLECTED = "NOT_COLLECTED"
    HOLD_EXPIRED = "HOLD_EXPIRED"
    REVERT = "REVERT"


class HoldReason(StrEnum):
    """Why nothing may ship (Shopify's names, where it has one)."""

    AWAITING_PAYMENT = "AWAITING_PAYMENT"
    HIGH_RISK_OF_FRAUD = "HIGH_RISK_OF_FRAUD"
    INCORRECT_ADDRESS = "INCORRECT_ADDRESS"
    INVENTORY_OUT_OF_STOCK = "INVENTORY_OUT_OF_STOCK"
    UNKNOWN_DELIVERY_DATE = "UNKNOWN_DELIVERY_DATE"
    AWAITING_RETURN_ITEMS = "AWAITING_RETURN_ITEMS"
    ONLINE_STORE_POST_PURCHASE_CROSS_SELL = "ONLINE_STORE_POST_PURCHASE_CROSS_SELL"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderSource:
    """Where an order comes from: a cart, or the return or claim that it replaces goods for."""

    kind: SourceKind
    ref_id: UUID
    original_order_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedCredit:
    """The credit that a replacement order waits for."""

    source_id: UUID
    expected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCheck:
    """One check of the gate before processing."""

    check: str
    ok: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledLine:
    """A line that may not be processed before a day."""

    line_id: UUID
    not_before: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Backing:
    """The part of a foreign order's capture that stands behind an exchange credit."""

    order_id: UUID
    capture_id: UUID
    provider_ref: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """The part of a refund that goes back over one capture."""

    capture_id: UUID
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidAllocation:
    """The part of a refund that went back over one capture, with the provider's reference."""

    capture_id: UUID
    provider_ref: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedLine:
    """Units of an order line in a parcel."""

    line_id: UUID
    sku: str
    quantity: int
    stock_tracked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPlaced:
    """A checkout became an order; nothing is secured or paid yet."""

    order_number: str
    source: OrderSource
    cart_id: UUID | None = None
    customer_id: UUID | None = None
    contact: Contact
    destination: Destination
    billing: Sealed | None = None
    pickup_location_id: UUID | None = None
    lines: tuple[Line, ...]
    shipping: Charge
    totals: Totals
    credit: ExpectedCredit | None = None
    currency: str
    locale: str
    pricing_version: int
    capture: CaptureMode = CaptureMode.ON_SHIP
    partial_stock: PartialStock = PartialStock.ALL_OR_NOTHING
    create_account: bool = False
    marketing_consent: bool = False
    customer_note: Sealed | None = None
    stock_answer_by: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderStockSecured:
    """The units of the order are held for it."""

    reservation_id: UUID
    revision: int
    placed: tuple[PlacedQty, ...]
    short: tuple[ShortLine, ...] = ()
    trigger: StockTrigger = StockTrigger.RESERVED


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderConfirmed:
    """Stock and payment are secured: the order will be carried out."""

    payment: PaymentBasis
    mode: ProcessingMode
    mode_reason: str
    next: NextStep
    process_by: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderProcessingStarted:
    """The order passed the gate and is handed to its warehouse or partners."""

    mode: ProcessingMode
    gate: tuple[GateCheck, ...]
    scheduled: tuple[ScheduledLine, ...] = ()
    started_by: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderEdited:
    """The order's content is another one: `lines`, `shipping` and `totals` are all of it, after the edit.

    `revision` counts edits from 1, OrderPlaced being 0. `raises_stock`: some tracked line has more units than
    before, so the edit waits for inventory's answer. A REVERT names the edit that it takes back.
    """

    edit_id: UUID
    revision: int
    cause: EditCause
    reverts_edit_id: UUID | None = None
    lines: tuple[Line, ...]
    shipping: Charge
    total_before: int
    totals: Totals
    quote_id: UUID | None = None
    raises_stock: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCancelled:
    """The order ends before anything shipped; `void_intents` are the intents whose money is to be let go."""

    reason: CancelReason
    detail: str | None = None
    void_intents: tuple[UUID, ...] = ()
    stock_tracked: bool
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCompleted:
    """Everything is shipped, delivered or lost, and captured."""

    delivered_units: int
    lost_units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRequested:
    """The provider is asked for `amount`; the buyer has until `expires_at`."""

    intent_id: UUID
    purpose: IntentPurpose
    amount: int
    capture: CaptureMode
    provider: str
    replaces_intent_id: UUID | None = None
    off_session: bool = False
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentAuthorized:
    """The provider holds `amount` for the order until `expires_at`."""

    intent_id: UUID
    amount: int
    provider_ref: str
    method_label: str
    risk: Risk = Risk.NORMAL
    multicapture: bool
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentDeclined:
    """An attempt to pay failed; `final`: no further attempt is possible."""

    intent_id: UUID
    code: DeclineCode
    attempt: int
    final: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentVoided:
    """Authorized money of an intent was let go."""

    intent_id: UUID
    amount: int
    cause: VoidCause
    provider_ref: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LatePaymentReceived:
    """Money came for a cancelled order or a closed intent; it has to go back."""

    intent_id: UUID
    kind: LatePaymentKind
    capture_id: UUID | None = None
    amount: int
    provider_ref: str
    cause: LatePaymentCause


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureRequested:
    """The provider is asked to take `amount` of an authorized intent."""

    capture_id: UUID
    intent_id: UUID
    amount: int
    shipment_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCaptured:
    """Money was taken."""

    capture_id: UUID
    intent_id: UUID | None = None
    amount: int
    shipment_id: UUID | None = None
    method: CaptureMethod = CaptureMethod.PROVIDER
    provider_ref: str | None = None
    backing: tuple[Backing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureFailed:
    """A capture was not made; `final`: it will not be tried again."""

    capture_id: UUID
    amount: int
    code: str
    final: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPaid:
    """Captured money covers the whole total."""

    total: int
    captured: int
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequested:
    """The provider is asked to pay `amount` back, over the captures in `allocations`."""

    refund_id: UUID
    amount: int
    breakdown: Breakdown
    lines: tuple[RefundLine, ...] = ()
    cause: RefundCause
    ref_id: UUID
    method: RefundMethod = RefundMethod.ORIGINAL
    target_order_id: UUID | None = None
    allocations: tuple[Allocation, ...]
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundIssued:
    """Money went back to the buyer."""

    refund_id: UUID
    amount: int
    breakdown: Breakdown
    lines: tuple[RefundLine, ...] = ()
    cause: RefundCause
    ref_id: UUID
    method: RefundMethod = RefundMethod.ORIGINAL
    target_order_id: UUID | None = None
    allocations: tuple[PaidAllocation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundFailed:
    """A refund was not paid in full; `retryable`: it will be tried again, else a person has to look at it.

    `paid`: what this try and earlier ones paid back all the same, over some of several payments.
    """

    refund_id: UUID
    amount: int
    code: RefundFailureCode
    retryable: bool
    attempt: int
    paid: tuple[PaidAllocation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FulfillmentHeld:
    """Nothing ships until the hold is released; without `line_ids` it covers the whole order."""

    hold_id: UUID
    reason: HoldReason
    detail: str | None = None
    note: Sealed | None = None
    line_ids: tuple[UUID, ...] = ()
    notify_customer: bool = False
    review_by: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FulfillmentHoldReleased:
    """A hold ended, because of `cause`; `next` says what follows, as in OrderConfirmed."""

    hold_id: UUID
    reason: HoldReason
    cause: str
    next: NextStep


@dataclass(frozen=True, slots=True, kw_only=True)
class FulfillmentRequested:
    """Units are handed to whoever ships them."""

    fulfillment_id: UUID
    service: FulfillmentService
    location_id: UUID | None = None
    supplier_id: UUID | None = None
    charge_id: UUID | None = None
    lines: tuple[Qty, ...]
    answer_by: datetime | None = None
    ship_by: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FulfillmentCancelled:
    """Units that were handed to a warehouse or partner will not be shipped by it."""

    fulfillment_id: UUID
    lines: tuple[Qty, ...]
    cause: FulfillmentCancelCause
    charge_id: UUID | None = None
    void_labels: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """A parcel left; `last`: with it every unit of the order has."""

    shipment_id: UUID
    fulfillment_id: UUID
    method: ShipmentMethod
    location_id: UUID | None = None
    lines: tuple[ShippedLine, ...]
    carrier: str | None = None
    tracking_number: str | None = None
    tracking_url: str | None = None
    estimated_delivery: date | None = None
    last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A parcel arrived, or is taken to have arrived (ASSUMED)."""

    shipment_id: UUID
    lines: tuple[Qty, ...]
    delivered_at: datetime
    proof: DeliveryProof
    after_lost: bool = False


OrderEvent = (
    OrderPlaced
    | OrderStockSecured
    | OrderConfirmed
    | OrderProcessingStarted
    | OrderEdited
    | OrderCancelled
    | OrderCompleted
    | PaymentRequested
    | PaymentAuthorized
    | PaymentDeclined
    | PaymentVoided
    | LatePaymentReceived
    | CaptureRequested
    | PaymentCaptured
    | CaptureFailed
    | OrderPaid
    | RefundRequested
    | RefundIssued
    | RefundFailed
    | FulfillmentHeld
    | FulfillmentHoldReleased
    | FulfillmentRequested
    | FulfillmentCancelled
    | Shipped
    | Delivered
)

ORDER_EVENTS: tuple[type, ...] = (
    OrderPlaced,
    OrderStockSecured,
    OrderConfirmed,
    OrderProcessingStarted,
    OrderEdited,
    OrderCancelled,
    OrderCompleted,
    PaymentRequested,
    PaymentAuthorized,
    PaymentDeclined,
    PaymentVoided,
    LatePaymentReceived,
    CaptureRequested,
    PaymentCaptured,
    CaptureFailed,
    OrderPaid,
    RefundRequested,
    RefundIssued,
    RefundFailed,
    FulfillmentHeld,
    FulfillmentHoldReleased,
    FulfillmentRequested,
    FulfillmentCancelled,
    Shipped,
    Delivered,
)
"""The events of an order's own stream."""


def _nothing_paid(document: JsonObject) -> JsonObject:
    return document


UPCASTERS: Mapping[str, tuple[Upcaster, ...]] = {"RefundFailed": (_nothing_paid,)}
"""Version 2 of RefundFailed knows `paid`, which may be left out. It is a version of its own because whoever
does not know it would count money that went back as still there."""

EVENTS: tuple[type, ...] = (*ORDER_EVENTS, *orphan_payments.EVENTS)
