"""Where an order waits, until when, and what then; and the calls to the provider that its events want."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from services.orders.domain.captures import RecordCaptureResult
from services.orders.domain.edits import RevertEdit
from services.orders.domain.fulfillment import ConfirmDelivery
from services.orders.domain.order import CancelOrder
from services.orders.domain.payment import Reauthorize, RecordVoided, attempts
from services.orders.domain.policy import OrderPolicy
from services.orders.domain.refunds import RecordRefundResult, RetryRefund
from services.orders.domain.state import (
    Capture,
    CaptureStatus,
    Intent,
    IntentStatus,
    Order,
    OrderStatus,
    RefundStatus,
)
from shared.events.common import CancelReason
from shared.events.orders import (
    CaptureFailed,
    CaptureRequested,
    DeliveryProof,
    IntentPurpose,
    LatePaymentReceived,
    OrderCancelled,
    OrderEdited,
    OrderEvent,
    OrderPaid,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentRequested,
    RefundFailureCode,
    RefundRequested,
    VoidCause,
)


class EffectKind(StrEnum):
    """The calls to the payment provider."""

    CREATE_INTENT = "psp.create_intent"
    CLOSE_INTENT = "psp.close_intent"
    CAPTURE = "psp.capture"
    VOID = "psp.void"
    REFUND = "psp.refund"


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectWanted:
    """A call to make: `target` is the intent, capture or refund; `attempt` goes back with its result."""

    kind: EffectKind
    order_id: UUID
    target: UUID
    attempt: int = 1


DeadlineCommand = (
    CancelOrder
    | RevertEdit
    | Reauthorize
    | RecordVoided
    | RecordCaptureResult
    | RecordRefundResult
    | RetryRefund
    | ConfirmDelivery
)
Due = tuple[datetime, DeadlineCommand | EffectWanted]
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def deadlines(order: Order, policy: OrderPolicy) -> dict[str, datetime]:
    """Every timer of this state by name; names that concern one intent, capture … carry its id."""
    return {name: due for name, (due, _) in _timers(order, policy, _LONG_AGO).items()}


def on_deadline(
    order: Order, timer: str, now: datetime, policy: OrderPolicy
) -> DeadlineCommand | EffectWanted | None:
    """What a timer that fires at `now` calls for; None if the state does not ask for it (any more)."""
    due, answer = _timers(order, policy, now).get(timer, (now, None))
    return answer if due <= now else None


def _timers(order: Order, policy: OrderPolicy, now: datetime) -> dict[str, Due]:
    return {
        **_progress(order, policy, now),
        **_money_in(order, policy, now),
        **_captures(order, policy, now),
        **_refunds(order, policy, now),
        **{
            f"delivery_assumed:{parcel.shipment_id}": (
                policy.delivered_by(parcel),
                ConfirmDelivery(
                    order_id=order.order_id,
                    shipment_id=parcel.shipment_id,
                    proof=DeliveryProof.ASSUMED,
                    now=now,
                ),
            )
            for parcel in order.shipments.values()
            if not parcel.delivered_at
        },
    }


def _progress(order: Order, policy: OrderPolicy, now: datetime) -> dict[str, Due]:
    """The order axis: stock, payment and a person's attention must come in time."""

    def cancel(reason: CancelReason, detail: str) -> CancelOrder:
        return CancelOrder(order_id=order.order_id, reason=reason, detail=detail, now=now)

    if order.cancelled or order.shipments:
        return {}
    if not order.stock_secured:
        return {"stock_answer": (order.stock_answer_by, cancel(CancelReason.INVENTORY, "NO_ANSWER"))}
    timers: dict[str, Due] = {}
    wanted = [i for i in order.intents.values() if i.void_cause is not VoidCause.EDIT_REVERTED]
    last = wanted[-1] if wanted else None
    if order.confirmed_at is None:
        if last and not order.open_intent:
            timers["payment_window"] = (last.expires_at, cancel(CancelReason.DECLINED, "TIMEOUT"))
    elif order.edit_pending:
        timers.update(_edit(order, policy, now))
    elif last and _unpaid(order, last):
        timers["balance"] = (last.expires_at, cancel(CancelReason.OTHER, "UNPAID"))
    if order.status is OrderStatus.CONFIRMED and order.confirmed_at:
        until = order.confirmed_at + policy.cancel_unprocessed_after
        timers["unprocessed"] = (until, cancel(CancelReason.OTHER, "UNPROCESSED"))
    return timers


def _edit(order: Order, policy: OrderPolicy, now: datetime) -> dict[str, Due]:
    """A pending edit is taken back if its stock or its balance does not come; an open payment ends first."""
    assert order.edit is not None
    revert = RevertEdit(order_id=order.order_id, revision=order.revision, now=now)
    if order.edit.waits_for_stock:
        return {"edit_stock_answer": (order.edit.edited_at + policy.stock_answer_within, revert)}
    if order.open_intent or not order.edit.intents:
        return {}
    return {"edit_balance": (order.intents[order.edit.intents[0]].expires_at, revert)}


def _unpaid(order: Order, last: Intent) -> bool:
    """Nobody is asked for money that is missing, and no later authorization is to bring it."""
    in_parts = order.serves_in_parts and last.status is not IntentStatus.CLOSED
    return not order.open_intent and not in_parts and order.secured(_LONG_AGO) < order.totals.total


