"""The records that events of several services carry. Amounts are minor units in the stream's currency."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from shared.domain import Sealed


class DeliveryKind(StrEnum):
    """How a line reaches its buyer."""

    SHIP = "SHIP"
    PICKUP = "PICKUP"
    DIGITAL = "DIGITAL"


class CaptureMode(StrEnum):
    """When authorized money is taken."""

    ON_SHIP = "ON_SHIP"
    NOW = "NOW"


class CancelReason(StrEnum):
    """Why an order was cancelled (Shopify's names)."""

    CUSTOMER = "CUSTOMER"
    DECLINED = "DECLINED"
    FRAUD = "FRAUD"
    INVENTORY = "INVENTORY"
    STAFF = "STAFF"
    OTHER = "OTHER"


class RefundLineKind(StrEnum):
    """What happened to the units that a refund pays back."""

    RETURN = "RETURN"
    CLAIM = "CLAIM"
    REMOVED = "REMOVED"
    GOODWILL = "GOODWILL"


class RefundMethod(StrEnum):
    """Where refunded money goes."""

    ORIGINAL = "ORIGINAL"
    EXCHANGE_CREDIT = "EXCHANGE_CREDIT"


class RefundSource(StrEnum):
    """What a refund is granted for."""

    RETURN = "RETURN"
    CLAIM = "CLAIM"
    GOODWILL = "GOODWILL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One order line, priced: gross = net + tax, net and gross after `discount`."""

    line_id: UUID
    sku: str
    title: str
    quantity: int
    unit_price: int
    discount: int = 0
    net: int
    tax: int
    gross: int
    tax_class: str
    tax_rate_bp: int
    delivery: DeliveryKind = DeliveryKind.SHIP
    stock_tracked: bool = True
    preorder_until: date | None = None
    customization: Sealed | None = None
    supplier_id: UUID | None = None
    final_sale: bool = False
    weight_g: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Qty:
    """So many units of an order line."""

    line_id: UUID
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundLine:
    """So many units of an order line that a refund pays back, and why."""

    line_id: UUID
    quantity: int
    kind: RefundLineKind


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedQty:
    """Units of an order line held at a location; `backordered` of them are promised, not there."""

    line_id: UUID
    sku: str
    location_id: UUID
    quantity: int
    backordered: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortLine:
    """A line that got fewer units than it asked for."""

    line_id: UUID
    sku: str
    requested: int
    reserved: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What a shipping method costs: gross = net + tax."""

    method_id: str
    title: str
    net: int
    tax: int
    gross: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """An order's sums: total = items_net + items_tax + shipping_net + shipping_tax, after `discount`."""

    items_net: int
    items_tax: int
    shipping_net: int
    shipping_tax: int
    discount: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where an order goes. What decisions need is clear, the address itself is sealed."""

    country: str
    region: str | None = None
    postal_prefix: str | None = None
    complete: bool
    missing: tuple[str, ...] = ()
    address: Sealed


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """Who to write to; `subject_id` names whose key seals the rest."""

    subject_id: UUID
    name: Sealed
    email: Sealed
    phone: Sealed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """An amount in minor units with its ISO 4217 code, where no stream gives the currency."""

    amount: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A signed price promise that orders and returns accept in commands."""

    quote_id: UUID
    lines: tuple[Line, ...]
    shipping: Charge
    totals: Totals
    policy_version: int
    valid_until: datetime
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """A refund's parts: total = the four parts - fee - deduction."""

    items_net: int
    items_tax: int
    shipping_net: int
    shipping_tax: int
    fee: int = 0
    deduction: int = 0
    total: int
