"""Which warehouse is asked to ship what, and is told to leave it."""

from collections import Counter
from collections.abc import Container
from datetime import datetime
from uuid import UUID

from services.orders.domain.state import Order
from shared.domain import ids
from shared.events.common import Qty
from shared.events.orders import (
    FulfillmentCancelCause,
    FulfillmentCancelled,
    FulfillmentRequested,
    FulfillmentService,
    OrderEvent,
)


def by_location(order: Order) -> list[tuple[UUID | None, tuple[Qty, ...]]]:
    """The units to ship from each location that holds some; lines without stock go with the first one."""
    places: dict[UUID | None, Counter[UUID]] = {}
    for placed in order.placed:
        places.setdefault(placed.location_id, Counter())[placed.line_id] += placed.quantity
    untracked = [entry for entry in order.lines.values() if not entry.line.stock_tracked]
    if untracked:
        first = next(iter(places), None)
        for entry in untracked:
            places.setdefault(first, Counter())[entry.line.line_id] += entry.ordered
    return [(place, quantities(counted)) for place, counted in places.items()]


def quantities(counted: Counter[UUID]) -> tuple[Qty, ...]:
    """Counted units as an event tells them."""
    return tuple(Qty(line_id=line_id, quantity=quantity) for line_id, quantity in counted.items())


def requested(
    order: Order, place: UUID | None, lines: tuple[Qty, ...], ship_by: datetime, number: int = 1
) -> FulfillmentRequested:
    """The hand-off of these units to a place, its `number`-th."""
    service = FulfillmentService.OWN
    return FulfillmentRequested(
        fulfillment_id=ids.fulfillment_id(order.order_id, service, str(place or ""), number),
        service=service,
        location_id=place,
        lines=lines,
        ship_by=ship_by,
    )


def recall(order: Order, lines: Container[UUID], cause: FulfillmentCancelCause) -> list[OrderEvent]:
    """What every warehouse is told that still holds work on one of these lines: to leave all of it."""
    return [
        FulfillmentCancelled(fulfillment_id=fulfillment.fulfillment_id, lines=fulfillment.lines, cause=cause)
        for fulfillment in order.fulfillments.values()
        if not fulfillment.cancelled and any(line.line_id in lines for line in fulfillment.lines)
    ]


def rest_requested(order: Order, ship_by: datetime) -> list[OrderEvent]:
    """The hand-off of all units that no warehouse was asked to ship."""
    free = {line_id: entry.ordered - entry.requested for line_id, entry in order.lines.items()}
    events: list[OrderEvent] = []
    for place, lines in by_location(order):
        theirs = [f for f in order.fulfillments.values() if f.location_id == place]
        asked = Counter[UUID]()
        for line in (line for each in theirs if not each.cancelled for line in each.lines):
            asked[line.line_id] += line.quantity
        left = Counter[UUID]()
        for line in lines:
            left[line.line_id] = min(line.quantity - asked[line.line_id], free[line.line_id])
            free[line.line_id] -= max(0, left[line.line_id])
        if wanted := quantities(+left):
            events.append(requested(order, place, wanted, ship_by, 1 + len(theirs)))
    return events