def _money_in(order: Order, policy: OrderPolicy, now: datetime) -> dict[str, Due]:
    """Open intents are closed at the provider, authorizations renewed in time, lapsed ones recorded."""
    timers: dict[str, Due] = {}
    for intent in order.intents.values():
        if intent.status is IntentStatus.OPEN:
            close = EffectWanted(
                kind=EffectKind.CLOSE_INTENT, order_id=order.order_id, target=intent.intent_id
            )
            timers[f"payment_window:{intent.intent_id}"] = (intent.expires_at, close)
        if order.rest(intent):
            expired = RecordVoided(
                order_id=order.order_id, intent_id=intent.intent_id, cause=VoidCause.EXPIRED, now=now
            )
            timers[f"authorization_expiry:{intent.intent_id}"] = (
                intent.authorized_until or intent.expires_at + policy.late_authorization_ends_after,
                expired,
            )
            if renewal := _renewal(order, intent, policy, now):
                timers[f"reauthorize:{intent.intent_id}"] = renewal
    return timers


def _renewal(order: Order, intent: Intent, policy: OrderPolicy, now: datetime) -> Due | None:
    """An authorization about to lapse is asked for anew, after a decline a while later again, a few times;
    then the order ends, if nothing has shipped."""
    waiting = order.status in {OrderStatus.CONFIRMED, OrderStatus.PROCESSING} and not order.paid
    if not waiting or order.open_intent or intent.void_cause or intent.authorized_until is None:
        return None
    early, limit = policy.reauthorize_before_expiry, policy.max_reauthorizations
    later = list(order.intents)[list(order.intents).index(intent.intent_id) + 1 :]
    declined = sum(order.intents[i].purpose is IntentPurpose.REAUTHORIZATION for i in later)
    due = intent.authorized_until - early + declined * early / (limit + 1)
    if attempts(order, IntentPurpose.REAUTHORIZATION) < limit:
        return due, Reauthorize(order_id=order.order_id, now=now)
    if order.shipments:
        return None
    return due, CancelOrder(
        order_id=order.order_id, reason=CancelReason.OTHER, detail="AUTHORIZATION_EXPIRED", now=now
    )


def _captures(order: Order, policy: OrderPolicy, now: datetime) -> dict[str, Due]:
    timers: dict[str, Due] = {}
    for capture in order.captures.values():
        if capture.status is CaptureStatus.REQUESTED:
            give_up = RecordCaptureResult(
                order_id=order.order_id,
                capture_id=capture.capture_id,
                ok=False,
                code="PROVIDER_UNREACHABLE",
                final=True,
                now=now,
            )
            until = capture.requested_at + policy.capture_give_up_after
            timers[f"capture_give_up:{capture.capture_id}"] = (until, give_up)
            if capture.failed_at:
                again = give_up if order.cancelled else _capture_again(order, capture)
                due = capture.failed_at + policy.capture_retry_after
                timers[f"capture_retry:{capture.capture_id}"] = (due, again)
    return timers


def _capture_again(order: Order, capture: Capture) -> EffectWanted:
    return EffectWanted(
        kind=EffectKind.CAPTURE,
        order_id=order.order_id,
        target=capture.capture_id,
        attempt=capture.failures + 1,
    )


def _refunds(order: Order, policy: OrderPolicy, now: datetime) -> dict[str, Due]:
    timers: dict[str, Due] = {}
    for refund in order.refunds.values():
        if refund.status is RefundStatus.REQUESTED:
            unanswered = RecordRefundResult(
                order_id=order.order_id,
                refund_id=refund.refund_id,
                ok=False,
                code=RefundFailureCode.PROVIDER_UNREACHABLE,
                attempt=refund.attempt,
                now=now,
            )
            until = refund.changed_at + policy.refund_answer_within
            timers[f"refund_answer:{refund.refund_id}"] = (until, unanswered)
        elif refund.retryable:
            again = RetryRefund(order_id=order.order_id, refund_id=refund.refund_id, now=now)
            due = refund.changed_at + policy.refund_retry_after
            timers[f"refund_retry:{refund.refund_id}"] = (due, again)
    return timers


def effects_of(order: Order, event: OrderEvent) -> tuple[EffectWanted, ...]:
    """The calls that `event` wants, `order` being the state after the whole decision that it is part of."""

    def wanted(kind: EffectKind, target: UUID, attempt: int = 1) -> EffectWanted:
        return EffectWanted(kind=kind, order_id=order.order_id, target=target, attempt=attempt)

    match event:
        case PaymentRequested():
            return (wanted(EffectKind.CREATE_INTENT, event.intent_id),)
        case CaptureRequested():
            return (wanted(EffectKind.CAPTURE, event.capture_id),)
        case RefundRequested():
            return (wanted(EffectKind.REFUND, event.refund_id, event.attempt),) if event.amount else ()
        case OrderCancelled() | OrderEdited():
            unwanted = [
                i
                for i in order.intents.values()
                if i.status is IntentStatus.OPEN and (order.cancelled or not i.payable)
            ]
            return tuple(wanted(EffectKind.CLOSE_INTENT, i.intent_id) for i in unwanted) + _voids(order)
        case PaymentAuthorized() | LatePaymentReceived() | PaymentCaptured() | CaptureFailed() | OrderPaid():
            return _voids(order)
        case _:
            return ()


def _voids(order: Order) -> tuple[EffectWanted, ...]:
    return tuple(
        EffectWanted(kind=EffectKind.VOID, order_id=order.order_id, target=intent.intent_id)
        for intent in order.intents.values()
        if order.void_due(intent)
    )
