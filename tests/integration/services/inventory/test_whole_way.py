"""From what orders and returns say to what inventory answers, over a real store."""

from collections.abc import Callable
from uuid import UUID

import pytest

from services.inventory.domain.reservation import ReservationStatus
from shared.domain.ids import MAIN_LOCATION, movement_id
from shared.events.common import PlacedQty
from shared.events.inventory import (
    RefusedLine,
    RejectionCode,
    RejectionPhase,
    ReleaseCause,
    RestockedLine,
    RestockedTo,
    ReversedDeduction,
    StockDeducted,
    StockReleased,
    StockReservationRejected,
    StockReserved,
    StockRestocked,
)
from shared.events.returns import Disposition
from shared.store.marks import StoredRecord
from tests.integration.services.inventory.depot import Depot
from tests.integration.services.inventory.others import Order, Told

pytestmark = pytest.mark.integration


def at(order: Order, sku: str, quantity: int) -> PlacedQty:
    """Units of the order's line for `sku`, at the one location."""
    return PlacedQty(
        line_id=order.line_id(sku), sku=sku, location_id=MAIN_LOCATION, quantity=quantity, backordered=0
    )


def back(order: Order, sku: str, quantity: int, to: RestockedTo) -> RestockedLine:
    return RestockedLine(
        line_id=order.line_id(sku), sku=sku, location_id=MAIN_LOCATION, quantity=quantity, to=to
    )


async def test_a_placed_order_holds_its_units(depot: Depot, told: Told) -> None:
    await depot.receive(CUP=5, BAG=1)
    order = Order(told, "o", (("CUP", 3), ("BAG", 1)), customer_id=UUID(int=4))
    await depot.hear(order.placed())
    assert await depot.answers(order.order_id) == [
        StockReserved(order_id=order.order_id, placed=(at(order, "CUP", 3), at(order, "BAG", 1)))
    ]
    assert await depot.units("CUP") == (5, 3, 2)
    assert await depot.units("BAG") == (1, 1, 0)
    row = await depot.reservation(order.order_id)
    assert row is not None
    assert (row.status, row.buyer, row.confirmed) == (ReservationStatus.RESERVED, str(UUID(int=4)), False)
    assert row.held == (at(order, "CUP", 3), at(order, "BAG", 1))
    await depot.check_laws(told.events)


async def test_what_follows_belongs_to_the_orders_story(depot: Depot, told: Told) -> None:
    await depot.receive(CUP=5)
    order = Order(told, "o", (("CUP", 3),))
    await depot.hear(order.placed())
    stream = f"reservation-{order.order_id}"
    (answer,) = (await depot.store.load([stream]))[stream]
    assert answer.correlation_id == told.events[0].correlation_id
    assert answer.causation_id == told.events[0].event_id
    movement = (await depot.ledger("CUP"))[-1]
    assert movement.data.cause_id == told.events[0].event_id


async def test_an_order_that_wants_too_much_is_refused_whole(depot: Depot, told: Told) -> None:
    await depot.receive(CUP=5, BAG=1)
    order = Order(told, "o", (("CUP", 3), ("BAG", 2)))
    await depot.hear(order.placed())
    refused = RefusedLine(line_id=order.line_id("BAG"), sku="BAG", requested=2, available=1)
    assert await depot.answers(order.order_id) == [
        StockReservationRejected(order_id=order.order_id, code=RejectionCode.OUT_OF_STOCK, lines=(refused,))
    ]
    assert await depot.units("CUP") == (5, 0, 5)
    await depot.hear(order.cancelled())
    assert len(await depot.answers(order.order_id)) == 1
    await depot.check_laws(told.events)


