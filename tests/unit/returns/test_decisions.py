"""Decisions over two streams: what a return or a refund does to its order, in one transaction."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from services.returns.domain.decisions import (
    Decided,
    ProposeGoodwill,
    ProposeReturnRefund,
    decide_refund,
    decide_return,
    on_deadline,
    refund_id,
)
from services.returns.domain.refund import REFUND_GRANT
from services.returns.domain.returnable import RETURNABLE, NoteOrderFact
from services.returns.domain.returnable_events import (
    GrantNoted,
    GrantPaid,
    ReceiptValued,
    UnitsClaimed,
    UnitsGivenBack,
)
from services.returns.domain.returns import (
    RETURN,
    ApproveReturn,
    CancelReturn,
    CloseReturn,
    DeclineReturn,
    ReceiveReturn,
    RequestReturn,
)
from shared.domain import Rejected, Sealed, category_of
from shared.domain.ids import derive
from shared.events.common import Qty, RefundSource
from shared.events.orders import RefundCause, RefundIssued
from shared.events.returns import (
    DeclineReason,
    Disposition,
    ReceivedLine,
    RefundApproved,
    RefundProposed,
    ReturnApproved,
    ReturnClosed,
    ReturnDeclined,
    ReturnOrigin,
    ReturnOutcome,
    ReturnReason,
    ReturnReceived,
    ReturnRequested,
)
from shared.testing.scenario import NOW
from tests.unit.returns.samples import (
    ANNA,
    DELIVERED,
    LAMP,
    LOCATION,
    MUGS,
    ORDER,
    OTHER_RETURN,
    POLICY,
    RECEIPT,
    RETURN_ID,
    SECOND_RECEIPT,
    STRICT,
    scan,
    wish,
)

DECIDERS: dict[str, Any] = {decider.category: decider for decider in (RETURN, RETURNABLE, REFUND_GRANT)}
RETURN_STREAM, ORDER_STREAM = RETURN.stream(RETURN_ID), RETURNABLE.stream(ORDER)
CASE = derive("test", "goodwill case")


class World:
    """The streams of one order, folded as they are written."""

    def __init__(self) -> None:
        self.states: dict[str, Any] = {}
        self.write([(ORDER_STREAM, event) for event in DELIVERED])

    def write(self, decided: Decided) -> list[object]:
        for stream, event in decided:
            decider = DECIDERS[category_of(stream)]
            self.states[stream] = decider.evolve(self.states.get(stream), event, NOW)
        return [event for _, event in decided]

    def of_return(self, command: Any) -> list[object]:
        """Decide a return's command, write it, and see that repeating it gives nothing."""
        stream = RETURN.stream(command.return_id)
        events = self.write(decide_return(self.states.get(ORDER_STREAM), self.states.get(stream), command))
        assert decide_return(self.states.get(ORDER_STREAM), self.states.get(stream), command) == []
        return events

    def of_refund(self, command: ProposeReturnRefund | ProposeGoodwill) -> list[object]:
        stream = REFUND_GRANT.stream(refund_id(command))
        events = self.write(decide_refund(self.states.get(ORDER_STREAM), self.states.get(stream), command))
        assert decide_refund(self.states.get(ORDER_STREAM), self.states.get(stream), command) == []
        return events

    def paid(self, refund: UUID) -> list[object]:
        """Orders says that it paid a refund."""
        grant = self.states[REFUND_GRANT.stream(refund)].proposal
        fact = RefundIssued(
            refund_id=refund,
            amount=grant.amount,
            breakdown=grant.breakdown,
            cause=RefundCause.RETURN,
            ref_id=grant.source_id,
            allocations=(),
        )
        noted = RETURNABLE.decide(self.states[ORDER_STREAM], NoteOrderFact(order_id=ORDER, fact=fact))
        return self.write([(ORDER_STREAM, event) for event in noted])


def request(*lines: Any, return_id: UUID = RETURN_ID, auto: bool = True) -> RequestReturn:
    return RequestReturn(
        return_id=return_id,
        order_id=ORDER,
        lines=lines or (wish(),),
        origin=ReturnOrigin.CUSTOMER,
        policy=POLICY,
        auto_approve=auto,
        now=NOW,
    )


def receive(*lines: ReceivedLine, receipt: UUID = RECEIPT, resolves: UUID | None = None) -> ReceiveReturn:
    return ReceiveReturn(
        return_id=RETURN_ID,
        receipt_id=receipt,
        location_id=LOCATION,
        lines=lines,
        resolves=resolves,
        policy=POLICY,
    )


