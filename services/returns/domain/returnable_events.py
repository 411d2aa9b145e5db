"""The private stream `returnable-<order_id>`: an order's units and money as returns sees them."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from shared.domain import Sealed
from shared.events.common import Breakdown, Qty, RefundSource


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedLine:
    """An order line with its amounts frozen, and what an exclusion may look at."""

    line_id: UUID
    sku: str
    ordered: int
    gross: int
    tax: int
    digital: bool
    custom: bool
    final_sale: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementNoted:
    """The order was placed with these lines."""

    currency: str
    lines: tuple[OrderedLine, ...]
    shipping_gross: int
    shipping_tax: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionNoted:
    """The order was edited, before anything of it left: these are its lines and its shipping now."""

    revision: int
    lines: tuple[OrderedLine, ...]
    shipping_gross: int
    shipping_tax: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipmentNoted:
    """Units left in a parcel."""

    shipment_id: UUID
    lines: tuple[Qty, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryNoted:
    """A parcel arrived."""

    shipment_id: UUID
    lines: tuple[Qty, ...]
    delivered_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CancellationNoted:
    """The order was cancelled; nothing of it will ever be delivered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsClaimed:
    """A return took these units; no other can."""

    return_id: UUID
    lines: tuple[Qty, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsGivenBack:
    """A return let these units go: it was declined or cancelled, or ended before they came."""

    return_id: UUID
    lines: tuple[Qty, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptValued:
    """Units came in for a refund; its amount is frozen here, whatever else is granted later."""

    return_id: UUID
    receipt_id: UUID
    lines: tuple[Qty, ...]
    breakdown: Breakdown


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantNoted:
    """A refund was proposed; `amount` no longer can be granted otherwise."""

    refund_id: UUID
    source: RefundSource
    source_id: UUID
    receipt_id: UUID | None
    amount: int
    note: Sealed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantPaid:
    """Orders paid the refund."""

    refund_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantUnpaid:
    """Orders could not pay the refund and will not try again by itself."""

    refund_id: UUID
    code: str


ReturnableEvent: TypeAlias = (
    PlacementNoted
    | RevisionNoted
    | ShipmentNoted
    | DeliveryNoted
    | CancellationNoted
    | UnitsClaimed
    | UnitsGivenBack
    | ReceiptValued
    | GrantNoted
    | GrantPaid
    | GrantUnpaid
)
EVENTS: tuple[type[ReturnableEvent], ...] = (
    PlacementNoted,
    RevisionNoted,
    ShipmentNoted,
    DeliveryNoted,
    CancellationNoted,
    UnitsClaimed,
    UnitsGivenBack,
    ReceiptValued,
    GrantNoted,
    GrantPaid,
    GrantUnpaid,
)
