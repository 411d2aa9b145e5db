"""What inventory does about others' events: orders hold, release and take stock, returns bring it back."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from services.inventory.domain.deducting import DeductStock
from services.inventory.domain.releasing import ReleaseStock
from services.inventory.domain.reservation import LineUnits
from services.inventory.domain.reserving import ReserveStock
from services.inventory.domain.restocking import RestockReturn
from shared.domain import key_of
from shared.domain.ids import MAIN_LOCATION
from shared.events.envelope import Recorded
from shared.events.orders import OrderCancelled, OrderPlaced, Shipped
from shared.events.returns import ReturnReceived
from shared.messaging.subscription import Do


def react(event: Recorded[Any]) -> Iterable[Do]:
    """The commands that follow from one event; none of them can be refused."""
    match event.data:
        case OrderPlaced() as placed:
            tracked = tuple(
                LineUnits(line_id=line.line_id, sku=line.sku, quantity=line.quantity)
                for line in placed.lines
                if line.stock_tracked
            )
            if tracked:
                yield Do(
                    ReserveStock(
                        order_id=_key(event),
                        location_id=MAIN_LOCATION,
                        lines=tracked,
                        cause_event_id=event.event_id,
                    )
                )
        case OrderCancelled(stock_tracked=True):
            yield Do(ReleaseStock(order_id=_key(event), cause_event_id=event.event_id))
        case Shipped() as shipped:
            left = tuple(
                LineUnits(line_id=line.line_id, sku=line.sku, quantity=line.quantity)
                for line in shipped.lines
                if line.stock_tracked
            )
            if left:
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


def _key(event: Recorded[Any]) -> UUID:
    return UUID(key_of(event.stream))
