"""A granted refund: proposed for a receipt or as goodwill, approved by as many people as its amount asks for.

Granted is not paid: orders pays RefundApproved and answers with RefundIssued or RefundFailed.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias, assert_never
from uuid import UUID

from services.returns.domain.policy import money_in
from shared.domain import Decider, Rejected
from shared.events.common import Breakdown, RefundLine, RefundMethod, RefundSource
from shared.events.returns import RefundApproved, RefundEvent, RefundProposed, ReturnPolicyAdopted


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundGrant:
    """The first proposal, the people behind it (a proposing person included), and whether it is granted."""

    proposal: RefundProposed
    approved_by: tuple[UUID, ...] = ()
    approved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposeRefund:
    """Propose exactly this refund; `proposed_by` None is the system. `decisions` fills the amounts in."""

    refund_id: UUID
    order_id: UUID
    source: RefundSource
    source_id: UUID
    receipt_id: UUID | None
    currency: str
    breakdown: Breakdown
    lines: tuple[RefundLine, ...]
    method: RefundMethod = RefundMethod.ORIGINAL
    proposed_by: UUID | None
    policy: ReturnPolicyAdopted
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproveRefund:
    """A person stands behind a proposed refund."""

    refund_id: UUID
    approver: UUID


RefundCommand: TypeAlias = ProposeRefund | ApproveRefund


def decide(state: RefundGrant | None, command: RefundCommand) -> list[RefundEvent]:
    """Refuses with exceeds_refundable, already_proposed, same_approver or not_proposed."""
    match command:
        case ProposeRefund():
            return _propose(state, command)
        case ApproveRefund():
            return _approve(state, command)
        case _:
            assert_never(command)


def _propose(state: RefundGrant | None, command: ProposeRefund) -> list[RefundEvent]:
    if state:
        same = (state.proposal.source_id, state.proposal.amount) == (
            command.source_id,
            command.breakdown.total,
        )
        if same:
            return []
        raise Rejected("already_proposed", "This refund was proposed with another amount.")
    if command.breakdown.total < 1:
        raise Rejected("exceeds_refundable", "There is nothing to refund.", refundable=0)
    policy = command.policy
    small = command.breakdown.total <= money_in(policy.dual_control_above, command.currency)
    by_itself = small and command.proposed_by is None and policy.auto_refund
    proposal = RefundProposed(
        order_id=command.order_id,
        source=command.source,
        source_id=command.source_id,
        receipt_id=command.receipt_id,
        amount=command.breakdown.total,
        currency=command.currency,
        breakdown=command.breakdown,
        lines=command.lines,
        method=command.method,
        approvals_needed=0 if by_itself else 1 if small else 2,
        proposed_by=command.proposed_by,
        decide_by=command.now + timedelta(days=max(0, policy.refund_days - 2)),
    )
    approvers = (command.proposed_by,) if command.proposed_by else ()
    if len(approvers) >= proposal.approvals_needed:
        return [proposal, _granted(proposal, approvers)]
    return [proposal]


def _approve(state: RefundGrant | None, command: ApproveRefund) -> list[RefundEvent]:
    if state is None:
        raise Rejected("not_proposed", "There is no such refund to approve.")
    if state.approved:
        return []
    proposal = state.proposal
    if command.approver == proposal.proposed_by:
        raise Rejected("same_approver", "Somebody other than the proposer has to approve this refund.")
    if command.approver in state.approved_by:
        return []
    approvers = (*state.approved_by, command.approver)
    if len(approvers) >= proposal.approvals_needed:
        return [_granted(proposal, approvers)]
    return [replace(proposal, proposed_by=command.approver)]


def _granted(proposal: RefundProposed, approvers: tuple[UUID, ...]) -> RefundApproved:
    return RefundApproved(
        order_id=proposal.order_id,
        source=proposal.source,
        source_id=proposal.source_id,
        amount=proposal.amount,
        currency=proposal.currency,
        breakdown=proposal.breakdown,
        lines=proposal.lines,
        method=proposal.method,
        target_order_id=proposal.target_order_id,
        approved_by=approvers,
    )


def evolve(state: RefundGrant | None, event: RefundEvent, at: datetime) -> RefundGrant:
    """A repeated RefundProposed adds the person who stands behind the system's proposal."""
    match event:
        case RefundProposed():
            people = (event.proposed_by,) if event.proposed_by else ()
            if state is None:
                return RefundGrant(proposal=event, approved_by=people)
            return replace(state, approved_by=(*state.approved_by, *people))
        case RefundApproved():
            assert state is not None, "RefundApproved before RefundProposed"
            return replace(state, approved=True, approved_by=event.approved_by)
        case _:
            assert_never(event)


REFUND_GRANT: Decider[RefundGrant, RefundCommand, RefundEvent] = Decider(
    category="refundgrant", decide=decide, evolve=evolve
)
