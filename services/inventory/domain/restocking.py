"""Goods came back: count them where they now are, and say which shipments they came from."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from services.inventory.domain.ledger import LedgerEvent, UnitsRestocked, UnitsWrittenOff
from services.inventory.domain.reservation import Decision, Reservation, reservation_stream
from services.inventory.domain.stock import StockItem, stock_item_stream
from shared.domain.ids import movement_id
from shared.events.inventory import RestockedLine, RestockedTo, ReversedDeduction, StockRestocked
from shared.events.returns import Disposition, ReceivedLine

_TO: Mapping[Disposition, RestockedTo] = {
    Disposition.RESTOCKED: RestockedTo.AVAILABLE,
    Disposition.NOT_RESTOCKED: RestockedTo.DAMAGED,
    Disposition.PROCESSING_REQUIRED: RestockedTo.QUALITY_CONTROL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RestockReturn:
    """One scan of a return (`source_id`) found these lines at the location."""

    order_id: UUID
    source_id: UUID
    receipt_id: UUID
    location_id: UUID
    lines: tuple[ReceivedLine, ...]
    cause_event_id: UUID

    @property
    def item_streams(self) -> tuple[str, ...]:
        """The stock items that the decision needs."""
        return tuple(dict.fromkeys(stock_item_stream(line.sku, self.location_id) for line in self.lines))


def decide_restock(
    reservation: Reservation | None, items: Mapping[str, StockItem | None], command: RestockReturn
) -> Decision:
    """A receipt counts once and is never refused; units that cannot be sold are written off at once.

    Missing units and lines that were never kept in stock count nowhere. Shipments are reversed oldest first
    and never beyond what left with them. `items` has every stream of `command.item_streams`, None where
    nothing was ever kept.
    """
    reservation = reservation or Reservation()
    if command.receipt_id in reservation.receipts:
        return []
    lines = tuple(_restocked(reservation, items, command))
    if not lines:
        return []
    decision: Decision = []
    for sku in dict.fromkeys(line.sku for line in lines):
        stream = stock_item_stream(sku, command.location_id)
        decision += [(stream, event) for event in _entering(sku, lines, command)]
    answer = StockRestocked(
        order_id=command.order_id,
        source_id=command.source_id,
        receipt_id=command.receipt_id,
        lines=lines,
        reverses=tuple(_reversals(reservation, lines)),
    )
    return [*decision, (reservation_stream(command.order_id), answer)]


def _restocked(
    reservation: Reservation, items: Mapping[str, StockItem | None], command: RestockReturn
) -> Iterable[RestockedLine]:
    tracked = {place.line_id for place in reservation.live}.union(*reservation.out.values())
    for line in command.lines:
        kept = line.line_id in tracked or items[stock_item_stream(line.sku, command.location_id)] is not None
        if kept and line.quantity > 0 and line.disposition is not Disposition.MISSING:
            yield RestockedLine(
                line_id=line.line_id,
                sku=line.sku,
                location_id=command.location_id,
                quantity=line.quantity,
                to=_TO[line.disposition],
            )


def _entering(sku: str, lines: Iterable[RestockedLine], command: RestockReturn) -> Iterable[LedgerEvent]:
    units: Counter[RestockedTo] = Counter()
    for line in lines:
        if line.sku == sku:
            units[line.to] += line.quantity
    restock = movement_id(command.cause_event_id, sku, command.location_id)
    yield UnitsRestocked(
        movement_id=restock,
        cause_id=command.cause_event_id,
        order_id=command.order_id,
        receipt_id=command.receipt_id,
        quantity=units.total(),
        damaged=units[RestockedTo.DAMAGED],
        quality_control=units[RestockedTo.QUALITY_CONTROL],
    )
    if damaged := units[RestockedTo.DAMAGED]:
        yield UnitsWrittenOff(
            movement_id=movement_id(restock, sku, command.location_id), cause_id=restock, quantity=damaged
        )


def _reversals(reservation: Reservation, lines: Iterable[RestockedLine]) -> Iterable[ReversedDeduction]:
    back: Counter[UUID] = Counter()
    for line in lines:
        back[line.line_id] += line.quantity
    for shipment_id, shipped in reservation.out.items():
        for line_id, quantity in shipped.items():
            reversed_units = min(back[line_id], quantity)
            back[line_id] -= reversed_units
            if reversed_units:
                yield ReversedDeduction(shipment_id=shipment_id, line_id=line_id, quantity=reversed_units)
