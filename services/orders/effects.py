"""Calls to the payment provider: each looks at the order and at the provider first, and answers with facts.

A call whose outcome the order knows already is not made. Before anything is asked of the provider it is
looked up there by our own id, so a call repeated after any time, even past the provider's memory of
idempotency keys, finds what its first try did.
"""

from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import structlog

from services.orders.domain import (
    EffectKind,
    EffectWanted,
    Order,
    OrderCommand,
    RecordCaptureResult,
    RecordPaymentAuthorized,
    RecordPaymentCaptured,
    RecordPaymentDeclined,
    RecordRefundResult,
    RecordVoided,
)
from services.orders.domain.state import CaptureStatus, Intent, IntentStatus, RefundStatus
from services.orders.psp import PaymentProvider, ProviderIntent, Refused, Standing
from services.orders.reactions import call_of
from shared.domain import Decider
from shared.events.orders import DeclineCode, IntentPurpose, OrderEvent, OrderPlaced, RefundFailureCode
from shared.store.store import Store
from shared.store.todo import Todo
from shared.store.worker import Effect, Unavailable

log = structlog.get_logger(__name__)

Outcome = Sequence[OrderCommand]
_NOTHING: Outcome = ()


class ProviderCalls:
    """The effects of orders, over its store and a provider."""

    def __init__(
        self, store: Store, order: Decider[Order, OrderCommand, OrderEvent], provider: PaymentProvider
    ) -> None:
        self._store = store
        self._order = order
        self._provider = provider

    def effects(self) -> Mapping[str, Effect]:
        """Every call by the name of its todo rows."""
        return {
            EffectKind.CREATE_INTENT: self._create_intent,
            EffectKind.CLOSE_INTENT: self._close_intent,
            EffectKind.CAPTURE: self._capture,
            EffectKind.VOID: self._void,
            EffectKind.REFUND: self._refund,
        }

    async def _create_intent(self, row: Todo) -> Outcome:
        """Open an intent for the buyer, or pay it like an earlier one; if it is no longer wanted, make sure
        that nobody can pay it.

        What the answer to `create` says of money is a fact. That it says of none may be older than a payment,
        even by the first try of this call: only a new look tells whether there is something to cancel.
        """
        wanted = call_of(row)
        order, placed = await self._load(wanted.order_id)
        if _payable(order, wanted.target):
            intent = order.intents[wanted.target]
            paid_like = _paid_like(order, intent)
            try:
                made = await self._provider.create(
                    intent.intent_id,
                    order.order_id,
                    intent.amount,
                    placed.currency,
                    order.capture,
                    str(row.todo_id),
                    paid_like=paid_like,
                )
            except Refused as refusal:
                log.warning("payment_not_possible", intent_id=str(wanted.target), code=refusal.code)
                return (_declined(wanted, DeclineCode.ERROR, self._now),)
            if paid := _paid(wanted, made, self._now):
                return (paid,)
            if paid_like and made.declined:
                return (_declined(wanted, made.declined, self._now),)
            if made.standing is Standing.CLOSED and not made.captured:
                return (_declined(wanted, DeclineCode.ERROR, self._now),)
            order, _ = await self._load(wanted.order_id)
        if not _unwanted(order, wanted.target):
            return _NOTHING
        found = await self._provider.find(wanted.target)
        if found and found.standing is Standing.UNPAID:
            await self._answered(self._provider.cancel(found, f"{row.todo_id}/close"))
        return _NOTHING

    async def _close_intent(self, row: Todo) -> Outcome:
        """Nobody may pay this intent any more; if somebody already did, that is the answer."""
        wanted = call_of(row)
        order, _ = await self._load(wanted.order_id)
        if order.intents[wanted.target].status is not IntentStatus.OPEN:
            return _NOTHING
        found = await self._provider.find(wanted.target)
        if found and found.standing in {Standing.UNPAID, Standing.PROCESSING}:
            found = await self._answered(self._provider.cancel(found, str(row.todo_id)))
        return (_what_became(wanted, found, self._now),)

    async def _capture(self, row: Todo) -> Outcome:
        wanted = call_of(row)
        order, _ = await self._load(wanted.order_id)
        capture = order.captures[wanted.target]
        if capture.status is not CaptureStatus.REQUESTED or capture.intent_id is None:
            return _NOTHING
        intent = await self._found(capture.intent_id)
        ref, code = intent.captures.get(capture.capture_id), "ORDER_CANCELLED"
        if ref is None and not order.cancelled:
            try:
                ref = await self._provider.capture(
                    intent, capture.capture_id, capture.amount, str(row.todo_id)
                )
            except Refused as refusal:
                code = refusal.code
        result = RecordCaptureResult(
            order_id=order.order_id,
            capture_id=capture.capture_id,
            ok=ref is not None,
            provider_ref=ref,
            code=code,
            final=ref is None,
            attempt=wanted.attempt,
            now=self._now,
        )
        return (result,)

    async def _void(self, row: Todo) -> Outcome:
        """Let go what is still held; that it lapsed by itself meanwhile is as good. What the provider took
        without being asked is no longer held."""
        wanted = call_of(row)
        order, _ = await self._load(wanted.order_id)
        if not order.void_due(order.intents[wanted.target]):
            return _NOTHING
        found = await self._found(wanted.target)
        if found.standing is not Standing.CLOSED:
            found = await self._answered(self._provider.cancel(found, str(row.todo_id)))
        taken = _paid(wanted, found, self._now) if found.unasked else None
        voided = RecordVoided(
            order_id=order.order_id, intent_id=wanted.target, provider_ref=found.ref, now=self._now
        )
        return (taken, voided) if taken else (voided,)

    async def _refund(self, row: Todo) -> Outcome:
        """One refund at the provider for each intent that the money came over, all under our refund's id.

        Of a try that was given up meanwhile only what it did is looked for.
        """
        wanted = call_of(row)
        order, _ = await self._load(wanted.order_id)
        refund = order.refunds[wanted.target]
        if refund.status is RefundStatus.ISSUED:
            return _NOTHING
        given_up = refund.status is not RefundStatus.REQUESTED or refund.attempt != wanted.attempt
        over = {part.capture_id: order.captures[part.capture_id].intent_id for part in refund.allocations}
        refs: dict[UUID | None, str] = {}
        failure: RefundFailureCode | None = None
        for intent_id in dict.fromkeys(over.values()):
            assert intent_id is not None
            intent = await self._found(intent_id)
            amount = sum(p.amount for p in refund.allocations if over[p.capture_id] == intent_id)
            if ref := intent.refunds.get(refund.refund_id):
                refs[intent_id] = ref
                continue
            if given_up:
                return _NOTHING
            try:
                refs[intent_id] = await self._provider.refund(
                    intent, refund.refund_id, amount, f"{row.todo_id}/{intent_id}"
                )
            except Refused as refusal:
                exceeds = refusal.code == "exceeds_refundable"
                failure = (
                    RefundFailureCode.EXCEEDS_REFUNDABLE if exceeds else RefundFailureCode.PROVIDER_REFUSED
                )
        result = RecordRefundResult(
            order_id=order.order_id,
            refund_id=refund.refund_id,
            ok=failure is None,
            code=failure or RefundFailureCode.PROVIDER_REFUSED,
            provider_refs=tuple(refs.get(over[part.capture_id], "") for part in refund.allocations),
            attempt=wanted.attempt,
            now=self._now,
        )
        return (result,)

    @property
    def _now(self) -> datetime:
        return self._store.clock()

    async def _load(self, order_id: UUID) -> tuple[Order, OrderPlaced]:
        """The order as it stands now, and how it was placed."""
        events = await self._store.history(self._order.stream(order_id))
        state: Order | None = None
        for event in events:
            state = self._order.evolve(state, event.data, event.occurred_at)
        assert state is not None
        return state, events[0].data

    async def _found(self, intent_id: UUID) -> ProviderIntent:
        found = await self._provider.find(intent_id)
        if found is None:
            raise Unavailable(f"the provider has no intent {intent_id}")
        return found

    async def _answered(self, answer: Awaitable[ProviderIntent]) -> ProviderIntent:
        """An answer where a refusal only means that things have changed: look again later."""
        try:
            return await answer
        except Refused as refusal:
            raise Unavailable(str(refusal)) from refusal


