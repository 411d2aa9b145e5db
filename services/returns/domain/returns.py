"""A return: asked for, approved or declined, received in one or more receipts, closed.

Which units are free to come back and what they are worth is Returnable's to say; `decisions` joins the two.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias, assert_never
from uuid import UUID

from services.returns.domain.policy import ReturnPolicy
from services.returns.domain.return_state import Return, ReturnStatus, deadlines, evolve, with_receipt
from shared.domain import Decider, Rejected, Sealed
from shared.events.common import Qty
from shared.events.returns import (
    DeclineReason,
    Disposition,
    ReceivedLine,
    RequestedLine,
    ReturnApproved,
    ReturnClosed,
    ReturnDeclined,
    ReturnEvent,
    ReturnOrigin,
    ReturnOutcome,
    ReturnReceived,
    ReturnRequested,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReturn:
    """Ask to send units back. `auto_approve`: nobody needs to look if the policy has nothing against it."""

    return_id: UUID
    order_id: UUID
    lines: tuple[RequestedLine, ...]
    origin: ReturnOrigin
    policy: ReturnPolicy
    auto_approve: bool
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproveReturn:
    """Let the requested units come."""

    return_id: UUID
    policy: ReturnPolicy
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclineReturn:
    """Refuse the requested units, with a word to the customer."""

    return_id: UUID
    reason: DeclineReason
    note: Sealed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelReturn:
    """Call the return off before anything came."""

    return_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveReturn:
    """The warehouse scanned goods. `decide_return` puts the order's own skus into `lines`, so they may be
    left empty; `resolves` names the receipt whose units only now get their disposition."""

    return_id: UUID
    receipt_id: UUID
    location_id: UUID
    lines: tuple[ReceivedLine, ...]
    resolves: UUID | None = None
    policy: ReturnPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseReturn:
    """End the return if nothing is awaited any more: all received and `settled`, or receive_by has passed."""

    return_id: UUID
    settled: bool = False
    now: datetime


ReturnCommand: TypeAlias = (
    RequestReturn | ApproveReturn | DeclineReturn | CancelReturn | ReceiveReturn | CloseReturn
)


def decide(state: Return | None, command: ReturnCommand) -> list[ReturnEvent]:
    """Refuses with not_requested, already_received, exceeds_approved or unknown_return."""
    if isinstance(command, RequestReturn):
        return [] if state else _request(command)
    if state is None:
        raise Rejected("unknown_return", "There is no such return.")
    match command:
        case ApproveReturn():
            if state.status is ReturnStatus.REQUESTED:
                lines = tuple(
                    Qty(line_id=line.line_id, quantity=line.requested) for line in state.lines.values()
                )
                return [_approved(state.order_id, lines, command.policy, state.policy_version, command.now)]
            return _unless(state, ReturnStatus.OPEN, "Only a requested return is approved.")
        case DeclineReturn():
            if state.status is ReturnStatus.REQUESTED:
                return [ReturnDeclined(order_id=state.order_id, reason=command.reason, note=command.note)]
            return _unless(state, ReturnStatus.DECLINED, "Only a requested return is declined.")
        case CancelReturn():
            return _cancel(state)
        case ReceiveReturn():
            return _receive(state, command)
        case CloseReturn():
            return _close(state, command)
        case _:
            assert_never(command)


def _request(command: RequestReturn) -> list[ReturnEvent]:
    policy = command.policy.current
    requested = ReturnRequested(
        order_id=command.order_id,
        origin=command.origin,
        lines=command.lines,
        policy_version=policy.policy_version,
        answer_by=command.now + timedelta(days=policy.answer_days),
    )
    if not command.auto_approve:
        return [requested]
    lines = tuple(Qty(line_id=line.line_id, quantity=line.quantity) for line in command.lines)
    return [
        requested,
        _approved(command.order_id, lines, command.policy, policy.policy_version, command.now),
    ]


def _approved(
    order_id: UUID, lines: tuple[Qty, ...], policy: ReturnPolicy, version: int, now: datetime
) -> ReturnApproved:
    terms = policy.version(version)
    return ReturnApproved(
        order_id=order_id,
        lines=lines,
        instructions_ref=f"return-policy/{version}",
        ship_by=now + timedelta(days=terms.ship_days),
        receive_by=now + timedelta(days=terms.receive_days),
    )


def _unless(state: Return, there: ReturnStatus, detail: str) -> list[ReturnEvent]:
    if state.status is there:
        return []
    raise Rejected("not_requested", detail, status=state.status)


def _cancel(state: Return) -> list[ReturnEvent]:
    if state.status is ReturnStatus.CANCELED:
        return []
    if state.status is ReturnStatus.DECLINED:
        raise Rejected("not_requested", "This return was declined.", status=state.status)
    if state.receipts:
        raise Rejected(
            "already_received", "Goods of this return have come in; it can no longer be cancelled."
        )
    return [ReturnClosed(order_id=state.order_id, outcome=ReturnOutcome.CANCELED)]


def _receive(state: Return, command: ReceiveReturn) -> list[ReturnEvent]:
    if command.receipt_id in state.receipts:
        return []
    allowed = _inspected(state, command.resolves) if command.resolves else _awaited(state)
    scanned: Counter[UUID] = Counter()
    for line in command.lines:
        scanned[line.line_id] += line.quantity
        final = line.disposition is not Disposition.PROCESSING_REQUIRED or command.resolves is None
        if line.quantity < 1 or scanned[line.line_id] > allowed.get(line.line_id, 0) or not final:
            raise Rejected(
                "exceeds_approved",
                f"At most {allowed.get(line.line_id, 0)} units of this line are awaited here.",
                line_id=line.line_id,
                awaited=allowed.get(line.line_id, 0),
            )
    received = ReturnReceived(
        order_id=state.order_id,
        receipt_id=command.receipt_id,
        location_id=command.location_id,
        lines=command.lines,
        resolves_receipt_id=command.resolves,
        complete=False,
    )
    return [replace(received, complete=with_receipt(state, received).complete)]


def _awaited(state: Return) -> Mapping[UUID, int]:
    if state.status is not ReturnStatus.OPEN:
        return {}
    return {line.line_id: line.approved - line.came for line in state.lines.values()}


def _inspected(state: Return, receipt_id: UUID) -> Mapping[UUID, int]:
    return state.inspecting.get(receipt_id, {})


def _close(state: Return, command: CloseReturn) -> list[ReturnEvent]:
    if state.status is not ReturnStatus.OPEN:
        return []
    overdue = state.receive_by is not None and command.now >= state.receive_by
    if not overdue and not (state.complete and command.settled):
        return []
    came = any(line.came for line in state.lines.values())
    outcome = ReturnOutcome.COMPLETED if came or state.complete else ReturnOutcome.EXPIRED
    return [ReturnClosed(order_id=state.order_id, outcome=outcome)]


RETURN: Decider[Return, ReturnCommand, ReturnEvent] = Decider(
    category="return", decide=decide, evolve=evolve, deadlines=deadlines
)
