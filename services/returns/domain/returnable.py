"""What of an order can still come back and still be paid back: the private stream in which two returns meet.

It notes what the order's events said, which units a return claimed or gave back, what receipts were worth and
which refunds were granted, so that no unit is claimed and no money granted twice.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias, assert_never
from uuid import UUID

from services.returns.domain.amounts import (
    RefundTerms,
    UnitsBack,
    refund_for,
)
from services.returns.domain.facts import OrderFact, note
from services.returns.domain.policy import MERCHANTS_FAULT, money_in
from services.returns.domain.returnable_events import (
    GrantNoted,
    OrderedLine,
    ReceiptValued,
    ReturnableEvent,
    UnitsClaimed,
    UnitsGivenBack,
)
from services.returns.domain.returnable_state import Returnable, evolve
from shared.domain import Decider, Rejected, Sealed
from shared.events.common import Qty, RefundSource
from shared.events.returns import Exclusion, RequestedLine, ReturnPolicyAdopted


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteOrderFact:
    """What an event of orders said about this order; a fact, never refused."""

    order_id: UUID
    fact: OrderFact


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimUnits:
    """A return wants these units under the policy in force."""

    return_id: UUID
    lines: tuple[RequestedLine, ...]
    policy: ReturnPolicyAdopted
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveBackUnits:
    """A return no longer wants these units."""

    return_id: UUID
    lines: tuple[Qty, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueReceipt:
    """Units of a return came in and are to be paid back under the policy it was requested under."""

    return_id: UUID
    receipt_id: UUID
    back: tuple[UnitsBack, ...]
    policy: ReturnPolicyAdopted


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteGrant:
    """A refund of this order is proposed: for a valued receipt, or up to what is left as goodwill."""

    refund_id: UUID
    source: RefundSource
    source_id: UUID
    receipt_id: UUID | None
    amount: int
    note: Sealed | None = None


ReturnableCommand: TypeAlias = NoteOrderFact | ClaimUnits | GiveBackUnits | ValueReceipt | NoteGrant


def decide(state: Returnable | None, command: ReturnableCommand) -> list[ReturnableEvent]:
    """Refuses with not_delivered, period_ended, excluded, exceeds_returnable or exceeds_refundable."""
    match command:
        case NoteOrderFact():
            return note(state, command.fact)
        case ClaimUnits():
            return _claim(state, command)
        case GiveBackUnits():
            return _give_back(state, command)
        case ValueReceipt():
            return _value(state, command)
        case NoteGrant():
            return _grant(state, command)
        case _:
            assert_never(command)


def exclusion_of(line: OrderedLine, policy: ReturnPolicyAdopted) -> str | None:
    """The policy's exclusion that a line falls under: FINAL_SALE, CUSTOM, DIGITAL, its sku, or none."""
    traits = {
        Exclusion.FINAL_SALE: line.final_sale,
        Exclusion.CUSTOM: line.custom,
        Exclusion.DIGITAL: line.digital,
    }
    for exclusion in policy.exclusions:
        if exclusion == line.sku or any(name == exclusion and holds for name, holds in traits.items()):
            return str(exclusion)
    return None


def exclusions(
    state: Returnable | None, line_ids: Sequence[UUID], policy: ReturnPolicyAdopted
) -> frozenset[str]:
    """The policy's exclusions that any of these lines falls under; none: nobody needs to look."""
    lines = [state.lines[line_id].line for line_id in line_ids if line_id in state.lines] if state else []
    return frozenset(found for line in lines if (found := exclusion_of(line, policy)))


