"""What follows from foreign events, the provider calls that own events want, and webhooks as facts."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from services.orders.domain import (
    CancelOrder,
    EffectKind,
    EffectWanted,
    RecordCaptureResult,
    RecordPaymentAuthorized,
    RecordPaymentCaptured,
    RecordPaymentDeclined,
    RecordVoided,
    RequestRefund,
    RevertEdit,
    SecureEdit,
    SecureStock,
)
from services.orders.domain.orphan import RecordOrphanPayment, RecordOrphanRefundResult
from services.orders.psp import Notice, NoticeKind
from services.orders.reactions import call, calls, orphan_calls, react
from services.orders.webhooks import facts, orphan_facts
from shared.domain import Rejected
from shared.events.common import Breakdown, CancelReason, RefundSource
from shared.events.envelope import SYSTEM, Recorded, event_id
from shared.events.inventory import (
    RejectionCode,
    RejectionPhase,
    ReleaseCause,
    StockReleased,
    StockReservationRejected,
    StockReserved,
)
from shared.events.orders import DeclineCode, OrderEvent, RefundCause, Risk, VoidCause
from shared.events.orphan_payments import OrphanPaymentKind, OrphanPaymentRefundRequested
from shared.events.returns import RefundApproved
from shared.messaging.subscription import Do
from shared.store import todo
from shared.testing.scenario import NOW
from tests.unit.orders.samples import (
    ALL_PAID,
    ALL_SHIPPED,
    AUTHORIZED,
    AUTHORIZED_UNTIL,
    CANCELLED,
    CAPTURE_1,
    CART_ID,
    CONFIRMED,
    HELD,
    IN_QUEUE,
    INTENT,
    ONE_MUG_BACK,
    ORDER_ID,
    PAID,
    PLACE,
    PLACED,
    REFUND_ID,
    RETURN_ID,
    TO_REFUND,
    TOTAL,
    WAITING_FOR_PAYMENT,
    captured,
    checkout,
    fold,
)
from tests.unit.orders.samples import TO_CAPTURE_ALL as TO_CAPTURE

BREAKDOWN = Breakdown(items_net=333, items_tax=0, shipping_net=0, shipping_tax=0, total=333)


def recorded(stream: str, data: Any, version: int = 1) -> Recorded[Any]:
    return Recorded(
        stream=stream,
        version=version,
        event_id=event_id(1, stream, version),
        type=type(data).__name__,
        schema_version=1,
        occurred_at=NOW,
        correlation_id=CART_ID,
        causation_id=None,
        actor=SYSTEM,
        epoch=1,
        data=data,
    )


def test_a_checkout_places_its_order() -> None:
    event = recorded(f"cart-{CART_ID}", checkout(PLACED))
    assert list(react(event)) == [Do(PLACE)]


def test_held_stock_secures_the_order() -> None:
    event = recorded(f"reservation-{ORDER_ID}", StockReserved(order_id=ORDER_ID, placed=HELD))
    assert list(react(event)) == [Do(SecureStock(order_id=ORDER_ID, placed=HELD, now=NOW))]


def test_stock_that_is_not_there_cancels_the_order() -> None:
    rejected = StockReservationRejected(order_id=ORDER_ID, code=RejectionCode.OUT_OF_STOCK, lines=())
    event = recorded(f"reservation-{ORDER_ID}", rejected)
    cancel = CancelOrder(order_id=ORDER_ID, reason=CancelReason.INVENTORY, detail="OUT_OF_STOCK", now=NOW)
    assert list(react(event)) == [Do(cancel)]


def test_stock_for_an_edit_is_held_as_well() -> None:
    event = recorded(f"reservation-{ORDER_ID}", StockReserved(order_id=ORDER_ID, revision=2, placed=HELD))
    assert list(react(event)) == [Do(SecureEdit(order_id=ORDER_ID, revision=2, added=HELD, now=NOW))]


def test_an_edit_whose_stock_is_not_there_is_taken_back() -> None:
    rejected = StockReservationRejected(
        order_id=ORDER_ID,
        revision=2,
        phase=RejectionPhase.REVISION,
        code=RejectionCode.OUT_OF_STOCK,
        lines=(),
    )
    event = recorded(f"reservation-{ORDER_ID}", rejected)
    assert list(react(event)) == [Do(RevertEdit(order_id=ORDER_ID, revision=2, refused=True, now=NOW))]


def test_stock_that_is_free_again_is_nothing_to_orders() -> None:
    released = StockReleased(order_id=ORDER_ID, cause=ReleaseCause.CANCELLED)
    assert list(react(recorded(f"reservation-{ORDER_ID}", released))) == []


def test_a_granted_refund_is_a_command_that_waits_for_its_order() -> None:
    approved = RefundApproved(
        order_id=ORDER_ID,
        source=RefundSource.RETURN,
        source_id=RETURN_ID,
        amount=333,
        currency="GBP",
        breakdown=BREAKDOWN,
        lines=ONE_MUG_BACK,
        approved_by=(),
    )
    command = RequestRefund(
        order_id=ORDER_ID,
        refund_id=REFUND_ID,
        amount=333,
        breakdown=BREAKDOWN,
        lines=ONE_MUG_BACK,
        cause=RefundCause.RETURN,
        ref_id=RETURN_ID,
        now=NOW,
    )
    event = recorded(f"refundgrant-{REFUND_ID}", approved)
    assert list(react(event)) == [todo.command(command, f"order-{ORDER_ID}", target=REFUND_ID)]


def test_a_call_is_wanted_once_by_its_first_cause() -> None:
    """Both the last capture and OrderPaid would let the rest of an authorization go."""
    more = replace(AUTHORIZED, amount=TOTAL + 100)
    before: tuple[OrderEvent, ...] = (*WAITING_FOR_PAYMENT, more, CONFIRMED)
    new: list[OrderEvent] = [captured(TO_CAPTURE), PAID]
    order = fold(*before, TO_CAPTURE, *new)
    events = [recorded(f"order-{ORDER_ID}", data, version) for version, data in enumerate(new, start=9)]
    void = EffectWanted(kind=EffectKind.VOID, order_id=ORDER_ID, target=INTENT)
    assert list(calls(order, events)) == [(call(void), events[0].event_id)]


@pytest.mark.parametrize(
    ("before", "new", "kind", "target"),
    [
        (WAITING_FOR_PAYMENT[:-1], WAITING_FOR_PAYMENT[-1], EffectKind.CREATE_INTENT, INTENT),
        (ALL_SHIPPED[:-1], ALL_SHIPPED[-1], EffectKind.CAPTURE, CAPTURE_1),
        (ALL_PAID, TO_REFUND, EffectKind.REFUND, REFUND_ID),
        (WAITING_FOR_PAYMENT, CANCELLED, EffectKind.CLOSE_INTENT, INTENT),
        (IN_QUEUE, CANCELLED, EffectKind.VOID, INTENT),
    ],
)
def test_own_events_become_calls(
    before: tuple[OrderEvent, ...], new: OrderEvent, kind: EffectKind, target: UUID
) -> None:
    event = recorded(f"order-{ORDER_ID}", new)
    ((wanted, cause),) = calls(fold(*before, new), [event])
    assert (wanted.name, wanted.payload["target"], cause) == (kind, str(target), event.event_id)


def test_another_attempt_is_another_call() -> None:
    again = replace(TO_REFUND, attempt=2)
    order = fold(*ALL_PAID, TO_REFUND)
    first, second = (
        next(iter(calls(order, [recorded("order-x", refund)])))[0] for refund in (TO_REFUND, again)
    )
    assert first.todo_id(CART_ID) != second.todo_id(CART_ID)


NOTICE = Notice(
    notice_id="evt_1",
    kind=NoticeKind.AUTHORIZED,
    order_id=ORDER_ID,
    intent_id=INTENT,
    claimed_order=str(ORDER_ID),
    amount=TOTAL,
    currency="GBP",
    provider_ref="pi_1",
    capture_id=None,
    method_label="Visa ending in 4242",
    risk=Risk.HIGH,
    multicapture=True,
    authorized_until=AUTHORIZED_UNTIL,
    decline=DeclineCode.FRAUD,
)
ABOUT: dict[str, Any] = {"order_id": ORDER_ID, "intent_id": INTENT, "now": NOW}


@pytest.mark.parametrize(
    ("notice", "commands"),
    [
        (
            NOTICE,
            (
                RecordPaymentAuthorized(
                    **ABOUT,
                    amount=TOTAL,
                    provider_ref="pi_1",
                    method_label="Visa ending in 4242",
                    risk=Risk.HIGH,
                    authorized_until=AUTHORIZED_UNTIL,
                ),
            ),
        ),
        (
            replace(NOTICE, kind=NoticeKind.DECLINED),
            (RecordPaymentDeclined(**ABOUT, code=DeclineCode.FRAUD),),
        ),
        (
            replace(NOTICE, kind=NoticeKind.CAPTURED),
            (RecordPaymentCaptured(**ABOUT, amount=TOTAL, provider_ref="pi_1"),),
        ),
        (
            replace(NOTICE, kind=NoticeKind.CAPTURED, capture_id=CAPTURE_1),
            (
                RecordCaptureResult(
                    order_id=ORDER_ID, capture_id=CAPTURE_1, ok=True, provider_ref="pi_1", now=NOW
                ),
            ),
        ),
        (
            replace(NOTICE, kind=NoticeKind.CANCELED),
            (
                RecordPaymentDeclined(**ABOUT, code=DeclineCode.TIMEOUT),
                RecordVoided(**ABOUT, provider_ref="pi_1"),
            ),
        ),
        (
            replace(NOTICE, kind=NoticeKind.EXPIRED),
            (RecordVoided(**ABOUT, cause=VoidCause.EXPIRED, provider_ref="pi_1"),),
        ),
        (replace(NOTICE, kind=None, order_id=None), ()),
    ],
)
def test_webhooks_as_facts(notice: Notice, commands: tuple[Any, ...]) -> None:
    assert tuple(facts(notice, NOW)) == commands


def test_a_webhook_that_names_no_order_of_ours_is_no_fact_of_one() -> None:
    with pytest.raises(Rejected) as refusal:
        facts(replace(NOTICE, order_id=None), NOW + timedelta(days=1))
    assert refusal.value.code == "unknown_order"


ORPHAN = RecordOrphanPayment(
    kind=OrphanPaymentKind.AUTHORIZED,
    provider="sandbox",
    provider_ref="pi_1",
    amount=TOTAL,
    currency="GBP",
    claimed_order=str(ORDER_ID),
    now=NOW,
)
GONE = RecordOrphanRefundResult(orphan_id=ORPHAN.orphan_id, ok=True, amount=TOTAL, refund_ref="pi_1", now=NOW)


@pytest.mark.parametrize(
    ("kind", "commands"),
    [
        (NoticeKind.AUTHORIZED, (ORPHAN,)),
        (NoticeKind.CAPTURED, (replace(ORPHAN, kind=OrphanPaymentKind.CAPTURED),)),
        (NoticeKind.CANCELED, (GONE,)),
        (NoticeKind.EXPIRED, (GONE,)),
        (NoticeKind.DECLINED, ()),
        (None, ()),
    ],
)
def test_webhooks_as_facts_about_money_without_an_order(
    kind: NoticeKind | None, commands: tuple[Any, ...]
) -> None:
    assert tuple(orphan_facts(replace(NOTICE, kind=kind), "sandbox", NOW)) == commands


def test_a_refund_of_an_orphan_is_a_call_of_its_own_for_each_attempt() -> None:
    stream = f"orphanpayment-{ORPHAN.orphan_id}"
    asked = [
        OrphanPaymentRefundRequested(kind=ORPHAN.kind, amount=TOTAL, attempt=attempt) for attempt in (1, 2)
    ]
    rows = [wanted for wanted, _ in orphan_calls([recorded(stream, event) for event in asked])]
    assert [(row.name, row.stream, row.payload["attempt"]) for row in rows] == [
        ("psp.refund_orphan", stream, 1),
        ("psp.refund_orphan", stream, 2),
    ]
    assert rows[0].todo_id(CART_ID) != rows[1].todo_id(CART_ID)
