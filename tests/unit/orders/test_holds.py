"""Holds after a capture that failed for good: what has not left waits until its money is there."""

from dataclasses import replace

from services.orders.domain import Reauthorize, RecordCaptureResult
from shared.domain import ids
from shared.events.common import Qty
from shared.events.orders import (
    CaptureFailed,
    FulfillmentHeld,
    FulfillmentHoldReleased,
    HoldReason,
    IntentPurpose,
    NextStep,
    OrderEvent,
)
from shared.testing.scenario import NOW, given
from tests.unit.orders import samples as s

FAIL = RecordCaptureResult(
    order_id=s.ORDER_ID, capture_id=s.CAPTURE_1, ok=False, code="CARD_EXPIRED", final=True, now=NOW
)
FAILED = CaptureFailed(capture_id=s.CAPTURE_1, amount=s.DUE_1, code="CARD_EXPIRED", final=True)
HOLD = ids.hold_id(s.ORDER_ID, HoldReason.AWAITING_PAYMENT, s.CAPTURE_1)
IN_A_WEEK = NOW + s.POLICY.balance_window
HELD = FulfillmentHeld(hold_id=HOLD, reason=HoldReason.AWAITING_PAYMENT, review_by=IN_A_WEEK)
BALANCE = replace(s.REQUESTED_2, purpose=IntentPurpose.BALANCE, expires_at=IN_A_WEEK)
RELEASED = FulfillmentHoldReleased(
    hold_id=HOLD, reason=HoldReason.AWAITING_PAYMENT, cause="PAYMENT_SECURED", next=NextStep.WAIT
)
PAID_ANEW = replace(s.AUTHORIZED, intent_id=s.INTENT_2, provider_ref="pi_2")
AWAITS: tuple[OrderEvent, ...] = (*s.PARTLY_SHIPPED, FAILED, HELD, BALANCE)


def test_the_rest_of_a_shipped_order_waits_for_the_balance() -> None:
    given(s.ORDER, *s.PARTLY_SHIPPED).when(FAIL).then(FAILED, HELD, BALANCE)
    refusal = given(s.ORDER, *AWAITS).when(s.SHIP_2).rejected("on_hold")
    assert refusal.extra == {"reasons": ["AWAITING_PAYMENT"]}


def test_an_order_that_only_waits_to_be_packed_is_held_as_well() -> None:
    by_hand = replace(s.TO_CAPTURE_1, shipment_id=None)
    given(s.ORDER, *s.IN_QUEUE, by_hand).when(FAIL).then(FAILED, HELD, BALANCE)
    given(s.ORDER, *s.IN_QUEUE, by_hand, FAILED, HELD, BALANCE).when(s.START).rejected("on_hold")


def test_with_the_money_the_rest_may_leave() -> None:
    paid = replace(s.AUTHORIZE, intent_id=s.INTENT_2, provider_ref="pi_2")
    due = replace(
        s.TO_CAPTURE_1, capture_id=ids.capture_id(s.INTENT_2, 1), intent_id=s.INTENT_2, shipment_id=None
    )
    given(s.ORDER, *AWAITS).when(paid).then(PAID_ANEW, due, RELEASED)
    given(s.ORDER, *AWAITS, PAID_ANEW, due, RELEASED).when(
        replace(s.SHIP_2, lines=(Qty(line_id=s.MUGS, quantity=1),))
    ).then_not_repeatable(
        s.shipped(s.PARCEL_2, (Qty(line_id=s.MUGS, quantity=1),), last=False),
        replace(
            s.TO_CAPTURE_2,
            capture_id=ids.capture_id(s.INTENT_2, s.PARCEL_2),
            intent_id=s.INTENT_2,
            amount=333,
        ),
    )


def test_what_left_already_cannot_be_held() -> None:
    whole = replace(FAILED, amount=s.TOTAL)
    given(s.ORDER, *s.ALL_SHIPPED).when(FAIL).then(whole, BALANCE)


def test_a_cancelled_order_is_not_held() -> None:
    by_hand = replace(s.TO_CAPTURE_1, shipment_id=None)
    failed = (*s.IN_QUEUE, by_hand, FAILED, HELD, BALANCE)
    scenario = given(s.ORDER, *failed).when(s.CANCEL).then(replace(s.CANCELLED, void_intents=(s.INTENT,)))
    assert not scenario.state.holds


def test_nothing_is_authorized_anew_while_the_balance_is_open() -> None:
    given(s.ORDER, *AWAITS).when(Reauthorize(order_id=s.ORDER_ID, now=NOW)).rejected("payment_open")
