"""Hold units for a whole order, or refuse the whole order."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from services.inventory.domain.ledger import EntryQty, UnitsReserved
from services.inventory.domain.reservation import (
    Decision,
    LineUnits,
    Reservation,
    ReservationStatus,
    reservation_stream,
)
from services.inventory.domain.stock import StockItem, stock_item_stream
from shared.domain.ids import movement_id
from shared.events.common import PlacedQty
from shared.events.inventory import RefusedLine, RejectionCode, StockReservationRejected, StockReserved


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveStock:
    """Hold these stock-tracked lines for the order at one location."""

    order_id: UUID
    location_id: UUID
    lines: tuple[LineUnits, ...]
    cause_event_id: UUID

    @property
    def item_streams(self) -> tuple[str, ...]:
        """The stock items that the decision needs."""
        return tuple(dict.fromkeys(stock_item_stream(line.sku, self.location_id) for line in self.lines))


def decide_reservation(
    reservation: Reservation | None, items: Mapping[str, StockItem | None], command: ReserveStock
) -> Decision:
    """All lines are held or none: an order gets one answer, and a released order never holds stock again.
    An edit that was answered stands for what was placed.

    `items` has every stream of `command.item_streams`, None where nothing was ever kept.
    """
    reservation = reservation or Reservation()
    answered = reservation.status is not ReservationStatus.NONE or reservation.revision > 0
    if answered or not command.lines:
        return []
    if refusal := _refusal(items, command):
        return [(reservation_stream(command.order_id), refusal)]
    decision: Decision = []
    for sku in dict.fromkeys(line.sku for line in command.lines):
        reserved = UnitsReserved(
            movement_id=movement_id(command.cause_event_id, sku, command.location_id),
            cause_id=command.cause_event_id,
            entries=tuple(
                EntryQty(order_id=command.order_id, line_id=line.line_id, quantity=line.quantity)
                for line in command.lines
                if line.sku == sku
            ),
        )
        decision.append((stock_item_stream(sku, command.location_id), reserved))
    placed = tuple(
        PlacedQty(line_id=line.line_id, sku=line.sku, location_id=command.location_id, quantity=line.quantity)
        for line in command.lines
    )
    answer = StockReserved(order_id=command.order_id, placed=placed)
    return [*decision, (reservation_stream(command.order_id), answer)]


def _refusal(items: Mapping[str, StockItem | None], command: ReserveStock) -> StockReservationRejected | None:
    wanted: dict[str, int] = {}
    for line in command.lines:
        wanted[line.sku] = wanted.get(line.sku, 0) + line.quantity
    known = {sku: items[stock_item_stream(sku, command.location_id)] for sku in wanted}
    available = {sku: item.available if item else 0 for sku, item in known.items()}
    unknown = {sku for sku, item in known.items() if item is None}
    missing = unknown or {sku for sku in wanted if wanted[sku] > available[sku]}
    if not missing:
        return None
    return StockReservationRejected(
        order_id=command.order_id,
        code=RejectionCode.UNKNOWN_SKU if unknown else RejectionCode.OUT_OF_STOCK,
        lines=tuple(
            RefusedLine(
                line_id=line.line_id, sku=line.sku, requested=line.quantity, available=available[line.sku]
            )
            for line in command.lines
            if line.sku in missing
        ),
    )