def _claim(state: Returnable | None, command: ClaimUnits) -> list[ReturnableEvent]:
    if state and command.return_id in state.claims:
        return []
    if state is None or state.cancelled:
        raise Rejected("not_delivered", "Nothing of this order was delivered.")
    wanted: Counter[UUID] = Counter()
    for line in command.lines:
        _check_line(state, line, command)
        wanted[line.line_id] += line.quantity
    for line_id, quantity in wanted.items():
        if quantity > state.returnable(line_id):
            raise Rejected(
                "exceeds_returnable",
                f"Only {state.returnable(line_id)} units of this line can be returned.",
                line_id=line_id,
                returnable=state.returnable(line_id),
            )
    return [UnitsClaimed(return_id=command.return_id, lines=_qtys(wanted))]


def _check_line(state: Returnable, wish: RequestedLine, command: ClaimUnits) -> None:
    line = state.lines.get(wish.line_id)
    if line is None or wish.quantity < 1:
        raise Rejected("exceeds_returnable", "Name lines of this order and at least one unit.", returnable=0)
    if line.delivered_at is None:
        raise Rejected(
            "not_delivered", "Wait until the goods have arrived; until then, cancel.", line_id=wish.line_id
        )
    until = line.delivered_at + timedelta(days=command.policy.window_days)
    if command.now > until:
        raise Rejected(
            "period_ended", f"The return period ended on {until:%Y-%m-%d}.", line_id=wish.line_id, until=until
        )
    exclusion = exclusion_of(line.line, command.policy)
    if exclusion and wish.reason not in MERCHANTS_FAULT:
        raise Rejected(
            "excluded",
            f"The policy takes no returns of this item ({exclusion}).",
            line_id=wish.line_id,
            exclusion=exclusion,
        )


def _give_back(state: Returnable | None, command: GiveBackUnits) -> list[ReturnableEvent]:
    held = state.claims.get(command.return_id, {}) if state else {}
    back: Counter[UUID] = Counter()
    for line in command.lines:
        back[line.line_id] += min(line.quantity, held.get(line.line_id, 0) - back[line.line_id])
    back = +back
    return [UnitsGivenBack(return_id=command.return_id, lines=_qtys(back))] if back else []


def _value(state: Returnable | None, command: ValueReceipt) -> list[ReturnableEvent]:
    if state is None:
        raise Rejected("exceeds_refundable", "This order is not known here.")
    if command.receipt_id in state.receipts or not command.back:
        return []
    policy = command.policy
    charged_before = any(receipt.return_id == command.return_id for receipt in state.receipts.values())
    breakdown = refund_for(
        state.priced(),
        state.shipping(),
        command.back,
        RefundTerms(
            refund_shipping=policy.refund_shipping,
            fee_bp=policy.restocking_fee_bp,
            flat_fee=0 if charged_before else money_in(policy.return_shipping_fee, state.currency),
        ),
        at_most=state.left(),
    )
    units: Counter[UUID] = Counter()
    for part in command.back:
        units[part.line_id] += part.quantity
    return [
        ReceiptValued(
            return_id=command.return_id,
            receipt_id=command.receipt_id,
            lines=_qtys(units),
            breakdown=breakdown,
        )
    ]


def _grant(state: Returnable | None, command: NoteGrant) -> list[ReturnableEvent]:
    if state and command.refund_id in state.grants:
        return []
    receipt = state.receipts.get(command.receipt_id) if state and command.receipt_id else None
    left = receipt.breakdown.total if receipt else state.left() if state and not command.receipt_id else 0
    if not 0 < command.amount <= left:
        raise Rejected("exceeds_refundable", f"At most {left} can be refunded.", refundable=left)
    return [
        GrantNoted(
            refund_id=command.refund_id,
            source=command.source,
            source_id=command.source_id,
            receipt_id=command.receipt_id,
            amount=command.amount,
            note=command.note,
        )
    ]


def _qtys(units: Mapping[UUID, int]) -> tuple[Qty, ...]:
    return tuple(Qty(line_id=line_id, quantity=quantity) for line_id, quantity in units.items())


RETURNABLE: Decider[Returnable, ReturnableCommand, ReturnableEvent] = Decider(
    category="returnable", decide=decide, evolve=evolve, public=False
)
