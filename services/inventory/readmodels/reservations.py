"""`reservations`: what is held for an order, for support; buyer and confirmation come from orders' events."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from services.inventory.domain.reservation import RESERVATION, Reservation, ReservationStatus, place_of
from shared.domain import key_of
from shared.events import inventory
from shared.events.common import PlacedQty
from shared.events.envelope import Recorded
from shared.events.orders import OrderConfirmed, OrderPlaced
from shared.store.readmodel import Key, ReadModel


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationRow:
    """`held` are the units still waiting; `buyer` is the customer, for a guest the subject."""

    order_id: UUID
    status: ReservationStatus = ReservationStatus.NONE
    held: tuple[PlacedQty, ...] = ()
    buyer: str | None = None
    confirmed: bool = False


def _keys(event: Recorded[Any]) -> Sequence[Key]:
    return [(UUID(key_of(event.stream)),)]


def _fold(row: ReservationRow | None, event: Recorded[Any], key: Key) -> ReservationRow:
    row = row or ReservationRow(order_id=UUID(key_of(event.stream)))
    match event.data:
        case OrderPlaced(customer_id=customer, contact=contact):
            return replace(row, buyer=str(customer or contact.subject_id))
        case OrderConfirmed():
            return replace(row, confirmed=True)
        case _:
            return _after(row, event)


def _after(row: ReservationRow, event: Recorded[Any]) -> ReservationRow:
    """The row after one event of the reservation itself, by the aggregate's own evolve."""
    live = {place_of(line): line.quantity for line in row.held}
    before = Reservation(status=row.status, live=live)
    after = RESERVATION.evolve(before, _without_returns(event.data), event.occurred_at)
    held = tuple(
        PlacedQty(line_id=line_id, sku=sku, location_id=location, quantity=quantity)
        for (line_id, sku, location), quantity in after.live.items()
    )
    return replace(row, status=after.status, held=held)


def _without_returns(data: Any) -> Any:
    """Units that came back change no hold; the shipments they reverse are not kept in this row."""
    return replace(data, reverses=()) if isinstance(data, inventory.StockRestocked) else data


RESERVATIONS = ReadModel(
    name="reservations",
    row=ReservationRow,
    key=("order_id",),
    events=frozenset({*inventory.OF_RESERVATIONS, OrderPlaced, OrderConfirmed}),
    keys=_keys,
    fold=_fold,
    shared_rows=True,
)
