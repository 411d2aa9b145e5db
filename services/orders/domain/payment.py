"""The payment axis, asking: intents, authorizations, declines and voids. What a provider says is a fact."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never
from uuid import UUID

from services.orders.domain.policy import OrderPolicy
from services.orders.domain.state import (
    Capture,
    CaptureStatus,
    Intent,
    IntentStatus,
    Order,
    OrderStatus,
)
from shared.domain import Rejected, ids
from shared.events.orders import (
    DeclineCode,
    IntentPurpose,
    LatePaymentCause,
    LatePaymentKind,
    LatePaymentReceived,
    OrderEvent,
    PaymentAuthorized,
    PaymentDeclined,
    PaymentRequested,
    PaymentVoided,
    Risk,
    VoidCause,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPayment:
    """Ask the buyer for what is due and not secured: for the ORDER while it waits for its payment, for the
    BALANCE afterwards."""

    order_id: UUID
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Reauthorize:
    """Secure what is still to be captured anew, without the buyer: an authorization is about to lapse, did
    lapse, or served its only capture. The old one is let go once the new one holds."""

    order_id: UUID
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPaymentAuthorized:
    """The provider holds money."""

    order_id: UUID
    intent_id: UUID
    amount: int
    provider_ref: str
    method_label: str
    risk: Risk = Risk.NORMAL
    multicapture: bool = True
    authorized_until: datetime
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPaymentDeclined:
    """An attempt to pay failed, or the provider closed the intent for us."""

    order_id: UUID
    intent_id: UUID
    code: DeclineCode
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordVoided:
    """The provider let the rest of an intent go; without a `cause` it is the one that asked for it."""

    order_id: UUID
    intent_id: UUID
    cause: VoidCause | None = None
    provider_ref: str | None = None
    now: datetime


PaymentCommand = RequestPayment | Reauthorize | RecordPaymentAuthorized | RecordPaymentDeclined | RecordVoided
PaymentEvent = PaymentRequested | PaymentAuthorized | PaymentDeclined | PaymentVoided | LatePaymentReceived


def decide(order: Order, command: PaymentCommand, policy: OrderPolicy) -> list[OrderEvent]:
    """The events of a payment command; raises Rejected."""
    match command:
        case RequestPayment():
            return _request(order, command, policy)
        case Reauthorize():
            return _reauthorize(order, command, policy)
        case RecordPaymentAuthorized():
            return _authorized(order, intent_of(order, command.intent_id), command)
        case RecordPaymentDeclined():
            return _declined(order, intent_of(order, command.intent_id), command, policy)
        case RecordVoided():
            return _voided(order, intent_of(order, command.intent_id), command)
        case _:
            assert_never(command)


def intent_of(order: Order, intent_id: UUID) -> Intent:
    """The order's intent with this id. Raises Rejected."""
    if intent_id not in order.intents:
        raise Rejected("unknown_intent", f"the order has no payment intent {intent_id}")
    return order.intents[intent_id]


def _request(order: Order, command: RequestPayment, policy: OrderPolicy) -> list[OrderEvent]:
    _must_be_payable(order)
    amount = order.totals.total - order.secured(command.now)
    if amount <= 0 or order.waits_for_stock:
        raise Rejected("nothing_due", "there is nothing to pay now")
    asking = order.status is OrderStatus.PLACED
    purpose = IntentPurpose.ORDER if asking else IntentPurpose.BALANCE
    first = next((i for i in order.intents.values() if i.purpose is purpose), None)
    window_over = asking and first and command.now >= first.expires_at
    if attempts(order, purpose) >= policy.max_payment_attempts or window_over:
        raise Rejected("too_many_attempts", "no further attempt to pay is possible")
    return [ask(order, purpose, amount, command.now, policy)]


def _reauthorize(order: Order, command: Reauthorize, policy: OrderPolicy) -> list[OrderEvent]:
    purpose = IntentPurpose.REAUTHORIZATION
    if order.open_intent and order.open_intent.purpose is purpose and not order.cancelled:
        return []
    _must_be_payable(order)
    replaces = _oldest_usable(order, command.now)
    amount = order.certain_total - order.secured(command.now)
    if replaces:
        amount += order.room(replaces, command.now)
    if amount <= 0 or order.confirmed_at is None:
        raise Rejected("nothing_due", "nothing is to be captured any more, or the buyer has not paid yet")
    if attempts(order, purpose) >= policy.max_reauthorizations:
        raise Rejected("too_many_attempts", "the money was authorized anew too often: ask the buyer")
    return [ask(order, purpose, amount, command.now, policy, replaces=replaces)]


