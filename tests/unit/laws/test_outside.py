"""What the laws take from outside the events: the provider's ledger, the mail server, topics, marks, rows."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from cli.laws import Kind, Laws, Place
from cli.laws.mail import MailIsLedger, OccasionsAreAnswered
from cli.laws.orphans import OrphansGoBack
from cli.laws.provider import ProviderAgrees
from cli.laws.stock import AccountedFor, OnHand
from cli.laws.streams import MarksAreHeads, TopicIsStore
from cli.laws.tally import Tally
from shared.domain import ids, key_of
from shared.events.envelope import Recorded
from shared.events.inventory import StockRestocked
from shared.events.notifications import MessageSent
from shared.events.orders import (
    LatePaymentKind,
    LatePaymentReceived,
    OrderEdited,
    OrderPlaced,
    PaymentCaptured,
    PaymentVoided,
    RefundCause,
    RefundFailed,
    RefundFailureCode,
    RefundIssued,
    RefundRequested,
    VoidCause,
)
from shared.events.orphan_payments import (
    OrphanPaymentKind,
    OrphanPaymentMatched,
    OrphanPaymentReceived,
    OrphanPaymentRefunded,
    OrphanPaymentRefundFailed,
    OrphanRefundFailureCode,
)
from shared.events.returns import RefundApproved, RefundProposed, ReturnReceived
from tests.unit.laws.world import (
    ANNA,
    LEDGER,
    LOCATION,
    MUG,
    START,
    World,
    breakdown,
    intent,
    judged,
    order,
    policy,
    refund,
    the_day,
)

Event = Recorded[Any]


class TestProviderLedger:
    def test_a_capture_that_only_the_provider_knows(self) -> None:
        more = (*LEDGER, ("CAPTURED", intent("good"), 5))
        (found,) = judged(the_day().events, ledger=more)
        assert (found.law, found.event_id) == ("L10", None)
        assert found.detail == "the provider's ledger says 5 GBP more CAPTURED"

    def test_a_capture_that_only_the_order_knows_names_its_event(self) -> None:
        world = the_day()
        (found,) = judged(world.events, ledger=[entry for entry in LEDGER if entry[2] != 350])
        assert (found.law, found.event_id) == ("L10", world.one(PaymentCaptured, n=1).event_id)
        assert found.detail == "the shop says 350 GBP more CAPTURED"

    def test_a_refund_of_another_amount(self) -> None:
        ledger = [*LEDGER[:3], ("REFUNDED", intent("good"), 201), *LEDGER[4:]]
        (found,) = judged(the_day().events, ledger=ledger)
        assert found.subject == f"intent {intent('good')}, REFUNDED GBP"

    def test_more_paid_back_than_captured(self) -> None:
        found = judged([], ledger=[("CAPTURED", intent("good"), 5), ("REFUNDED", intent("good"), 6)])
        assert f"intent {intent('good')}" in [v.subject for v in found if v.kind is Kind.DUPLICATED]


def stranger(world: World, kind: OrphanPaymentKind, *after: Any, ref: str = "stranger's") -> Event:
    """A payment of 70 that fits no order; gives the event of its coming."""
    stream = f"orphanpayment-{ids.orphan_payment_id('sandbox', ref)}"
    received = OrphanPaymentReceived(
        kind=kind, provider="sandbox", provider_ref=ref, amount=70, currency="GBP", refund_at=START
    )
    return next(iter([world.add(stream, data) for data in (received, *after)]))


CAPTURED, HELD = OrphanPaymentKind.CAPTURED, OrphanPaymentKind.AUTHORIZED
STRANGERS = ids.derive("intent", "stranger")
THEIRS = f"payment of {STRANGERS}"
SENT_BACK = OrphanPaymentRefunded(kind=CAPTURED, amount=70, refund_ref="re_1")
LET_GO = OrphanPaymentRefunded(kind=HELD, amount=70, refund_ref="pi_1")
REFUSED = OrphanPaymentRefundFailed(
    kind=CAPTURED, amount=70, code=OrphanRefundFailureCode.PROVIDER_REFUSED, retryable=False, attempt=5
)


def entered(*kinds: str) -> list[tuple[str, UUID, int]]:
    """The provider's ledger with lines about the stranger's payment."""
    return [*LEDGER, *((kind, STRANGERS, 70) for kind in kinds)]


class TestOrphanPayments:
    @pytest.mark.parametrize(
        ("kind", "after", "ledger"),
        [
            (CAPTURED, (SENT_BACK,), ("AUTHORIZED", "CAPTURED", "REFUNDED")),
            (HELD, (LET_GO,), ("AUTHORIZED", "VOIDED")),
            (CAPTURED, (REFUSED,), ("AUTHORIZED", "CAPTURED")),
        ],
    )
    def test_what_goes_back_or_waits_for_a_person_adds_up(
        self, kind: OrphanPaymentKind, after: tuple[Any, ...], ledger: tuple[str, ...]
    ) -> None:
        world = the_day()
        stranger(world, kind, *after, ref=THEIRS)
        assert judged(world.events, ledger=entered(*ledger)) == []

    def test_what_stays_is_lost_once_its_time_is_over(self) -> None:
        world = the_day()
        came = stranger(world, CAPTURED, ref=THEIRS)
        ledger = entered("AUTHORIZED", "CAPTURED")
        (found,) = judged(world.events, ledger=ledger)
        assert (found.law, found.kind, found.event_id) == ("L20", Kind.LOST, came.event_id)

        def before(laws: Laws) -> None:
            laws[OrphansGoBack].now = START

        assert judged(world.events, ledger=ledger, prepare=before) == []

    def test_what_the_provider_never_paid_back(self) -> None:
        world = the_day()
        stranger(world, CAPTURED, SENT_BACK, ref=THEIRS)
        (found,) = judged(world.events, ledger=entered("AUTHORIZED", "CAPTURED"))
        assert found.detail == "the shop says 70 GBP more REFUNDED"

    def test_a_stranger_that_nobody_told_of(self) -> None:
        found = judged(the_day().events, ledger=entered("AUTHORIZED", "CAPTURED"))
        assert {each.detail for each in found} == {
            "the provider's ledger says 70 GBP more AUTHORIZED",
            "the provider's ledger says 70 GBP more CAPTURED",
        }

    def test_back_twice(self) -> None:
        world = the_day()
        stranger(world, CAPTURED, SENT_BACK, SENT_BACK, ref=THEIRS)
        found = judged(world.events, ledger=entered("AUTHORIZED", "CAPTURED", "REFUNDED"))
        assert ("L20", Kind.DUPLICATED) in [(each.law, each.kind) for each in found]

    def test_a_part_of_what_was_taken(self) -> None:
        world = the_day()
        stranger(world, CAPTURED, replace(SENT_BACK, amount=60), ref=THEIRS)
        found = judged(world.events, ledger=entered("AUTHORIZED", "CAPTURED"))
        assert "60 went back of 70" in [each.detail for each in found]

    def test_a_payment_of_an_order_is_no_orphan(self) -> None:
        world = the_day()
        paid = world.one(PaymentCaptured)
        stranger(world, CAPTURED, SENT_BACK, ref=paid.data.provider_ref)
        found = judged(world.events)
        assert ("L20", Kind.DUPLICATED) in [(each.law, each.kind) for each in found]

    def test_unless_it_is_matched_with_it(self) -> None:
        world = the_day()
        paid = world.one(PaymentCaptured)
        match = OrphanPaymentMatched(kind=CAPTURED, amount=70, order_id=UUID(key_of(paid.stream)))
        stranger(world, CAPTURED, match, ref=paid.data.provider_ref)
        assert judged(world.events) == []

    def test_the_sums_say_what_was_compared(self) -> None:
        world, laws = the_day(), Laws()
        stranger(world, HELD, LET_GO)
        for event in world.events:
            laws.see(event)
        laws.finish(at_rest=True)
        sums = laws[ProviderAgrees].sums()
        assert (sums["orders"], sums["orphan payments"]) == (2, 1)
        assert (sums["authorized by orphans"], sums["voided by orphans"]) == (70, 70)
        assert sums["refunded by orders"] == sum(amount for kind, _, amount in LEDGER if kind == "REFUNDED")


class TestMailServer:
    def test_copies_of_one_message_id_count_once_and_are_shown(self) -> None:
        laws = Laws()
        sent = the_day().one(MessageSent)
        laws.see(sent)
        for _ in range(3):
            laws[MailIsLedger].mail(f"<{key_of(sent.stream)}@shop.example>")
        laws.finish(at_rest=True)
        mail = laws[MailIsLedger]
        assert (mail.violations, mail.mails, mail.sent, mail.resent) == ([], 3, 1, 2)

    def test_a_mail_that_never_arrived_names_its_event(self) -> None:
        world = the_day()
        sent = world.all(MessageSent)
        (found,) = judged(world.events, mails=[f"<{key_of(e.stream)}@x>" for e in sent[1:]])
        assert (found.law, found.kind, found.event_id) == ("L17", Kind.LOST, sent[0].event_id)

    def test_a_mail_that_the_ledger_does_not_know(self) -> None:
        world = the_day()
        mails = [f"<{key_of(e.stream)}@x>" for e in world.all(MessageSent)]
        stranger = ids.derive("effect", "stranger")
        found = judged(world.events, mails=[*mails, f"<{stranger}@x>", "<hello@x>"])
        assert {v.subject for v in found} == {f"message {stranger}", "mail <hello@x>"}

    def test_nobody_is_written_to_about_what_happened_before_the_consumer_came(self) -> None:
        world = the_day()
        world.drop(*world.all(MessageSent))

        def later(laws: Laws) -> None:
            laws[OccasionsAreAnswered].since = world.events[-1].occurred_at + timedelta(seconds=1)

        assert judged(world.events, prepare=later) == []


def records(world: World) -> list[tuple[Event, bytes]]:
    return [(event, repr(event.data).encode()) for event in world.events]


def topic_of(stored: Sequence[tuple[Event, bytes]], published: Sequence[tuple[Event, bytes]]) -> TopicIsStore:
    law = TopicIsStore()
    for event, data in stored:
        law.stored(event, data)
    for event, data in published:
        law.published(Place.of(event), event.epoch, event.stream.encode(), data)
    law.finish()
    return law


class TestTopic:
    def test_the_store_again_with_duplicates(self) -> None:
        events = records(the_day())
        law = topic_of(events, [*events[:40], *events, *events[3:5]])
        assert (law.violations, law.events, law.duplicates) == ([], len(events), 42)

    def test_an_event_is_missing_in_the_middle(self) -> None:
        world = the_day()
        events = records(world)
        gone = world.one(OrderPlaced)
        (found,) = topic_of(events, [r for r in events if r[0] is not gone]).violations
        following = world.one(object, gone.stream, 1)
        assert (found.event_id, found.kind) == (following.event_id, Kind.LOST)
        assert found.detail == "version 2 came where 1 was due"

    def test_the_record_that_reveals_a_loss_comes_again_in_its_turn(self) -> None:
        world = the_day()
        events = records(world)
        ahead = [r for r in events if r[0].stream == f"order-{order('good')}"][-1]
        law = topic_of(events, [ahead, *events])
        assert (law.violations, law.events, law.duplicates) == ([], len(events), 1)

    def test_the_end_is_missing(self) -> None:
        events = records(the_day())
        (found,) = topic_of(events, events[:-1]).violations
        assert found.detail == "the topic ends at version 0, the store at 1"

    def test_two_events_of_a_stream_changed_places(self) -> None:
        world = the_day()
        first, second = world.all(object, f"order-{order('good')}")[:2]
        events = [r for r in records(world) if r[0] not in (first, second)]
        stored = [(first, b"1"), (second, b"2"), *events]
        found = topic_of(stored, [(second, b"2"), (first, b"1"), *events]).violations
        assert found[0].event_id == second.event_id

    @pytest.mark.parametrize("duplicate", [False, True])
    def test_an_event_has_other_contents(self, duplicate: bool) -> None:
        world = the_day()
        events = records(world)
        other = (events[5][0], b"{}")
        published = [*events, other] if duplicate else [*events[:5], other, *events[6:]]
        (found,) = topic_of(events, published).violations
        told = f"version {events[5][0].version} differs from the store"
        assert (found.event_id, found.detail) == (events[5][0].event_id, told)

    def test_an_event_that_the_store_does_not_have(self) -> None:
        event = the_day().one(OrderPlaced)
        (found,) = topic_of([], [(event, b"{}")]).violations
        assert found.detail == "version 1 the topic has it, the store does not"

    def test_a_record_under_another_key(self) -> None:
        law, event = TopicIsStore(), the_day().one(OrderPlaced)
        law.stored(event, b"{}")
        law.published(Place.of(event), 1, b"order-other", b"{}")
        assert [v.detail for v in law.violations] == ["its record is keyed b'order-other'"]


class TestMarks:
    def judged(self, **marks: int) -> list[str]:
        law = MarksAreHeads()
        law.head("returns", "order-1", 3)
        law.head("returns", "order-2", 1)
        for stream, version in marks.items():
            law.mark("returns", stream.replace("_", "-"), version)
        law.finish()
        return [f"{v.subject}: {v.detail}" for v in law.violations]

    def test_all_at_their_heads(self) -> None:
        assert self.judged(order_1=3, order_2=1) == []

    def test_behind_missing_and_unknown(self) -> None:
        assert self.judged(order_1=2, order_3=1) == [
            "returns, order-1: the mark is 2, the head 3",
            "returns, order-2: there is no mark, the head is 1",
            "returns, order-3: the mark is 1, the head 0",
        ]


class TestShownLevels:
    def test_rows_that_say_what_the_ledger_says(self) -> None:
        laws = self.laws()
        laws[OnHand].shown(f"mug@{LOCATION}", 8)
        laws[AccountedFor].shown(f"mug@{LOCATION}", 0, 0, 0)
        assert laws.violations == []

    def test_rows_that_say_something_else(self) -> None:
        laws = self.laws()
        laws[OnHand].shown(f"mug@{LOCATION}", 7)
        laws[AccountedFor].shown(f"mug@{LOCATION}", 1, 0, 0)
        assert [v.law for v in laws.violations] == ["L1", "L2"]

    def laws(self) -> Laws:
        laws = Laws()
        for event in the_day().events:
            laws.see(event)
        return laws


class TestExcuses:
    """What looks like a violation and is none."""

    def test_a_refund_that_the_provider_refuses_for_good_waits_for_a_person(self) -> None:
        world = the_day()
        for name in ("good", "late"):
            paid = world.one(RefundIssued, order(name))
            failed = RefundFailed(
                refund_id=paid.data.refund_id,
                amount=paid.data.amount,
                code=RefundFailureCode.PROVIDER_REFUSED,
                retryable=False,
                attempt=5,
            )
            world.swap(paid, paid._replace(type="RefundFailed", data=failed))
        ledger = [entry for entry in LEDGER if entry[0] != "REFUNDED"]
        missing = [v for v in judged(world.events, ledger=ledger) if v.law != "L17"]
        assert missing == []

    def test_an_edits_refund_that_is_refused_for_good_is_a_persons_to_pay(self) -> None:
        world = the_day()
        edit = world.one(OrderEdited, n=1)
        world.change(edit, totals=replace(edit.data.totals, items_net=450, total=500))
        assert [v.law for v in judged(world.events) if v.law == "L8"] == ["L8"]
        asked = RefundRequested(
            refund_id=refund("edit"),
            amount=100,
            breakdown=breakdown(100),
            cause=RefundCause.EDIT,
            ref_id=edit.data.edit_id,
            allocations=(),
            attempt=1,
        )
        failed = RefundFailed(
            refund_id=refund("edit"),
            amount=100,
            code=RefundFailureCode.PROVIDER_REFUSED,
            retryable=False,
            attempt=5,
        )
        world.add(edit.stream, asked)
        world.add(edit.stream, failed)
        assert [v for v in judged(world.events) if v.law == "L8"] == []

    def test_money_authorized_late_is_let_go_as_late(self) -> None:
        world = the_day()
        late = world.one(LatePaymentReceived)
        third = ids.intent_id(order("late"), 3)
        about = {"intent_id": third, "capture_id": None, "provider_ref": "pi_third"}
        kind = LatePaymentKind.AUTHORIZED
        came = world.add(late.stream, replace(late.data, kind=kind, **about))
        world.add(came.stream, PaymentVoided(intent_id=third, amount=600, cause=VoidCause.LATE))
        ledger = [*LEDGER, ("AUTHORIZED", third, 600), ("VOIDED", third, 600)]
        assert [v for v in judged(world.events, ledger=ledger) if v.law != "L17"] == []

    def test_untracked_goods_come_back_without_being_restocked(self) -> None:
        world = the_day()
        placed = world.one(OrderPlaced, order("good"))
        lines = tuple(replace(line, stock_tracked=line.line_id != MUG) for line in placed.data.lines)
        world.change(placed, lines=lines)
        world.drop(world.one(StockRestocked))
        assert [v for v in judged(world.events) if v.law == "L5"] == []
        assert world.one(ReturnReceived)

    def test_a_proposal_judged_by_the_policy_that_was_just_replaced(self) -> None:
        world = the_day()
        proposed = world.one(RefundProposed)
        for seconds, laws in ((30, []), (90, ["L11"])):
            spoiled = World(world.events)
            since = proposed.occurred_at - timedelta(seconds=seconds)
            spoiled.add("returnpolicy-shop", policy(threshold=100, version=2, since=since))
            assert [v.law for v in judged(spoiled.events)] == laws

    def test_two_people_above_the_threshold(self) -> None:
        world = the_day()
        world.change(world.one(RefundProposed), approvals_needed=2)
        world.change(world.one(RefundApproved), approved_by=(ANNA, ids.derive("person", "ben")))
        world.add("returnpolicy-shop", policy(threshold=0, version=2, since=START))
        assert judged(world.events) == []


def test_on_the_way_only_what_one_stream_shows_is_judged() -> None:
    """Half a day: much is still to come, but nothing is wrong."""
    events = the_day().events
    for cut in range(5, len(events), 4):
        if events[cut - 1].causation_id == events[cut].causation_id:
            continue
        assert judged(events[:cut], ledger=(), mails=(), at_rest=False) == []


def test_a_violation_says_where_it_is() -> None:
    world = the_day()
    again = world.repeat(world.one(RefundIssued, order("good")))
    first = next(v for v in judged(world.events) if v.law == "L7")
    assert str(first) == (
        f"L7: order {order('good')}: refund {refund('good')} is paid a second time "
        f"[RefundIssued {again.event_id}, {again.stream} version {again.version}]"
    )


def test_the_tally_of_the_day() -> None:
    tally = Tally()
    for event in the_day().events:
        tally.see("shop", event)
    assert tally.orders_by_state == {"COMPLETED": 1, "CANCELLED": 2}
    assert tally.counters == {
        "orders": 3,
        "delivered": 1,
        "cancelled": 2,
        "two_parcels": 1,
        "checkouts": 3,
        "merged": 0,
        "declined": 0,
        "out_of_stock": 1,
        "parcels": 2,
        "edits": 1,
        "edits_taken_back": 1,
        "balances_asked": 1,
        "captured_in_parts": 1,
        "authorized_anew": 0,
        "paid_after_a_decline": 0,
        "outages_healed": 0,
        "late_payments": 1,
        "late_payments_refunded": 1,
        "returns": 1,
        "returns_completed": 1,
        "refunds": 2,
        "goodwill": 0,
        "orphans_given_back": 0,
        "coupons_used": 3,
        "coupons_given_back": 2,
    }
    assert tally.events == {"shop": len(the_day().events)}
