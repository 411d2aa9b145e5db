"""The return itself: request, answer, receipts with dispositions, end."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.returns.domain.return_state import Return, ReturnStatus
from services.returns.domain.returns import (
    RETURN,
    ApproveReturn,
    CancelReturn,
    CloseReturn,
    DeclineReturn,
    ReceiveReturn,
    RequestReturn,
    ReturnCommand,
)
from shared.events.common import Qty
from shared.events.returns import (
    DeclineReason,
    Disposition,
    ReceivedLine,
    ReturnApproved,
    ReturnClosed,
    ReturnDeclined,
    ReturnEvent,
    ReturnOrigin,
    ReturnOutcome,
    ReturnReason,
    ReturnReceived,
    ReturnRequested,
)
from shared.testing.scenario import NOW, given
from tests.unit.returns.samples import (
    LAMP,
    LOCATION,
    MUGS,
    ORDER,
    POLICY,
    RECEIPT,
    RETURN_ID,
    SECOND_RECEIPT,
    scan,
    wish,
)

REQUESTED = ReturnRequested(
    order_id=ORDER,
    origin=ReturnOrigin.CUSTOMER,
    lines=(wish(), wish(LAMP, 1, ReturnReason.DEFECTIVE)),
    policy_version=1,
    answer_by=NOW + timedelta(days=3),
)
APPROVED = ReturnApproved(
    order_id=ORDER,
    lines=(Qty(line_id=MUGS, quantity=2), Qty(line_id=LAMP, quantity=1)),
    instructions_ref="return-policy/1",
    ship_by=NOW + timedelta(days=14),
    receive_by=NOW + timedelta(days=30),
)
DECLINED = ReturnDeclined(order_id=ORDER, reason=DeclineReason.OTHER)
CANCELED = ReturnClosed(order_id=ORDER, outcome=ReturnOutcome.CANCELED)
EXPIRED = ReturnClosed(order_id=ORDER, outcome=ReturnOutcome.EXPIRED)
COMPLETED = ReturnClosed(order_id=ORDER, outcome=ReturnOutcome.COMPLETED)
ALL = (scan(), scan(LAMP, 1, sku="LAMP"))
INSPECTING = (scan(disposition=Disposition.PROCESSING_REQUIRED), scan(LAMP, 1, sku="LAMP"))

REQUEST = RequestReturn(
    return_id=RETURN_ID,
    order_id=ORDER,
    lines=REQUESTED.lines,
    origin=ReturnOrigin.CUSTOMER,
    policy=POLICY,
    auto_approve=False,
    now=NOW,
)
APPROVE = ApproveReturn(return_id=RETURN_ID, policy=POLICY, now=NOW)
DECLINE = DeclineReturn(return_id=RETURN_ID, reason=DeclineReason.OTHER)
CANCEL = CancelReturn(return_id=RETURN_ID)
CLOSE = CloseReturn(return_id=RETURN_ID, settled=True, now=NOW)


def receive(*lines: ReceivedLine, receipt: UUID = RECEIPT, resolves: UUID | None = None) -> ReceiveReturn:
    return ReceiveReturn(
        return_id=RETURN_ID,
        receipt_id=receipt,
        location_id=LOCATION,
        lines=lines,
        resolves=resolves,
        policy=POLICY,
    )


def received(
    *lines: ReceivedLine, receipt: UUID = RECEIPT, resolves: UUID | None = None, complete: bool = False
) -> ReturnReceived:
    return ReturnReceived(
        order_id=ORDER,
        receipt_id=receipt,
        location_id=LOCATION,
        lines=lines,
        resolves_receipt_id=resolves,
        complete=complete,
    )


def fold(*events: ReturnEvent) -> Return:
    state = None
    for event in events:
        state = RETURN.evolve(state, event, NOW)
    assert state is not None
    return state


def test_a_return_is_requested_and_waits_for_an_answer() -> None:
    given(RETURN).when(REQUEST).then(REQUESTED)


def test_a_request_that_nobody_needs_to_look_at_is_approved_at_once() -> None:
    given(RETURN).when(replace(REQUEST, auto_approve=True)).then(REQUESTED, APPROVED)


def test_only_a_request_is_approved() -> None:
    given(RETURN, REQUESTED).when(APPROVE).then(APPROVED)
    given(RETURN, REQUESTED, DECLINED).when(APPROVE).rejected("not_requested")
    given(RETURN, REQUESTED, CANCELED).when(APPROVE).rejected("not_requested")
    given(RETURN).when(APPROVE).rejected("unknown_return")


def test_only_a_request_is_declined() -> None:
    given(RETURN, REQUESTED).when(DECLINE).then(DECLINED)
    given(RETURN, REQUESTED, APPROVED).when(DECLINE).rejected("not_requested")
    given(RETURN).when(DECLINE).rejected("unknown_return")


def test_a_return_is_called_off_before_anything_came() -> None:
    given(RETURN, REQUESTED).when(CANCEL).then(CANCELED)
    given(RETURN, REQUESTED, APPROVED).when(CANCEL).then(CANCELED)
    given(RETURN, REQUESTED, APPROVED, received(scan())).when(CANCEL).rejected("already_received")
    given(RETURN, REQUESTED, DECLINED).when(CANCEL).rejected("not_requested")
    given(RETURN).when(CANCEL).rejected("unknown_return")


def test_goods_come_in_one_or_several_receipts() -> None:
    given(RETURN, REQUESTED, APPROVED).when(receive(*ALL)).then(received(*ALL, complete=True))
    part = received(scan(quantity=1))
    given(RETURN, REQUESTED, APPROVED).when(receive(scan(quantity=1))).then(part)
    rest = (scan(quantity=1), scan(LAMP, 1))
    given(RETURN, REQUESTED, APPROVED, part).when(receive(*rest, receipt=SECOND_RECEIPT)).then(
        received(*rest, receipt=SECOND_RECEIPT, complete=True)
    )


def test_missing_units_are_accounted_for_and_may_still_turn_up() -> None:
    lines = (scan(disposition=Disposition.MISSING), scan(LAMP, 1))
    given(RETURN, REQUESTED, APPROVED).when(receive(*lines)).then(received(*lines, complete=True))
    given(RETURN, REQUESTED, APPROVED, received(*lines)).when(receive(scan(), receipt=SECOND_RECEIPT)).then(
        received(scan(), receipt=SECOND_RECEIPT, complete=True)
    )


def test_inspected_units_get_their_disposition_by_a_receipt_that_resolves() -> None:
    first = received(*INSPECTING)
    given(RETURN, REQUESTED, APPROVED).when(receive(*INSPECTING)).then(first)
    verdict = scan(disposition=Disposition.NOT_RESTOCKED)
    resolve = receive(verdict, receipt=SECOND_RECEIPT, resolves=RECEIPT)
    resolved = received(verdict, receipt=SECOND_RECEIPT, resolves=RECEIPT, complete=True)
    given(RETURN, REQUESTED, APPROVED, first).when(resolve).then(resolved)
    given(RETURN, REQUESTED, APPROVED, first, COMPLETED).when(resolve).then(replace(resolved, complete=False))
    still = receive(
        scan(disposition=Disposition.PROCESSING_REQUIRED), receipt=SECOND_RECEIPT, resolves=RECEIPT
    )
    given(RETURN, REQUESTED, APPROVED, first).when(still).rejected("exceeds_approved")
    given(RETURN, REQUESTED, APPROVED, first, resolved).when(replace(resolve, receipt_id=LOCATION)).rejected(
        "exceeds_approved"
    )


@pytest.mark.parametrize(
    "lines", [(scan(quantity=3),), (scan(), scan(quantity=1)), (scan(RECEIPT, 1),), (scan(quantity=0),)]
)
def test_no_more_is_received_than_was_approved(lines: tuple[ReceivedLine, ...]) -> None:
    given(RETURN, REQUESTED, APPROVED).when(receive(*lines)).rejected("exceeds_approved")


def test_nothing_is_received_for_a_return_that_is_not_open() -> None:
    for events in ((REQUESTED,), (REQUESTED, DECLINED), (REQUESTED, CANCELED)):
        given(RETURN, *events).when(receive(scan())).rejected("exceeds_approved")
    given(RETURN).when(receive(scan())).rejected("unknown_return")


def test_a_return_closes_when_all_is_received_and_paid() -> None:
    given(RETURN, REQUESTED, APPROVED, received(*ALL)).when(CLOSE).then(COMPLETED)
    given(RETURN, REQUESTED, APPROVED, received(*ALL)).when(replace(CLOSE, settled=False)).then()
    given(RETURN, REQUESTED, APPROVED, received(scan())).when(CLOSE).then()
    given(RETURN, REQUESTED).when(CLOSE).then()
    given(RETURN).when(CLOSE).rejected("unknown_return")


def test_a_return_ends_when_its_time_is_up() -> None:
    late = CloseReturn(return_id=RETURN_ID, now=APPROVED.receive_by)
    given(RETURN, REQUESTED, APPROVED).when(late).then(EXPIRED)
    given(RETURN, REQUESTED, APPROVED, received(scan())).when(late).then(COMPLETED)
    missing = received(scan(disposition=Disposition.MISSING))
    given(RETURN, REQUESTED, APPROVED, missing).when(late).then(EXPIRED)


def test_deadlines_name_what_a_return_waits_for() -> None:
    def due(*events: ReturnEvent) -> Mapping[str, datetime]:
        return RETURN.deadlines(fold(*events))

    assert due(REQUESTED) == {"silence": REQUESTED.answer_by + timedelta(days=7)}
    assert due(REQUESTED, APPROVED) == {"receive_by": APPROVED.receive_by}
    for end in (DECLINED, CANCELED):
        assert due(REQUESTED, end) == {}
    assert due(REQUESTED, APPROVED, received(*ALL), COMPLETED) == {}


def test_the_fold_counts_units_by_line() -> None:
    state = fold(REQUESTED, APPROVED, received(scan(quantity=1), scan(LAMP, 1, Disposition.MISSING)))
    mugs, lamp = state.lines[MUGS], state.lines[LAMP]
    assert (mugs.requested, mugs.approved, mugs.came, mugs.missing, mugs.fault) == (2, 2, 1, 0, False)
    assert (lamp.came, lamp.missing, lamp.fault) == (0, 1, True)
    assert state.outstanding() == (Qty(line_id=MUGS, quantity=1), Qty(line_id=LAMP, quantity=1))
    assert [
        fold(REQUESTED, *more).status for more in ([], [APPROVED], [DECLINED], [EXPIRED], [COMPLETED])
    ] == [
        ReturnStatus.REQUESTED,
        ReturnStatus.OPEN,
        ReturnStatus.DECLINED,
        ReturnStatus.CANCELED,
        ReturnStatus.CLOSED,
    ]


def test_the_end_is_final_for_every_command() -> None:
    ended: list[tuple[Any, ReturnCommand]] = [(COMPLETED, CLOSE), (EXPIRED, CLOSE), (EXPIRED, CANCEL)]
    for event, command in ended:
        given(RETURN, REQUESTED, APPROVED, event).when(command).then()
