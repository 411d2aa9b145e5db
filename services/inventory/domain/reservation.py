"""The answer that others see about an order's stock: what is held for it, what left, what came back.

A reservation changes only together with the stock items of its lines, so its events come from the decisions
in reserving, releasing, deducting and restocking, never from this stream alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Never, TypeAlias, assert_never
from uuid import UUID

from services.inventory.domain.ledger import LedgerEvent
from services.inventory.domain.stock import stock_item_stream
from shared.domain import Decider
from shared.events.common import PlacedQty
from shared.events.inventory import (
    RejectionPhase,
    ReleaseCause,
    ReservationEvent,
    ReversedDeduction,
    StockDeducted,
    StockReleased,
    StockReservationRejected,
    StockReserved,
    StockRestocked,
)

Decision: TypeAlias = list[tuple[str, LedgerEvent | ReservationEvent]]
"""Events with the stream each belongs to; all of them are recorded or none."""


class ReservationStatus(StrEnum):
    """Where an order's reservation stands; NONE: units left or came back before anything was reserved."""

    NONE = "NONE"
    RESERVED = "RESERVED"
    REJECTED = "REJECTED"
    RELEASED = "RELEASED"
    DEDUCTED = "DEDUCTED"


class Place(NamedTuple):
    """Where units of an order's line are held."""

    line_id: UUID
    sku: str
    location_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class LineUnits:
    """Units of a stock-tracked order line."""

    line_id: UUID
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """`live`: units still held; `out`: by shipment, oldest first, and line the units that left and did not
    come back (0 for a line that came back whole); `receipts`: the scans already counted.
    """

    status: ReservationStatus = ReservationStatus.NONE
    revision: int = 0
    live: Mapping[Place, int] = field(default_factory=dict)
    out: Mapping[UUID, Mapping[UUID, int]] = field(default_factory=dict)
    receipts: frozenset[UUID] = frozenset()

    @property
    def item_streams(self) -> tuple[str, ...]:
        """The stock items that hold units for this order: load them to release it."""
        return tuple(dict.fromkeys(stock_item_stream(place.sku, place.location_id) for place in self.live))


def decide(_reservation: Reservation | None, command: Never) -> list[ReservationEvent]:
    """There is no command to a reservation alone."""
    assert_never(command)


def evolve(reservation: Reservation | None, event: ReservationEvent, _at: datetime) -> Reservation:
    """The reservation after one more event."""
    state = reservation or Reservation()
    match event:
        case StockReserved():
            return replace(
                state,
                status=ReservationStatus.RESERVED,
                revision=event.revision,
                live=_plus(state.live, event.placed),
            )
        case StockReservationRejected():
            refused = event.phase is RejectionPhase.INITIAL
            return replace(
                state,
                status=ReservationStatus.REJECTED if refused else state.status,
                revision=event.revision,
            )
        case StockReleased():
            live = _minus(state.live, event.lines)
            if event.cause is ReleaseCause.CANCELLED:
                return replace(state, status=ReservationStatus.RELEASED, live=live)
            return replace(
                state, status=_status_of(live), revision=max(state.revision, event.revision), live=live
            )
        case StockDeducted():
            out = {**state.out, event.shipment_id: _shipped(state, event)}
            if event.unexpected:
                return replace(state, out=out)
            live = _minus(state.live, event.lines)
            return replace(state, status=_status_of(live), live=live, out=out)
        case StockRestocked():
            return replace(
                state, out=_reversed(state, event.reverses), receipts=state.receipts | {event.receipt_id}
            )
        case _:
            assert_never(event)


def _status_of(live: Mapping[Place, int]) -> ReservationStatus:
    return ReservationStatus.RESERVED if live else ReservationStatus.DEDUCTED


def _plus(live: Mapping[Place, int], lines: tuple[PlacedQty, ...]) -> Mapping[Place, int]:
    more = dict(live)
    for line in lines:
        place = place_of(line)
        more[place] = more.get(place, 0) + line.quantity
    return more


def _minus(live: Mapping[Place, int], lines: tuple[PlacedQty, ...]) -> Mapping[Place, int]:
    rest = dict(live)
    for line in lines:
        rest[place_of(line)] -= line.quantity
    return {place: quantity for place, quantity in rest.items() if quantity}


def _shipped(state: Reservation, event: StockDeducted) -> Mapping[UUID, int]:
    lines = dict(state.out.get(event.shipment_id, {}))
    for line in event.lines:
        lines[line.line_id] = lines.get(line.line_id, 0) + line.quantity
    return lines


def _reversed(
    state: Reservation, reverses: tuple[ReversedDeduction, ...]
) -> Mapping[UUID, Mapping[UUID, int]]:
    out = {shipment: dict(lines) for shipment, lines in state.out.items()}
    for back in reverses:
        out[back.shipment_id][back.line_id] -= back.quantity
    return out


def place_of(line: PlacedQty) -> Place:
    """Where these units are."""
    return Place(line.line_id, line.sku, line.location_id)


RESERVATION: Decider[Reservation, Never, ReservationEvent] = Decider("reservation", decide, evolve)


def reservation_stream(order_id: UUID) -> str:
    """The stream of an order's reservation."""
    return RESERVATION.stream(order_id)
