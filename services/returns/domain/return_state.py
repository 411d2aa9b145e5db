"""What a return adds up to: which of its units are approved, in the warehouse, missing or being inspected."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never
from uuid import UUID

from services.returns.domain.policy import MERCHANTS_FAULT
from shared.events.common import Qty
from shared.events.returns import (
    Disposition,
    ReturnApproved,
    ReturnClosed,
    ReturnDeclined,
    ReturnEvent,
    ReturnOutcome,
    ReturnReceived,
    ReturnRequested,
)

SILENCE = timedelta(days=7)
"""How long after answer_by an unanswered request is decided by the policy alone."""


class ReturnStatus(StrEnum):
    """Where a return stands."""

    REQUESTED = "REQUESTED"
    OPEN = "OPEN"
    DECLINED = "DECLINED"
    CANCELED = "CANCELED"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnLine:
    """Units of one order line: asked for, approved, in the warehouse (`came`) and declared missing."""

    line_id: UUID
    requested: int
    fault: bool
    approved: int = 0
    came: int = 0
    missing: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """`inspecting`: units per receipt and line that await their disposition."""

    order_id: UUID
    status: ReturnStatus
    lines: Mapping[UUID, ReturnLine]
    refundable: bool
    policy_version: int
    answer_by: datetime
    receive_by: datetime | None = None
    receipts: frozenset[UUID] = frozenset()
    inspecting: Mapping[UUID, Mapping[UUID, int]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Every approved unit came or is declared missing, and none awaits its disposition."""
        accounted = all(line.came + line.missing >= line.approved for line in self.lines.values())
        return self.status is ReturnStatus.OPEN and accounted and not self.inspecting

    def outstanding(self) -> tuple[Qty, ...]:
        """Requested units that did not come: what ending the return gives back."""
        return tuple(
            Qty(line_id=line.line_id, quantity=line.requested - line.came)
            for line in self.lines.values()
            if line.requested > line.came
        )


def evolve(state: Return | None, event: ReturnEvent, at: datetime) -> Return:
    """The stream opens with ReturnRequested."""
    if isinstance(event, ReturnRequested):
        return _requested(event)
    assert state is not None, f"{event} before ReturnRequested"
    match event:
        case ReturnApproved():
            approved = {line.line_id: line.quantity for line in event.lines}
            lines = {
                line.line_id: replace(line, approved=approved.get(line.line_id, 0))
                for line in state.lines.values()
            }
            return replace(state, status=ReturnStatus.OPEN, lines=lines, receive_by=event.receive_by)
        case ReturnDeclined():
            return replace(state, status=ReturnStatus.DECLINED)
        case ReturnReceived():
            return with_receipt(state, event)
        case ReturnClosed():
            completed = event.outcome is ReturnOutcome.COMPLETED
            return replace(state, status=ReturnStatus.CLOSED if completed else ReturnStatus.CANCELED)
        case _:
            assert_never(event)


def _requested(event: ReturnRequested) -> Return:
    units: Counter[UUID] = Counter()
    for line in event.lines:
        units[line.line_id] += line.quantity
    faulty = {line.line_id for line in event.lines if line.reason in MERCHANTS_FAULT}
    return Return(
        order_id=event.order_id,
        status=ReturnStatus.REQUESTED,
        lines={
            line_id: ReturnLine(line_id=line_id, requested=quantity, fault=line_id in faulty)
            for line_id, quantity in units.items()
        },
        refundable=event.refundable,
        policy_version=event.policy_version,
        answer_by=event.answer_by,
    )


def with_receipt(state: Return, event: ReturnReceived) -> Return:
    """The return after a receipt; its `complete` flag is not looked at."""
    lines, inspecting = dict(state.lines), dict(state.inspecting)
    awaiting: Counter[UUID] = Counter(inspecting.pop(event.resolves_receipt_id or event.receipt_id, {}))
    for scan in event.lines:
        line, quantity = lines[scan.line_id], scan.quantity
        if event.resolves_receipt_id:
            awaiting[scan.line_id] -= quantity
            continue
        if scan.disposition is Disposition.MISSING:
            lines[scan.line_id] = replace(
                line, missing=min(line.missing + quantity, line.approved - line.came)
            )
            continue
        came = line.came + quantity
        lines[scan.line_id] = replace(line, came=came, missing=min(line.missing, line.approved - came))
        if scan.disposition is Disposition.PROCESSING_REQUIRED:
            awaiting[scan.line_id] += quantity
    if awaiting := +awaiting:
        inspecting[event.resolves_receipt_id or event.receipt_id] = dict(awaiting)
    return replace(state, lines=lines, inspecting=inspecting, receipts=state.receipts | {event.receipt_id})


def deadlines(state: Return) -> Mapping[str, datetime]:
    """`silence`: an unanswered request is decided by the policy; `receive_by`: nothing more is awaited."""
    match state.status:
        case ReturnStatus.REQUESTED:
            return {"silence": state.answer_by + SILENCE}
        case ReturnStatus.OPEN if state.receive_by:
            return {"receive_by": state.receive_by}
        case _:
            return {}