CLOSE = CloseReturn(return_id=RETURN_ID, now=NOW)
REFUND = ProposeReturnRefund(order_id=ORDER, return_id=RETURN_ID, receipt_id=RECEIPT, policy=POLICY, now=NOW)
GOODWILL = ProposeGoodwill(
    order_id=ORDER,
    case_id=CASE,
    amount=500,
    note=Sealed("v1.note"),
    proposed_by=ANNA,
    policy=POLICY,
    now=NOW,
)


def kinds(events: list[object]) -> list[type]:
    return [type(event) for event in events]


def test_a_return_from_request_to_paid_refund() -> None:
    world = World()
    assert kinds(world.of_return(request())) == [ReturnRequested, ReturnApproved, UnitsClaimed]
    received, valued = world.of_return(receive(scan(sku="")))
    assert isinstance(received, ReturnReceived)
    assert isinstance(valued, ReceiptValued)
    assert received.lines == (scan(sku="MUG"),)
    assert received.complete
    assert world.of_return(CLOSE) == []
    proposed, approved, noted = world.of_refund(REFUND)
    assert isinstance(proposed, RefundProposed)
    assert (proposed.amount, proposed.source_id, proposed.receipt_id) == (666, RETURN_ID, RECEIPT)
    assert kinds([approved, noted]) == [RefundApproved, GrantNoted]
    assert world.of_return(CLOSE) == []
    assert kinds(world.paid(refund_id(REFUND))) == [GrantPaid]
    assert world.of_return(CLOSE) == [ReturnClosed(order_id=ORDER, outcome=ReturnOutcome.COMPLETED)]


def test_two_returns_never_hold_one_unit() -> None:
    world = World()
    world.of_return(request())
    with pytest.raises(Rejected) as refusal:
        world.of_return(request(return_id=OTHER_RETURN))
    assert refusal.value.code == "exceeds_returnable"
    world.of_return(CancelReturn(return_id=RETURN_ID))
    assert kinds(world.of_return(request(return_id=OTHER_RETURN))) == [
        ReturnRequested,
        ReturnApproved,
        UnitsClaimed,
    ]


def test_every_way_a_return_ends_gives_back_what_did_not_come() -> None:
    back = UnitsGivenBack(return_id=RETURN_ID, lines=(Qty(line_id=MUGS, quantity=2),))
    declined = DeclineReturn(return_id=RETURN_ID, reason=DeclineReason.OTHER)
    world = World()
    world.of_return(request(auto=False))
    assert world.of_return(declined) == [ReturnDeclined(order_id=ORDER, reason=DeclineReason.OTHER), back]
    world = World()
    world.of_return(request())
    late = replace(CLOSE, now=NOW + timedelta(days=30))
    assert world.of_return(late) == [ReturnClosed(order_id=ORDER, outcome=ReturnOutcome.EXPIRED), back]
    world = World()
    world.of_return(request())
    world.of_return(receive(scan(quantity=1)))
    assert world.of_return(late) == [
        ReturnClosed(order_id=ORDER, outcome=ReturnOutcome.COMPLETED),
        replace(back, lines=(Qty(line_id=MUGS, quantity=1),)),
    ]


def test_missing_goods_are_worth_nothing_and_the_return_ends() -> None:
    world = World()
    world.of_return(request())
    assert kinds(world.of_return(receive(scan(disposition=Disposition.MISSING)))) == [ReturnReceived]
    assert world.of_refund(REFUND) == []
    assert kinds(world.of_return(CLOSE)) == [ReturnClosed, UnitsGivenBack]


def test_goods_under_inspection_are_refunded_when_it_is_over() -> None:
    world = World()
    world.of_return(request())
    inspected = receive(scan(disposition=Disposition.PROCESSING_REQUIRED))
    assert kinds(world.of_return(inspected)) == [ReturnReceived]
    verdict = receive(scan(disposition=Disposition.NOT_RESTOCKED), receipt=SECOND_RECEIPT, resolves=RECEIPT)
    assert kinds(world.of_return(verdict)) == [ReturnReceived, ReceiptValued]
    assert kinds(world.of_refund(replace(REFUND, receipt_id=SECOND_RECEIPT)))[0] is RefundProposed


def test_a_return_that_a_claim_already_pays_is_worth_nothing() -> None:
    world = World()
    world.of_return(request())
    world.states[RETURN_STREAM] = replace(world.states[RETURN_STREAM], refundable=False)
    assert kinds(world.of_return(receive(scan()))) == [ReturnReceived]
    assert kinds(world.of_return(CLOSE)) == [ReturnClosed]


def test_excluded_goods_that_came_broken_wait_for_a_person() -> None:
    world = World()
    broken = request(wish(LAMP, 1, ReturnReason.DEFECTIVE))
    assert kinds(world.of_return(broken)) == [ReturnRequested, UnitsClaimed]


