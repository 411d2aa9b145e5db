"""The order axis: placed once, secured, cancelled before anything leaves."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.orders.domain import CancelOrder, OrderStatus, PlaceOrder
from shared.domain import ids
from shared.events.common import Breakdown, CancelReason, RefundLine, RefundLineKind
from shared.events.envelope import ActorKind
from shared.events.orders import (
    Allocation,
    FulfillmentCancelCause,
    FulfillmentCancelled,
    OrderPaid,
    PaymentBasis,
    RefundCause,
    RefundRequested,
)
from shared.testing.scenario import NOW, given
from tests.unit.orders import samples as s


class TestPlaceOrder:
    def test_a_checkout_becomes_an_order_that_waits_for_its_stock(self) -> None:
        given(s.ORDER).when(s.PLACE).then(s.PLACED)

    def test_a_second_checkout_of_the_same_cart_changes_nothing(self) -> None:
        given(s.ORDER, *s.IN_QUEUE).when(s.PLACE).then()

    def test_an_order_without_tracked_lines_asks_for_the_money_at_once(self) -> None:
        untracked = s.placed(s.line(s.MUGS, "MUG", 3, 2300 - 500, tracked=False))
        given(s.ORDER).when(replace(s.PLACE, checkout=s.checkout(untracked))).then(
            untracked, replace(s.STOCK_SECURED, placed=()), s.REQUESTED
        )

    def test_the_number_that_people_quote_comes_from_the_id(self) -> None:
        assert s.PLACED.order_number == ids.order_number(s.ORDER_ID)
        assert s.fold(s.PLACED).order_id == s.ORDER_ID


class TestSecureStock:
    def test_secured_stock_opens_the_payment_window(self) -> None:
        given(s.ORDER, s.PLACED).when(s.SECURE).then(s.STOCK_SECURED, s.REQUESTED)

    def test_an_order_that_costs_nothing_is_confirmed_and_paid_at_once(self) -> None:
        held = s.HELD[:1]
        given(s.ORDER, s.FREE).when(replace(s.SECURE, placed=held)).then(
            replace(s.STOCK_SECURED, placed=held),
            replace(s.CONFIRMED, payment=PaymentBasis.NOTHING_DUE),
            OrderPaid(total=0, captured=0, revision=0),
        )

    def test_stock_for_a_cancelled_order_is_ignored(self) -> None:
        given(s.ORDER, s.PLACED, s.CANCELLED).when(s.SECURE).then()

    def test_an_unknown_order_is_refused(self) -> None:
        given(s.ORDER).when(s.SECURE).rejected("unknown_order")


class TestCancelOrder:
    def test_while_waiting_for_stock(self) -> None:
        given(s.ORDER, s.PLACED).when(s.CANCEL).then(s.CANCELLED)

    def test_while_an_intent_is_open_there_is_nothing_to_void_yet(self) -> None:
        given(s.ORDER, *s.WAITING_FOR_PAYMENT).when(s.CANCEL).then(s.CANCELLED)

    def test_authorized_money_is_let_go(self) -> None:
        given(s.ORDER, *s.IN_QUEUE).when(replace(s.CANCEL, by=ActorKind.CUSTOMER)).then(
            replace(s.CANCELLED, void_intents=(s.INTENT,))
        )

    def test_the_warehouse_is_told(self) -> None:
        staff = CancelOrder(
            order_id=s.ORDER_ID, reason=CancelReason.STAFF, detail="broken", by=ActorKind.OPERATOR, now=NOW
        )
        given(s.ORDER, *s.IN_PROCESSING).when(staff).then(
            replace(s.CANCELLED, reason=CancelReason.STAFF, detail="broken", void_intents=(s.INTENT,)),
            FulfillmentCancelled(
                fulfillment_id=s.FULFILLMENT,
                lines=s.ALL_UNITS,
                cause=FulfillmentCancelCause.ORDER_CANCELLED,
            ),
        )

    def test_captured_money_is_paid_back(self) -> None:
        request = replace(s.TO_CAPTURE_ALL, shipment_id=None)
        captured = (request, s.captured(request), s.PAID)
        given(s.ORDER, *s.IN_QUEUE, *captured).when(s.CANCEL).then(
            s.CANCELLED,
            RefundRequested(
                refund_id=ids.refund_id(s.ORDER_ID, "CANCEL", s.ORDER_ID, "ORIGINAL"),
                amount=s.TOTAL,
                breakdown=Breakdown(
                    items_net=1800, items_tax=0, shipping_net=500, shipping_tax=0, total=s.TOTAL
                ),
                lines=(
                    RefundLine(line_id=s.MUGS, quantity=3, kind=RefundLineKind.REMOVED),
                    RefundLine(line_id=s.PLATES, quantity=2, kind=RefundLineKind.REMOVED),
                ),
                cause=RefundCause.CANCEL,
                ref_id=s.ORDER_ID,
                allocations=(Allocation(capture_id=s.CAPTURE_1, amount=s.TOTAL),),
                attempt=1,
            ),
        )

    def test_a_customer_comes_too_late_once_the_processing_started(self) -> None:
        by_customer = replace(s.CANCEL, by=ActorKind.CUSTOMER)
        given(s.ORDER, *s.IN_PROCESSING).when(by_customer).rejected("already_processing")

    @pytest.mark.parametrize("events", [s.PARTLY_SHIPPED, s.AT_ITS_END])
    def test_what_left_the_house_cannot_be_cancelled(self, events: tuple[object, ...]) -> None:
        given(s.ORDER, *events).when(s.CANCEL).rejected("already_shipped")

    def test_an_unknown_order_is_refused(self) -> None:
        given(s.ORDER).when(s.CANCEL).rejected("unknown_order")


def test_the_status_follows_the_events() -> None:
    assert s.fold(*s.WAITING_FOR_PAYMENT).status is OrderStatus.PLACED
    assert s.fold(*s.IN_QUEUE).status is OrderStatus.CONFIRMED
    assert s.fold(*s.IN_PROCESSING).status is OrderStatus.PROCESSING
    assert s.fold(*s.AT_ITS_END).status is OrderStatus.COMPLETED
    cancelled = s.fold(s.PLACED, s.CANCELLED)
    assert cancelled.status is OrderStatus.CANCELLED
    assert cancelled.cancellation is CancelReason.CUSTOMER


def test_a_weekend_does_not_count_as_working_days() -> None:
    friday = NOW + timedelta(days=4)
    assert s.POLICY.process_by(friday) == friday + timedelta(days=4)


def test_the_order_records_when_stock_must_have_answered() -> None:
    command = PlaceOrder(order_id=s.ORDER_ID, cart_id=s.CART_ID, checkout=s.PLACE.checkout, now=NOW)
    (placed,) = s.ORDER.decide(None, command)
    assert placed == replace(s.PLACED, stock_answer_by=NOW + timedelta(hours=2))