async def test_an_order_for_what_was_never_kept_is_refused(depot: Depot, told: Told) -> None:
    await depot.receive(CUP=5)
    order = Order(told, "o", (("CUP", 1), ("GHOST", 1)))
    await depot.hear(order.placed())
    refused = RefusedLine(line_id=order.line_id("GHOST"), sku="GHOST", requested=1, available=0)
    assert await depot.answers(order.order_id) == [
        StockReservationRejected(order_id=order.order_id, code=RejectionCode.UNKNOWN_SKU, lines=(refused,))
    ]
    await depot.check_laws(told.events)


async def test_an_order_of_what_is_not_counted_asks_for_nothing(depot: Depot, told: Told) -> None:
    order = Order(told, "o", (("LICENCE", 1),))
    await depot.hear(order.placed(tracked=False), order.cancelled(tracked=False))
    assert await depot.answers(order.order_id) == []
    row = await depot.reservation(order.order_id)
    assert row is not None
    assert (row.status, row.held) == (ReservationStatus.NONE, ())
    await depot.check_laws(told.events)


async def test_safety_stock_is_not_for_orders(depot: Depot, told: Told) -> None:
    await depot.receive(CUP=5)
    await depot.call("PUT", "/stock/CUP/terms", {"safety_stock": 4})
    await depot.hear(Order(told, "greedy", (("CUP", 2),)).placed())
    assert await depot.units("CUP") == (5, 0, 1)
    await depot.hear(Order(told, "modest", (("CUP", 1),)).placed())
    assert await depot.units("CUP") == (5, 1, 0)
    await depot.check_laws(told.events)


async def test_a_cancelled_order_lets_go_and_names_what_it_reverses(depot: Depot, told: Told) -> None:
    await depot.receive(CUP=5)
    order = Order(told, "o", (("CUP", 3),))
    await depot.hear(order.placed(), order.confirmed(), order.cancelled())
    held = movement_id(told.events[0].event_id, "CUP", MAIN_LOCATION)
    assert (await depot.answers(order.order_id))[1:] == [
        StockReleased(
            order_id=order.order_id,
            cause=ReleaseCause.CANCELLED,
            lines=(at(order, "CUP", 3),),
            reverses=(held,),
        )
    ]
    assert await depot.units("CUP") == (5, 0, 5)
    await depot.check_laws(told.events)


async def test_an_edited_order_holds_what_it_wants_now(depot: Depot, told: Told) -> None:
    await depot.receive(CUP=5, BAG=1)
    order = Order(told, "o", (("CUP", 3),))
    await depot.hear(order.placed(), order.confirmed(), order.edited(1, ("CUP", 2), ("BAG", 1)))
    held = movement_id(told.events[0].event_id, "CUP", MAIN_LOCATION)
    assert (await depot.answers(order.order_id))[1:] == [
        StockReleased(
            order_id=order.order_id,
            revision=1,
            cause=ReleaseCause.EDITED,
            lines=(at(order, "CUP", 1),),
            reverses=(held,),
        ),
        StockReserved(order_id=order.order_id, revision=1, placed=(at(order, "BAG", 1),)),
    ]
    assert await depot.units("CUP") == (5, 2, 3)
    assert await depot.units("BAG") == (1, 1, 0)
    row = await depot.reservation(order.order_id)
    assert row is not None
    assert row.held == (at(order, "CUP", 2), at(order, "BAG", 1))
    await depot.hear(order.cancelled())
    assert await depot.units("CUP") == (5, 0, 5)
    assert await depot.units("BAG") == (1, 0, 1)
    await depot.check_laws(told.events)


