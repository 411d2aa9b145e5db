"""The payment axis, taking: captures, asked for or not, and money that comes too late."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never
from uuid import UUID

from services.orders.domain import holds, payment, refunds
from services.orders.domain.policy import OrderPolicy
from services.orders.domain.state import Capture, CaptureStatus, Intent, IntentStatus, Order
from shared.domain import Rejected, ids
from shared.events.orders import (
    CaptureFailed,
    CaptureRequested,
    IntentPurpose,
    LatePaymentKind,
    LatePaymentReceived,
    OrderEvent,
    PaymentCaptured,
    PaymentVoided,
    VoidCause,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPaymentCaptured:
    """The provider took money without being asked to capture."""

    order_id: UUID
    intent_id: UUID
    amount: int
    provider_ref: str
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturePayment:
    """Take `amount` of what is authorized, before anything ships; `request_id` tells a repetition."""

    order_id: UUID
    request_id: UUID
    amount: int
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCaptureResult:
    """What became of a capture. `final`: no more tries; any other failure counts once, for the `attempt`
    (from 1) that is under way."""

    order_id: UUID
    capture_id: UUID
    ok: bool
    provider_ref: str | None = None
    code: str = "PROVIDER_REFUSED"
    final: bool = False
    attempt: int = 1
    now: datetime


CaptureCommand = RecordPaymentCaptured | CapturePayment | RecordCaptureResult
CaptureEvent = CaptureRequested | PaymentCaptured | CaptureFailed


def decide(order: Order, command: CaptureCommand, policy: OrderPolicy) -> list[OrderEvent]:
    """The events of a capture command; raises Rejected."""
    match command:
        case RecordPaymentCaptured():
            return _captured(order, payment.intent_of(order, command.intent_id), command)
        case CapturePayment():
            return _capture(order, command)
        case RecordCaptureResult():
            if command.capture_id not in order.captures:
                raise Rejected("unknown_capture", f"the order has no capture {command.capture_id}")
            capture = order.captures[command.capture_id]
            if command.ok:
                return _capture_done(order, capture, command.provider_ref)
            return _capture_failed(order, capture, command, policy)
        case _:
            assert_never(command)


def _captured(order: Order, intent: Intent, command: RecordPaymentCaptured) -> list[OrderEvent]:
    """Captured at the provider's side: welcome if the intent has room, else it goes back at once."""
    capture_id = ids.capture_id(intent.intent_id, 1)
    if capture_id in order.captures:
        return _capture_done(order, order.captures[capture_id], command.provider_ref)
    welcome = intent.payable or command.amount <= order.room(intent, command.now)
    if order.cancelled or not welcome:
        return _late_capture(order, capture_id, intent.intent_id, command.amount, command.provider_ref)
    return [
        PaymentCaptured(
            capture_id=capture_id,
            intent_id=intent.intent_id,
            amount=command.amount,
            provider_ref=command.provider_ref,
        )
    ]


def _late_capture(
    order: Order, capture_id: UUID, intent_id: UUID, amount: int, provider_ref: str | None
) -> list[OrderEvent]:
    late = LatePaymentReceived(
        intent_id=intent_id,
        kind=LatePaymentKind.CAPTURED,
        capture_id=capture_id,
        amount=amount,
        provider_ref=provider_ref or "",
        cause=payment.late_cause(order),
    )
    return [late, refunds.late_refund(order, capture_id, amount)]


def _capture(order: Order, command: CapturePayment) -> list[OrderEvent]:
    made = {ids.capture_id(intent_id, command.request_id) for intent_id in order.intents}
    if made & order.captures.keys():
        return []
    if order.cancelled:
        raise Rejected("order_cancelled", "the order is cancelled: its money is let go")
    if command.amount <= 0:
        raise Rejected("invalid_amount", "capture at least one minor unit")
    room = sum(order.room(i, command.now) for i in order.intents.values())
    if command.amount > min(room, order.totals.total - order.captured - order.in_flight):
        raise Rejected("exceeds_authorized", "less than this is authorized and not yet captured")
    return _take(order, command.amount, command.now, command.request_id, None)


def captures_due(order: Order, shipment_id: UUID | None, now: datetime) -> list[OrderEvent]:
    """What has to be captured now for the units that left, as far as it is authorized."""
    missing = order.due - order.captured - order.in_flight
    return _take(order, max(0, missing), now, shipment_id, shipment_id)


