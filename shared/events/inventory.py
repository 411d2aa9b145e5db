"""What inventory tells the others: how an order's reservation stands, and what runs out.

The stream is `reservation-<order_id>`, of availability `skuavailability-<sku>`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

from shared.events.common import PlacedQty, ShortLine


class RejectionPhase(StrEnum):
    """Whether the first reservation of an order was refused or a later revision of it."""

    INITIAL = "INITIAL"
    REVISION = "REVISION"


class RejectionCode(StrEnum):
    """Why no stock could be reserved."""

    OUT_OF_STOCK = "OUT_OF_STOCK"
    UNKNOWN_SKU = "UNKNOWN_SKU"
    HOARDING = "HOARDING"


class ReleaseCause(StrEnum):
    """Why reserved units were let go."""

    CANCELLED = "CANCELLED"
    EDITED = "EDITED"
    SHORTAGE = "SHORTAGE"


class Scarcity(StrEnum):
    """How little there is of a sku that is not plentiful: few units, or none."""

    LOW = "LOW"
    OUT = "OUT"


class RestockedTo(StrEnum):
    """Where units that came back now count."""

    AVAILABLE = "AVAILABLE"
    QUALITY_CONTROL = "QUALITY_CONTROL"
    DAMAGED = "DAMAGED"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedLine:
    """A line as it was asked for, and the units of its sku that could be had."""

    line_id: UUID
    sku: str
    requested: int
    available: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RestockedLine:
    """Units of a line that are back at a location, and where they count there."""

    line_id: UUID
    sku: str
    location_id: UUID
    quantity: int
    to: RestockedTo


@dataclass(frozen=True, slots=True, kw_only=True)
class ReversedDeduction:
    """Units of a line whose deduction for this shipment a restock takes back."""

    shipment_id: UUID
    line_id: UUID
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StockReserved:
    """The units in `placed` are held for the order; `short`: lines that got less than asked for."""

    order_id: UUID
    revision: int = 0
    placed: tuple[PlacedQty, ...]
    short: tuple[ShortLine, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StockReservationRejected:
    """Nothing was reserved for the order (or for its revision); `lines` are those that could not be had."""

    order_id: UUID
    revision: int = 0
    phase: RejectionPhase = RejectionPhase.INITIAL
    code: RejectionCode
    lines: tuple[RefusedLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StockReleased:
    """The units in `lines` are free again; `reverses` names the movements that had reserved them.

    `tombstone`: the release came before any reservation, so none will ever follow for this order.
    `revision`: the edit that dropped the units, 0 if none did.
    """

    order_id: UUID
    revision: int = 0
    cause: ReleaseCause
    lines: tuple[PlacedQty, ...] = ()
    reverses: tuple[UUID, ...] = ()
    tombstone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StockDeducted:
    """The units in `lines` left with a shipment; `unexpected`: they were not held for this order."""

    order_id: UUID
    shipment_id: UUID
    lines: tuple[PlacedQty, ...]
    unexpected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StockRestocked:
    """Units came back (`source_id`: return, `receipt_id`: scan); `reverses` names the deductions undone."""

    order_id: UUID
    source_id: UUID
    receipt_id: UUID
    lines: tuple[RestockedLine, ...]
    reverses: tuple[ReversedDeduction, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StockRanLow:
    """So few units of the sku are available that it is `level`: none, or `threshold` units at most.

    Told when the level is reached, not for every unit after that.
    """

    level: Scarcity
    available: int
    threshold: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StockReplenished:
    """The sku is no longer as scarce as it `was`; if it is still low, StockRanLow follows at once."""

    was: Scarcity
    available: int


OF_RESERVATIONS: tuple[type, ...] = (
    StockReserved,
    StockReservationRejected,
    StockReleased,
    StockDeducted,
    StockRestocked,
)
OF_AVAILABILITY: tuple[type, ...] = (StockRanLow, StockReplenished)
EVENTS: tuple[type, ...] = (*OF_RESERVATIONS, *OF_AVAILABILITY)

ReservationEvent: TypeAlias = (
    StockReserved | StockReservationRejected | StockReleased | StockDeducted | StockRestocked
)
AvailabilityEvent: TypeAlias = StockRanLow | StockReplenished
