"""The fulfilment axis: processing, parcels, capture on ship, delivery."""

from dataclasses import replace
from uuid import UUID

import pytest

from services.orders.domain import Ship, fulfillment_status
from services.orders.domain.state import FulfillmentStatus
from shared.domain import ids
from shared.events.common import PlacedQty, Qty
from shared.events.orders import (
    Delivered,
    DeliveryProof,
    FulfillmentCancelCause,
    FulfillmentCancelled,
    OrderEvent,
    OrderPaid,
    PaymentBasis,
)
from shared.testing.scenario import NOW, given
from tests.unit.orders import samples as s

RECALLED = FulfillmentCancelled(
    fulfillment_id=s.FULFILLMENT, lines=s.ALL_UNITS, cause=FulfillmentCancelCause.ORDER_CANCELLED
)


class TestStartProcessing:
    def test_a_complete_order_goes_to_its_warehouse(self) -> None:
        given(s.ORDER, *s.IN_QUEUE).when(s.START).then(s.STARTED, s.HANDED_OVER)

    def test_each_location_gets_its_units_and_untracked_lines_go_with_the_first(self) -> None:
        untracked = s.line(s.OTHER_ID, "CARD", 1, 500, tracked=False)
        mugs = s.line(s.MUGS, "MUG", 3, 1300)
        second = UUID(int=21)
        held = (
            PlacedQty(line_id=s.MUGS, sku="MUG", location_id=s.DEPOT, quantity=2),
            PlacedQty(line_id=s.MUGS, sku="MUG", location_id=second, quantity=1),
        )
        secured = replace(s.STOCK_SECURED, placed=held)
        history = (s.placed(mugs, untracked), secured, s.REQUESTED, s.AUTHORIZED, s.CONFIRMED)
        given(s.ORDER, *history).when(s.START).then(
            s.STARTED,
            replace(
                s.HANDED_OVER,
                lines=(Qty(line_id=s.MUGS, quantity=2), Qty(line_id=s.OTHER_ID, quantity=1)),
            ),
            replace(
                s.HANDED_OVER,
                fulfillment_id=ids.fulfillment_id(s.ORDER_ID, "OWN", str(second), 1),
                location_id=second,
                lines=(Qty(line_id=s.MUGS, quantity=1),),
            ),
        )

    def test_an_address_is_missing(self) -> None:
        nowhere = replace(s.PLACED, destination=replace(s.PLACED.destination, complete=False))
        refusal = given(s.ORDER, nowhere, *s.IN_QUEUE[1:]).when(s.START).rejected("incomplete")
        assert refusal.extra == {"missing": ["address"]}

    def test_an_authorization_lapsed(self) -> None:
        late = replace(s.START, now=s.AUTHORIZED_UNTIL)
        refusal = given(s.ORDER, *s.IN_QUEUE).when(late).rejected("incomplete")
        assert refusal.extra == {"missing": ["payment"]}

    def test_before_the_confirmation(self) -> None:
        given(s.ORDER, *s.WAITING_FOR_PAYMENT).when(s.START).rejected("not_confirmed")

    def test_after_a_cancel(self) -> None:
        given(s.ORDER, *s.IN_QUEUE, s.CANCELLED).when(s.START).rejected("order_cancelled")

    def test_an_unknown_order_is_refused(self) -> None:
        given(s.ORDER).when(s.START).rejected("unknown_order")


