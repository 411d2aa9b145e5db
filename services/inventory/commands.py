"""Which streams each command decides over: load, decide, append."""

from collections.abc import Iterable
from typing import Any

from services.inventory.domain.deducting import DeductStock, decide_deduction
from services.inventory.domain.releasing import ReleaseStock, decide_release
from services.inventory.domain.reservation import RESERVATION, reservation_stream
from services.inventory.domain.reserving import ReserveStock, decide_reservation
from services.inventory.domain.restocking import RestockReturn, decide_restock
from services.inventory.domain.stock import (
    STOCK_ITEM,
    AdjustStock,
    ReceiveStock,
    SetStockTerms,
    StockItem,
)
from shared.domain import key_of
from shared.store.unit_of_work import UnitOfWork


def streams(command: Any) -> Iterable[str]:
    """The streams that are known to be needed before anything is loaded."""
    items = () if isinstance(command, ReleaseStock) else command.item_streams
    return (reservation_stream(command.order_id), *items)


async def execute(uow: UnitOfWork, command: Any) -> None:
    """Run one command inside a unit of work. Raises Rejected for staff's wishes, never for facts."""
    match command:
        case ReceiveStock() | AdjustStock() | SetStockTerms():
            await uow.decide(STOCK_ITEM, f"{command.sku}@{command.location_id}", command)
            return
        case ReserveStock():
            reservation = await uow.state(RESERVATION, command.order_id)
            decision = decide_reservation(reservation, await _items(uow, command.item_streams), command)
        case ReleaseStock():
            reservation = await uow.state(RESERVATION, command.order_id)
            held = reservation.item_streams if reservation else ()
            decision = decide_release(reservation, await _items(uow, held), command)
        case DeductStock():
            reservation = await uow.state(RESERVATION, command.order_id)
            decision = decide_deduction(reservation, await _items(uow, command.item_streams), command)
        case RestockReturn():
            reservation = await uow.state(RESERVATION, command.order_id)
            decision = decide_restock(reservation, await _items(uow, command.item_streams), command)
        case _:
            raise TypeError(f"inventory has no command {type(command).__name__}")
    for stream, event in decision:
        uow.append(stream, [event])


async def _items(uow: UnitOfWork, item_streams: Iterable[str]) -> dict[str, StockItem | None]:
    item_streams = tuple(item_streams)
    await uow.prefetch(item_streams)
    items: dict[str, StockItem | None] = {}
    for stream in item_streams:
        item = await uow.state(STOCK_ITEM, key_of(stream))
        items[stream] = item
    return items
