"""Laws of parcels: they hold what was ordered, are charged with it, and no more comes back than left."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from cli.laws.law import Law, Place, first_beyond, order_of
from shared.domain import share
from shared.events.common import RefundLineKind
from shared.events.envelope import Recorded
from shared.events.orders import (
    CaptureFailed,
    CaptureRequested,
    FulfillmentHeld,
    FulfillmentHoldReleased,
    OrderCancelled,
    OrderEdited,
    OrderPlaced,
    PaymentCaptured,
    PaymentRequested,
    RefundCause,
    RefundIssued,
    Shipped,
)
from shared.events.returns import Disposition, ReturnReceived


@dataclass(slots=True)
class _Units:
    """How many units of one order line went how far."""

    ordered: int = 0
    shipped: int = 0
    refunded: int = 0
    returned: list[tuple[int, Place | None]] = field(default_factory=list)
    refunds: list[tuple[int, Place | None]] = field(default_factory=list)


class UnitsStayInBounds(Law):
    """L6: no more of a line ships than was ordered, comes back than left, or is refunded than came back."""

    number = "L6"
    claim = "per line, shipped <= ordered; refunded <= returned <= shipped"
    listens = (OrderPlaced, OrderEdited, Shipped, RefundIssued, ReturnReceived)

    def __init__(self) -> None:
        super().__init__()
        self._lines: defaultdict[UUID, defaultdict[UUID, _Units]] = defaultdict(lambda: defaultdict(_Units))

    def see(self, event: Recorded[Any]) -> None:
        match event.data:
            case OrderPlaced(lines=lines) | OrderEdited(lines=lines):
                wanted = {line.line_id: line.quantity for line in lines}
                known = self._lines[order_of(event)]
                for line_id in known.keys() | wanted.keys():
                    known[line_id].ordered = wanted.get(line_id, 0)
            case Shipped(lines=parcel):
                for gone in parcel:
                    units = self._lines[order_of(event)][gone.line_id]
                    units.shipped += gone.quantity
                    if units.shipped > units.ordered:
                        told = f"{units.shipped} shipped of {units.ordered} ordered"
                        self._blame(order_of(event), gone.line_id, told, event)
            case RefundIssued() as refund:
                self._refunded(event, refund)
            case ReturnReceived(resolves_receipt_id=None) as received:
                for scan in received.lines:
                    if scan.disposition is not Disposition.MISSING:
                        units = self._lines[received.order_id][scan.line_id]
                        units.returned.append((scan.quantity, Place.of(event)))

    def _refunded(self, event: Recorded[Any], refund: RefundIssued) -> None:
        order = order_of(event)
        for line in refund.lines:
            if line.kind not in {RefundLineKind.RETURN, RefundLineKind.CLAIM}:
                continue
            units = self._lines[order][line.line_id]
            units.refunded += line.quantity
            if line.kind is RefundLineKind.CLAIM:
                self._blame(order, line.line_id, f"{line.quantity} units refunded that nobody claimed", event)
            else:
                units.refunds.append((line.quantity, Place.of(event)))
            if units.refunded > units.shipped:
                told = f"{units.refunded} units refunded of {units.shipped} shipped"
                self._blame(order, line.line_id, told, event)

    def finish(self) -> None:
        for order, lines in self._lines.items():
            for line_id, units in lines.items():
                back = sorted(units.returned, key=lambda entry: entry[1] or ())
                returned = sum(quantity for quantity, _ in back)
                if place := first_beyond(units.refunds, returned):
                    told = f"more units refunded than the {returned} that came back"
                    self._blame(order, line_id, told, place)
                if place := first_beyond(back, units.shipped):
                    self._blame(order, line_id, f"{returned} came back of {units.shipped} shipped", place)

    def _blame(self, order: UUID, line_id: UUID, detail: str, place: Place | Recorded[Any]) -> None:
        self.blame(f"order {order}, line {line_id}", detail, place)


@dataclass(slots=True)
class _Parcels:
    """What an order owes for its parcels: lines as (gross, ordered, shipped), money as captures."""

    shipping: int
    total: int
    lines: dict[UUID, tuple[int, int, int]]
    captured: int = 0
    in_flight: dict[UUID, int] = field(default_factory=dict)

    @property
    def due(self) -> int:
        """The amount for the units that left; with the last unit the whole total."""
        if all(shipped == ordered for _, ordered, shipped in self.lines.values()):
            return self.total
        shares = (share(gross, ordered, 0, shipped) for gross, ordered, shipped in self.lines.values())
        return self.shipping + sum(shares)

    @property
    def missing(self) -> int:
        """What is due and neither captured nor being captured."""
        return self.due - self.captured - sum(self.in_flight.values())


class ShippedIsCharged(Law):
    """L16: nothing ships after a cancellation, and what ships is asked to be paid in the same decision.

    Events of one decision follow each other with one time and one cause. An edit changes what is owed.
    """

    number = "L16"
    claim = "no Shipped after OrderCancelled; a parcel's money is requested with it"
    listens = (
        OrderPlaced,
        OrderEdited,
        Shipped,
        OrderCancelled,
        CaptureRequested,
        CaptureFailed,
        PaymentCaptured,
        PaymentRequested,
        RefundIssued,
    )
    needs_rest = False

    def __init__(self) -> None:
        super().__init__()
        self._cancelled: set[UUID] = set()
        self._parcels: dict[UUID, _Parcels] = {}
        self._owed: dict[UUID, tuple[Place, UUID | None]] = {}

    def see(self, event: Recorded[Any]) -> None:
        order, data = order_of(event), event.data
        self._close_decision(order, event)
        parcels = self._parcels.get(order)
        match data:
            case OrderPlaced():
                self._parcels[order] = _Parcels(data.shipping.gross, data.totals.total, _wanted(data))
            case OrderEdited() if parcels is not None:
                parcels.shipping, parcels.total = data.shipping.gross, data.totals.total
                parcels.lines = _wanted(data)
            case OrderCancelled():
                self._cancelled.add(order)
                self._parcels.pop(order, None)
            case Shipped():
                if order in self._cancelled:
                    self.blame(f"order {order}", "shipped after its cancellation", event)
                elif parcels is not None:
                    self._ship(order, parcels, event, data)
            case PaymentRequested():
                self._owed.pop(order, None)
            case _ if parcels is not None:
                self._money(order, parcels, data)

    def _ship(self, order: UUID, parcels: _Parcels, event: Recorded[Any], data: Shipped) -> None:
        for line in data.lines:
            gross, ordered, shipped = parcels.lines.get(line.line_id, (0, 0, 0))
            parcels.lines[line.line_id] = gross, ordered, min(ordered, shipped + line.quantity)
        if parcels.missing > 0:
            self._owed[order] = Place.of(event), event.causation_id

    def _money(self, order: UUID, parcels: _Parcels, data: object) -> None:
        match data:
            case CaptureRequested(capture_id=capture, amount=amount):
                parcels.in_flight[capture] = amount
                if parcels.missing <= 0:
                    self._owed.pop(order, None)
            case CaptureFailed(capture_id=capture, final=True):
                parcels.in_flight.pop(capture, None)
            case PaymentCaptured(capture_id=capture, amount=amount):
                parcels.in_flight.pop(capture, None)
                parcels.captured += amount
            case RefundIssued(cause=RefundCause.EDIT, amount=amount):
                parcels.captured -= amount

    def _close_decision(self, order: UUID, event: Recorded[Any]) -> None:
        """A parcel whose decision is over and asked for too little money breaks the law."""
        if order in self._owed:
            place, cause = self._owed[order]
            if (event.occurred_at, event.causation_id) != (place.at, cause):
                self._blame_owed(order)

    def _blame_owed(self, order: UUID) -> None:
        place, _ = self._owed.pop(order)
        self.blame(f"order {order}", "a parcel left and its money was not asked for", place)

    def finish(self) -> None:
        for order in list(self._owed):
            self._blame_owed(order)


def _wanted(data: OrderPlaced | OrderEdited) -> dict[UUID, tuple[int, int, int]]:
    """The lines of an order of which nothing left: an order is edited only before its first parcel."""
    return {line.line_id: (line.gross, line.quantity, 0) for line in data.lines}


class HeldStays(Law):
    """L16: nothing ships while a hold covers it, and each hold is released at most once."""

    number = "L16"
    claim = "no Shipped while a hold covers its lines; each hold is placed and released once"
    listens = (FulfillmentHeld, FulfillmentHoldReleased, Shipped)
    needs_rest = False

    def __init__(self) -> None:
        super().__init__()
        self._open: dict[UUID, dict[UUID, tuple[UUID, ...]]] = {}
        self._known: set[UUID] = set()

    def see(self, event: Recorded[Any]) -> None:
        order = order_of(event)
        holds = self._open.get(order, {})
        match event.data:
            case FulfillmentHeld(hold_id=hold, line_ids=lines):
                if hold in self._known:
                    self.blame(f"hold {hold}", "is placed a second time", event)
                self._known.add(hold)
                self._open[order] = {**holds, hold: lines}
            case FulfillmentHoldReleased(hold_id=hold):
                if holds.pop(hold, None) is None:
                    self.blame(f"hold {hold}", "is released and was not open", event)
            case Shipped(lines=parcel):
                gone = {line.line_id for line in parcel}
                if any(not lines or gone & set(lines) for lines in holds.values()):
                    self.blame(f"order {order}", "a parcel left under a hold", event)


LAWS: tuple[type[Law], ...] = (UnitsStayInBounds, ShippedIsCharged, HeldStays)