class TestShip:
    def test_a_parcel_takes_its_share_and_the_shipping(self) -> None:
        given(s.ORDER, *s.IN_PROCESSING).when(s.SHIP_1).then(s.SHIPPED_1, s.TO_CAPTURE_1)

    def test_the_last_parcel_takes_the_exact_remainder(self) -> None:
        given(s.ORDER, *s.PARTLY_SHIPPED).when(s.SHIP_2).then(s.SHIPPED_2, s.TO_CAPTURE_2)

    def test_one_parcel_takes_everything(self) -> None:
        given(s.ORDER, *s.IN_PROCESSING).when(s.SHIP_ALL).then(s.SHIPPED_ALL, s.TO_CAPTURE_ALL)

    def test_the_order_of_lines_in_a_parcel_split_up_does_not_matter(self) -> None:
        one = Qty(line_id=s.MUGS, quantity=1)
        split = replace(s.SHIP_1, lines=(one, Qty(line_id=s.PLATES, quantity=1)))
        given(s.ORDER, *s.PARTLY_SHIPPED).when(split).then()

    def test_nothing_is_captured_for_an_order_that_costs_nothing(self) -> None:
        mugs = (Qty(line_id=s.MUGS, quantity=3),)
        free = replace(s.CONFIRMED, payment=PaymentBasis.NOTHING_DUE)
        paid = OrderPaid(total=0, captured=0, revision=0)
        handed = replace(s.HANDED_OVER, lines=mugs)
        history = (s.FREE, s.STOCK_SECURED, free, paid, s.STARTED, handed)
        scenario = given(s.ORDER, *history)
        scenario.when(replace(s.SHIP_ALL, lines=mugs)).then(s.shipped(s.PARCEL_1, mugs, last=True))
        scenario.when(s.DELIVER).then(
            replace(s.DELIVERED_ALL, lines=mugs), replace(s.COMPLETED, delivered_units=3)
        )

    def test_the_same_parcel_with_other_units_is_a_mistake(self) -> None:
        given(s.ORDER, *s.PARTLY_SHIPPED).when(s.SHIP_ALL).rejected("parcel_exists")

    def test_the_same_parcel_with_its_lines_in_another_order_is_known(self) -> None:
        given(s.ORDER, *s.PARTLY_SHIPPED).when(replace(s.SHIP_1, lines=s.SHIP_1.lines[::-1])).then()

    def test_after_a_cancel(self) -> None:
        given(s.ORDER, *s.IN_PROCESSING, s.CANCELLED, RECALLED).when(s.SHIP_1).rejected("order_cancelled")

    def test_before_the_processing(self) -> None:
        given(s.ORDER, *s.IN_QUEUE).when(s.SHIP_1).rejected("not_requested")

    def test_more_than_was_ordered(self) -> None:
        given(s.ORDER, *s.PARTLY_SHIPPED).when(
            replace(s.SHIP_2, lines=(Qty(line_id=s.MUGS, quantity=3),))
        ).rejected("exceeds_ordered")

    def test_a_line_of_another_order(self) -> None:
        given(s.ORDER, *s.IN_PROCESSING).when(
            replace(s.SHIP_1, lines=(Qty(line_id=s.OTHER_ID, quantity=1),))
        ).rejected("unknown_line")

    @pytest.mark.parametrize(
        "lines", [(), (Qty(line_id=s.MUGS, quantity=0),), (Qty(line_id=s.MUGS, quantity=-1),)]
    )
    def test_a_parcel_holds_something(self, lines: tuple[Qty, ...]) -> None:
        given(s.ORDER, *s.IN_PROCESSING).when(replace(s.SHIP_1, lines=lines)).rejected("invalid_quantity")

    def test_units_that_are_only_promised(self) -> None:
        promised = tuple(replace(held, backordered=1) for held in s.HELD)
        secured = replace(s.STOCK_SECURED, placed=promised)
        history: tuple[OrderEvent, ...] = (s.PLACED, secured, *s.IN_PROCESSING[2:])
        given(s.ORDER, *history).when(s.SHIP_1).then(s.SHIPPED_1, s.TO_CAPTURE_1)
        given(s.ORDER, *history).when(s.SHIP_ALL).rejected("stock_not_secured")

    def test_money_that_lapsed(self) -> None:
        late = replace(s.SHIP_1, now=s.AUTHORIZED_UNTIL)
        given(s.ORDER, *s.IN_PROCESSING).when(late).rejected("payment_not_secured")

    def test_an_unknown_order_is_refused(self) -> None:
        given(s.ORDER).when(s.SHIP_1).rejected("unknown_order")


class TestConfirmDelivery:
    def test_the_last_delivery_of_a_paid_order_completes_it(self) -> None:
        given(s.ORDER, *s.ALL_PAID).when(s.DELIVER).then(s.DELIVERED_ALL, s.COMPLETED)

    def test_money_on_its_way_leaves_the_order_open(self) -> None:
        given(s.ORDER, *s.ALL_SHIPPED).when(s.DELIVER).then(s.DELIVERED_ALL)

    def test_a_parcel_on_its_way_leaves_the_order_open(self) -> None:
        given(s.ORDER, *s.PARTLY_SHIPPED, s.captured(s.TO_CAPTURE_1)).when(s.DELIVER).then(
            Delivered(
                shipment_id=s.PARCEL_1,
                lines=s.MUG_AND_PLATE,
                delivered_at=NOW,
                proof=DeliveryProof.STAFF,
            )
        )

    def test_an_unknown_shipment_is_refused(self) -> None:
        given(s.ORDER, *s.ALL_PAID).when(replace(s.DELIVER, shipment_id=s.OTHER_ID)).rejected(
            "unknown_shipment"
        )

    def test_an_unknown_order_is_refused(self) -> None:
        given(s.ORDER).when(s.DELIVER).rejected("unknown_order")


@pytest.mark.parametrize(
    ("events", "status"),
    [
        (s.IN_QUEUE, FulfillmentStatus.UNFULFILLED),
        (s.IN_PROCESSING, FulfillmentStatus.IN_PROGRESS),
        ((*s.IN_PROCESSING, s.CANCELLED, RECALLED), FulfillmentStatus.UNFULFILLED),
        (s.PARTLY_SHIPPED, FulfillmentStatus.PARTIALLY_FULFILLED),
        (s.ALL_SHIPPED, FulfillmentStatus.FULFILLED),
        (s.AT_ITS_END, FulfillmentStatus.DELIVERED),
    ],
)
def test_the_fulfilment_axis(events: tuple[OrderEvent, ...], status: FulfillmentStatus) -> None:
    assert fulfillment_status(s.fold(*events)) is status


def test_the_state_counts_units() -> None:
    mugs = s.fold(*s.PARTLY_SHIPPED).lines[s.MUGS]
    assert (mugs.ordered, mugs.requested, mugs.shipped, mugs.delivered) == (3, 3, 1, 0)
    recalled = s.fold(*s.IN_PROCESSING, s.CANCELLED, RECALLED).lines[s.MUGS]
    assert recalled.requested == 0


def test_parcels_of_one_order_add_up_to_its_total() -> None:
    """Three mugs at 10.00 in all cannot be shared evenly; nothing is lost or invented."""
    scenario = given(s.ORDER, *s.IN_PROCESSING)
    for number in (1, 2, 3):
        parcel = Ship(
            order_id=s.ORDER_ID,
            fulfillment_id=s.FULFILLMENT,
            parcel_no=number,
            lines=(Qty(line_id=s.MUGS, quantity=1),),
            now=NOW,
        )
        scenario._fold(s.ORDER.decide(scenario.state, parcel))
    assert scenario.state.in_flight == 500 + 1000
