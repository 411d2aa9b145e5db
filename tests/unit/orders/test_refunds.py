"""Money back: asked for, spread over captures, issued, failed and tried again."""

from dataclasses import replace
from typing import Any

import pytest

from services.orders.domain import RecordRefundResult, RequestRefund, RetryRefund, payment_status
from services.orders.domain.state import PaymentStatus
from shared.events.common import RefundLine, RefundLineKind, RefundMethod
from shared.events.orders import (
    Allocation,
    OrderEvent,
    PaidAllocation,
    RefundCause,
    RefundFailed,
    RefundFailureCode,
)
from shared.testing.scenario import NOW, given
from tests.unit.orders import samples as s

ASK = RequestRefund(
    order_id=s.ORDER_ID,
    refund_id=s.REFUND_ID,
    amount=333,
    breakdown=s.TO_REFUND.breakdown,
    lines=s.ONE_MUG_BACK,
    cause=RefundCause.RETURN,
    ref_id=s.RETURN_ID,
    now=NOW,
)
RETRY = RetryRefund(order_id=s.ORDER_ID, refund_id=s.REFUND_ID, now=NOW)
DONE = RecordRefundResult(
    order_id=s.ORDER_ID, refund_id=s.REFUND_ID, ok=True, provider_refs=("re_1",), now=NOW
)
FAIL = RecordRefundResult(order_id=s.ORDER_ID, refund_id=s.REFUND_ID, ok=False, attempt=1, now=NOW)
FAILED = RefundFailed(
    refund_id=s.REFUND_ID,
    amount=333,
    code=RefundFailureCode.PROVIDER_REFUSED,
    retryable=True,
    attempt=1,
)
TOO_MUCH = replace(FAILED, code=RefundFailureCode.EXCEEDS_REFUNDABLE, retryable=False)
GIVEN_UP = replace(FAILED, retryable=False, attempt=5)


def goodwill(amount: int) -> RequestRefund:
    """A refund that brings no goods back."""
    breakdown = replace(ASK.breakdown, items_net=amount, total=amount)
    return replace(ASK, amount=amount, breakdown=breakdown, lines=(), cause=RefundCause.GOODWILL)


class TestRequestRefund:
    def test_a_returned_mug_is_paid_back(self) -> None:
        given(s.ORDER, *s.AT_ITS_END).when(ASK).then(s.TO_REFUND)

    def test_the_oldest_capture_is_paid_back_first(self) -> None:
        two_captures = (
            *s.PARTLY_SHIPPED,
            s.captured(s.TO_CAPTURE_1),
            s.SHIPPED_2,
            s.TO_CAPTURE_2,
            s.captured(s.TO_CAPTURE_2),
            s.PAID,
        )
        command = goodwill(s.DUE_1 + 100)
        given(s.ORDER, *two_captures).when(command).then(
            replace(
                s.TO_REFUND,
                amount=command.amount,
                breakdown=command.breakdown,
                lines=(),
                cause=RefundCause.GOODWILL,
                allocations=(
                    Allocation(capture_id=s.CAPTURE_1, amount=s.DUE_1),
                    Allocation(capture_id=s.CAPTURE_2, amount=100),
                ),
            )
        )

    def test_a_refund_of_nothing_is_issued_at_once(self) -> None:
        command = goodwill(0)
        changes: dict[str, Any] = {
            "amount": 0,
            "breakdown": command.breakdown,
            "lines": (),
            "cause": RefundCause.GOODWILL,
            "allocations": (),
        }
        given(s.ORDER, *s.AT_ITS_END).when(command).then(
            replace(s.TO_REFUND, **changes), replace(s.REFUNDED, **changes)
        )

    def test_more_than_was_captured_fails_for_good(self) -> None:
        given(s.ORDER, *s.AT_ITS_END, s.TO_REFUND, s.REFUNDED).when(
            replace(goodwill(s.TOTAL - 332), refund_id=s.OTHER_ID)
        ).then(replace(TOO_MUCH, refund_id=s.OTHER_ID, amount=s.TOTAL - 332))

    @pytest.mark.parametrize(
        "line",
        [
            RefundLine(line_id=s.MUGS, quantity=4, kind=RefundLineKind.RETURN),
            RefundLine(line_id=s.MUGS, quantity=0, kind=RefundLineKind.RETURN),
            RefundLine(line_id=s.MUGS, quantity=1, kind=RefundLineKind.REMOVED),
            RefundLine(line_id=s.OTHER_ID, quantity=1, kind=RefundLineKind.RETURN),
        ],
    )
    def test_more_units_than_left_fail_for_good(self, line: RefundLine) -> None:
        given(s.ORDER, *s.AT_ITS_END).when(replace(ASK, lines=(line,))).then(TOO_MUCH)

    def test_the_same_unit_is_not_paid_back_twice(self) -> None:
        three = tuple(replace(line, quantity=3) for line in s.ONE_MUG_BACK)
        given(s.ORDER, *s.AT_ITS_END, s.TO_REFUND).when(replace(ASK, refund_id=s.OTHER_ID, lines=three)).then(
            replace(TOO_MUCH, refund_id=s.OTHER_ID)
        )

    def test_money_still_being_captured_has_to_arrive_first(self) -> None:
        given(s.ORDER, *s.ALL_SHIPPED, s.DELIVERED_ALL).when(ASK).rejected("capture_pending")

    def test_a_negative_amount_is_refused(self) -> None:
        given(s.ORDER, *s.AT_ITS_END).when(replace(ASK, amount=-1)).rejected("invalid_amount")

    def test_credit_for_an_exchange_is_not_offered(self) -> None:
        credit = replace(ASK, method=RefundMethod.EXCHANGE_CREDIT)
        given(s.ORDER, *s.AT_ITS_END).when(credit).rejected("method_unavailable")

    def test_an_unknown_order_is_refused(self) -> None:
        given(s.ORDER).when(ASK).rejected("unknown_order")


