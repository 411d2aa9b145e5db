"""What inventory does about events: orders hold, change, release and take stock, returns bring it back.

Its own news of a sku's availability asks for one more look at it.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from services.inventory.domain.availability import SKU_AVAILABILITY, AssessAvailability
from services.inventory.domain.deducting import DeductStock
from services.inventory.domain.releasing import ReleaseStock
from services.inventory.domain.reservation import LineUnits
from services.inventory.domain.reserving import ReserveStock
from services.inventory.domain.restocking import RestockReturn
from services.inventory.domain.revising import ReviseReservation
from shared.domain import key_of
from shared.domain.ids import MAIN_LOCATION
from shared.events.common import Line
from shared.events.envelope import Recorded
from shared.events.inventory import StockRanLow, StockReplenished
from shared.events.orders import OrderCancelled, OrderEdited, OrderPlaced, Shipped, ShippedLine
from shared.events.returns import ReturnReceived
from shared.messaging.subscription import Do
from shared.store import todo
from shared.store.todo import Wanted


def react(event: Recorded[Any]) -> Iterable[Do]:
    """The commands that follow from one event; none of them can be refused."""
    match event.data:
        case OrderPlaced() as placed:
            if tracked := _tracked(placed.lines):
                yield Do(
                    ReserveStock(
                        order_id=_key(event),
                        location_id=MAIN_LOCATION,
                        lines=tracked,
                        cause_event_id=event.event_id,
                    )
                )
        case OrderEdited() as edited:
            yield Do(
                ReviseReservation(
                    order_id=_key(event),
                    revision=edited.revision,
                    location_id=MAIN_LOCATION,
                    lines=_tracked(edited.lines),
                    cause_event_id=event.event_id,
                )
            )
        case OrderCancelled(stock_tracked=True):
            yield Do(ReleaseStock(order_id=_key(event), cause_event_id=event.event_id))
        case Shipped() as shipped:
            if left := _tracked(shipped.lines):
                yield Do(
                    DeductStock(
                        order_id=_key(event),
                        shipment_id=shipped.shipment_id,
                        location_id=shipped.location_id or MAIN_LOCATION,
                        lines=left,
                        cause_event_id=event.event_id,
                    )
                )
        case ReturnReceived(resolves_receipt_id=None) as received:
            yield Do(
                RestockReturn(
                    order_id=received.order_id,
                    source_id=_key(event),
                    receipt_id=received.receipt_id,
                    location_id=received.location_id,
                    lines=received.lines,
                    cause_event_id=event.event_id,
                )
            )


def follow_up(event: Recorded[Any]) -> Iterable[Wanted]:
    """What an own event asks for.

    What was told may be old news already, if the stock moved while it was assessed; the look after it sees
    at least what that movement left, so the last word is the right one.
    """
    match event.data:
        case StockRanLow() | StockReplenished():
            yield assessment(key_of(event.stream))


def assessment(sku: str) -> Wanted:
    """The wish to have a sku's availability assessed in a transaction of its own."""
    return todo.command(AssessAvailability(sku=sku), SKU_AVAILABILITY.stream(sku))


def _tracked(lines: Iterable[Line | ShippedLine]) -> tuple[LineUnits, ...]:
    return tuple(
        LineUnits(line_id=line.line_id, sku=line.sku, quantity=line.quantity)
        for line in lines
        if line.stock_tracked
    )


def _key(event: Recorded[Any]) -> UUID:
    return UUID(key_of(event.stream))