async def test_an_edit_that_wants_too_much_changes_nothing_until_it_is_taken_back(
    depot: Depot, told: Told
) -> None:
    await depot.receive(CUP=5, BAG=1)
    order = Order(told, "o", (("CUP", 3),))
    await depot.hear(order.placed(), order.confirmed(), order.edited(1, ("CUP", 2), ("BAG", 2)))
    refused = RefusedLine(line_id=order.line_id("BAG"), sku="BAG", requested=2, available=1)
    refusal = StockReservationRejected(
        order_id=order.order_id,
        revision=1,
        phase=RejectionPhase.REVISION,
        code=RejectionCode.OUT_OF_STOCK,
        lines=(refused,),
    )
    assert (await depot.answers(order.order_id))[1:] == [refusal]
    assert await depot.units("CUP") == (5, 3, 2)
    await depot.hear(order.edited(2, ("CUP", 3)), order.shipped("1", ("CUP", 3)))
    assert await depot.units("CUP") == (2, 0, 2)
    assert len(await depot.answers(order.order_id)) == 3
    await depot.check_laws(told.events)


async def test_a_release_before_the_reservation_wins(depot: Depot, told: Told) -> None:
    await depot.receive(CUP=5)
    order = Order(told, "o", (("CUP", 3),))
    await depot.hear(order.cancelled())
    await depot.hear(order.placed())
    assert await depot.answers(order.order_id) == [
        StockReleased(order_id=order.order_id, cause=ReleaseCause.CANCELLED, tombstone=True)
    ]
    assert await depot.units("CUP") == (5, 0, 5)
    await depot.check_laws(told.events)


async def test_shipments_take_what_is_held(depot: Depot, told: Told) -> None:
    await depot.receive(CUP=5)
    order = Order(told, "o", (("CUP", 3),))
    await depot.hear(order.placed(), order.confirmed(), order.shipped("1", ("CUP", 1)))
    assert await depot.units("CUP") == (4, 2, 2)
    await depot.hear(order.shipped("2", ("CUP", 2)))
    assert await depot.units("CUP") == (2, 0, 2)
    assert (await depot.answers(order.order_id))[1:] == [
        StockDeducted(
            order_id=order.order_id, shipment_id=order.shipment_id("1"), lines=(at(order, "CUP", 1),)
        ),
        StockDeducted(
            order_id=order.order_id, shipment_id=order.shipment_id("2"), lines=(at(order, "CUP", 2),)
        ),
    ]
    row = await depot.reservation(order.order_id)
    assert row is not None
    assert (row.status, row.held, row.confirmed) == (ReservationStatus.DEDUCTED, (), True)
    await depot.check_laws(told.events)


async def test_goods_that_left_unheld_are_corrected_and_never_refused(depot: Depot, told: Told) -> None:
    await depot.receive(CUP=3)
    other = Order(told, "other", (("CUP", 2),))
    order = Order(told, "o", (("CUP", 9),))
    await depot.hear(other.placed(), order.placed(), order.shipped("1", ("CUP", 4), ("GHOST", 1)))
    assert await depot.units("CUP") == (2, 2, 0)
    assert await depot.units("GHOST") == (0, 0, 0)
    last = (await depot.answers(order.order_id))[-1]
    assert last == StockDeducted(
        order_id=order.order_id,
        shipment_id=order.shipment_id("1"),
        lines=(at(order, "CUP", 4), at(order, "GHOST", 1)),
        unexpected=True,
    )
    await depot.check_laws(told.events)


async def test_what_comes_back_is_counted_where_it_now_is(depot: Depot, told: Told) -> None:
    await depot.receive(CUP=6)
    order = Order(told, "o", (("CUP", 6),))
    await depot.hear(order.placed(), order.shipped("1", ("CUP", 6)))
    await depot.hear(
        order.came_back(
            "scan",
            ("CUP", 2, Disposition.RESTOCKED),
            ("CUP", 1, Disposition.NOT_RESTOCKED),
            ("CUP", 1, Disposition.PROCESSING_REQUIRED),
            ("CUP", 1, Disposition.MISSING),
        )
    )
    assert (await depot.answers(order.order_id))[-1] == StockRestocked(
        order_id=order.order_id,
        source_id=order.return_id,
        receipt_id=order.receipt_id("scan"),
        lines=(
            back(order, "CUP", 2, RestockedTo.AVAILABLE),
            back(order, "CUP", 1, RestockedTo.DAMAGED),
            back(order, "CUP", 1, RestockedTo.QUALITY_CONTROL),
        ),
        reverses=(
            ReversedDeduction(shipment_id=order.shipment_id("1"), line_id=order.line_id("CUP"), quantity=4),
        ),
    )
    level = await depot.level("CUP")
    assert (level.on_hand, level.available, level.damaged, level.quality_control) == (3, 2, 0, 1)
    await depot.hear(
        order.came_back("again", ("CUP", 1, Disposition.RESTOCKED), resolves=order.receipt_id("scan"))
    )
    assert len(await depot.answers(order.order_id)) == 3
    await depot.check_laws(told.events)


