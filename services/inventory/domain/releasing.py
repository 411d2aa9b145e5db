"""Let go of what is still held for an order, for good, and of units that an edit dropped."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from services.inventory.domain.ledger import EntryQty, UnitsReleased
from services.inventory.domain.reservation import (
    Decision,
    Place,
    Reservation,
    ReservationStatus,
    reservation_stream,
)
from services.inventory.domain.stock import StockItem, sku_and_location
from shared.domain.ids import movement_id
from shared.events.common import PlacedQty
from shared.events.inventory import ReleaseCause, StockReleased


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseStock:
    """The order no longer wants what is held for it."""

    order_id: UUID
    cause_event_id: UUID
    cause: ReleaseCause = ReleaseCause.CANCELLED


def decide_release(
    reservation: Reservation | None, items: Mapping[str, StockItem | None], command: ReleaseStock
) -> Decision:
    """Before any reservation this leaves a tombstone, which wins over a reservation that comes later.

    `items` has every stream of `reservation.item_streams`. A refused, released or wholly shipped reservation
    holds nothing: no events.
    """
    stream = reservation_stream(command.order_id)
    if reservation is None or reservation.status is ReservationStatus.NONE:
        return [(stream, StockReleased(order_id=command.order_id, cause=command.cause, tombstone=True))]
    if not reservation.live:
        return []
    decision: Decision = []
    reverses: list[UUID] = []
    for item_stream in reservation.item_streams:
        released = units_released(
            item_stream, items[item_stream], reservation.live, command.order_id, command.cause_event_id
        )
        decision.append((item_stream, released))
        reverses += released.reverses
    answer = StockReleased(
        order_id=command.order_id,
        cause=command.cause,
        lines=tuple(
            PlacedQty(line_id=line_id, sku=sku, location_id=location, quantity=quantity)
            for (line_id, sku, location), quantity in reservation.live.items()
        ),
        reverses=tuple(reverses),
    )
    return [*decision, (stream, answer)]


def units_released(
    item_stream: str, item: StockItem | None, units: Mapping[Place, int], order_id: UUID, cause_id: UUID
) -> UnitsReleased:
    """Let go of those `units` of an order that are held here, the longest held first."""
    sku, location = sku_and_location(item_stream)
    left = {place.line_id: units[place] for place in units if place[1:] == (sku, location)}
    entries: list[EntryQty] = []
    reverses: dict[UUID, None] = {}
    for entry in (item.entries.get(order_id) if item else None) or ():
        if quantity := min(entry.quantity, left.get(entry.line_id, 0)):
            left[entry.line_id] -= quantity
            entries.append(EntryQty(order_id=order_id, line_id=entry.line_id, quantity=quantity))
            reverses[entry.movement_id] = None
    return UnitsReleased(
        movement_id=movement_id(cause_id, sku, location),
        cause_id=cause_id,
        entries=tuple(entries),
        reverses=tuple(reverses),
    )