def _must_be_payable(order: Order) -> None:
    if order.cancelled:
        raise Rejected("order_cancelled", "the order is cancelled and needs no payment")
    if order.open_intent:
        raise Rejected("payment_open", "a payment is open: finish it first")


def attempts(order: Order, purpose: IntentPurpose) -> int:
    """How often money was asked for with this purpose. A re-authorization that was captured from counts no
    more: without multicapture every further parcel needs one. Nor does a balance that was paid; a pending
    edit counts its own."""
    asked = [i for i in order.intents.values() if i.purpose is purpose]
    if purpose is IntentPurpose.REAUTHORIZATION:
        return sum(not order.captures_of(intent) for intent in asked)
    if purpose is IntentPurpose.BALANCE:
        own = order.edit.intents if order.edit and order.edit_pending else ()
        return sum(not i.authorized and (not own or i.intent_id in own) for i in asked)
    return len(asked)


def _oldest_usable(order: Order, now: datetime) -> Intent | None:
    return next((i for i in order.intents.values() if order.room(i, now)), None)


def ask(
    order: Order,
    purpose: IntentPurpose,
    amount: int,
    now: datetime,
    policy: OrderPolicy,
    *,
    replaces: Intent | None = None,
) -> PaymentRequested:
    """The order's next payment intent."""
    return PaymentRequested(
        intent_id=ids.intent_id(order.order_id, len(order.intents) + 1),
        purpose=purpose,
        amount=amount,
        capture=order.capture,
        provider=policy.provider,
        replaces_intent_id=replaces.intent_id if replaces else None,
        off_session=purpose is IntentPurpose.REAUTHORIZATION,
        expires_at=_window_end(order, purpose, now, policy),
    )


def _window_end(order: Order, purpose: IntentPurpose, now: datetime, policy: OrderPolicy) -> datetime:
    """All ORDER intents share the window that the first one opened. So do those of an edit's balance; theirs
    closes before what is authorized already has to be renewed: two intents are never open."""
    if purpose is IntentPurpose.ORDER:
        first = next((i for i in order.intents.values() if i.purpose is purpose), None)
        return first.expires_at if first else now + policy.payment_window
    end = now + policy.balance_window
    if purpose is IntentPurpose.REAUTHORIZATION or order.edit is None or not order.edit_pending:
        return end
    if order.edit.intents:
        return order.intents[order.edit.intents[0]].expires_at
    held = [i.authorized_until for i in order.intents.values() if order.room(i, now) and i.authorized_until]
    renewal = min((until - policy.reauthorize_before_expiry for until in held), default=end)
    return min(end, max(renewal, now + policy.payment_window))


def _authorized(order: Order, intent: Intent, command: RecordPaymentAuthorized) -> list[OrderEvent]:
    if intent.authorized or any(c.intent_id == intent.intent_id for c in order.captures.values()):
        return []
    if not intent.payable or order.cancelled:
        return [
            LatePaymentReceived(
                intent_id=intent.intent_id,
                kind=LatePaymentKind.AUTHORIZED,
                amount=command.amount,
                provider_ref=command.provider_ref,
                cause=late_cause(order),
            )
        ]
    return [
        PaymentAuthorized(
            intent_id=intent.intent_id,
            amount=command.amount,
            provider_ref=command.provider_ref,
            method_label=command.method_label,
            risk=command.risk,
            multicapture=command.multicapture,
            expires_at=command.authorized_until,
        )
    ]


def late_cause(order: Order) -> LatePaymentCause:
    """Why money that is not wanted is not wanted."""
    return LatePaymentCause.ORDER_CANCELLED if order.cancelled else LatePaymentCause.INTENT_CLOSED


def _declined(
    order: Order, intent: Intent, command: RecordPaymentDeclined, policy: OrderPolicy
) -> list[OrderEvent]:
    """What was asked for may be asked for again while the window is open and attempts are left."""
    if intent.status is not IntentStatus.OPEN:
        return []
    attempt = attempts(order, intent.purpose)
    reauthorizing = intent.purpose is IntentPurpose.REAUTHORIZATION
    limit = policy.max_reauthorizations if reauthorizing else policy.max_payment_attempts
    return [
        PaymentDeclined(
            intent_id=intent.intent_id,
            code=command.code,
            attempt=attempt,
            final=order.cancelled or attempt >= limit or command.now >= intent.expires_at,
        )
    ]


