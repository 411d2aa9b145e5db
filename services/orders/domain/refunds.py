"""Money back: every refund is spread over captures, oldest first, and no capture is ever paid back twice."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never
from uuid import UUID

from services.orders.domain.policy import OrderPolicy
from services.orders.domain.state import Capture, CaptureStatus, Order, Refund, RefundStatus
from shared.domain import Rejected, ids, spread
from shared.events.common import Breakdown, RefundLine, RefundLineKind, RefundMethod, Totals
from shared.events.orders import (
    Allocation,
    OrderEvent,
    PaidAllocation,
    RefundCause,
    RefundFailed,
    RefundFailureCode,
    RefundIssued,
    RefundRequested,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRefund:
    """Pay `amount` back; returns and goodwill grants come here as RefundApproved."""

    order_id: UUID
    refund_id: UUID
    amount: int
    breakdown: Breakdown
    lines: tuple[RefundLine, ...] = ()
    cause: RefundCause
    ref_id: UUID
    method: RefundMethod = RefundMethod.ORIGINAL
    target_order_id: UUID | None = None
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRefund:
    """Try a failed refund again."""

    order_id: UUID
    refund_id: UUID
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRefundResult:
    """What the provider did: `provider_refs` follow the refund's allocations, an empty one is of a part that
    was not paid back; `attempt` names the try."""

    order_id: UUID
    refund_id: UUID
    ok: bool
    code: RefundFailureCode = RefundFailureCode.PROVIDER_REFUSED
    provider_refs: tuple[str, ...] = ()
    attempt: int | None = None
    now: datetime


RefundCommand = RequestRefund | RetryRefund | RecordRefundResult
RefundEvent = RefundRequested | RefundIssued | RefundFailed


def decide(order: Order, command: RefundCommand, policy: OrderPolicy) -> list[OrderEvent]:
    """The events of a refund command; raises Rejected."""
    match command:
        case RequestRefund():
            return _request(order, command)
        case RetryRefund():
            return _retry(_known(order, command.refund_id))
        case RecordRefundResult():
            return _record(_known(order, command.refund_id), command, policy)
        case _:
            assert_never(command)


def _known(order: Order, refund_id: UUID) -> Refund:
    if refund_id not in order.refunds:
        raise Rejected("unknown_refund", f"the order has no refund {refund_id}")
    return order.refunds[refund_id]


def _request(order: Order, command: RequestRefund) -> list[OrderEvent]:
    if command.refund_id in order.refunds:
        return []
    if command.amount < 0:
        raise Rejected("invalid_amount", "a refund is not negative")
    if command.method is not RefundMethod.ORIGINAL:
        raise Rejected("method_unavailable", "refunds go back the way the money came")
    pool = [c for c in order.captures.values() if not c.late]
    refundable = sum(_refundable(order, pool).values())
    if _exceeds_units(order, command.lines) or command.amount > refundable + order.in_flight:
        return [
            RefundFailed(
                refund_id=command.refund_id,
                amount=command.amount,
                code=RefundFailureCode.EXCEEDS_REFUNDABLE,
                retryable=False,
                attempt=1,
            )
        ]
    if command.amount > refundable:
        raise Rejected("capture_pending", "the money to pay back is still being captured: try again later")
    requested = RefundRequested(
        refund_id=command.refund_id,
        amount=command.amount,
        breakdown=command.breakdown,
        lines=command.lines,
        cause=command.cause,
        ref_id=command.ref_id,
        method=command.method,
        target_order_id=command.target_order_id,
        allocations=_allocate(order, command.amount, pool),
        attempt=1,
    )
    return [requested] if command.amount else [requested, _issued(requested, ())]


def _exceeds_units(order: Order, lines: Iterable[RefundLine]) -> bool:
    """Whether some line would pay back more units than left, or more removed ones than were removed."""
    back: dict[tuple[UUID, bool], int] = {}
    for line in lines:
        if line.kind is not RefundLineKind.GOODWILL:
            key = line.line_id, line.kind is RefundLineKind.REMOVED
            back[key] = back.get(key, 0) + line.quantity
        if line.quantity <= 0 or line.line_id not in order.lines:
            return True
    for (line_id, removed), quantity in back.items():
        entry = order.lines[line_id]
        if removed:
            cap = entry.ever_ordered - (0 if order.cancelled else entry.ordered)
            claimed = order.refunding(line_id, RefundLineKind.REMOVED)
        else:
            cap = entry.shipped
            claimed = order.refunding(line_id, RefundLineKind.RETURN, RefundLineKind.CLAIM)
        if claimed + quantity > cap:
            return True
    return False


def _retry(refund: Refund) -> list[OrderEvent]:
    if refund.status is RefundStatus.REQUESTED:
        return []
    if refund.status is RefundStatus.ISSUED or not refund.retryable:
        raise Rejected("refund_settled", "this refund is paid or given up: it cannot be tried again")
    assert refund.request is not None
    return [replace(refund.request, attempt=refund.attempt + 1)]


def _record(refund: Refund, command: RecordRefundResult, policy: OrderPolicy) -> list[OrderEvent]:
    """A success counts even after we gave up; a failure only for the try that is under way."""
    if command.ok:
        if refund.status is RefundStatus.ISSUED or refund.request is None:
            return []
        return [_issued(refund.request, command.provider_refs)]
    stale = command.attempt is not None and command.attempt != refund.attempt
    if refund.status is not RefundStatus.REQUESTED or stale:
        return []
    return [
        RefundFailed(
            refund_id=refund.refund_id,
            amount=refund.amount,
            code=command.code,
            retryable=refund.attempt < policy.max_refund_attempts,
            attempt=refund.attempt,
            paid=_paid(refund, command.provider_refs),
        )
    ]


def _paid(refund: Refund, provider_refs: tuple[str, ...]) -> tuple[PaidAllocation, ...]:
    """The parts that went back by now."""
    known = {part.capture_id: part for part in refund.paid}
    for part, ref in zip(refund.allocations, provider_refs, strict=False):
        if ref:
            known[part.capture_id] = PaidAllocation(
                capture_id=part.capture_id, provider_ref=ref, amount=part.amount
            )
    return tuple(known[part.capture_id] for part in refund.allocations if part.capture_id in known)


def _issued(refund: RefundRequested, provider_refs: tuple[str, ...]) -> RefundIssued:
    refs = provider_refs + ("",) * (len(refund.allocations) - len(provider_refs))
    return RefundIssued(
        refund_id=refund.refund_id,
        amount=refund.amount,
        breakdown=refund.breakdown,
        lines=refund.lines,
        cause=refund.cause,
        ref_id=refund.ref_id,
        method=refund.method,
        target_order_id=refund.target_order_id,
        allocations=tuple(
            PaidAllocation(capture_id=part.capture_id, provider_ref=ref, amount=part.amount)
            for part, ref in zip(refund.allocations, refs, strict=False)
        ),
    )


def cancellation_refund(order: Order) -> list[OrderEvent]:
    """What a cancellation pays back of the money captured for the order: all that is left of it."""
    pool = [c for c in order.captures.values() if not c.late]
    amount = sum(_refundable(order, pool).values())
    if not amount:
        return []
    removed = tuple(
        RefundLine(line_id=line_id, quantity=entry.ever_ordered, kind=RefundLineKind.REMOVED)
        for line_id, entry in order.lines.items()
    )
    refund_id = ids.refund_id(order.order_id, RefundCause.CANCEL, order.order_id, RefundMethod.ORIGINAL)
    return [
        RefundRequested(
            refund_id=refund_id,
            amount=amount,
            breakdown=_breakdown(order.totals, amount),
            lines=removed,
            cause=RefundCause.CANCEL,
            ref_id=order.order_id,
            allocations=_allocate(order, amount, pool),
            attempt=1,
        )
    ]


def excess_refund(order: Order) -> list[OrderEvent]:
    """What was taken beyond what an edited order costs, as far as no refund has a claim on it."""
    pool = [c for c in order.captures.values() if not c.late]
    amount = min(order.captured - order.totals.total, sum(_refundable(order, pool).values()))
    if order.edit is None or amount <= 0:
        return []
    edit_id = order.edit.edit_id
    earlier = sum(r.request is not None and r.request.ref_id == edit_id for r in order.refunds.values())
    cause = f"{RefundCause.EDIT} {earlier + 1}" if earlier else RefundCause.EDIT
    return [
        RefundRequested(
            refund_id=ids.refund_id(order.order_id, cause, edit_id, RefundMethod.ORIGINAL),
            amount=amount,
            breakdown=_breakdown(order.edit.before.totals, amount),
            cause=RefundCause.EDIT,
            ref_id=edit_id,
            allocations=_allocate(order, amount, pool),
            attempt=1,
        )
    ]


def late_refund(order: Order, capture_id: UUID, amount: int) -> RefundRequested:
    """The refund of money that was captured too late, whole and over that capture alone."""
    return RefundRequested(
        refund_id=ids.refund_id(order.order_id, RefundCause.LATE_PAYMENT, capture_id, RefundMethod.ORIGINAL),
        amount=amount,
        breakdown=_breakdown(order.totals, amount),
        cause=RefundCause.LATE_PAYMENT,
        ref_id=capture_id,
        allocations=(Allocation(capture_id=capture_id, amount=amount),),
        attempt=1,
    )


def _refundable(order: Order, pool: Iterable[Capture]) -> dict[UUID, int]:
    left = {c.capture_id: c.amount for c in pool if c.status is CaptureStatus.DONE}
    for refund in order.refunds.values():
        for part in refund.allocations:
            if part.capture_id in left:
                left[part.capture_id] -= part.amount
    return left


def _allocate(order: Order, amount: int, pool: Iterable[Capture]) -> tuple[Allocation, ...]:
    parts = []
    for capture_id, left in _refundable(order, pool).items():
        if part := min(left, amount):
            parts.append(Allocation(capture_id=capture_id, amount=part))
            amount -= part
    return tuple(parts)


def _breakdown(totals: Totals, amount: int) -> Breakdown:
    weights = [totals.items_net, totals.items_tax, totals.shipping_net, totals.shipping_tax]
    items_net, items_tax, shipping_net, shipping_tax = spread(amount, weights)
    return Breakdown(
        items_net=items_net,
        items_tax=items_tax,
        shipping_net=shipping_net,
        shipping_tax=shipping_tax,
        total=amount,
    )


def evolve(order: Order, event: RefundEvent, at: datetime) -> Order:
    """The order after a refund event."""
    known = order.refunds.get(event.refund_id)
    match event:
        case RefundRequested():
            refund = Refund(
                refund_id=event.refund_id,
                amount=event.amount,
                status=RefundStatus.REQUESTED,
                changed_at=at,
                attempt=event.attempt,
                request=event,
                paid=known.paid if known else (),
            )
        case RefundIssued():
            assert known is not None
            refund = replace(known, status=RefundStatus.ISSUED, changed_at=at, retryable=False)
            order = _units_refunded(order, event.lines)
        case RefundFailed():
            refund = Refund(
                refund_id=event.refund_id,
                amount=event.amount,
                status=RefundStatus.FAILED,
                changed_at=at,
                attempt=event.attempt,
                retryable=event.retryable,
                request=known.request if known else None,
                paid=event.paid,
            )
        case _:
            assert_never(event)
    return replace(order, refunds={**order.refunds, refund.refund_id: refund})


def _units_refunded(order: Order, lines: Iterable[RefundLine]) -> Order:
    entries = dict(order.lines)
    for line in lines:
        if line.kind in {RefundLineKind.RETURN, RefundLineKind.CLAIM}:
            entry = entries[line.line_id]
            entries[line.line_id] = replace(entry, refunded=entry.refunded + line.quantity)
    return replace(order, lines=entries)
