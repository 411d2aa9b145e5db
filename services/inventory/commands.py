"""Which streams each command decides over: load, decide, append."""

from collections.abc import Iterable
from typing import Any

from services.inventory.domain.availability import SKU_AVAILABILITY, AssessAvailability, assess, crossed
from services.inventory.domain.deducting import DeductStock, decide_deduction
from services.inventory.domain.releasing import ReleaseStock, decide_release
from services.inventory.domain.reservation import RESERVATION, Decision, reservation_stream
from services.inventory.domain.reserving import ReserveStock, decide_reservation
from services.inventory.domain.restocking import RestockReturn, decide_restock
from services.inventory.domain.revising import ReviseReservation, decide_revision
from services.inventory.domain.stock import (
    STOCK_ITEM,
    AdjustStock,
    ReceiveStock,
    SetStockTerms,
    StockItem,
    sku_and_location,
    stock_item_stream,
)
from services.inventory.reactions import assessment
from shared.domain import category_of, key_of
from shared.domain.ids import MAIN_LOCATION
from shared.store.unit_of_work import UnitOfWork


def streams(command: Any) -> Iterable[str]:
    """The streams that are known to be needed before anything is loaded."""
    if isinstance(command, AssessAvailability):
        return (SKU_AVAILABILITY.stream(command.sku), stock_item_stream(command.sku, MAIN_LOCATION))
    items = () if isinstance(command, ReleaseStock) else command.item_streams
    return (reservation_stream(command.order_id), *items)


async def execute(uow: UnitOfWork, command: Any) -> None:
    """Run one command inside a unit of work. Raises Rejected for staff's wishes, never for facts."""
    decision: Decision
    match command:
        case AssessAvailability():
            item = await uow.state(STOCK_ITEM, f"{command.sku}@{MAIN_LOCATION}")
            await uow.decide(SKU_AVAILABILITY, command.sku, assess(item))
            return
        case ReceiveStock() | AdjustStock() | SetStockTerms():
            stream = stock_item_stream(command.sku, command.location_id)
            items = await _items(uow, [stream])
            decision = [(stream, event) for event in STOCK_ITEM.decide(items[stream], command)]
        case ReserveStock():
            reservation = await uow.state(RESERVATION, command.order_id)
            items = await _items(uow, command.item_streams)
            decision = decide_reservation(reservation, items, command)
        case ReleaseStock():
            reservation = await uow.state(RESERVATION, command.order_id)
            items = await _items(uow, reservation.item_streams if reservation else ())
            decision = decide_release(reservation, items, command)
        case ReviseReservation():
            reservation = await uow.state(RESERVATION, command.order_id)
            held = reservation.item_streams if reservation else ()
            items = await _items(uow, dict.fromkeys((*command.item_streams, *held)))
            decision = decide_revision(reservation, items, command)
        case DeductStock():
            reservation = await uow.state(RESERVATION, command.order_id)
            items = await _items(uow, command.item_streams)
            decision = decide_deduction(reservation, items, command)
        case RestockReturn():
            reservation = await uow.state(RESERVATION, command.order_id)
            items = await _items(uow, command.item_streams)
            decision = decide_restock(reservation, items, command)
        case _:
            raise TypeError(f"inventory has no command {type(command).__name__}")
    for stream, event in decision:
        uow.append(stream, [event])
    await _assess_later(uow, items, decision)


async def _assess_later(
    uow: UnitOfWork, before: dict[str, StockItem | None], decision: Iterable[tuple[str, Any]]
) -> None:
    """Have the availability of each sku assessed whose level these movements have changed.

    Not of every sku that moved: a row for each line of every order would cost as much as the orders.
    Orders are served from the main location only, so what lies elsewhere is not available to them.
    """
    moved = {
        stream: event.movement_id for stream, event in decision if category_of(stream) == STOCK_ITEM.category
    }
    for stream, movement in moved.items():
        sku, location = sku_and_location(stream)
        after: StockItem | None = await uow.state(STOCK_ITEM, key_of(stream))
        if location == MAIN_LOCATION and crossed(before[stream], after):
            uow.want(assessment(sku), movement)


async def _items(uow: UnitOfWork, item_streams: Iterable[str]) -> dict[str, StockItem | None]:
    item_streams = tuple(item_streams)
    await uow.prefetch(item_streams)
    items: dict[str, StockItem | None] = {}
    for stream in item_streams:
        item = await uow.state(STOCK_ITEM, key_of(stream))
        items[stream] = item
    return items
