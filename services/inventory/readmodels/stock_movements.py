"""`stock_movements`: every line of the ledger. For audits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from services.inventory.domain import ledger
from services.inventory.domain.ledger import (
    StockAdjusted,
    StockReceived,
    UnitsDeducted,
    UnitsReleased,
    UnitsReserved,
    UnitsRestocked,
    UnitsWrittenOff,
)
from services.inventory.domain.stock import sku_and_location
from shared.events.envelope import Recorded
from shared.store.readmodel import Key, ReadModel


@dataclass(frozen=True, slots=True, kw_only=True)
class StockMovement:
    """`quantity` is signed for adjustments; `reverses` names the movements that a release takes back."""

    movement_id: UUID
    sku: str
    location_id: UUID
    kind: str
    quantity: int
    reason: str | None
    cause_id: UUID
    reverses: tuple[UUID, ...]
    at: datetime


def _keys(event: Recorded[Any]) -> Sequence[Key]:
    return [(event.data.movement_id,)]


def _fold(row: StockMovement | None, event: Recorded[Any], key: Key) -> StockMovement:
    sku, location = sku_and_location(event.stream)
    data = event.data
    return StockMovement(
        movement_id=data.movement_id,
        sku=sku,
        location_id=location,
        kind=event.type,
        quantity=_quantity(data),
        reason=str(data.reason) if isinstance(data, StockAdjusted) else None,
        cause_id=data.cause_id,
        reverses=data.reverses if isinstance(data, UnitsReleased) else (),
        at=event.occurred_at,
    )


def _quantity(data: object) -> int:
    match data:
        case StockAdjusted(delta=delta):
            return delta
        case UnitsReserved(entries=entries) | UnitsReleased(entries=entries):
            return sum(entry.quantity for entry in entries)
        case (
            StockReceived(quantity=quantity)
            | UnitsDeducted(quantity=quantity)
            | UnitsRestocked(quantity=quantity)
            | UnitsWrittenOff(quantity=quantity)
        ):
            return quantity
        case _:
            return 0


STOCK_MOVEMENTS = ReadModel(
    name="stock_movements",
    row=StockMovement,
    key=("movement_id",),
    events=frozenset(ledger.EVENTS),
    keys=_keys,
    fold=_fold,
)
