"""An order was edited before it left: hold what it wants now, or refuse the whole edit."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from services.inventory.domain.ledger import EntryQty, UnitsReserved
from services.inventory.domain.releasing import units_released
from services.inventory.domain.reservation import (
    Decision,
    LineUnits,
    Place,
    Reservation,
    ReservationStatus,
    reservation_stream,
)
from services.inventory.domain.stock import StockItem, sku_and_location, stock_item_stream
from shared.domain.ids import movement_id
from shared.events.common import PlacedQty
from shared.events.inventory import (
    RefusedLine,
    RejectionCode,
    RejectionPhase,
    ReleaseCause,
    StockReleased,
    StockReservationRejected,
    StockReserved,
)

_OVER = (ReservationStatus.REJECTED, ReservationStatus.RELEASED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviseReservation:
    """With this edit the order wants these stock-tracked `lines` and no others."""

    order_id: UUID
    revision: int
    location_id: UUID
    lines: tuple[LineUnits, ...]
    cause_event_id: UUID

    @property
    def item_streams(self) -> tuple[str, ...]:
        """The stock items that the decision needs beside those that hold units for the order."""
        return tuple(dict.fromkeys(stock_item_stream(line.sku, self.location_id) for line in self.lines))


def decide_revision(
    reservation: Reservation | None, items: Mapping[str, StockItem | None], command: ReviseReservation
) -> Decision:
    """Units too many are released, missing ones held: all of this or, if one sku has too few, nothing.

    Units that left count as had. What the edit drops of a sku serves its other lines first, so an edit that
    raises no sku is never refused. Each revision counts once and in order; a refused or cancelled order wants
    nothing. `items` has every stream of `command.item_streams` and of `reservation.item_streams`.
    """
    reservation = reservation or Reservation()
    if reservation.status in _OVER or command.revision <= reservation.revision:
        return []
    dropped, added = _difference(reservation, command)
    stream = reservation_stream(command.order_id)
    if refusal := _refusal(reservation, items, command, dropped, added):
        return [(stream, refusal)]
    decision: Decision = []
    reverses: list[UUID] = []
    for item_stream in dict.fromkeys(stock_item_stream(place.sku, place.location_id) for place in dropped):
        released = units_released(
            item_stream, items[item_stream], dropped, command.order_id, command.cause_event_id
        )
        decision.append((item_stream, released))
        reverses += released.reverses
    for item_stream in dict.fromkeys(stock_item_stream(place.sku, place.location_id) for place in added):
        releases = any(name == item_stream for name, _ in decision)
        decision.append((item_stream, _reserved(item_stream, added, command, after_release=releases)))
    if dropped:
        released_lines = StockReleased(
            order_id=command.order_id,
            revision=command.revision,
            cause=ReleaseCause.EDITED,
            lines=_placed(dropped),
            reverses=tuple(reverses),
        )
        decision.append((stream, released_lines))
    if added:
        answer = StockReserved(order_id=command.order_id, revision=command.revision, placed=_placed(added))
        decision.append((stream, answer))
    return decision


def _difference(
    reservation: Reservation, command: ReviseReservation
) -> tuple[Mapping[Place, int], Mapping[Place, int]]:
    """The units held that the order no longer wants, and those that it wants and are not held."""
    had = Counter[UUID]()
    for shipped in reservation.out.values():
        had.update(shipped)
    missing = {(line.line_id, line.sku): max(0, line.quantity - had[line.line_id]) for line in command.lines}
    dropped: dict[Place, int] = {}
    for place, held in reservation.live.items():
        wanted = missing.get(place[:2], 0)
        if wanted < held:
            dropped[place] = held - wanted
        if wanted:
            missing[place[:2]] = max(0, wanted - held)
    added = {Place(*line, command.location_id): quantity for line, quantity in missing.items() if quantity}
    return dropped, added


def _reserved(
    item_stream: str, added: Mapping[Place, int], command: ReviseReservation, *, after_release: bool
) -> UnitsReserved:
    """The movement that holds the units added of one sku; what the same edit released is its cause."""
    sku, location = sku_and_location(item_stream)
    cause = command.cause_event_id
    if after_release:
        cause = movement_id(cause, sku, location)
    return UnitsReserved(
        movement_id=movement_id(cause, sku, location),
        cause_id=cause,
        entries=tuple(
            EntryQty(order_id=command.order_id, line_id=place.line_id, quantity=quantity)
            for place, quantity in added.items()
            if place.sku == sku
        ),
    )


def _refusal(
    reservation: Reservation,
    items: Mapping[str, StockItem | None],
    command: ReviseReservation,
    dropped: Mapping[Place, int],
    added: Mapping[Place, int],
) -> StockReservationRejected | None:
    """`available` of a refused line is what the whole order could have of its sku."""
    more: Counter[str] = Counter()
    for place, quantity in added.items():
        more[place.sku] += quantity
    for place, quantity in dropped.items():
        if place.location_id == command.location_id:
            more[place.sku] -= quantity
    known = {place.sku: items[stock_item_stream(place.sku, place.location_id)] for place in added}
    free = {sku: item.available if item else 0 for sku, item in known.items()}
    unknown = {sku for sku, item in known.items() if item is None}
    short = unknown or {sku for sku in known if more[sku] > free[sku]}
    if not short:
        return None
    held: Counter[str] = Counter()
    for place, quantity in reservation.live.items():
        held[place.sku] += quantity
    return StockReservationRejected(
        order_id=command.order_id,
        revision=command.revision,
        phase=RejectionPhase.REVISION,
        code=RejectionCode.UNKNOWN_SKU if unknown else RejectionCode.OUT_OF_STOCK,
        lines=tuple(
            RefusedLine(
                line_id=line.line_id,
                sku=line.sku,
                requested=line.quantity,
                available=free[line.sku] + held[line.sku],
            )
            for line in command.lines
            if line.sku in short
        ),
    )


def _placed(units: Mapping[Place, int]) -> tuple[PlacedQty, ...]:
    return tuple(PlacedQty(**place._asdict(), quantity=quantity) for place, quantity in units.items())