def _take(
    order: Order, amount: int, now: datetime, key: UUID | None, shipment_id: UUID | None
) -> list[OrderEvent]:
    """`amount` over the intents, oldest first."""
    taken: list[OrderEvent] = []
    for intent in order.intents.values():
        part = min(amount, order.room(intent, now))
        if part > 0:
            taken.append(
                CaptureRequested(
                    capture_id=ids.capture_id(intent.intent_id, key or _next_number(order, intent)),
                    intent_id=intent.intent_id,
                    amount=part,
                    shipment_id=shipment_id,
                )
            )
            amount -= part
    return taken


def _next_number(order: Order, intent: Intent) -> int:
    return 1 + sum(c.intent_id == intent.intent_id for c in order.captures.values())


def _capture_done(order: Order, capture: Capture, provider_ref: str | None) -> list[OrderEvent]:
    if capture.status is CaptureStatus.DONE:
        return []
    assert capture.intent_id is not None
    if order.cancelled or capture.status is CaptureStatus.FAILED:
        return _late_capture(order, capture.capture_id, capture.intent_id, capture.amount, provider_ref)
    events: list[OrderEvent] = [
        PaymentCaptured(
            capture_id=capture.capture_id,
            intent_id=capture.intent_id,
            amount=capture.amount,
            shipment_id=capture.shipment_id,
            provider_ref=provider_ref,
        )
    ]
    intent = order.intents[capture.intent_id]
    if not intent.multicapture and order.rest(intent):
        events.append(
            PaymentVoided(intent_id=intent.intent_id, amount=order.rest(intent), cause=VoidCause.REMAINDER)
        )
    return events


def _capture_failed(
    order: Order, capture: Capture, command: RecordCaptureResult, policy: OrderPolicy
) -> list[OrderEvent]:
    """A final failure gives the intent up and asks the buyer for the money in another way; until it is there,
    what has not left waits."""
    if capture.status is not CaptureStatus.REQUESTED:
        return []
    final = command.final or order.cancelled
    if not final and command.attempt != capture.failures + 1:
        return []
    failed = CaptureFailed(
        capture_id=capture.capture_id, amount=capture.amount, code=command.code, final=final
    )
    after = evolve(order, failed, command.now)
    missing = after.certain_total - after.secured(command.now)
    if not final or order.cancelled or after.open_intent or missing <= 0:
        return [failed]
    held = (
        [] if after.all_shipped else [holds.awaiting_payment(after, capture.capture_id, command.now, policy)]
    )
    return [failed, *held, payment.ask(after, IntentPurpose.BALANCE, missing, command.now, policy)]


def evolve(order: Order, event: CaptureEvent, at: datetime) -> Order:
    """The order after a capture event."""
    match event:
        case CaptureRequested():
            return payment.with_capture(
                order,
                Capture(
                    capture_id=event.capture_id,
                    intent_id=event.intent_id,
                    amount=event.amount,
                    shipment_id=event.shipment_id,
                    requested_at=at,
                ),
            )
        case PaymentCaptured():
            return _evolve_captured(order, event, at)
        case CaptureFailed():
            return _evolve_capture_failed(order, event, at)
        case _:
            assert_never(event)


def _evolve_captured(order: Order, event: PaymentCaptured, at: datetime) -> Order:
    known = order.captures.get(event.capture_id)
    order = payment.with_capture(
        order,
        Capture(
            capture_id=event.capture_id,
            intent_id=event.intent_id,
            amount=event.amount,
            shipment_id=event.shipment_id,
            requested_at=known.requested_at if known else at,
            status=CaptureStatus.DONE,
            provider_ref=event.provider_ref,
        ),
    )
    if event.intent_id is None:
        return order
    intent = order.intents[event.intent_id]
    if intent.status is IntentStatus.OPEN:
        intent = replace(intent, authorized=event.amount, provider_ref=event.provider_ref)
    if intent.status is IntentStatus.OPEN or not order.rest(intent):
        intent = replace(intent, status=IntentStatus.CAPTURED)
    return payment.with_intent(order, intent)


def _evolve_capture_failed(order: Order, event: CaptureFailed, at: datetime) -> Order:
    capture = order.captures[event.capture_id]
    status = CaptureStatus.FAILED if event.final else CaptureStatus.REQUESTED
    order = payment.with_capture(
        order, replace(capture, status=status, failures=capture.failures + 1, failed_at=at)
    )
    if not event.final or capture.intent_id is None:
        return order
    intent = order.intents[capture.intent_id]
    if intent.void_cause:
        return order
    return payment.with_intent(order, replace(intent, void_cause=VoidCause.REMAINDER))