def _voided(order: Order, intent: Intent, command: RecordVoided) -> list[OrderEvent]:
    rest = order.rest(intent)
    if not rest:
        return []
    late = intent.void_cause is VoidCause.LATE
    wished = order.void_due(intent) or VoidCause.REMAINDER
    return [
        PaymentVoided(
            intent_id=intent.intent_id,
            amount=rest,
            cause=VoidCause.LATE if late else command.cause or wished,
            provider_ref=command.provider_ref,
        )
    ]


def evolve(order: Order, event: PaymentEvent, at: datetime) -> Order:
    """The order after a payment event."""
    match event:
        case PaymentRequested():
            return _evolve_requested(order, event)
        case PaymentAuthorized():
            return _evolve_authorized(order, event)
        case PaymentDeclined():
            intent = order.intents[event.intent_id]
            failed = event.final and intent.purpose is IntentPurpose.ORDER and not order.cancelled
            order = replace(order, declined_for_good=order.declined_for_good or failed)
            if order.edit and event.final and event.intent_id in order.edit.intents:
                order = replace(order, edit=replace(order.edit, unpaid=True))
            return with_intent(order, replace(intent, status=IntentStatus.CLOSED))
        case PaymentVoided():
            return _evolve_voided(order, event)
        case LatePaymentReceived():
            return _evolve_late(order, event, at)
        case _:
            assert_never(event)


def _evolve_requested(order: Order, event: PaymentRequested) -> Order:
    edit = order.edit
    if edit and order.edit_pending and not edit.waits_for_stock and event.purpose is IntentPurpose.BALANCE:
        order = replace(order, edit=replace(edit, intents=(*edit.intents, event.intent_id)))
    return with_intent(
        order,
        Intent(
            intent_id=event.intent_id,
            purpose=event.purpose,
            amount=event.amount,
            expires_at=event.expires_at,
            replaces=event.replaces_intent_id,
        ),
    )


def _evolve_authorized(order: Order, event: PaymentAuthorized) -> Order:
    intent = replace(
        order.intents[event.intent_id],
        status=IntentStatus.AUTHORIZED,
        authorized=event.amount,
        authorized_until=event.expires_at,
        multicapture=event.multicapture,
        provider_ref=event.provider_ref,
        void_cause=VoidCause.REMAINDER if order.paid else None,
    )
    if intent.replaces:
        old = order.intents[intent.replaces]
        order = with_intent(order, replace(old, void_cause=VoidCause.SUPERSEDED))
    return with_intent(order, intent)


def _evolve_voided(order: Order, event: PaymentVoided) -> Order:
    intent = order.intents[event.intent_id]
    intent = replace(intent, voided=intent.voided + event.amount, void_cause=event.cause)
    used = order.captures_of(intent)
    intent = replace(intent, status=IntentStatus.CAPTURED if used else IntentStatus.VOIDED)
    return replace(with_intent(order, intent), last_void=event.cause)


def _evolve_late(order: Order, event: LatePaymentReceived, at: datetime) -> Order:
    intent = order.intents[event.intent_id]
    if event.kind is LatePaymentKind.AUTHORIZED:
        late = replace(
            intent,
            status=IntentStatus.AUTHORIZED,
            authorized=event.amount,
            void_cause=VoidCause.LATE,
            provider_ref=event.provider_ref,
        )
        return with_intent(order, late)
    assert event.capture_id is not None
    if intent.status is IntentStatus.OPEN:
        order = with_intent(order, replace(intent, status=IntentStatus.CLOSED))
    known = order.captures.get(event.capture_id)
    return with_capture(
        order,
        Capture(
            capture_id=event.capture_id,
            intent_id=event.intent_id,
            amount=event.amount,
            shipment_id=known.shipment_id if known else None,
            requested_at=known.requested_at if known else at,
            status=CaptureStatus.DONE,
            late=True,
            provider_ref=event.provider_ref,
        ),
    )


def with_intent(order: Order, intent: Intent) -> Order:
    """The order with this intent added or replaced."""
    return replace(order, intents={**order.intents, intent.intent_id: intent})


def with_capture(order: Order, capture: Capture) -> Order:
    """The order with this capture added or replaced."""
    return replace(order, captures={**order.captures, capture.capture_id: capture})
