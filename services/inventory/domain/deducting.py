"""A shipment left: take its units out of stock. The goods are gone, so this is never refused."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from services.inventory.domain.ledger import (
    AdjustmentReason,
    EntryQty,
    LedgerEvent,
    StockAdjusted,
    UnitsDeducted,
)
from services.inventory.domain.reservation import (
    Decision,
    LineUnits,
    Place,
    Reservation,
    reservation_stream,
)
from services.inventory.domain.stock import StockItem, stock_item_stream
from shared.domain.ids import movement_id
from shared.events.common import PlacedQty
from shared.events.inventory import StockDeducted


@dataclass(frozen=True, slots=True, kw_only=True)
class DeductStock:
    """These stock-tracked lines of the order left the location with one shipment."""

    order_id: UUID
    shipment_id: UUID
    location_id: UUID
    lines: tuple[LineUnits, ...]
    cause_event_id: UUID

    @property
    def item_streams(self) -> tuple[str, ...]:
        """The stock items that the decision needs."""
        return tuple(dict.fromkeys(stock_item_stream(line.sku, self.location_id) for line in self.lines))


def decide_deduction(
    reservation: Reservation | None, items: Mapping[str, StockItem | None], command: DeductStock
) -> Decision:
    """Units held for the order go first. Any others are `unexpected` and come from what no order holds; if
    the ledger knows too few of those, a flagged correction adds them before. A shipment counts once.

    `items` has every stream of `command.item_streams`, None where nothing was ever kept.
    """
    reservation = reservation or Reservation()
    if not command.lines or command.shipment_id in reservation.out:
        return []
    expected, unexpected = _split(reservation, command)
    decision: Decision = []
    for sku in dict.fromkeys(line.sku for line in command.lines):
        stream = stock_item_stream(sku, command.location_id)
        for event in _leaving(items[stream] or StockItem(), sku, expected, unexpected, command):
            decision.append((stream, event))
    for lines, is_unexpected in ((expected, False), (unexpected, True)):
        if lines:
            deducted = StockDeducted(
                order_id=command.order_id,
                shipment_id=command.shipment_id,
                lines=tuple(lines),
                unexpected=is_unexpected,
            )
            decision.append((reservation_stream(command.order_id), deducted))
    return decision


def _split(reservation: Reservation, command: DeductStock) -> tuple[list[PlacedQty], list[PlacedQty]]:
    live = dict(reservation.live)
    expected: list[PlacedQty] = []
    unexpected: list[PlacedQty] = []
    for line in command.lines:
        place = Place(line.line_id, line.sku, command.location_id)
        held = min(line.quantity, live.get(place, 0))
        live[place] = live.get(place, 0) - held
        for lines, quantity in ((expected, held), (unexpected, line.quantity - held)):
            if quantity:
                lines.append(PlacedQty(**place._asdict(), quantity=quantity))
    return expected, unexpected


def _leaving(
    item: StockItem,
    sku: str,
    expected: Iterable[PlacedQty],
    unexpected: Iterable[PlacedQty],
    command: DeductStock,
) -> Iterable[LedgerEvent]:
    deduction = movement_id(command.cause_event_id, sku, command.location_id)
    held = tuple(
        EntryQty(order_id=command.order_id, line_id=line.line_id, quantity=line.quantity)
        for line in expected
        if line.sku == sku
    )
    others = sum(line.quantity for line in unexpected if line.sku == sku)
    if others > item.unheld:
        yield StockAdjusted(
            movement_id=movement_id(deduction, sku, command.location_id),
            cause_id=deduction,
            delta=others - item.unheld,
            reason=AdjustmentReason.CORRECTION,
            alert=True,
        )
    yield UnitsDeducted(
        movement_id=deduction,
        cause_id=command.cause_event_id,
        order_id=command.order_id,
        shipment_id=command.shipment_id,
        quantity=others + sum(entry.quantity for entry in held),
        entries=held,
    )
