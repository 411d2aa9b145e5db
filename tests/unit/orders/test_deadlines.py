"""No state waits for ever: every timer, what it calls for, and the provider calls that events want."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from services.orders.domain import (
    CancelOrder,
    ConfirmDelivery,
    EffectKind,
    EffectWanted,
    OrderPolicy,
    Reauthorize,
    RecordCaptureResult,
    RecordRefundResult,
    RecordVoided,
    RetryRefund,
    deadlines,
    effects_of,
    on_deadline,
)
from shared.domain import ids
from shared.events.common import CancelReason
from shared.events.orders import (
    CaptureFailed,
    DeclineCode,
    DeliveryProof,
    IntentPurpose,
    LatePaymentCause,
    LatePaymentKind,
    LatePaymentReceived,
    OrderEvent,
    PaymentDeclined,
    PaymentVoided,
    RefundFailed,
    RefundFailureCode,
    VoidCause,
)
from shared.testing.scenario import NOW
from tests.unit.orders import samples as s

EXPIRY = f"authorization_expiry:{s.INTENT}"
RENEWAL = f"reauthorize:{s.INTENT}"
RENEW_AT = s.AUTHORIZED_UNTIL - s.POLICY.reauthorize_before_expiry
AUTHORIZATION = {EXPIRY: s.AUTHORIZED_UNTIL, RENEWAL: RENEW_AT}
GIVE_UP = f"capture_give_up:{s.CAPTURE_1}"
GIVE_UP_AT = NOW + s.POLICY.capture_give_up_after
ARRIVED = f"delivery_assumed:{s.PARCEL_1}"
ARRIVED_AT = NOW + s.POLICY.usual_transit + s.POLICY.delivery_assumed_after
CAPTURE_FAILED = CaptureFailed(capture_id=s.CAPTURE_1, amount=s.TOTAL, code="NO", final=False)
REFUND_FAILED = RefundFailed(
    refund_id=s.REFUND_ID,
    amount=333,
    code=RefundFailureCode.PROVIDER_REFUSED,
    retryable=True,
    attempt=1,
)
LATE = LatePaymentReceived(
    intent_id=s.INTENT,
    kind=LatePaymentKind.AUTHORIZED,
    amount=s.TOTAL,
    provider_ref="pi_1",
    cause=LatePaymentCause.ORDER_CANCELLED,
)
EXPIRED = PaymentVoided(intent_id=s.INTENT, amount=s.TOTAL, cause=VoidCause.EXPIRED)
RENEWED = replace(s.REQUESTED_2, purpose=IntentPurpose.REAUTHORIZATION, replaces_intent_id=s.INTENT)
THRICE_REFUSED = tuple(
    event
    for n in (2, 3, 4)
    for event in (
        replace(RENEWED, intent_id=ids.intent_id(s.ORDER_ID, n)),
        PaymentDeclined(
            intent_id=ids.intent_id(s.ORDER_ID, n), code=DeclineCode.DECLINED, attempt=n - 1, final=n == 4
        ),
    )
)


UNRENEWED = {"unprocessed": NOW + timedelta(days=30), EXPIRY: s.AUTHORIZED_UNTIL}
ONE_CAPTURE = replace(s.AUTHORIZED, multicapture=False)
ONCE = (*s.WAITING_FOR_PAYMENT, ONE_CAPTURE, s.CONFIRMED)
BY_HAND = replace(s.TO_CAPTURE_1, shipment_id=None)
TAKEN_ONCE = (
    BY_HAND,
    s.captured(BY_HAND),
    PaymentVoided(intent_id=s.INTENT, amount=s.TOTAL - s.DUE_1, cause=VoidCause.REMAINDER),
)
ONCE_SHIPPED = (
    ONE_CAPTURE,
    s.CONFIRMED,
    s.STARTED,
    s.HANDED_OVER,
    s.SHIPPED_1,
    s.TO_CAPTURE_1,
    s.captured(s.TO_CAPTURE_1),
    TAKEN_ONCE[-1],
)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (s.WAITING_FOR_STOCK, {"stock_answer": NOW + timedelta(hours=2)}),
        (s.WAITING_FOR_PAYMENT, {f"payment_window:{s.INTENT}": s.WINDOW_END}),
        ((*s.WAITING_FOR_PAYMENT, s.DECLINED), {"payment_window": s.WINDOW_END}),
        ((*s.WAITING_FOR_PAYMENT, s.CANCELLED), {f"payment_window:{s.INTENT}": s.WINDOW_END}),
        (s.IN_QUEUE, {"unprocessed": NOW + timedelta(days=30), **AUTHORIZATION}),
        (s.IN_PROCESSING, AUTHORIZATION),
        ((*s.IN_PROCESSING, EXPIRED), {"balance": s.WINDOW_END}),
        ((*s.IN_QUEUE, RENEWED), {f"payment_window:{s.INTENT_2}": s.WINDOW_END, **UNRENEWED}),
        ((*s.IN_QUEUE, *THRICE_REFUSED[:2]), {**UNRENEWED, RENEWAL: RENEW_AT + timedelta(hours=6)}),
        ((*s.IN_QUEUE, *THRICE_REFUSED), {**UNRENEWED, RENEWAL: RENEW_AT + timedelta(hours=18)}),
        ((*ONCE, *TAKEN_ONCE), {"unprocessed": NOW + timedelta(days=30)}),
        (
            (*ONCE, *TAKEN_ONCE, *THRICE_REFUSED[:2]),
            {"unprocessed": NOW + timedelta(days=30), "balance": s.WINDOW_END},
        ),
        ((*s.WAITING_FOR_PAYMENT, *ONCE_SHIPPED), {ARRIVED: ARRIVED_AT}),
        (
            (*s.WAITING_FOR_PAYMENT, s.CANCELLED, LATE),
            {EXPIRY: s.WINDOW_END + s.POLICY.late_authorization_ends_after},
        ),
        (s.ALL_SHIPPED, {GIVE_UP: GIVE_UP_AT, ARRIVED: ARRIVED_AT}),
        (
            (*s.ALL_SHIPPED, CAPTURE_FAILED),
            {
                GIVE_UP: GIVE_UP_AT,
                f"capture_retry:{s.CAPTURE_1}": NOW + s.POLICY.capture_retry_after,
                ARRIVED: ARRIVED_AT,
            },
        ),
        ((*s.AT_ITS_END, s.TO_REFUND), {f"refund_answer:{s.REFUND_ID}": NOW + timedelta(hours=24)}),
        (
            (*s.AT_ITS_END, s.TO_REFUND, REFUND_FAILED),
            {f"refund_retry:{s.REFUND_ID}": NOW + timedelta(days=1)},
        ),
        (s.AT_ITS_END, {}),
        ((s.PLACED, s.CANCELLED), {}),
    ],
)
def test_every_waiting_state_has_its_timers(
    events: tuple[OrderEvent, ...], expected: dict[str, datetime]
) -> None:
    assert deadlines(s.fold(*events), s.POLICY) == expected
    assert s.ORDER.deadlines(s.fold(*events)) == expected


CANCEL = CancelOrder(order_id=s.ORDER_ID, reason=CancelReason.OTHER, now=NOW)


@pytest.mark.parametrize(
    ("events", "timer", "answer"),
    [
        (
            s.WAITING_FOR_STOCK,
            "stock_answer",
            replace(CANCEL, reason=CancelReason.INVENTORY, detail="NO_ANSWER"),
        ),
        (
            s.WAITING_FOR_PAYMENT,
            f"payment_window:{s.INTENT}",
            EffectWanted(kind=EffectKind.CLOSE_INTENT, order_id=s.ORDER_ID, target=s.INTENT),
        ),
        (
            (*s.WAITING_FOR_PAYMENT, s.DECLINED),
            "payment_window",
            replace(CANCEL, reason=CancelReason.DECLINED, detail="TIMEOUT"),
        ),
        ((*s.IN_PROCESSING, EXPIRED), "balance", replace(CANCEL, detail="UNPAID")),
        (s.IN_QUEUE, "unprocessed", replace(CANCEL, detail="UNPROCESSED")),
        (
            s.IN_QUEUE,
            EXPIRY,
            RecordVoided(order_id=s.ORDER_ID, intent_id=s.INTENT, cause=VoidCause.EXPIRED, now=NOW),
        ),
        (
            s.IN_QUEUE,
            RENEWAL,
            Reauthorize(order_id=s.ORDER_ID, now=NOW),
        ),
        (
            (*s.IN_QUEUE, *THRICE_REFUSED),
            RENEWAL,
            replace(CANCEL, detail="AUTHORIZATION_EXPIRED"),
        ),
        (
            s.ALL_SHIPPED,
            GIVE_UP,
            RecordCaptureResult(
                order_id=s.ORDER_ID,
                capture_id=s.CAPTURE_1,
                ok=False,
                code="PROVIDER_UNREACHABLE",
                final=True,
                now=NOW,
            ),
        ),
        (
            (*s.ALL_SHIPPED, CAPTURE_FAILED),
            f"capture_retry:{s.CAPTURE_1}",
            EffectWanted(kind=EffectKind.CAPTURE, order_id=s.ORDER_ID, target=s.CAPTURE_1, attempt=2),
        ),
        (
            (*s.AT_ITS_END, s.TO_REFUND),
            f"refund_answer:{s.REFUND_ID}",
            RecordRefundResult(
                order_id=s.ORDER_ID,
                refund_id=s.REFUND_ID,
                ok=False,
                code=RefundFailureCode.PROVIDER_UNREACHABLE,
                attempt=1,
                now=NOW,
            ),
        ),
        (
            (*s.AT_ITS_END, s.TO_REFUND, REFUND_FAILED),
            f"refund_retry:{s.REFUND_ID}",
            RetryRefund(order_id=s.ORDER_ID, refund_id=s.REFUND_ID, now=NOW),
        ),
        (
            s.ALL_SHIPPED,
            ARRIVED,
            ConfirmDelivery(
                order_id=s.ORDER_ID, shipment_id=s.PARCEL_1, proof=DeliveryProof.ASSUMED, now=NOW
            ),
        ),
    ],
)
def test_a_timer_calls_for_its_answer(
    events: tuple[OrderEvent, ...], timer: str, answer: CancelOrder | EffectWanted
) -> None:
    order = s.fold(*events)
    due = deadlines(order, s.POLICY)[timer]
    assert on_deadline(order, timer, due - timedelta(seconds=1), s.POLICY) is None
    given_at_due = answer if isinstance(answer, EffectWanted) else replace(answer, now=due)
    assert on_deadline(order, timer, due, s.POLICY) == given_at_due


def test_a_late_timer_is_harmless() -> None:
    order = s.fold(*s.AT_ITS_END)
    assert on_deadline(order, "stock_answer", NOW + timedelta(days=1), s.POLICY) is None


def test_a_policy_can_shorten_every_wait() -> None:
    hasty = OrderPolicy(usual_transit=timedelta(0), delivery_assumed_after=timedelta(seconds=2))
    assert deadlines(s.fold(*s.ALL_SHIPPED), hasty)[ARRIVED] == NOW + timedelta(seconds=2)


def test_a_promised_day_counts_before_the_usual_transit() -> None:
    promised = replace(s.SHIPPED_ALL, estimated_delivery=date(2026, 1, 20))
    order = s.fold(*s.IN_PROCESSING, promised)
    assert deadlines(order, s.POLICY)[ARRIVED] == datetime(2026, 1, 27, tzinfo=UTC)


def wanted(kind: EffectKind, target: object, attempt: int = 1) -> EffectWanted:
    """A call to the provider about this order."""
    return EffectWanted(kind=kind, order_id=s.ORDER_ID, target=target, attempt=attempt)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("events", "effects"),
    [
        (s.WAITING_FOR_PAYMENT, (wanted(EffectKind.CREATE_INTENT, s.INTENT),)),
        ((*s.WAITING_FOR_PAYMENT, s.CANCELLED), (wanted(EffectKind.CLOSE_INTENT, s.INTENT),)),
        ((*s.IN_QUEUE, s.CANCELLED), (wanted(EffectKind.VOID, s.INTENT),)),
        ((*s.WAITING_FOR_PAYMENT, s.CANCELLED, LATE), (wanted(EffectKind.VOID, s.INTENT),)),
        (
            (*s.IN_QUEUE, RENEWED, replace(s.AUTHORIZED, intent_id=s.INTENT_2)),
            (wanted(EffectKind.VOID, s.INTENT),),
        ),
        (s.PARTLY_SHIPPED, (wanted(EffectKind.CAPTURE, s.CAPTURE_1),)),
        ((*s.PARTLY_SHIPPED, s.captured(s.TO_CAPTURE_1)), ()),
        (s.ALL_PAID, ()),
        ((*s.AT_ITS_END, replace(s.TO_REFUND, attempt=2)), (wanted(EffectKind.REFUND, s.REFUND_ID, 2),)),
        ((*s.AT_ITS_END, replace(s.TO_REFUND, amount=0)), ()),
        (s.IN_PROCESSING, ()),
    ],
)
def test_events_want_calls_to_the_provider(
    events: tuple[OrderEvent, ...], effects: tuple[EffectWanted, ...]
) -> None:
    assert effects_of(s.fold(*events), events[-1]) == effects


def test_a_capture_under_way_is_settled_before_the_rest_is_let_go() -> None:
    by_hand = replace(s.TO_CAPTURE_1, shipment_id=None)
    order = s.fold(*s.IN_QUEUE, by_hand, s.CANCELLED)
    assert effects_of(order, s.CANCELLED) == ()
    failed = replace(CAPTURE_FAILED, amount=by_hand.amount, final=True)
    order = s.fold(*s.IN_QUEUE, by_hand, s.CANCELLED, failed)
    assert effects_of(order, failed) == (wanted(EffectKind.VOID, s.INTENT),)