async def test_a_return_may_be_heard_of_before_its_order(depot: Depot, told: Told) -> None:
    await depot.receive(CUP=2)
    order = Order(told, "o", (("CUP", 1),))
    placed, shipped = order.placed(), order.shipped("1", ("CUP", 1))
    await depot.hear(order.came_back("scan", ("CUP", 1, Disposition.RESTOCKED)))
    assert await depot.units("CUP") == (3, 0, 3)
    await depot.hear(placed, shipped)
    assert await depot.units("CUP") == (2, 0, 2)
    row = await depot.reservation(order.order_id)
    assert row is not None
    assert (row.status, row.buyer) == (ReservationStatus.DEDUCTED, str(UUID(int=77)))
    await depot.check_laws(told.events)


Shuffle = Callable[[list[StoredRecord]], list[StoredRecord]]


@pytest.mark.parametrize(
    "again",
    [lambda all_: all_, lambda all_: all_[::-1], lambda all_: [r for r in all_ for _ in range(2)]],
    ids=["in order", "backwards", "each twice"],
)
async def test_hearing_it_again_changes_nothing(depot: Depot, told: Told, again: Shuffle) -> None:
    await depot.receive(CUP=6)
    order, other = Order(told, "o", (("CUP", 3),)), Order(told, "other", (("CUP", 3),))
    records = [
        order.placed(),
        other.placed(),
        order.confirmed(),
        order.edited(1, ("CUP", 1)),
        order.edited(2, ("CUP", 3)),
        order.shipped("1", ("CUP", 3)),
        order.came_back("scan", ("CUP", 1, Disposition.RESTOCKED)),
        other.cancelled(),
    ]
    await depot.hear(*records)
    events = await depot.recorded()
    await depot.hear(*again(records))
    for record in again(records):
        await depot.hear(record)
    assert await depot.recorded() == events
    await depot.check_laws(told.events)


async def test_hearing_it_in_the_wrong_order_comes_to_the_same(depot: Depot, told: Told) -> None:
    await depot.receive(CUP=6)
    order = Order(told, "o", (("CUP", 3),))
    records = [
        order.placed(),
        order.confirmed(),
        order.shipped("1", ("CUP", 2)),
        order.shipped("2", ("CUP", 1)),
    ]
    await depot.consumer.handle_batch(records[::-1][:3])
    assert [version for _, version, _ in await depot.parked()] == [2, 3, 4]
    assert await depot.units("CUP") == (6, 0, 6)
    await depot.hear(records[0])
    assert await depot.units("CUP") == (3, 0, 3)
    await depot.check_laws(told.events)


async def test_a_stream_that_is_no_orders_waits_and_stops_nobody(depot: Depot, told: Told) -> None:
    await depot.receive(CUP=1)
    odd, order = Order(told, "odd", (("CUP", 1),)), Order(told, "o", (("CUP", 1),))
    odd.placed()
    strange = told.say("order-odd", told.events[0].data)
    await depot.consumer.handle_batch([strange, order.placed()])
    assert [(stream, reason) for stream, _, reason in await depot.parked()] == [("order-odd", "FAILED")]
    assert await depot.units("CUP") == (1, 1, 0)
