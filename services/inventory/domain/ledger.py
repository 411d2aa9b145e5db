"""The private ledger of one sku at one location: every movement of units, each with its own id and its cause.

`cause_id` is the event or document that made the units move; a movement that another movement entails (a
correction before a deduction, a write-off after a restock) has that movement as its cause.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID


class OutOfStockRule(StrEnum):
    """What happens to a sale when nothing is available."""

    DENY = "DENY"


class AdjustmentReason(StrEnum):
    """Why staff changed the number on hand (Shopify's reasons)."""

    CORRECTION = "CORRECTION"
    CYCLE_COUNT_AVAILABLE = "CYCLE_COUNT_AVAILABLE"
    DAMAGED = "DAMAGED"
    PROMOTION = "PROMOTION"
    SHRINKAGE = "SHRINKAGE"
    TRANSFER = "TRANSFER"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryQty:
    """So many units held for an order's line."""

    order_id: UUID
    line_id: UUID
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StockTermsSet:
    """How this sku is sold here: `safety_stock` is held back, `low_threshold` units or fewer are few."""

    movement_id: UUID
    cause_id: UUID
    on_out_of_stock: OutOfStockRule = OutOfStockRule.DENY
    backorder_limit: int = 0
    low_threshold: int = 0
    safety_stock: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StockReceived:
    """Units came from a supplier."""

    movement_id: UUID
    cause_id: UUID
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StockAdjusted:
    """The number on hand was wrong by `delta`; `alert`: goods left that the ledger did not know of."""

    movement_id: UUID
    cause_id: UUID
    delta: int
    reason: AdjustmentReason
    alert: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsReserved:
    """Available units are held from now on; each entry ends by a release or a deduction."""

    movement_id: UUID
    cause_id: UUID
    entries: tuple[EntryQty, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsReleased:
    """Held units are available again; `reverses` names the movements that had reserved them."""

    movement_id: UUID
    cause_id: UUID
    entries: tuple[EntryQty, ...]
    reverses: tuple[UUID, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsDeducted:
    """`quantity` units left with a shipment: those of `entries` were held for it, the others were not."""

    movement_id: UUID
    cause_id: UUID
    order_id: UUID
    shipment_id: UUID
    quantity: int
    entries: tuple[EntryQty, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsRestocked:
    """`quantity` units came back; `damaged` and `quality_control` of them cannot be sold, the rest can."""

    movement_id: UUID
    cause_id: UUID
    order_id: UUID
    receipt_id: UUID
    quantity: int
    damaged: int = 0
    quality_control: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsWrittenOff:
    """Damaged units are no longer on hand."""

    movement_id: UUID
    cause_id: UUID
    quantity: int


EVENTS: tuple[type, ...] = (
    StockTermsSet,
    StockReceived,
    StockAdjusted,
    UnitsReserved,
    UnitsReleased,
    UnitsDeducted,
    UnitsRestocked,
    UnitsWrittenOff,
)

LedgerEvent: TypeAlias = (
    StockTermsSet
    | StockReceived
    | StockAdjusted
    | UnitsReserved
    | UnitsReleased
    | UnitsDeducted
    | UnitsRestocked
    | UnitsWrittenOff
)
