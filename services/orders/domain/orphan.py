"""Money from the provider that belongs to no known order: it waits for its order, then it goes back.

Either an order gets it or it goes back, never both: each begins with an event of this stream.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import assert_never
from uuid import UUID

from services.orders.domain.policy import OrderPolicy
from shared.domain import Decider, Rejected, ids
from shared.events.orphan_payments import (
    OrphanPaymentEvent,
    OrphanPaymentKind,
    OrphanPaymentMatched,
    OrphanPaymentReceived,
    OrphanPaymentRefunded,
    OrphanPaymentRefundFailed,
    OrphanPaymentRefundRequested,
    OrphanRefundFailureCode,
)


class OrphanStatus(StrEnum):
    """Where an orphan payment stands; REFUNDING: the provider has not answered yet."""

    RECEIVED = "RECEIVED"
    MATCHED = "MATCHED"
    REFUNDING = "REFUNDING"
    REFUNDED = "REFUNDED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanPayment:
    """`attempts` counts the refunds that were asked for; `retryable` a failed one that is tried again."""

    orphan_id: UUID
    kind: OrphanPaymentKind
    provider_ref: str
    amount: int
    refund_at: datetime
    changed_at: datetime
    status: OrphanStatus = OrphanStatus.RECEIVED
    attempts: int = 0
    retryable: bool = False
    order_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOrphanPayment:
    """The provider told of money that fits no order; `claimed_order` is what it says it is for."""

    kind: OrphanPaymentKind
    provider: str
    provider_ref: str
    amount: int
    currency: str
    claimed_order: str | None = None
    now: datetime

    @property
    def orphan_id(self) -> UUID:
        """The stream that it belongs in."""
        return ids.orphan_payment_id(self.provider, self.provider_ref)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchOrphanPayment:
    """An order that it fits is known now, and takes it over."""

    orphan_id: UUID
    order_id: UUID
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundOrphanPayment:
    """Give it back: by its timer, or by an operator before that, or after the last try failed."""

    orphan_id: UUID
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOrphanRefundResult:
    """What the provider did. `amount` is what went back, None for all of it; a failure counts only for the
    `attempt` that is under way."""

    orphan_id: UUID
    ok: bool
    amount: int | None = None
    refund_ref: str = ""
    code: OrphanRefundFailureCode = OrphanRefundFailureCode.PROVIDER_REFUSED
    attempt: int | None = None
    now: datetime


OrphanCommand = RecordOrphanPayment | MatchOrphanPayment | RefundOrphanPayment | RecordOrphanRefundResult


def orphan_decider(policy: OrderPolicy) -> Decider[OrphanPayment, OrphanCommand, OrphanPaymentEvent]:
    """The orphan payment under a processing policy."""
    return Decider(
        category="orphanpayment",
        decide=partial(decide, policy),
        evolve=evolve,
        deadlines=partial(deadlines, policy=policy),
    )


def decide(
    policy: OrderPolicy, orphan: OrphanPayment | None, command: OrphanCommand
) -> list[OrphanPaymentEvent]:
    """The events of a command, none if its outcome is there already. Raises Rejected."""
    if isinstance(command, RecordOrphanPayment):
        return [] if orphan or not command.amount else [_received(command, policy)]
    if orphan is None:
        raise Rejected("unknown_orphan_payment", f"there is no orphan payment {command.orphan_id}")
    match command:
        case MatchOrphanPayment():
            return _match(orphan, command)
        case RefundOrphanPayment():
            return _refund(orphan)
        case RecordOrphanRefundResult():
            return _result(orphan, command, policy)
        case _:
            assert_never(command)


def _received(command: RecordOrphanPayment, policy: OrderPolicy) -> OrphanPaymentReceived:
    return OrphanPaymentReceived(
        kind=command.kind,
        provider=command.provider,
        provider_ref=command.provider_ref,
        amount=command.amount,
        currency=command.currency,
        claimed_order=command.claimed_order,
        refund_at=command.now + policy.orphan_refund_after,
    )


def _match(orphan: OrphanPayment, command: MatchOrphanPayment) -> list[OrphanPaymentEvent]:
    if orphan.order_id == command.order_id:
        return []
    if orphan.status is not OrphanStatus.RECEIVED:
        raise Rejected("orphan_settled", "this money is on its way back: no order can have it")
    return [OrphanPaymentMatched(kind=orphan.kind, amount=orphan.amount, order_id=command.order_id)]


def _refund(orphan: OrphanPayment) -> list[OrphanPaymentEvent]:
    if orphan.status is OrphanStatus.REFUNDING:
        return []
    if orphan.status in {OrphanStatus.REFUNDED, OrphanStatus.MATCHED}:
        raise Rejected("orphan_settled", "this money went back already, or belongs to an order now")
    return [OrphanPaymentRefundRequested(kind=orphan.kind, amount=orphan.amount, attempt=orphan.attempts + 1)]


def _result(
    orphan: OrphanPayment, command: RecordOrphanRefundResult, policy: OrderPolicy
) -> list[OrphanPaymentEvent]:
    """Money that went back is a fact even after we gave up; of a matched payment its order hears."""
    if orphan.status in {OrphanStatus.REFUNDED, OrphanStatus.MATCHED}:
        return []
    if command.ok:
        amount = orphan.amount if command.amount is None else command.amount
        return [OrphanPaymentRefunded(kind=orphan.kind, amount=amount, refund_ref=command.refund_ref)]
    stale = command.attempt is not None and command.attempt != orphan.attempts
    if orphan.status is not OrphanStatus.REFUNDING or stale:
        return []
    return [
        OrphanPaymentRefundFailed(
            kind=orphan.kind,
            amount=orphan.amount,
            code=command.code,
            retryable=orphan.attempts < policy.max_refund_attempts,
            attempt=orphan.attempts,
        )
    ]


def evolve(orphan: OrphanPayment | None, event: OrphanPaymentEvent, at: datetime) -> OrphanPayment:
    """The orphan payment after an event that happened at `at`."""
    if isinstance(event, OrphanPaymentReceived):
        return OrphanPayment(
            orphan_id=ids.orphan_payment_id(event.provider, event.provider_ref),
            kind=event.kind,
            provider_ref=event.provider_ref,
            amount=event.amount,
            refund_at=event.refund_at,
            changed_at=at,
        )
    assert orphan is not None, f"{type(event).__name__} before OrphanPaymentReceived"
    orphan = replace(orphan, changed_at=at)
    match event:
        case OrphanPaymentMatched():
            return replace(orphan, status=OrphanStatus.MATCHED, order_id=event.order_id)
        case OrphanPaymentRefundRequested():
            return replace(orphan, status=OrphanStatus.REFUNDING, attempts=event.attempt, retryable=False)
        case OrphanPaymentRefunded():
            return replace(orphan, status=OrphanStatus.REFUNDED, retryable=False)
        case OrphanPaymentRefundFailed():
            return replace(orphan, status=OrphanStatus.FAILED, retryable=event.retryable)
        case _:
            assert_never(event)


def deadlines(orphan: OrphanPayment, policy: OrderPolicy) -> Mapping[str, datetime]:
    """When it goes back, when that is tried again, and until when the provider has to answer."""
    match orphan.status:
        case OrphanStatus.RECEIVED:
            return {"refund": orphan.refund_at}
        case OrphanStatus.FAILED if orphan.retryable:
            return {"refund": orphan.changed_at + policy.refund_retry_after}
        case OrphanStatus.REFUNDING:
            return {"refund_answer": orphan.changed_at + policy.refund_answer_within}
        case _:
            return {}


def on_deadline(
    orphan: OrphanPayment, timer: str, now: datetime, policy: OrderPolicy
) -> RefundOrphanPayment | RecordOrphanRefundResult | None:
    """What a timer that fires at `now` calls for; None if the state does not ask for it (any more)."""
    due = deadlines(orphan, policy).get(timer)
    if due is None or due > now:
        return None
    if timer == "refund":
        return RefundOrphanPayment(orphan_id=orphan.orphan_id, now=now)
    return RecordOrphanRefundResult(
        orphan_id=orphan.orphan_id,
        ok=False,
        code=OrphanRefundFailureCode.PROVIDER_UNREACHABLE,
        attempt=orphan.attempts,
        now=now,
    )
