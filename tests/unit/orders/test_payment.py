"""The payment axis, asking: requests, authorizations, declines, voids, and money that comes too late."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.orders.domain import Reauthorize, RecordVoided, RequestPayment, payment_status
from services.orders.domain.state import PaymentStatus
from shared.domain import ids
from shared.events.orders import (
    DeclineCode,
    IntentPurpose,
    LatePaymentCause,
    LatePaymentKind,
    LatePaymentReceived,
    PaymentVoided,
    VoidCause,
)
from shared.testing.scenario import NOW, given
from tests.unit.orders import samples as s

PAY = RequestPayment(order_id=s.ORDER_ID, now=NOW)
ANEW = Reauthorize(order_id=s.ORDER_ID, now=NOW)
ASKED_ANEW = replace(
    s.REQUESTED_2,
    purpose=IntentPurpose.REAUTHORIZATION,
    replaces_intent_id=s.INTENT,
    off_session=True,
    expires_at=NOW + s.POLICY.balance_window,
)
VOID = RecordVoided(order_id=s.ORDER_ID, intent_id=s.INTENT, provider_ref="void_1", now=NOW)
VOIDED = PaymentVoided(
    intent_id=s.INTENT, amount=s.TOTAL, cause=VoidCause.ORDER_CANCELLED, provider_ref="void_1"
)
LATE = LatePaymentReceived(
    intent_id=s.INTENT,
    kind=LatePaymentKind.AUTHORIZED,
    amount=s.TOTAL,
    provider_ref="pi_1",
    cause=LatePaymentCause.ORDER_CANCELLED,
)
TWICE_DECLINED = (*s.WAITING_FOR_PAYMENT, s.DECLINED, s.REQUESTED_2, s.DECLINED_2)


class TestRequestPayment:
    def test_after_a_decline_the_same_window_goes_on(self) -> None:
        later = replace(PAY, now=NOW + timedelta(minutes=10))
        given(s.ORDER, *s.WAITING_FOR_PAYMENT, s.DECLINED).when(later).then_not_repeatable(s.REQUESTED_2)

    def test_one_intent_at_a_time(self) -> None:
        given(s.ORDER, *s.WAITING_FOR_PAYMENT).when(PAY).rejected("payment_open")

    @pytest.mark.parametrize("events", [s.WAITING_FOR_STOCK, s.IN_QUEUE, s.AT_ITS_END])
    def test_nothing_is_due(self, events: tuple[object, ...]) -> None:
        given(s.ORDER, *events).when(PAY).rejected("nothing_due")

    def test_attempts_are_limited(self) -> None:
        final = replace(s.DECLINED_2, intent_id=s.INTENT_3, attempt=3)
        given(s.ORDER, *TWICE_DECLINED, s.REQUESTED_3, final).when(PAY).rejected("too_many_attempts")

    def test_the_window_is_limited(self) -> None:
        late = replace(PAY, now=s.WINDOW_END)
        given(s.ORDER, *s.WAITING_FOR_PAYMENT, s.DECLINED).when(late).rejected("too_many_attempts")

    def test_a_cancelled_order_needs_no_money(self) -> None:
        given(s.ORDER, s.PLACED, s.CANCELLED).when(PAY).rejected("order_cancelled")

    def test_an_unknown_order_is_refused(self) -> None:
        given(s.ORDER).when(PAY).rejected("unknown_order")

    def test_what_an_authorization_did_not_cover_is_asked_for(self) -> None:
        part = replace(s.AUTHORIZED, amount=2000)
        rest = replace(s.REQUESTED_2, amount=s.TOTAL - 2000)
        given(s.ORDER, *s.WAITING_FOR_PAYMENT, part).when(PAY).then_not_repeatable(rest)

    def test_a_confirmed_order_asks_for_its_balance(self) -> None:
        expired = PaymentVoided(intent_id=s.INTENT, amount=s.TOTAL, cause=VoidCause.EXPIRED)
        given(s.ORDER, *s.IN_QUEUE, expired).when(PAY).then_not_repeatable(
            replace(s.REQUESTED_2, purpose=IntentPurpose.BALANCE, expires_at=NOW + s.POLICY.balance_window)
        )


def times_declined(count: int) -> tuple[object, ...]:
    """So many re-authorizations that the bank refused."""
    asked = [replace(ASKED_ANEW, intent_id=ids.intent_id(s.ORDER_ID, n)) for n in range(2, 2 + count)]
    return tuple(
        event
        for attempt, request in enumerate(asked, start=1)
        for event in (
            request,
            replace(s.DECLINED, intent_id=request.intent_id, attempt=attempt, final=attempt == 3),
        )
    )


class TestReauthorize:
    def test_an_authorization_about_to_lapse_is_replaced(self) -> None:
        given(s.ORDER, *s.IN_QUEUE).when(ANEW).then(ASKED_ANEW)

    def test_one_that_lapsed_is_made_anew(self) -> None:
        lapsed = replace(ANEW, now=s.AUTHORIZED_UNTIL)
        given(s.ORDER, *s.IN_QUEUE).when(lapsed).then(
            replace(
                ASKED_ANEW,
                replaces_intent_id=None,
                expires_at=s.AUTHORIZED_UNTIL + s.POLICY.balance_window,
            )
        )

    def test_what_one_capture_left_is_secured_before_the_next_parcel(self) -> None:
        once = replace(s.AUTHORIZED, multicapture=False)
        history = (*s.WAITING_FOR_PAYMENT, once, s.CONFIRMED, s.STARTED, s.HANDED_OVER)
        rest = s.TOTAL - s.DUE_1
        scenario = given(
            s.ORDER,
            *history,
            s.SHIPPED_1,
            s.TO_CAPTURE_1,
            s.captured(s.TO_CAPTURE_1),
            PaymentVoided(intent_id=s.INTENT, amount=rest, cause=VoidCause.REMAINDER),
        )
        scenario.when(s.SHIP_2).rejected("payment_not_secured")
        scenario.when(ANEW).then(replace(ASKED_ANEW, amount=rest, replaces_intent_id=None))
        authorize = replace(s.AUTHORIZE, intent_id=s.INTENT_2, amount=rest, multicapture=False)
        scenario.when(authorize).then(
            replace(once, intent_id=s.INTENT_2, amount=rest),
        )
        capture_id = ids.capture_id(s.INTENT_2, s.PARCEL_2)
        capture = replace(s.TO_CAPTURE_2, capture_id=capture_id, intent_id=s.INTENT_2)
        scenario.when(s.SHIP_2).then(s.SHIPPED_2, capture)
        scenario.when(replace(s.CAPTURE_DONE, capture_id=capture_id)).then(s.captured(capture), s.PAID)

    def test_while_the_first_capture_is_under_way(self) -> None:
        once = replace(s.AUTHORIZED, multicapture=False)
        history = (*s.WAITING_FOR_PAYMENT, once, s.CONFIRMED, s.STARTED, s.HANDED_OVER)
        given(s.ORDER, *history, s.SHIPPED_1, s.TO_CAPTURE_1).when(ANEW).then(
            replace(ASKED_ANEW, amount=s.TOTAL - s.DUE_1, replaces_intent_id=None)
        )

    def test_one_payment_at_a_time(self) -> None:
        balance = replace(s.REQUESTED_2, purpose=IntentPurpose.BALANCE)
        given(s.ORDER, *s.ALL_SHIPPED, balance).when(ANEW).rejected("payment_open")

    @pytest.mark.parametrize(
        "events", [s.WAITING_FOR_STOCK, (*s.WAITING_FOR_PAYMENT, s.DECLINED), s.ALL_PAID]
    )
    def test_nothing_is_due(self, events: tuple[object, ...]) -> None:
        given(s.ORDER, *events).when(ANEW).rejected("nothing_due")

    def test_at_most_three_times(self) -> None:
        given(s.ORDER, *s.IN_QUEUE, *times_declined(2)).when(ANEW).then(
            replace(ASKED_ANEW, intent_id=ids.intent_id(s.ORDER_ID, 4))
        )
        given(s.ORDER, *s.IN_QUEUE, *times_declined(3)).when(ANEW).rejected("too_many_attempts")

    def test_what_was_captured_from_counts_no_more(self) -> None:
        second = replace(s.AUTHORIZED, intent_id=s.INTENT_2, multicapture=False)
        taken = replace(s.TO_CAPTURE_1, intent_id=s.INTENT_2)
        history = (*s.IN_PROCESSING, ASKED_ANEW, second, s.SHIPPED_1, taken)
        scenario = given(s.ORDER, *history).when(ANEW)
        scenario.then(
            replace(ASKED_ANEW, intent_id=s.INTENT_3, amount=s.TOTAL - s.DUE_1, replaces_intent_id=None)
        )
        scenario.when(replace(s.DECLINE, intent_id=s.INTENT_3)).then(
            replace(s.DECLINED, intent_id=s.INTENT_3, attempt=1)
        )

    def test_a_cancelled_order_needs_no_money(self) -> None:
        given(s.ORDER, *s.IN_QUEUE, s.CANCELLED).when(ANEW).rejected("order_cancelled")

    def test_an_unknown_order_is_refused(self) -> None:
        given(s.ORDER).when(ANEW).rejected("unknown_order")


class TestRecordPaymentAuthorized:
    def test_secured_money_confirms_the_order(self) -> None:
        given(s.ORDER, *s.WAITING_FOR_PAYMENT).when(s.AUTHORIZE).then(s.AUTHORIZED, s.CONFIRMED)

    def test_too_little_money_does_not(self) -> None:
        given(s.ORDER, *s.WAITING_FOR_PAYMENT).when(replace(s.AUTHORIZE, amount=2000)).then(
            replace(s.AUTHORIZED, amount=2000)
        )

    def test_a_second_webhook_changes_nothing(self) -> None:
        given(s.ORDER, *s.ALL_PAID).when(s.AUTHORIZE).then()

    def test_after_a_cancel_it_is_late(self) -> None:
        given(s.ORDER, *s.WAITING_FOR_PAYMENT, s.CANCELLED).when(s.AUTHORIZE).then(LATE)

    def test_on_a_superseded_intent_it_is_late(self) -> None:
        given(s.ORDER, *s.WAITING_FOR_PAYMENT, s.DECLINED, s.REQUESTED_2).when(s.AUTHORIZE).then(
            replace(LATE, cause=LatePaymentCause.INTENT_CLOSED)
        )

    def test_an_unknown_intent_is_refused(self) -> None:
        given(s.ORDER, *s.IN_QUEUE).when(replace(s.AUTHORIZE, intent_id=s.OTHER_ID)).rejected(
            "unknown_intent"
        )

    def test_a_replacement_supersedes_the_old_authorization(self) -> None:
        asked = replace(s.REQUESTED_2, purpose=IntentPurpose.REAUTHORIZATION, replaces_intent_id=s.INTENT)
        scenario = given(s.ORDER, *s.IN_QUEUE, asked)
        scenario.when(replace(s.AUTHORIZE, intent_id=s.INTENT_2)).then(
            replace(s.AUTHORIZED, intent_id=s.INTENT_2)
        )
        scenario.when(VOID).then(replace(VOIDED, cause=VoidCause.SUPERSEDED))


class TestRecordPaymentDeclined:
    def test_the_buyer_may_try_again(self) -> None:
        given(s.ORDER, *s.WAITING_FOR_PAYMENT).when(s.DECLINE).then(s.DECLINED)

    def test_the_last_attempt_ends_the_order(self) -> None:
        decline = replace(s.DECLINE, intent_id=s.INTENT_3)
        given(s.ORDER, *TWICE_DECLINED, s.REQUESTED_3).when(decline).then(
            replace(s.DECLINED, intent_id=s.INTENT_3, attempt=3, final=True), s.CANCELLED_DECLINED
        )

    def test_the_end_of_the_window_ends_the_order(self) -> None:
        decline = replace(s.DECLINE, code=DeclineCode.TIMEOUT, now=s.WINDOW_END)
        given(s.ORDER, *s.WAITING_FOR_PAYMENT).when(decline).then(
            replace(s.DECLINED, code=DeclineCode.TIMEOUT, final=True), s.CANCELLED_DECLINED
        )

    def test_after_a_cancel_it_only_closes_the_intent(self) -> None:
        given(s.ORDER, *s.WAITING_FOR_PAYMENT, s.CANCELLED).when(s.DECLINE).then(
            replace(s.DECLINED, final=True)
        )

    def test_a_decline_of_a_superseded_intent_changes_nothing(self) -> None:
        given(s.ORDER, *s.WAITING_FOR_PAYMENT, s.DECLINED, s.REQUESTED_2).when(s.DECLINE).then()

    def test_an_unknown_intent_is_refused(self) -> None:
        given(s.ORDER, *s.IN_QUEUE).when(replace(s.DECLINE, intent_id=s.OTHER_ID)).rejected("unknown_intent")


class TestRecordVoided:
    def test_after_a_cancel(self) -> None:
        given(s.ORDER, *s.IN_QUEUE, s.CANCELLED).when(VOID).then(VOIDED)

    def test_late_money_is_let_go_as_late(self) -> None:
        given(s.ORDER, *s.WAITING_FOR_PAYMENT, s.CANCELLED, LATE).when(VOID).then(
            replace(VOIDED, cause=VoidCause.LATE)
        )

    def test_an_authorization_lapsed(self) -> None:
        scenario = given(s.ORDER, *s.IN_QUEUE)
        scenario.when(replace(VOID, cause=VoidCause.EXPIRED)).then(replace(VOIDED, cause=VoidCause.EXPIRED))
        assert payment_status(scenario.state) is PaymentStatus.EXPIRED

    def test_only_what_is_not_captured_is_let_go(self) -> None:
        given(s.ORDER, *s.PARTLY_SHIPPED).when(replace(VOID, cause=VoidCause.EXPIRED)).then(
            replace(VOIDED, amount=s.TOTAL - s.DUE_1, cause=VoidCause.EXPIRED)
        )

    def test_nothing_is_left(self) -> None:
        given(s.ORDER, *s.ALL_PAID).when(VOID).then()

    def test_an_unknown_intent_is_refused(self) -> None:
        given(s.ORDER, *s.IN_QUEUE).when(replace(VOID, intent_id=s.OTHER_ID)).rejected("unknown_intent")


@pytest.mark.parametrize(
    ("events", "status"),
    [
        (s.WAITING_FOR_PAYMENT, PaymentStatus.PENDING),
        ((*s.WAITING_FOR_PAYMENT, s.DECLINED), PaymentStatus.PENDING),
        (s.IN_QUEUE, PaymentStatus.AUTHORIZED),
        (s.ALL_SHIPPED, PaymentStatus.AUTHORIZED),
        ((*s.PARTLY_SHIPPED, s.captured(s.TO_CAPTURE_1)), PaymentStatus.PARTIALLY_PAID),
        (s.ALL_PAID, PaymentStatus.PAID),
        ((*s.AT_ITS_END, s.TO_REFUND, s.REFUNDED), PaymentStatus.PARTIALLY_REFUNDED),
        ((s.PLACED, s.CANCELLED), PaymentStatus.VOIDED),
        ((*s.IN_QUEUE, s.CANCELLED, VOIDED), PaymentStatus.VOIDED),
        ((s.FREE, s.STOCK_SECURED, s.CONFIRMED, replace(s.PAID, total=0, captured=0)), PaymentStatus.PAID),
    ],
)
def test_the_payment_axis(events: tuple[object, ...], status: PaymentStatus) -> None:
    assert payment_status(s.fold(*events)) is status  # type: ignore[arg-type]
