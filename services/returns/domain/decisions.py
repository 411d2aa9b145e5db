"""Decisions that span two streams: a return or a refund together with what its order can still give.

Each gives (stream id, event) pairs for one transaction; the aggregates' own deciders say yes or no.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from services.returns.domain import returnable as order_side
from services.returns.domain.amounts import UnitsBack, goodwill, with_deduction
from services.returns.domain.policy import ReturnPolicy
from services.returns.domain.refund import REFUND_GRANT, ProposeRefund, RefundGrant
from services.returns.domain.return_state import Return, deadlines
from services.returns.domain.returnable import RETURNABLE, ClaimUnits, GiveBackUnits, NoteGrant, ValueReceipt
from services.returns.domain.returnable_events import ReturnableEvent
from services.returns.domain.returnable_state import Returnable
from services.returns.domain.returns import (
    RETURN,
    ApproveReturn,
    CloseReturn,
    DeclineReturn,
    ReceiveReturn,
    RequestReturn,
    ReturnCommand,
)
from shared.domain import Rejected, Sealed, ids
from shared.events.common import RefundLine, RefundLineKind, RefundMethod, RefundSource
from shared.events.returns import (
    DeclineReason,
    Disposition,
    Exclusion,
    RefundEvent,
    ReturnClosed,
    ReturnDeclined,
    ReturnEvent,
    ReturnReceived,
)

Decided: TypeAlias = list[tuple[str, ReturnEvent | RefundEvent | ReturnableEvent]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposeReturnRefund:
    """Propose what a receipt was worth when it came in, less `deduction` (minor units)."""

    order_id: UUID
    return_id: UUID
    receipt_id: UUID
    deduction: int = 0
    proposed_by: UUID | None = None
    policy: ReturnPolicy
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposeGoodwill:
    """An operator wants to pay `amount` of an order back without goods; `case_id` tells cases apart."""

    order_id: UUID
    case_id: UUID
    amount: int
    note: Sealed | None = None
    proposed_by: UUID
    policy: ReturnPolicy
    now: datetime


def refund_id(command: ProposeReturnRefund | ProposeGoodwill) -> UUID:
    """The refund that a proposal is about: one per receipt or goodwill case."""
    match command:
        case ProposeReturnRefund():
            return ids.refund_id(
                command.order_id, RefundSource.RETURN, command.receipt_id, RefundMethod.ORIGINAL
            )
        case ProposeGoodwill():
            return ids.refund_id(
                command.order_id, RefundSource.GOODWILL, command.case_id, RefundMethod.ORIGINAL
            )


def decide_return(returnable: Returnable | None, state: Return | None, command: ReturnCommand) -> Decided:
    """A return's command on both streams; refuses as Return and Returnable refuse."""
    order_id = command.order_id if isinstance(command, RequestReturn) else state.order_id if state else None
    command = _completed(returnable, state, command)
    if isinstance(command, RequestReturn) and state is None:
        claim = ClaimUnits(
            return_id=command.return_id, lines=command.lines, policy=command.policy.current, now=command.now
        )
        noted = list(RETURNABLE.decide(returnable, claim))
        decided = list(RETURN.decide(state, command))
    else:
        decided = list(RETURN.decide(state, command))
        noted = [note for event in decided for note in _noted(returnable, state, command, event)]
    return [
        *((RETURN.stream(command.return_id), event) for event in decided),
        *((RETURNABLE.stream(order_id), event) for event in noted),
    ]


def _completed(returnable: Returnable | None, state: Return | None, command: ReturnCommand) -> ReturnCommand:
    """The command with what only Returnable knows."""
    match command:
        case RequestReturn():
            line_ids = [line.line_id for line in command.lines]
            fine = not order_side.exclusions(returnable, line_ids, command.policy.current)
            return replace(command, auto_approve=command.auto_approve and fine)
        case ReceiveReturn() if returnable:
            known = returnable.lines
            lines = tuple(
                replace(line, sku=known[line.line_id].line.sku) if line.line_id in known else line
                for line in command.lines
            )
            return replace(command, lines=lines)
        case CloseReturn() if returnable:
            return replace(command, settled=returnable.settled(command.return_id))
        case _:
            return command


