"""The granted refund: who has to stand behind how much money."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from services.returns.domain.refund import REFUND_GRANT, ApproveRefund, ProposeRefund
from shared.domain.ids import derive
from shared.events.common import Breakdown, RefundLine, RefundLineKind, RefundSource
from shared.events.returns import RefundApproved, RefundProposed
from shared.testing.scenario import NOW, given
from tests.unit.returns.samples import ANNA, BEN, MUGS, ORDER, POLICY, RECEIPT, RETURN_ID, STRICT

REFUND = derive("test", "refund")
CLARA = derive("test", "clara")


def breakdown(amount: int) -> Breakdown:
    return Breakdown(items_net=amount, items_tax=0, shipping_net=0, shipping_tax=0, total=amount)


PROPOSE = ProposeRefund(
    refund_id=REFUND,
    order_id=ORDER,
    source=RefundSource.RETURN,
    source_id=RETURN_ID,
    receipt_id=RECEIPT,
    currency="GBP",
    breakdown=breakdown(50_000),
    lines=(RefundLine(line_id=MUGS, quantity=2, kind=RefundLineKind.RETURN),),
    proposed_by=None,
    policy=POLICY.current,
    now=NOW,
)
LARGE = replace(PROPOSE, breakdown=breakdown(50_001))
BY_ANNA = replace(PROPOSE, proposed_by=ANNA)
LARGE_BY_ANNA = replace(LARGE, proposed_by=ANNA)
APPROVE_BY_BEN = ApproveRefund(refund_id=REFUND, approver=BEN)


def proposed(command: ProposeRefund, approvals_needed: int) -> RefundProposed:
    return RefundProposed(
        order_id=ORDER,
        source=RefundSource.RETURN,
        source_id=RETURN_ID,
        receipt_id=RECEIPT,
        amount=command.breakdown.total,
        currency=command.currency,
        breakdown=command.breakdown,
        lines=command.lines,
        approvals_needed=approvals_needed,
        proposed_by=command.proposed_by,
        decide_by=NOW + timedelta(days=12),
    )


def approved(command: ProposeRefund, *by: UUID) -> RefundApproved:
    return RefundApproved(
        order_id=ORDER,
        source=RefundSource.RETURN,
        source_id=RETURN_ID,
        amount=command.breakdown.total,
        currency=command.currency,
        breakdown=command.breakdown,
        lines=command.lines,
        approved_by=by,
    )


def test_a_small_refund_of_the_system_is_granted_by_the_policy() -> None:
    given(REFUND_GRANT).when(PROPOSE).then(proposed(PROPOSE, 0), approved(PROPOSE))


def test_a_small_refund_of_a_person_is_granted_at_once() -> None:
    given(REFUND_GRANT).when(BY_ANNA).then(proposed(BY_ANNA, 1), approved(BY_ANNA, ANNA))


def test_without_auto_refund_a_small_one_waits_for_one_person() -> None:
    small = replace(PROPOSE, breakdown=breakdown(100), policy=STRICT.current)
    given(REFUND_GRANT).when(small).then(proposed(small, 1))
    given(REFUND_GRANT, proposed(small, 1)).when(APPROVE_BY_BEN).then(approved(small, BEN))


def test_a_large_refund_of_a_person_needs_another_one() -> None:
    given(REFUND_GRANT).when(LARGE_BY_ANNA).then(proposed(LARGE_BY_ANNA, 2))
    waiting = given(REFUND_GRANT, proposed(LARGE_BY_ANNA, 2))
    waiting.when(ApproveRefund(refund_id=REFUND, approver=ANNA)).rejected("same_approver")
    waiting.when(APPROVE_BY_BEN).then(approved(LARGE_BY_ANNA, ANNA, BEN))


def test_a_large_refund_of_the_system_needs_two_distinct_people() -> None:
    given(REFUND_GRANT).when(LARGE).then(proposed(LARGE, 2))
    second = replace(proposed(LARGE, 2), proposed_by=BEN)
    given(REFUND_GRANT, proposed(LARGE, 2)).when(APPROVE_BY_BEN).then(second)
    given(REFUND_GRANT, proposed(LARGE, 2), second).when(
        ApproveRefund(refund_id=REFUND, approver=CLARA)
    ).then(approved(LARGE, BEN, CLARA))


def test_a_currency_that_the_policy_does_not_name_needs_two() -> None:
    yen = replace(BY_ANNA, currency="JPY", breakdown=breakdown(1))
    given(REFUND_GRANT).when(yen).then(proposed(yen, 2))


def test_a_granted_refund_is_not_granted_again() -> None:
    given(REFUND_GRANT, proposed(BY_ANNA, 1), approved(BY_ANNA, ANNA)).when(APPROVE_BY_BEN).then()


def test_only_what_was_proposed_is_approved() -> None:
    given(REFUND_GRANT).when(APPROVE_BY_BEN).rejected("not_proposed")


def test_a_refund_is_proposed_once() -> None:
    given(REFUND_GRANT, proposed(PROPOSE, 0)).when(LARGE).rejected("already_proposed")


def test_nothing_is_not_refunded() -> None:
    given(REFUND_GRANT).when(replace(PROPOSE, breakdown=breakdown(0))).rejected("exceeds_refundable")


def test_a_short_promise_is_decided_at_once() -> None:
    hasty = replace(LARGE, policy=replace(POLICY.current, refund_days=1))
    given(REFUND_GRANT).when(hasty).then(replace(proposed(LARGE, 2), decide_by=NOW))


def test_a_grant_waits_for_people_not_for_a_timer() -> None:
    state = REFUND_GRANT.evolve(None, proposed(LARGE, 2), NOW)
    assert (state.approved_by, state.approved, REFUND_GRANT.deadlines(state)) == ((), False, {})
    assert REFUND_GRANT.stream(REFUND) == f"refundgrant-{REFUND}"
