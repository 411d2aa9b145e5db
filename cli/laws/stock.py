"""Laws of stock: nothing appears or disappears, and nothing is promised twice."""

from collections import defaultdict
from typing import Any, TypeVar
from uuid import UUID

from cli.laws.law import Balance, Kind, Law, Place, order_of
from services.inventory.domain.ledger import (
    EntryQty,
    StockAdjusted,
    StockReceived,
    UnitsDeducted,
    UnitsReleased,
    UnitsReserved,
    UnitsRestocked,
    UnitsWrittenOff,
)
from shared.domain import key_of
from shared.events.common import PlacedQty
from shared.events.envelope import Recorded
from shared.events.inventory import StockDeducted, StockReleased, StockReserved, StockRestocked
from shared.events.orders import OrderCancelled, OrderEdited, OrderPlaced, Shipped
from shared.events.returns import Disposition, ReturnReceived

K = TypeVar("K")
LineKey = tuple[UUID, UUID]


class OnHand(Law):
    """L1: what came in is on hand or went out, per sku and location, and never less than nothing."""

    number = "L1"
    claim = "units received, adjusted and restocked = on hand + deducted + written off"
    listens = (StockReceived, StockAdjusted, UnitsDeducted, UnitsRestocked, UnitsWrittenOff)

    def __init__(self) -> None:
        super().__init__()
        self._on_hand: defaultdict[str, int] = defaultdict(int)

    def see(self, event: Recorded[Any]) -> None:
        item = key_of(event.stream)
        match event.data:
            case StockAdjusted(delta=delta):
                self._on_hand[item] += delta
            case StockReceived(quantity=quantity) | UnitsRestocked(quantity=quantity):
                self._on_hand[item] += quantity
            case UnitsDeducted(quantity=quantity) | UnitsWrittenOff(quantity=quantity):
                self._on_hand[item] -= quantity
        if self._on_hand[item] < 0:
            self.blame(f"sku {item}", f"{self._on_hand[item]} units on hand", event, Kind.OVERSOLD)

    def shown(self, item: str, on_hand: int) -> None:
        """What the service shows for an item (`<sku>@<location>`), once all events are seen."""
        if self._on_hand[item] != on_hand:
            self.blame(f"sku {item}", f"{on_hand} shown on hand, the ledger says {self._on_hand[item]}")


class AccountedFor(Law):
    """L2: every unit on hand is available, held for an order, damaged, inspected or held back, none twice.

    The ledger's live entries are what reservations say, line by line.
    """

    number = "L2"
    claim = (
        "on hand = available + held + damaged + quality control + held back, each >= 0; held = live entries"
    )
    listens = (*OnHand.listens, UnitsReserved, UnitsReleased, StockReserved, StockReleased, StockDeducted)

    def __init__(self) -> None:
        super().__init__()
        self._units: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        self._entries: dict[tuple[str, UUID, UUID], int] = {}
        self._unexplained: dict[LineKey, int] = {}

    def see(self, event: Recorded[Any]) -> None:
        match event.data:
            case StockReserved(placed=lines):
                self._reserved(event, lines, -1)
            case StockReleased(lines=lines) | StockDeducted(lines=lines, unexpected=False):
                self._reserved(event, lines, 1)
            case StockDeducted():
                pass
            case _:
                self._ledger(event)

    def _reserved(self, event: Recorded[Any], lines: tuple[PlacedQty, ...], sign: int) -> None:
        for line in lines:
            _add(
                self._unexplained, (order_of(event), line.line_id), sign * (line.quantity - line.backordered)
            )

    def _ledger(self, event: Recorded[Any]) -> None:
        item = key_of(event.stream)
        units = self._units[item]
        match event.data:
            case UnitsReserved(entries=entries):
                self._hold(item, entries, 1, event)
            case UnitsReleased(entries=entries):
                self._hold(item, entries, -1, event)
            case UnitsDeducted(quantity=quantity, entries=entries):
                units[0] -= quantity
                self._hold(item, entries, -1, event)
            case StockReceived(quantity=quantity):
                units[0] += quantity
            case StockAdjusted(delta=delta):
                units[0] += delta
            case UnitsRestocked() as back:
                units[0] += back.quantity
                units[2] += back.damaged
                units[3] += back.quality_control
            case UnitsWrittenOff(quantity=quantity):
                units[0] -= quantity
                units[2] -= quantity
        on_hand, held, damaged, inspected = units
        if min(held, damaged, inspected, on_hand - held - damaged - inspected) < 0:
            told = f"{on_hand} on hand, {held} held, {damaged} damaged, {inspected} in quality control"
            self.blame(f"sku {item}", told, event, Kind.OVERSOLD)

    def _hold(self, item: str, entries: tuple[EntryQty, ...], sign: int, event: Recorded[Any]) -> None:
        for entry in entries:
            self._units[item][1] += sign * entry.quantity
            _add(self._unexplained, (entry.order_id, entry.line_id), sign * entry.quantity)
            left = _add(self._entries, (item, entry.order_id, entry.line_id), sign * entry.quantity)
            if left < 0:
                self.blame(
                    f"sku {item}, order {entry.order_id}, line {entry.line_id}",
                    f"{-left} units resolved that were not held",
                    event,
                )

    def shown(self, item: str, held: int, damaged: int, quality_control: int) -> None:
        """What the service shows for an item (`<sku>@<location>`), once all events are seen."""
        shown, known = [held, damaged, quality_control], self._units[item][1:]
        if shown != known:
            self.blame(f"sku {item}", f"held, damaged, inspected: shown {shown}, the ledger says {known}")

    def finish(self) -> None:
        for (order, line), units in self._unexplained.items():
            self.blame(
                f"order {order}, line {line}", f"the ledger holds {units:+d} units against the reservation"
            )


