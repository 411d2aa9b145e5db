"""`stock_levels`: what there is of a sku at a location. For "n left" in the shop and for the warehouse."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from prometheus_client import Gauge

from services.inventory.domain import ledger
from services.inventory.domain.ledger import (
    StockAdjusted,
    StockReceived,
    StockTermsSet,
    UnitsDeducted,
    UnitsReleased,
    UnitsReserved,
    UnitsRestocked,
    UnitsWrittenOff,
)
from services.inventory.domain.stock import sku_and_location
from shared.events.envelope import Recorded
from shared.service.metrics import CONSERVATION
from shared.store.connection import Connection
from shared.store.readmodel import Key, ReadModel

UNITS = Gauge("orderflow_stock_units", "Units over all skus, by state", ["state"])


@dataclass(frozen=True, slots=True, kw_only=True)
class StockLevel:
    """on_hand = available + held (for orders) + damaged + quality_control + held back (safety stock).

    `version` is that of the stock item's stream.
    """

    sku: str
    location_id: UUID
    on_hand: int = 0
    held: int = 0
    damaged: int = 0
    quality_control: int = 0
    safety_stock: int = 0
    low_threshold: int = 0
    version: int = 0

    @property
    def unheld(self) -> int:
        """Sound units that no order holds."""
        return self.on_hand - self.held - self.damaged - self.quality_control

    @property
    def available(self) -> int:
        """Units that a new order can have."""
        return self.unheld - min(self.safety_stock, self.unheld)


def _keys(event: Recorded[Any]) -> Sequence[Key]:
    return [sku_and_location(event.stream)]


def _fold(row: StockLevel | None, event: Recorded[Any], key: Key) -> StockLevel:
    sku, location = sku_and_location(event.stream)
    row = replace(row or StockLevel(sku=sku, location_id=location), version=event.version)
    match event.data:
        case StockTermsSet(safety_stock=safety, low_threshold=low):
            return replace(row, safety_stock=safety, low_threshold=low)
        case StockReceived(quantity=quantity):
            return replace(row, on_hand=row.on_hand + quantity)
        case StockAdjusted(delta=delta):
            return replace(row, on_hand=row.on_hand + delta)
        case UnitsReserved(entries=entries):
            return replace(row, held=row.held + sum(entry.quantity for entry in entries))
        case UnitsReleased(entries=entries):
            return replace(row, held=row.held - sum(entry.quantity for entry in entries))
        case UnitsDeducted(quantity=quantity, entries=entries):
            held = row.held - sum(entry.quantity for entry in entries)
            return replace(row, on_hand=row.on_hand - quantity, held=held)
        case UnitsRestocked() as back:
            return replace(
                row,
                on_hand=row.on_hand + back.quantity,
                damaged=row.damaged + back.damaged,
                quality_control=row.quality_control + back.quality_control,
            )
        case UnitsWrittenOff(quantity=quantity):
            return replace(row, on_hand=row.on_hand - quantity, damaged=row.damaged - quantity)
        case _:
            return row


STOCK_LEVELS = ReadModel(
    name="stock_levels",
    row=StockLevel,
    key=("sku", "location_id"),
    events=frozenset(ledger.EVENTS),
    keys=_keys,
    fold=_fold,
)


async def sample(connection: Connection) -> None:
    """Units by state, and the skus that break law L2 (sold more than there was): always 0."""
    row = await connection.fetchrow(
        "SELECT coalesce(sum(on_hand), 0) AS on_hand, coalesce(sum(held), 0) AS held, "
        "count(*) FILTER (WHERE held < 0 OR damaged < 0 OR quality_control < 0 "
        "OR on_hand < held + damaged + quality_control) AS broken FROM stock_levels"
    )
    assert row is not None
    UNITS.labels("on_hand").set(row["on_hand"])
    UNITS.labels("held").set(row["held"])
    CONSERVATION.labels("inventory", "L2").set(row["broken"])
