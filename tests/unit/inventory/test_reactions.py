"""What inventory does about what the others say: which events ask for which command, and which for none."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from services.inventory.commands import streams
from services.inventory.domain.deducting import DeductStock
from services.inventory.domain.releasing import ReleaseStock
from services.inventory.domain.reservation import LineUnits, reservation_stream
from services.inventory.domain.reserving import ReserveStock
from services.inventory.domain.restocking import RestockReturn
from services.inventory.domain.revising import ReviseReservation
from services.inventory.domain.stock import stock_item_stream
from services.inventory.reactions import react
from shared.domain.ids import MAIN_LOCATION
from shared.events import orders, returns
from shared.events.envelope import Recorded
from shared.events.orders import OrderCancelled, OrderEdited, OrderPlaced, Shipped
from shared.events.returns import Disposition, ReceivedLine, ReturnReceived
from shared.messaging.subscription import Do
from tests.contract.golden import example
from tests.integration.services.inventory.others import Order, Told

UNITS = (("CUP", 2), ("BAG", 1))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def order(told: Told) -> Order:
    return Order(told, "o", UNITS)


def wanted(event: Recorded[Any]) -> list[Any]:
    """The commands that follow; none of them expects a refusal."""
    done = list(react(event))
    assert all(isinstance(do, Do) and do.expects == frozenset() for do in done)
    return [do.command for do in done]


def units_of(order: Order) -> tuple[LineUnits, ...]:
    return tuple(LineUnits(line_id=order.line_id(sku), sku=sku, quantity=n) for sku, n in UNITS)


def test_a_placed_order_reserves_its_tracked_lines(told: Told, order: Order) -> None:
    order.placed()
    (event,) = told.events
    reserve = ReserveStock(
        order_id=order.order_id,
        location_id=MAIN_LOCATION,
        lines=units_of(order),
        cause_event_id=event.event_id,
    )
    assert wanted(event) == [reserve]
    assert set(streams(reserve)) == {
        reservation_stream(order.order_id),
        stock_item_stream("CUP", MAIN_LOCATION),
        stock_item_stream("BAG", MAIN_LOCATION),
    }


def test_an_order_of_nothing_tracked_asks_for_nothing(told: Told, order: Order) -> None:
    order.placed(tracked=False)
    assert wanted(told.events[0]) == []


def test_an_edited_order_wants_its_tracked_lines_as_they_are_now(told: Told, order: Order) -> None:
    order.edited(1, *UNITS)
    order.edited(2, *UNITS, tracked=False)
    wanting, letting_go = told.events
    revise = ReviseReservation(
        order_id=order.order_id,
        revision=1,
        location_id=MAIN_LOCATION,
        lines=units_of(order),
        cause_event_id=wanting.event_id,
    )
    assert wanted(wanting) == [revise]
    assert set(streams(revise)) == {
        reservation_stream(order.order_id),
        stock_item_stream("CUP", MAIN_LOCATION),
        stock_item_stream("BAG", MAIN_LOCATION),
    }
    assert wanted(letting_go) == [replace(revise, revision=2, lines=(), cause_event_id=letting_go.event_id)]


def test_a_cancelled_order_releases(told: Told, order: Order) -> None:
    order.cancelled()
    (event,) = told.events
    release = ReleaseStock(order_id=order.order_id, cause_event_id=event.event_id)
    assert wanted(event) == [release]
    assert set(streams(release)) == {reservation_stream(order.order_id)}


def test_a_cancelled_order_without_stock_leaves_no_tombstone(told: Told, order: Order) -> None:
    order.cancelled(tracked=False)
    assert wanted(told.events[0]) == []


def test_a_shipment_deducts_its_tracked_lines(told: Told, order: Order) -> None:
    order.shipped("1", *UNITS)
    order.shipped("2", *UNITS, tracked=False)
    event, untracked = told.events
    assert wanted(event) == [
        DeductStock(
            order_id=order.order_id,
            shipment_id=order.shipment_id("1"),
            location_id=MAIN_LOCATION,
            lines=units_of(order),
            cause_event_id=event.event_id,
        )
    ]
    assert wanted(untracked) == []


def test_a_received_return_is_restocked_for_its_order(told: Told, order: Order) -> None:
    order.came_back("scan", ("CUP", 1, Disposition.RESTOCKED))
    (event,) = told.events
    assert wanted(event) == [
        RestockReturn(
            order_id=order.order_id,
            source_id=order.return_id,
            receipt_id=order.receipt_id("scan"),
            location_id=MAIN_LOCATION,
            lines=(
                ReceivedLine(
                    line_id=order.line_id("CUP"), sku="CUP", quantity=1, disposition=Disposition.RESTOCKED
                ),
            ),
            cause_event_id=event.event_id,
        )
    ]


def test_an_inspection_of_an_earlier_receipt_brings_no_new_units(told: Told, order: Order) -> None:
    order.came_back("again", ("CUP", 1, Disposition.RESTOCKED), resolves=UUID(int=1))
    assert wanted(told.events[0]) == []


def test_every_other_event_asks_for_nothing(told: Told) -> None:
    asking = {OrderPlaced, OrderEdited, OrderCancelled, Shipped, ReturnReceived}
    for kind in {*orders.EVENTS, *returns.EVENTS} - asking:
        told.say("order-00000000-0000-0000-0000-000000000001", example(kind, kind.__name__))
    assert told.events
    assert [wanted(event) for event in told.events] == [[]] * len(told.events)
