"""The payment axis, taking: capture on ship, capture by hand, results, failures and late money."""

from dataclasses import replace
from uuid import UUID

import pytest

from services.orders.domain import CapturePayment, RecordCaptureResult, RecordPaymentCaptured
from shared.domain import ids
from shared.events.common import Breakdown
from shared.events.orders import (
    Allocation,
    CaptureFailed,
    CaptureRequested,
    IntentPurpose,
    LatePaymentCause,
    LatePaymentKind,
    LatePaymentReceived,
    PaymentBasis,
    PaymentCaptured,
    PaymentVoided,
    RefundCause,
    RefundRequested,
    VoidCause,
)
from shared.testing.scenario import NOW, given
from tests.unit.orders import samples as s

REQUEST_ID = UUID(int=600)
BY_HAND = CapturePayment(order_id=s.ORDER_ID, request_id=REQUEST_ID, amount=700, now=NOW)
TO_CAPTURE_BY_HAND = CaptureRequested(
    capture_id=ids.capture_id(s.INTENT, REQUEST_ID), intent_id=s.INTENT, amount=700
)
FAIL = RecordCaptureResult(
    order_id=s.ORDER_ID, capture_id=s.CAPTURE_1, ok=False, code="CARD_EXPIRED", now=NOW
)
FAILED = CaptureFailed(capture_id=s.CAPTURE_1, amount=s.TOTAL, code="CARD_EXPIRED", final=False)
DIRECT = ids.capture_id(s.INTENT, 1)
TAKE = RecordPaymentCaptured(
    order_id=s.ORDER_ID, intent_id=s.INTENT, amount=s.TOTAL, provider_ref="ch_1", now=NOW
)
TAKEN = PaymentCaptured(capture_id=DIRECT, intent_id=s.INTENT, amount=s.TOTAL, provider_ref="ch_1")


def late(capture_id: UUID, amount: int, cause: LatePaymentCause) -> LatePaymentReceived:
    """Money that was captured when nobody wanted it any more."""
    return LatePaymentReceived(
        intent_id=s.INTENT,
        kind=LatePaymentKind.CAPTURED,
        capture_id=capture_id,
        amount=amount,
        provider_ref="ch_1",
        cause=cause,
    )


def sent_back(capture_id: UUID, breakdown: Breakdown) -> RefundRequested:
    """The refund of late money."""
    return RefundRequested(
        refund_id=ids.refund_id(s.ORDER_ID, "LATE_PAYMENT", capture_id, "ORIGINAL"),
        amount=breakdown.total,
        breakdown=breakdown,
        cause=RefundCause.LATE_PAYMENT,
        ref_id=capture_id,
        allocations=(Allocation(capture_id=capture_id, amount=breakdown.total),),
        attempt=1,
    )


WHOLE = Breakdown(items_net=1800, items_tax=0, shipping_net=500, shipping_tax=0, total=s.TOTAL)


class TestCapturePayment:
    def test_an_operator_takes_a_part(self) -> None:
        given(s.ORDER, *s.IN_QUEUE).when(BY_HAND).then(TO_CAPTURE_BY_HAND)

    def test_what_was_taken_before_is_not_taken_with_the_parcel(self) -> None:
        given(s.ORDER, *s.IN_PROCESSING, TO_CAPTURE_BY_HAND).when(s.SHIP_1).then(
            s.SHIPPED_1, replace(s.TO_CAPTURE_1, amount=s.DUE_1 - 700)
        )

    def test_not_more_than_authorized(self) -> None:
        given(s.ORDER, *s.PARTLY_SHIPPED).when(replace(BY_HAND, amount=s.TOTAL - s.DUE_1 + 1)).rejected(
            "exceeds_authorized"
        )

    def test_at_least_something(self) -> None:
        given(s.ORDER, *s.IN_QUEUE).when(replace(BY_HAND, amount=0)).rejected("invalid_amount")

    def test_not_from_a_cancelled_order(self) -> None:
        given(s.ORDER, *s.IN_QUEUE, s.CANCELLED).when(BY_HAND).rejected("order_cancelled")

    def test_an_unknown_order_is_refused(self) -> None:
        given(s.ORDER).when(BY_HAND).rejected("unknown_order")


