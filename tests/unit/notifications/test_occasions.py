"""Who is written to about what."""

from dataclasses import replace
from typing import Any

import pytest

from services.notifications.domain.occasions import OCCASION_EVENTS, Recipient, Template, occasions
from shared.domain.ids import derive
from shared.events.common import Breakdown, CancelReason, CaptureMode, Charge, Qty, RefundMethod, Totals
from shared.events.orders import (
    CaptureFailed,
    DeclineCode,
    Delivered,
    DeliveryProof,
    EditCause,
    IntentPurpose,
    LatePaymentCause,
    LatePaymentKind,
    LatePaymentReceived,
    NextStep,
    OrderCancelled,
    OrderConfirmed,
    OrderEdited,
    OrderPaid,
    PaymentBasis,
    PaymentDeclined,
    PaymentRequested,
    ProcessingMode,
    RefundCause,
    RefundFailed,
    RefundFailureCode,
    RefundIssued,
    ShipmentMethod,
    Shipped,
)
from shared.events.returns import (
    DeclineReason,
    ReturnApproved,
    ReturnClosed,
    ReturnDeclined,
    ReturnOutcome,
    ReturnReceived,
)
from shared.testing.scenario import NOW

ID = derive("test", "id")
CONFIRMED = OrderConfirmed(
    payment=PaymentBasis.AUTHORIZED,
    mode=ProcessingMode.MANUAL,
    mode_reason="policy",
    next=NextStep.MANUAL,
    process_by=NOW,
)
EDITED = OrderEdited(
    edit_id=ID,
    revision=1,
    cause=EditCause.STAFF,
    lines=(),
    shipping=Charge(method_id="post", title="Post", net=0, tax=0, gross=0),
    total_before=1,
    totals=Totals(items_net=0, items_tax=0, shipping_net=0, shipping_tax=0, discount=0, total=0),
    raises_stock=False,
)
BALANCE = PaymentRequested(
    intent_id=ID,
    purpose=IntentPurpose.BALANCE,
    amount=1,
    capture=CaptureMode.ON_SHIP,
    provider="sandbox",
    expires_at=NOW,
)
DECLINED = PaymentDeclined(intent_id=ID, code=DeclineCode.DECLINED, attempt=1, final=False)
LATE = LatePaymentReceived(
    intent_id=ID,
    kind=LatePaymentKind.CAPTURED,
    amount=1,
    provider_ref="x",
    cause=LatePaymentCause.ORDER_CANCELLED,
)
CAPTURE_FAILED = CaptureFailed(capture_id=ID, amount=1, code="expired_card", final=True)
CANCELLED = OrderCancelled(reason=CancelReason.CUSTOMER, stock_tracked=True, revision=0)
SHIPPED = Shipped(shipment_id=ID, fulfillment_id=ID, method=ShipmentMethod.CARRIER, lines=(), last=True)
DELIVERED = Delivered(
    shipment_id=ID, lines=(Qty(line_id=ID, quantity=1),), delivered_at=NOW, proof=DeliveryProof.CARRIER
)
ISSUED = RefundIssued(
    refund_id=ID,
    amount=1,
    breakdown=Breakdown(items_net=1, items_tax=0, shipping_net=0, shipping_tax=0, total=1),
    cause=RefundCause.CANCEL,
    ref_id=ID,
    allocations=(),
)
REFUND_FAILED = RefundFailed(
    refund_id=ID, amount=1, code=RefundFailureCode.PROVIDER_REFUSED, retryable=False, attempt=5
)
APPROVED = ReturnApproved(order_id=ID, lines=(), instructions_ref="x", ship_by=NOW, receive_by=NOW)
RETURN_DECLINED = ReturnDeclined(order_id=ID, reason=DeclineReason.OTHER)
RECEIVED = ReturnReceived(order_id=ID, receipt_id=ID, location_id=ID, lines=(), complete=True)

CUSTOMER, MERCHANT = Recipient.CUSTOMER, Recipient.MERCHANT
TABLE: list[tuple[Any, list[tuple[str, Recipient]]]] = [
    (CONFIRMED, [("order_confirmation", CUSTOMER), ("merchant_sale", MERCHANT)]),
    (EDITED, [("order_changed", CUSTOMER)]),
    (BALANCE, [("payment_due", CUSTOMER)]),
    (DECLINED, [("payment_failed", CUSTOMER)]),
    (LATE, [("payment_late", CUSTOMER), ("payment_alert", MERCHANT)]),
    (CAPTURE_FAILED, [("payment_alert", MERCHANT)]),
    (CANCELLED, [("cancelled", CUSTOMER)]),
    (SHIPPED, [("shipped", CUSTOMER)]),
    (DELIVERED, [("delivered", CUSTOMER)]),
    (ISSUED, [("refund_issued", CUSTOMER)]),
    (REFUND_FAILED, [("refund_problem", MERCHANT)]),
    (APPROVED, [("return_instructions", CUSTOMER)]),
    (RETURN_DECLINED, [("return_declined", CUSTOMER)]),
    (RECEIVED, [("return_received", CUSTOMER)]),
]
SILENT: list[Any] = [
    replace(BALANCE, purpose=IntentPurpose.ORDER),
    replace(BALANCE, purpose=IntentPurpose.REAUTHORIZATION),
    replace(DECLINED, final=True),
    replace(CAPTURE_FAILED, final=False),
    replace(SHIPPED, method=ShipmentMethod.PICKUP),
    replace(ISSUED, method=RefundMethod.EXCHANGE_CREDIT),
    replace(REFUND_FAILED, retryable=True),
    OrderPaid(total=1, captured=1, revision=0),
    ReturnClosed(order_id=ID, outcome=ReturnOutcome.COMPLETED),
]


@pytest.mark.parametrize(("event", "expected"), TABLE, ids=lambda value: type(value).__name__)
def test_an_event_is_the_occasion_for_its_messages(event: Any, expected: list[tuple[str, Recipient]]) -> None:
    assert [(found.template, found.recipient) for found in occasions(event)] == expected


@pytest.mark.parametrize("event", SILENT, ids=lambda value: type(value).__name__)
def test_nobody_is_written_to_about_other_events(event: Any) -> None:
    assert occasions(event) == ()


def test_every_template_and_every_listed_event_has_its_occasion() -> None:
    written = {found.template for event, _ in TABLE for found in occasions(event)}
    assert written == set(Template)
    assert {type(event) for event, _ in TABLE} == set(OCCASION_EVENTS)
