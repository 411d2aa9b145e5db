"""Orphan payments: money that fits no order waits for its order, then it goes back; never both."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.orders.domain import OrderPolicy
from services.orders.domain.orphan import (
    MatchOrphanPayment,
    RecordOrphanPayment,
    RecordOrphanRefundResult,
    RefundOrphanPayment,
    deadlines,
    on_deadline,
    orphan_decider,
)
from shared.domain import ids
from shared.events.orphan_payments import (
    OrphanPaymentKind,
    OrphanPaymentMatched,
    OrphanPaymentReceived,
    OrphanPaymentRefunded,
    OrphanPaymentRefundFailed,
    OrphanPaymentRefundRequested,
    OrphanRefundFailureCode,
)
from shared.testing.scenario import NOW, given
from tests.unit.orders.samples import ORDER_ID, OTHER_ID

POLICY = OrderPolicy()
ORPHAN = orphan_decider(POLICY)
ORPHAN_ID = ids.orphan_payment_id("sandbox", "cap_1")
DAY = timedelta(days=1)

RECORD = RecordOrphanPayment(
    kind=OrphanPaymentKind.CAPTURED,
    provider="sandbox",
    provider_ref="cap_1",
    amount=900,
    currency="GBP",
    claimed_order="A7K3F",
    now=NOW,
)
RECEIVED = OrphanPaymentReceived(
    kind=OrphanPaymentKind.CAPTURED,
    provider="sandbox",
    provider_ref="cap_1",
    amount=900,
    currency="GBP",
    claimed_order="A7K3F",
    refund_at=NOW + DAY,
)
MATCH = MatchOrphanPayment(orphan_id=ORPHAN_ID, order_id=ORDER_ID, now=NOW)
MATCHED = OrphanPaymentMatched(kind=OrphanPaymentKind.CAPTURED, amount=900, order_id=ORDER_ID)
REFUND = RefundOrphanPayment(orphan_id=ORPHAN_ID, now=NOW)
ASKED = OrphanPaymentRefundRequested(kind=OrphanPaymentKind.CAPTURED, amount=900, attempt=1)
DONE = RecordOrphanRefundResult(orphan_id=ORPHAN_ID, ok=True, refund_ref="re_1", attempt=1, now=NOW)
REFUNDED = OrphanPaymentRefunded(kind=OrphanPaymentKind.CAPTURED, amount=900, refund_ref="re_1")
REFUSED = RecordOrphanRefundResult(orphan_id=ORPHAN_ID, ok=False, attempt=1, now=NOW)
FAILED = OrphanPaymentRefundFailed(
    kind=OrphanPaymentKind.CAPTURED,
    amount=900,
    code=OrphanRefundFailureCode.PROVIDER_REFUSED,
    retryable=True,
    attempt=1,
)
GIVEN_UP = tuple(
    event
    for attempt in range(1, POLICY.max_refund_attempts + 1)
    for event in (
        replace(ASKED, attempt=attempt),
        replace(FAILED, attempt=attempt, retryable=attempt < POLICY.max_refund_attempts),
    )
)


class TestRecordOrphanPayment:
    def test_it_is_kept_until_it_goes_back(self) -> None:
        given(ORPHAN).when(RECORD).then(RECEIVED)

    def test_each_payment_is_one_stream(self) -> None:
        assert RECORD.orphan_id == ORPHAN_ID
        assert replace(RECORD, provider="other").orphan_id != ORPHAN_ID

    @pytest.mark.parametrize("events", [(MATCHED,), (ASKED,), (ASKED, REFUNDED)])
    def test_told_again_it_stays_as_it_is(self, events: tuple[object, ...]) -> None:
        given(ORPHAN, RECEIVED, *events).when(RECORD).then()

    def test_no_money_is_no_payment(self) -> None:
        given(ORPHAN).when(replace(RECORD, amount=0)).then()


class TestMatchOrphanPayment:
    def test_its_order_turned_up(self) -> None:
        given(ORPHAN, RECEIVED).when(MATCH).then(MATCHED)

    def test_another_order_does_not_get_it(self) -> None:
        given(ORPHAN, RECEIVED, MATCHED).when(replace(MATCH, order_id=OTHER_ID)).rejected("orphan_settled")

    @pytest.mark.parametrize("events", [(ASKED,), (ASKED, FAILED), (ASKED, REFUNDED)])
    def test_too_late_once_it_is_on_its_way_back(self, events: tuple[object, ...]) -> None:
        given(ORPHAN, RECEIVED, *events).when(MATCH).rejected("orphan_settled")

    def test_an_unknown_payment_is_refused(self) -> None:
        given(ORPHAN).when(MATCH).rejected("unknown_orphan_payment")


class TestRefundOrphanPayment:
    def test_an_operator_need_not_wait(self) -> None:
        given(ORPHAN, RECEIVED).when(REFUND).then(ASKED)

    def test_it_is_asked_for_once(self) -> None:
        given(ORPHAN, RECEIVED, ASKED).when(REFUND).then()

    def test_after_a_failure_it_is_tried_again(self) -> None:
        given(ORPHAN, RECEIVED, ASKED, FAILED).when(REFUND).then(replace(ASKED, attempt=2))

    def test_what_was_given_up_an_operator_may_try_again(self) -> None:
        scenario = given(ORPHAN, RECEIVED, *GIVEN_UP).when(REFUND).then(replace(ASKED, attempt=6))
        scenario.when(replace(REFUSED, attempt=6)).then(replace(FAILED, attempt=6, retryable=False))

    @pytest.mark.parametrize("events", [(MATCHED,), (ASKED, REFUNDED)])
    def test_what_is_settled_stays_settled(self, events: tuple[object, ...]) -> None:
        given(ORPHAN, RECEIVED, *events).when(REFUND).rejected("orphan_settled")

    def test_an_unknown_payment_is_refused(self) -> None:
        given(ORPHAN).when(REFUND).rejected("unknown_orphan_payment")


class TestRecordOrphanRefundResult:
    def test_it_went_back(self) -> None:
        given(ORPHAN, RECEIVED, ASKED).when(DONE).then(REFUNDED)

    def test_less_was_left_to_let_go(self) -> None:
        given(ORPHAN, RECEIVED, ASKED).when(replace(DONE, amount=400)).then(replace(REFUNDED, amount=400))

    def test_the_provider_let_it_go_by_itself(self) -> None:
        given(ORPHAN, RECEIVED).when(replace(DONE, attempt=None)).then(REFUNDED)

    def test_it_went_back_after_we_gave_up(self) -> None:
        given(ORPHAN, RECEIVED, *GIVEN_UP).when(DONE).then(REFUNDED)

    def test_a_failure_is_tried_again(self) -> None:
        given(ORPHAN, RECEIVED, ASKED).when(REFUSED).then(FAILED)

    def test_the_fifth_failure_is_final(self) -> None:
        given(ORPHAN, RECEIVED, *GIVEN_UP[:-1]).when(replace(REFUSED, attempt=5)).then(GIVEN_UP[-1])

    def test_a_failure_counts_for_its_own_try_only(self) -> None:
        given(ORPHAN, RECEIVED, ASKED, FAILED, replace(ASKED, attempt=2)).when(REFUSED).then()
        given(ORPHAN, RECEIVED).when(replace(REFUSED, attempt=None)).then()

    @pytest.mark.parametrize("result", [DONE, REFUSED])
    @pytest.mark.parametrize("events", [(MATCHED,), (ASKED, REFUNDED)])
    def test_what_is_settled_stays_settled(
        self, events: tuple[object, ...], result: RecordOrphanRefundResult
    ) -> None:
        given(ORPHAN, RECEIVED, *events).when(result).then()

    def test_an_unknown_payment_is_refused(self) -> None:
        given(ORPHAN).when(DONE).rejected("unknown_orphan_payment")


UNREACHABLE = replace(REFUSED, code=OrphanRefundFailureCode.PROVIDER_UNREACHABLE)


@pytest.mark.parametrize(
    ("events", "timer", "after", "command"),
    [
        ((), "refund", DAY, REFUND),
        ((ASKED,), "refund_answer", DAY, UNREACHABLE),
        ((ASKED, FAILED), "refund", DAY, REFUND),
        ((MATCHED,), None, DAY, None),
        ((ASKED, REFUNDED), None, DAY, None),
        (GIVEN_UP, None, DAY, None),
    ],
)
def test_deadlines(
    events: tuple[object, ...],
    timer: str | None,
    after: timedelta,
    command: RefundOrphanPayment | RecordOrphanRefundResult | None,
) -> None:
    state = given(ORPHAN, RECEIVED, *events).state
    assert deadlines(state, POLICY) == ({timer: NOW + after} if timer else {})
    due = NOW + after
    for name in ("refund", "refund_answer"):
        wanted = on_deadline(state, name, due, POLICY)
        assert wanted == (replace(command, now=due) if command and name == timer else None)
        assert on_deadline(state, name, due - timedelta(microseconds=1), POLICY) is None