def _noted(
    returnable: Returnable | None, state: Return | None, command: ReturnCommand, event: ReturnEvent
) -> list[ReturnableEvent]:
    """What an event of a return means for its order's units and money."""
    assert state is not None
    match event:
        case ReturnDeclined() | ReturnClosed():
            give_back = GiveBackUnits(return_id=command.return_id, lines=state.outstanding())
            return list(RETURNABLE.decide(returnable, give_back))
        case ReturnReceived() if isinstance(command, ReceiveReturn) and state.refundable:
            back = tuple(
                UnitsBack(line_id=line.line_id, quantity=line.quantity, fault=state.lines[line.line_id].fault)
                for line in event.lines
                if line.disposition in {Disposition.RESTOCKED, Disposition.NOT_RESTOCKED}
            )
            value = ValueReceipt(
                return_id=command.return_id,
                receipt_id=event.receipt_id,
                back=back,
                policy=command.policy.version(state.policy_version),
            )
            return list(RETURNABLE.decide(returnable, value))
        case _:
            return []


def decide_refund(
    returnable: Returnable | None,
    grant: RefundGrant | None,
    command: ProposeReturnRefund | ProposeGoodwill,
) -> Decided:
    """A proposal on both streams; nothing for a receipt worth nothing.

    Refuses with exceeds_refundable, already_proposed.
    """
    if returnable is None:
        raise Rejected("exceeds_refundable", "Nothing is known of this order.", refundable=0)
    match command:
        case ProposeReturnRefund():
            proposal = _for_receipt(returnable, command)
        case ProposeGoodwill():
            proposal = _for_goodwill(returnable, command)
    if proposal is None:
        return []
    decided = REFUND_GRANT.decide(grant, proposal)
    note = NoteGrant(
        refund_id=proposal.refund_id,
        source=proposal.source,
        source_id=proposal.source_id,
        receipt_id=proposal.receipt_id,
        amount=proposal.breakdown.total,
        note=command.note if isinstance(command, ProposeGoodwill) else None,
    )
    return [
        *((REFUND_GRANT.stream(proposal.refund_id), event) for event in decided),
        *((RETURNABLE.stream(command.order_id), event) for event in RETURNABLE.decide(returnable, note)),
    ]


def _for_receipt(returnable: Returnable, command: ProposeReturnRefund) -> ProposeRefund | None:
    receipt = returnable.receipts.get(command.receipt_id)
    if receipt is None or receipt.breakdown.total == 0:
        return None
    try:
        breakdown = with_deduction(receipt.breakdown, command.deduction)
    except ValueError:
        raise Rejected(
            "exceeds_refundable",
            "The deduction is more than the goods were paid.",
            refundable=receipt.breakdown.total,
        ) from None
    return ProposeRefund(
        refund_id=refund_id(command),
        order_id=command.order_id,
        source=RefundSource.RETURN,
        source_id=receipt.return_id,
        receipt_id=command.receipt_id,
        currency=returnable.currency,
        breakdown=breakdown,
        lines=tuple(
            RefundLine(line_id=line.line_id, quantity=line.quantity, kind=RefundLineKind.RETURN)
            for line in receipt.lines
        ),
        proposed_by=command.proposed_by,
        policy=command.policy.current,
        now=command.now,
    )


def _for_goodwill(returnable: Returnable, command: ProposeGoodwill) -> ProposeRefund:
    known = refund_id(command) in returnable.grants
    if not known and not 0 < command.amount <= returnable.left():
        raise Rejected(
            "exceeds_refundable",
            f"At most {returnable.left()} of this order can be refunded.",
            refundable=returnable.left(),
        )
    paid, tax_paid = returnable.paid()
    return ProposeRefund(
        refund_id=refund_id(command),
        order_id=command.order_id,
        source=RefundSource.GOODWILL,
        source_id=command.case_id,
        receipt_id=None,
        currency=returnable.currency,
        breakdown=goodwill(command.amount, paid, tax_paid),
        lines=(),
        proposed_by=command.proposed_by,
        policy=command.policy.current,
        now=command.now,
    )


def on_deadline(
    return_id: UUID,
    state: Return | None,
    returnable: Returnable | None,
    timer: str,
    *,
    now: datetime,
    policy: ReturnPolicy,
) -> ApproveReturn | DeclineReturn | CloseReturn | None:
    """What a return's timer asks for; None if it came too early or the state no longer waits.

    Silence favours the customer: approved unless an exclusion of the policy it was requested under stands
    against it.
    """
    due = deadlines(state).get(timer) if state else None
    if state is None or due is None or now < due:
        return None
    if timer == "receive_by":
        return CloseReturn(return_id=return_id, now=now)
    terms = policy.version(state.policy_version)
    exclusions = order_side.exclusions(returnable, tuple(state.lines), terms)
    if not exclusions:
        return ApproveReturn(return_id=return_id, policy=policy, now=now)
    final_sale = Exclusion.FINAL_SALE in exclusions
    return DeclineReturn(
        return_id=return_id, reason=DeclineReason.FINAL_SALE if final_sale else DeclineReason.OTHER
    )