class TestRecordRefundResult:
    def test_the_money_went_back(self) -> None:
        scenario = given(s.ORDER, *s.AT_ITS_END, s.TO_REFUND).when(DONE)
        scenario.then(s.REFUNDED)
        assert scenario.state.lines[s.MUGS].refunded == 1

    def test_everything_went_back(self) -> None:
        whole = replace(s.TO_REFUND, amount=s.TOTAL, lines=())
        paid = replace(
            s.REFUNDED,
            amount=s.TOTAL,
            lines=(),
            allocations=(PaidAllocation(capture_id=s.CAPTURE_1, provider_ref="re_1", amount=333),),
        )
        assert payment_status(s.fold(*s.AT_ITS_END, whole, paid)) is PaymentStatus.REFUNDED

    def test_a_failure_can_be_retried(self) -> None:
        given(s.ORDER, *s.AT_ITS_END, s.TO_REFUND).when(FAIL).then(FAILED)

    def test_the_fifth_failure_is_the_last(self) -> None:
        fifth = replace(s.TO_REFUND, attempt=5)
        given(s.ORDER, *s.AT_ITS_END, fifth).when(replace(FAIL, attempt=5)).then(GIVEN_UP)

    def test_a_failure_of_an_earlier_attempt_changes_nothing(self) -> None:
        second = replace(s.TO_REFUND, attempt=2)
        given(s.ORDER, *s.AT_ITS_END, s.TO_REFUND, FAILED, second).when(FAIL).then()

    @pytest.mark.parametrize("failed", [FAILED, GIVEN_UP])
    def test_success_after_a_failure_counts(self, failed: RefundFailed) -> None:
        given(s.ORDER, *s.AT_ITS_END, s.TO_REFUND, failed).when(DONE).then(s.REFUNDED)

    def test_a_failure_after_success_changes_nothing(self) -> None:
        given(s.ORDER, *s.AT_ITS_END, s.TO_REFUND, s.REFUNDED).when(FAIL).then()

    def test_an_unknown_refund_is_refused(self) -> None:
        given(s.ORDER, *s.AT_ITS_END).when(DONE).rejected("unknown_refund")


class TestARefundOverTwoPayments:
    """One goes through, the other is refused."""

    OVER = (Allocation(capture_id=s.CAPTURE_1, amount=200), Allocation(capture_id=s.CAPTURE_2, amount=133))
    ASKED = replace(s.TO_REFUND, allocations=OVER)
    PART = (PaidAllocation(capture_id=s.CAPTURE_1, provider_ref="re_1", amount=200),)
    HISTORY = (*s.AT_ITS_END, s.captured(s.TO_CAPTURE_2), ASKED)

    def test_what_went_back_is_told(self) -> None:
        scenario = given(s.ORDER, *self.HISTORY).when(replace(FAIL, provider_refs=("re_1", "")))
        scenario.then(replace(FAILED, paid=self.PART))
        assert scenario.state.refunded == 200
        assert payment_status(scenario.state) is PaymentStatus.PARTIALLY_REFUNDED

    def test_it_is_not_forgotten_when_the_provider_is_away(self) -> None:
        failed = replace(FAILED, paid=self.PART)
        again = replace(self.ASKED, attempt=2)
        away = replace(FAIL, attempt=2, code=RefundFailureCode.PROVIDER_UNREACHABLE)
        scenario = given(s.ORDER, *self.HISTORY, failed, again).when(away)
        scenario.then(
            replace(failed, attempt=2, code=RefundFailureCode.PROVIDER_UNREACHABLE),
        )

    def test_in_the_end_all_went_back(self) -> None:
        failed = replace(FAILED, paid=self.PART)
        again = replace(self.ASKED, attempt=2)
        done = replace(DONE, attempt=2, provider_refs=("re_1", "re_2"))
        scenario = given(s.ORDER, *self.HISTORY, failed, again).when(done)
        both = (*self.PART, PaidAllocation(capture_id=s.CAPTURE_2, provider_ref="re_2", amount=133))
        scenario.then(replace(s.REFUNDED, allocations=both))
        assert scenario.state.refunded == 333


class TestRetryRefund:
    def test_the_same_refund_is_asked_for_again(self) -> None:
        given(s.ORDER, *s.AT_ITS_END, s.TO_REFUND, FAILED).when(RETRY).then(replace(s.TO_REFUND, attempt=2))

    @pytest.mark.parametrize("events", [(s.TO_REFUND, s.REFUNDED), (s.TO_REFUND, GIVEN_UP), (TOO_MUCH,)])
    def test_a_settled_refund_is_not_tried_again(self, events: tuple[OrderEvent, ...]) -> None:
        given(s.ORDER, *s.AT_ITS_END, *events).when(RETRY).rejected("refund_settled")

    def test_an_unknown_refund_is_refused(self) -> None:
        given(s.ORDER, *s.AT_ITS_END).when(RETRY).rejected("unknown_refund")
