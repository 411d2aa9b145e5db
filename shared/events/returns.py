"""Public events of returns: the policy, the return and the granted refunds, which orders then pays."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from shared.domain import Sealed
from shared.events.common import (
    Breakdown,
    Charge,
    Line,
    Money,
    Qty,
    Quote,
    RefundLine,
    RefundMethod,
    RefundSource,
    Totals,
)


class Exclusion(StrEnum):
    """Kinds of goods that a policy takes no returns of; an exclusion can also be a single sku."""

    FINAL_SALE = "FINAL_SALE"
    CUSTOM = "CUSTOM"
    DIGITAL = "DIGITAL"


class RefundShipping(StrEnum):
    """How much of the outbound shipping charge a return gets back."""

    NEVER = "NEVER"
    FULL_RETURN = "FULL_RETURN"
    PROPORTIONAL = "PROPORTIONAL"


class ReturnKind(StrEnum):
    """What the customer wants for the goods."""

    RETURN = "RETURN"
    EXCHANGE = "EXCHANGE"


class ReturnOrigin(StrEnum):
    """Who asked for a return."""

    CUSTOMER = "CUSTOMER"
    STAFF = "STAFF"
    CLAIM = "CLAIM"


class ReturnReason(StrEnum):
    """Why units come back (Shopify's names and a few of Saleor's)."""

    COLOR = "COLOR"
    DEFECTIVE = "DEFECTIVE"
    NOT_AS_DESCRIBED = "NOT_AS_DESCRIBED"
    SIZE_TOO_LARGE = "SIZE_TOO_LARGE"
    SIZE_TOO_SMALL = "SIZE_TOO_SMALL"
    STYLE = "STYLE"
    UNWANTED = "UNWANTED"
    WRONG_ITEM = "WRONG_ITEM"
    UNDELIVERABLE = "UNDELIVERABLE"
    OTHER = "OTHER"
    UNKNOWN = "UNKNOWN"


class DeclineReason(StrEnum):
    """Why a requested return was declined."""

    FINAL_SALE = "FINAL_SALE"
    RETURN_PERIOD_ENDED = "RETURN_PERIOD_ENDED"
    OTHER = "OTHER"


class LabelKind(StrEnum):
    """Who pays for the way back."""

    PREPAID = "PREPAID"
    OWN = "OWN"


class Disposition(StrEnum):
    """What the warehouse found: sellable, not sellable, to be inspected first, or not in the parcel."""

    RESTOCKED = "RESTOCKED"
    NOT_RESTOCKED = "NOT_RESTOCKED"
    PROCESSING_REQUIRED = "PROCESSING_REQUIRED"
    MISSING = "MISSING"


class ReturnOutcome(StrEnum):
    """How a return ended."""

    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyText:
    """The policy in words, per locale; a missing translation falls back to `en`."""

    it: str = ""
    pt: str = ""
    en: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedLine:
    """Units that a customer wants to send back, and why."""

    line_id: UUID
    quantity: int
    reason: ReturnReason
    note: Sealed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedLine:
    """Units of a receipt that share one disposition."""

    line_id: UUID
    sku: str
    quantity: int
    disposition: Disposition


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """The order that an exchange places; `credit_expected` is the value of the goods that come back."""

    order_id: UUID
    lines: tuple[Line, ...]
    shipping: Charge
    totals: Totals
    credit_expected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnPolicyAdopted:
    """A return policy came into force. Percentages are basis points, periods days; money is per currency:
    no return_shipping_fee for a currency means none, no dual_control_above means that two must approve."""

    policy_version: int
    effective_from: datetime
    window_days: int
    exclusions: tuple[str, ...]
    restocking_fee_bp: int
    return_shipping_fee: tuple[Money, ...]
    refund_shipping: RefundShipping
    answer_days: int
    ship_days: int
    receive_days: int
    refund_days: int
    dual_control_above: tuple[Money, ...]
    auto_refund: bool
    text: PolicyText


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnRequested:
    """Units of a delivered order are to come back; `refundable` is false where a claim already pays."""

    order_id: UUID
    kind: ReturnKind = ReturnKind.RETURN
    origin: ReturnOrigin
    lines: tuple[RequestedLine, ...]
    exchange_for: Quote | None = None
    refundable: bool = True
    policy_version: int
    answer_by: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnApproved:
    """The units may come back: sent by `ship_by`, at the warehouse by `receive_by`."""

    order_id: UUID
    kind: ReturnKind = ReturnKind.RETURN
    lines: tuple[Qty, ...]
    replacement: Replacement | None = None
    instructions_ref: str
    label: LabelKind = LabelKind.OWN
    ship_by: datetime
    receive_by: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnDeclined:
    """The units must not come back; they can be asked for again."""

    order_id: UUID
    reason: DeclineReason
    note: Sealed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnReceived:
    """The warehouse scanned goods of a return. `resolves_receipt_id`: these units came with that receipt and
    only now get their disposition. `complete`: nothing of the return is awaited or inspected any more."""

    order_id: UUID
    receipt_id: UUID
    location_id: UUID
    lines: tuple[ReceivedLine, ...]
    resolves_receipt_id: UUID | None = None
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnClosed:
    """The return is over; approved units that never came can be asked for again."""

    order_id: UUID
    kind: ReturnKind = ReturnKind.RETURN
    replacement_order_id: UUID | None = None
    outcome: ReturnOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundProposed:
    """A refund waits for `approvals_needed` people in all, a proposing person included; `proposed_by` None is
    the system. A second RefundProposed of the same refund means that this person stands behind it too."""

    order_id: UUID
    source: RefundSource
    source_id: UUID
    receipt_id: UUID | None = None
    amount: int
    currency: str
    breakdown: Breakdown
    lines: tuple[RefundLine, ...]
    method: RefundMethod = RefundMethod.ORIGINAL
    target_order_id: UUID | None = None
    approvals_needed: int
    proposed_by: UUID | None = None
    decide_by: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundApproved:
    """The refund is granted; orders now pays it. `approved_by` is empty if the policy approved by itself."""

    order_id: UUID
    source: RefundSource
    source_id: UUID
    amount: int
    currency: str
    breakdown: Breakdown
    lines: tuple[RefundLine, ...]
    method: RefundMethod = RefundMethod.ORIGINAL
    target_order_id: UUID | None = None
    approved_by: tuple[UUID, ...]


EVENTS: tuple[type, ...] = (
    ReturnPolicyAdopted,
    ReturnRequested,
    ReturnApproved,
    ReturnDeclined,
    ReturnReceived,
    ReturnClosed,
    RefundProposed,
    RefundApproved,
)

ReturnEvent = ReturnRequested | ReturnApproved | ReturnDeclined | ReturnReceived | ReturnClosed
RefundEvent = RefundProposed | RefundApproved
ReturnsEvent = ReturnPolicyAdopted | ReturnEvent | RefundEvent