class ReservationsSettle(Law):
    """L3: what was reserved for an order line is released or deducted, never more, and in the end wholly."""

    number = "L3"
    claim = "reserved - released - deducted = live >= 0, and 0 once cancelled or fully shipped"
    listens = (
        StockReserved,
        StockReleased,
        StockDeducted,
        OrderPlaced,
        OrderEdited,
        Shipped,
        OrderCancelled,
    )

    def __init__(self) -> None:
        super().__init__()
        self._live: dict[LineKey, int] = {}
        self._to_ship: dict[UUID, int] = {}
        self._ended: dict[UUID, Place] = {}

    def see(self, event: Recorded[Any]) -> None:
        order = order_of(event)
        match event.data:
            case StockReserved(placed=lines):
                for line in lines:
                    _add(self._live, (order, line.line_id), line.quantity)
            case StockReleased(lines=lines) | StockDeducted(lines=lines, unexpected=False):
                for line in lines:
                    left = _add(self._live, (order, line.line_id), -line.quantity)
                    if left < 0:
                        subject = f"order {order}, line {line.line_id}"
                        self.blame(subject, f"{-left} units let go that were not reserved", event)
            case OrderPlaced(lines=ordered) | OrderEdited(lines=ordered):
                self._to_ship[order] = sum(line.quantity for line in ordered)
            case Shipped(lines=parcel):
                left = self._to_ship.get(order, 0) - sum(line.quantity for line in parcel)
                self._to_ship[order] = left
                if left == 0:
                    self._ended[order] = Place.of(event)
            case OrderCancelled():
                self._ended[order] = Place.of(event)

    def finish(self) -> None:
        for (order, line), units in self._live.items():
            if order in self._ended:
                told = f"{units} units are still reserved after the order's end"
                self.blame(f"order {order}, line {line}", told, self._ended[order])


class ShippedIsDeducted(Law):
    """L4: every unit that left in a parcel left the stock, once."""

    number = "L4"
    claim = "per shipment and tracked line, shipped = deducted"
    listens = (Shipped, StockDeducted)

    def __init__(self) -> None:
        super().__init__()
        self._balance: Balance[LineKey] = Balance()

    def see(self, event: Recorded[Any]) -> None:
        match event.data:
            case Shipped(lines=lines, shipment_id=shipment):
                for line in lines:
                    if line.stock_tracked:
                        self._balance.plus((shipment, line.line_id), line.quantity, Place.of(event))
            case StockDeducted(lines=placed, shipment_id=shipment):
                for taken in placed:
                    self._balance.minus((shipment, taken.line_id), taken.quantity, Place.of(event))

    def finish(self) -> None:
        for (shipment, line), units, place in self._balance.uneven():
            lost = units > 0
            told = (
                f"{units} units shipped and not deducted"
                if lost
                else f"{-units} units deducted and not shipped"
            )
            kind = Kind.LOST if lost else Kind.DUPLICATED
            self.blame(f"shipment {shipment}, line {line}", told, place, kind)


class ReturnedIsRestocked(Law):
    """L5: every unit that came back is counted once, and no shipment takes back more than it had."""

    number = "L5"
    claim = "per receipt, received = restocked; per shipment line, reversed <= shipped"
    listens = (OrderPlaced, OrderEdited, ReturnReceived, StockRestocked, StockDeducted)

    def __init__(self) -> None:
        super().__init__()
        self._untracked: set[LineKey] = set()
        self._balance: Balance[tuple[UUID, UUID, UUID]] = Balance()
        self._out: dict[LineKey, int] = {}

    def see(self, event: Recorded[Any]) -> None:
        match event.data:
            case OrderPlaced(lines=lines) | OrderEdited(lines=lines):
                order = order_of(event)
                self._untracked |= {(order, line.line_id) for line in lines if not line.stock_tracked}
            case ReturnReceived(resolves_receipt_id=None) as received:
                for scan in received.lines:
                    if scan.disposition is not Disposition.MISSING:
                        key = received.order_id, received.receipt_id, scan.line_id
                        self._balance.plus(key, scan.quantity, Place.of(event))
            case StockDeducted(lines=taken, shipment_id=shipment):
                for unit in taken:
                    _add(self._out, (shipment, unit.line_id), unit.quantity)
            case StockRestocked() as restocked:
                for line in restocked.lines:
                    key = restocked.order_id, restocked.receipt_id, line.line_id
                    self._balance.minus(key, line.quantity, Place.of(event))
                self._reverse(event, restocked)

    def _reverse(self, event: Recorded[Any], restocked: StockRestocked) -> None:
        for back in restocked.reverses:
            left = _add(self._out, (back.shipment_id, back.line_id), -back.quantity)
            if left < 0:
                subject = f"shipment {back.shipment_id}, line {back.line_id}"
                self.blame(subject, f"{-left} units taken back that never left", event, Kind.DUPLICATED)

    def finish(self) -> None:
        for (order, receipt, line), units, place in self._balance.uneven():
            subject = f"receipt {receipt}, line {line}"
            if units < 0:
                self.blame(
                    subject, f"{-units} units restocked that did not come back", place, Kind.DUPLICATED
                )
            elif (order, line) not in self._untracked:
                self.blame(subject, f"{units} units came back and were not restocked", place, Kind.LOST)


LAWS: tuple[type[Law], ...] = (
    OnHand,
    AccountedFor,
    ReservationsSettle,
    ShippedIsDeducted,
    ReturnedIsRestocked,
)


def _add(counts: dict[K, int], key: K, quantity: int) -> int:
    """Add to a count and give the new one; zeros are forgotten."""
    total = counts.pop(key, 0) + quantity
    if total:
        counts[key] = total
    return total