def test_a_refund_is_frozen_when_the_goods_come_in() -> None:
    world = World()
    world.of_return(request())
    world.of_return(receive(scan()))
    world.of_refund(replace(GOODWILL, amount=4480 - 666, case_id=LOCATION))
    with pytest.raises(Rejected) as refusal:
        world.of_refund(replace(GOODWILL, amount=1))
    assert (refusal.value.code, refusal.value.extra) == ("exceeds_refundable", {"refundable": 0})
    [proposed, *_] = world.of_refund(REFUND)
    assert isinstance(proposed, RefundProposed)
    assert proposed.amount == 666


def test_goodwill_is_granted_within_what_the_order_paid() -> None:
    world = World()
    proposed, approved, noted = world.of_refund(GOODWILL)
    assert kinds([proposed, approved]) == [RefundProposed, RefundApproved]
    assert noted == GrantNoted(
        refund_id=refund_id(GOODWILL),
        source=RefundSource.GOODWILL,
        source_id=CASE,
        receipt_id=None,
        amount=500,
        note=Sealed("v1.note"),
    )
    with pytest.raises(Rejected) as refusal:
        world.of_refund(replace(GOODWILL, amount=400))
    assert refusal.value.code == "already_proposed"
    for amount in (3981, 0, -1):
        with pytest.raises(Rejected) as refusal:
            world.of_refund(replace(GOODWILL, case_id=LOCATION, amount=amount))
        assert refusal.value.code == "exceeds_refundable"
    assert kinds(world.of_refund(replace(GOODWILL, case_id=LOCATION, amount=3980)))[0] is RefundProposed


def test_a_deduction_lowers_the_grant_but_not_below_nothing() -> None:
    world = World()
    world.of_return(request())
    world.of_return(receive(scan()))
    with pytest.raises(Rejected) as refusal:
        world.of_refund(replace(REFUND, deduction=667))
    assert refusal.value.code == "exceeds_refundable"
    [proposed, *_] = world.of_refund(replace(REFUND, deduction=66, proposed_by=ANNA))
    assert isinstance(proposed, RefundProposed)
    assert (proposed.amount, proposed.breakdown.deduction) == (600, 66)
    with pytest.raises(Rejected) as refusal:
        world.of_refund(REFUND)
    assert refusal.value.code == "already_proposed"
    assert world.states[ORDER_STREAM].left() == 4480 - 600


def test_nothing_is_refunded_of_an_order_that_nobody_knows() -> None:
    with pytest.raises(Rejected) as refusal:
        decide_refund(None, None, GOODWILL)
    assert refusal.value.code == "exceeds_refundable"
    with pytest.raises(Rejected) as refusal:
        decide_return(None, None, request())
    assert refusal.value.code == "not_delivered"
    with pytest.raises(Rejected) as refusal:
        decide_return(None, None, CLOSE)
    assert refusal.value.code == "unknown_return"


def test_silence_favours_the_customer_unless_the_policy_stands_against_it() -> None:
    def silence(*lines: Any, policy: Any = POLICY, early: bool = False) -> object:
        world = World()
        world.of_return(request(*lines, auto=False))
        now = NOW + timedelta(days=10) - timedelta(seconds=early)
        return on_deadline(
            RETURN_ID,
            world.states[RETURN_STREAM],
            world.states[ORDER_STREAM],
            "silence",
            now=now,
            policy=policy,
        )

    now = NOW + timedelta(days=10)
    assert silence() == ApproveReturn(return_id=RETURN_ID, policy=POLICY, now=now)
    assert silence(wish(LAMP, 1, ReturnReason.DEFECTIVE)) == DeclineReturn(
        return_id=RETURN_ID, reason=DeclineReason.FINAL_SALE
    )
    assert silence(policy=STRICT) == DeclineReturn(return_id=RETURN_ID, reason=DeclineReason.OTHER)
    assert silence(early=True) is None


def test_a_late_timer_is_harmless() -> None:
    world = World()
    world.of_return(request())
    late = NOW + timedelta(days=60)

    def fire(timer: str) -> object:
        return on_deadline(
            RETURN_ID,
            world.states.get(RETURN_STREAM),
            world.states[ORDER_STREAM],
            timer,
            now=late,
            policy=POLICY,
        )

    assert fire("silence") is None
    assert fire("receive_by") == CloseReturn(return_id=RETURN_ID, now=late)
    world.of_return(CancelReturn(return_id=RETURN_ID))
    assert fire("receive_by") is None
    world.states.clear()
    assert on_deadline(RETURN_ID, None, None, "silence", now=late, policy=POLICY) is None
