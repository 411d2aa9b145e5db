"""Short ways to write inventory's commands and events in tests; every id is named by a word."""

from uuid import UUID

from services.inventory.domain.deducting import DeductStock
from services.inventory.domain.ledger import EntryQty, UnitsDeducted, UnitsReleased, UnitsReserved
from services.inventory.domain.releasing import ReleaseStock
from services.inventory.domain.reservation import LineUnits, reservation_stream
from services.inventory.domain.reserving import ReserveStock
from services.inventory.domain.restocking import RestockReturn
from services.inventory.domain.revising import ReviseReservation
from services.inventory.domain.stock import ReceiveStock, stock_item_stream
from shared.domain.ids import movement_id
from shared.events.common import PlacedQty
from shared.events.returns import Disposition, ReceivedLine
from tests.unit.inventory.world import HERE, uid

Units = tuple[str, str, int]
"""An order line's name, its sku and a quantity."""

ORDER = reservation_stream(uid("order"))
CUP, BAG = stock_item_stream("CUP", HERE), stock_item_stream("BAG", HERE)


def moved(cause: str, sku: str) -> UUID:
    """The movement that the event `cause` makes for `sku`."""
    return movement_id(uid(cause), sku, HERE)


def follow_up(movement: UUID, sku: str) -> UUID:
    """The movement that another movement entails."""
    return movement_id(movement, sku, HERE)


def receive(sku: str, quantity: int) -> ReceiveStock:
    return ReceiveStock(sku=sku, location_id=HERE, receipt_id=uid("delivery"), quantity=quantity)


def lines(*units: Units) -> tuple[LineUnits, ...]:
    return tuple(LineUnits(line_id=uid(line), sku=sku, quantity=quantity) for line, sku, quantity in units)


def placed(*units: Units) -> tuple[PlacedQty, ...]:
    return tuple(
        PlacedQty(line_id=uid(line), sku=sku, location_id=HERE, quantity=quantity)
        for line, sku, quantity in units
    )


def entries(*units: tuple[str, int], order: str = "order") -> tuple[EntryQty, ...]:
    return tuple(
        EntryQty(order_id=uid(order), line_id=uid(line), quantity=quantity) for line, quantity in units
    )


def reserve(*units: Units, order: str = "order", cause: str = "placed") -> ReserveStock:
    return ReserveStock(order_id=uid(order), location_id=HERE, lines=lines(*units), cause_event_id=uid(cause))


def revise(revision: int, *units: Units, order: str = "order") -> ReviseReservation:
    return ReviseReservation(
        order_id=uid(order),
        revision=revision,
        location_id=HERE,
        lines=lines(*units),
        cause_event_id=uid(f"edited {revision}"),
    )


def release(order: str = "order", cause: str = "cancelled") -> ReleaseStock:
    return ReleaseStock(order_id=uid(order), cause_event_id=uid(cause))


def deduct(shipment: str, *units: Units, order: str = "order") -> DeductStock:
    return DeductStock(
        order_id=uid(order),
        shipment_id=uid(shipment),
        location_id=HERE,
        lines=lines(*units),
        cause_event_id=uid(f"shipped {shipment}"),
    )


def restock(receipt: str, *found: tuple[str, str, int, Disposition]) -> RestockReturn:
    return RestockReturn(
        order_id=uid("order"),
        source_id=uid("return"),
        receipt_id=uid(receipt),
        location_id=HERE,
        lines=tuple(
            ReceivedLine(line_id=uid(line), sku=sku, quantity=quantity, disposition=disposition)
            for line, sku, quantity, disposition in found
        ),
        cause_event_id=uid(f"received {receipt}"),
    )


def units_reserved(sku: str, *units: tuple[str, int]) -> UnitsReserved:
    return UnitsReserved(movement_id=moved("placed", sku), cause_id=uid("placed"), entries=entries(*units))


def units_released(sku: str, *units: tuple[str, int]) -> UnitsReleased:
    return UnitsReleased(
        movement_id=moved("cancelled", sku),
        cause_id=uid("cancelled"),
        entries=entries(*units),
        reverses=(moved("placed", sku),),
    )


def units_deducted(sku: str, shipment: str, quantity: int, *held: tuple[str, int]) -> UnitsDeducted:
    return UnitsDeducted(
        movement_id=moved(f"shipped {shipment}", sku),
        cause_id=uid(f"shipped {shipment}"),
        order_id=uid("order"),
        shipment_id=uid(shipment),
        quantity=quantity,
        entries=entries(*held),
    )