def _payable(order: Order, intent_id: UUID) -> bool:
    return not order.cancelled and order.intents[intent_id].payable


def _unwanted(order: Order, intent_id: UUID) -> bool:
    intent = order.intents[intent_id]
    return order.cancelled or intent.void_cause is not None or intent.status is IntentStatus.CLOSED


def _paid_like(order: Order, intent: Intent) -> str | None:
    """The payment that a re-authorization is to be like: the last one that was authorized."""
    if intent.purpose is not IntentPurpose.REAUTHORIZATION:
        return None
    held = [each.provider_ref for each in order.intents.values() if each.authorized_until]
    return held[-1] if held else None


def _what_became(wanted: EffectWanted, found: ProviderIntent | None, now: datetime) -> OrderCommand:
    """The end of an intent that was to be closed: paid all the same, or not."""
    return (_paid(wanted, found, now) if found else None) or _declined(wanted, DeclineCode.TIMEOUT, now)


def _paid(wanted: EffectWanted, found: ProviderIntent, now: datetime) -> OrderCommand | None:
    """The money that an intent of ours holds or brought without being asked to, if any."""
    if found.unasked:
        ref, amount = found.unasked
        return RecordPaymentCaptured(
            order_id=wanted.order_id, intent_id=wanted.target, amount=amount, provider_ref=ref, now=now
        )
    if found.standing is Standing.AUTHORIZED and found.authorized_until:
        return RecordPaymentAuthorized(
            order_id=wanted.order_id,
            intent_id=wanted.target,
            amount=found.authorized,
            provider_ref=found.ref,
            method_label=found.method_label,
            risk=found.risk,
            multicapture=found.multicapture,
            authorized_until=found.authorized_until,
            now=now,
        )
    return None


def _declined(wanted: EffectWanted, code: DeclineCode, now: datetime) -> OrderCommand:
    return RecordPaymentDeclined(order_id=wanted.order_id, intent_id=wanted.target, code=code, now=now)