class TestRecordCaptureResult:
    def test_a_part_is_paid(self) -> None:
        given(s.ORDER, *s.PARTLY_SHIPPED).when(s.CAPTURE_DONE).then(s.captured(s.TO_CAPTURE_1))

    def test_the_last_part_pays_the_order(self) -> None:
        given(s.ORDER, *s.ALL_SHIPPED).when(s.CAPTURE_DONE).then(s.captured(s.TO_CAPTURE_ALL), s.PAID)

    def test_the_last_part_completes_an_order_that_is_delivered(self) -> None:
        given(s.ORDER, *s.ALL_SHIPPED, s.DELIVERED_ALL).when(s.CAPTURE_DONE).then(
            s.captured(s.TO_CAPTURE_ALL), s.PAID, s.COMPLETED
        )

    def test_without_multicapture_the_rest_of_the_intent_is_gone(self) -> None:
        once = replace(s.AUTHORIZED, multicapture=False)
        history = (*s.WAITING_FOR_PAYMENT, once, s.CONFIRMED, s.STARTED, s.HANDED_OVER)
        scenario = given(s.ORDER, *history, s.SHIPPED_1, s.TO_CAPTURE_1)
        scenario.when(s.CAPTURE_DONE).then(
            s.captured(s.TO_CAPTURE_1),
            PaymentVoided(intent_id=s.INTENT, amount=s.TOTAL - s.DUE_1, cause=VoidCause.REMAINDER),
        )
        scenario.when(s.SHIP_2).rejected("payment_not_secured")

    def test_a_failure_is_tried_again(self) -> None:
        given(s.ORDER, *s.ALL_SHIPPED).when(FAIL).then(FAILED)

    def test_a_failure_of_an_earlier_attempt_is_known(self) -> None:
        scenario = given(s.ORDER, *s.ALL_SHIPPED, FAILED)
        scenario.when(FAIL).then()
        scenario.when(replace(FAIL, attempt=2)).then(FAILED)

    def test_a_failure_of_an_attempt_that_was_never_made_is_none(self) -> None:
        given(s.ORDER, *s.ALL_SHIPPED).when(replace(FAIL, attempt=2)).then()

    def test_success_after_a_failure(self) -> None:
        given(s.ORDER, *s.ALL_SHIPPED, FAILED).when(s.CAPTURE_DONE).then(s.captured(s.TO_CAPTURE_ALL), s.PAID)

    def test_a_final_failure_asks_for_the_money_again(self) -> None:
        given(s.ORDER, *s.ALL_SHIPPED).when(replace(FAIL, final=True)).then(
            replace(FAILED, final=True),
            replace(
                s.REQUESTED_2,
                purpose=IntentPurpose.BALANCE,
                expires_at=NOW + s.POLICY.balance_window,
            ),
        )

    def test_the_new_money_is_taken_at_once_for_what_has_shipped(self) -> None:
        balance = replace(s.REQUESTED_2, purpose=IntentPurpose.BALANCE)
        failed = replace(FAILED, final=True)
        authorize = replace(s.AUTHORIZE, intent_id=s.INTENT_2)
        given(s.ORDER, *s.ALL_SHIPPED, failed, balance).when(authorize).then(
            replace(s.AUTHORIZED, intent_id=s.INTENT_2),
            CaptureRequested(capture_id=ids.capture_id(s.INTENT_2, 1), intent_id=s.INTENT_2, amount=s.TOTAL),
        )

    def test_success_after_we_gave_up_goes_back(self) -> None:
        failed = replace(FAILED, final=True)
        given(s.ORDER, *s.ALL_SHIPPED, failed).when(s.CAPTURE_DONE).then(
            late(s.CAPTURE_1, s.TOTAL, LatePaymentCause.INTENT_CLOSED), sent_back(s.CAPTURE_1, WHOLE)
        )

    def test_success_after_a_cancel_goes_back(self) -> None:
        done = replace(s.CAPTURE_DONE, capture_id=TO_CAPTURE_BY_HAND.capture_id)
        breakdown = Breakdown(items_net=547, items_tax=0, shipping_net=153, shipping_tax=0, total=700)
        given(s.ORDER, *s.IN_QUEUE, TO_CAPTURE_BY_HAND, s.CANCELLED).when(done).then(
            late(TO_CAPTURE_BY_HAND.capture_id, 700, LatePaymentCause.ORDER_CANCELLED),
            sent_back(TO_CAPTURE_BY_HAND.capture_id, breakdown),
        )

    def test_a_failure_after_a_cancel_is_final(self) -> None:
        fail = replace(FAIL, capture_id=TO_CAPTURE_BY_HAND.capture_id)
        given(s.ORDER, *s.IN_QUEUE, TO_CAPTURE_BY_HAND, s.CANCELLED).when(fail).then(
            replace(FAILED, capture_id=TO_CAPTURE_BY_HAND.capture_id, amount=700, final=True)
        )

    @pytest.mark.parametrize("command", [s.CAPTURE_DONE, FAIL])
    def test_a_settled_capture_stays_as_it_is(self, command: RecordCaptureResult) -> None:
        given(s.ORDER, *s.ALL_PAID).when(command).then()

    def test_an_unknown_capture_is_refused(self) -> None:
        given(s.ORDER, *s.IN_QUEUE).when(s.CAPTURE_DONE).rejected("unknown_capture")


class TestRecordPaymentCaptured:
    def test_money_taken_at_once_confirms_and_pays(self) -> None:
        given(s.ORDER, *s.WAITING_FOR_PAYMENT).when(TAKE).then(
            TAKEN, replace(s.CONFIRMED, payment=PaymentBasis.CAPTURED), s.PAID
        )

    def test_an_authorization_reported_afterwards_changes_nothing(self) -> None:
        given(s.ORDER, *s.WAITING_FOR_PAYMENT, TAKEN, s.CONFIRMED, s.PAID).when(s.AUTHORIZE).then()

    def test_taken_from_an_authorization(self) -> None:
        given(s.ORDER, *s.IN_QUEUE).when(TAKE).then(TAKEN, s.PAID)

    def test_more_than_is_left_goes_back(self) -> None:
        given(s.ORDER, *s.ALL_SHIPPED).when(TAKE).then(
            late(DIRECT, s.TOTAL, LatePaymentCause.INTENT_CLOSED), sent_back(DIRECT, WHOLE)
        )

    def test_on_a_closed_intent_it_goes_back(self) -> None:
        given(s.ORDER, *s.WAITING_FOR_PAYMENT, s.DECLINED, s.REQUESTED_2).when(TAKE).then(
            late(DIRECT, s.TOTAL, LatePaymentCause.INTENT_CLOSED), sent_back(DIRECT, WHOLE)
        )

    def test_after_a_cancel_it_goes_back(self) -> None:
        given(s.ORDER, *s.WAITING_FOR_PAYMENT, s.CANCELLED).when(TAKE).then(
            late(DIRECT, s.TOTAL, LatePaymentCause.ORDER_CANCELLED), sent_back(DIRECT, WHOLE)
        )

    def test_an_unknown_intent_is_refused(self) -> None:
        given(s.ORDER, *s.IN_QUEUE).when(replace(TAKE, intent_id=s.OTHER_ID)).rejected("unknown_intent")
