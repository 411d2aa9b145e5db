"""Every law holds on a good day, and names the right event on a spoiled one, however streams are mixed."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from cli.laws import Kind, Law
from cli.laws.availability import AvailabilityIsTold
from cli.laws.coupons import CouponsAreUsed
from cli.laws.mail import OccasionsAreAnswered, SentOnce
from cli.laws.money import AuthorizationsAreUsedUp, EndedOrdersAreSquare, NoMoreBackThanTaken
from cli.laws.orders import CheckoutIsOrder, OrdersEnd, StockIsAnswered, SumsAddUp
from cli.laws.parcels import HeldStays, ShippedIsCharged, UnitsStayInBounds
from cli.laws.provider import OnePaymentOneOrder
from cli.laws.refunds import GrantsArePaid, TwoApproveMuch
from cli.laws.stock import AccountedFor, OnHand, ReservationsSettle, ReturnedIsRestocked, ShippedIsDeducted
from cli.laws.streams import VersionsContiguous
from services.cart.domain.coupon_use import CouponUseGivenBack, CouponUseTaken
from services.inventory.domain.ledger import (
    AdjustmentReason,
    StockAdjusted,
    StockTermsSet,
    UnitsReleased,
    UnitsReserved,
)
from shared.domain import ids
from shared.events.cart import CartCheckedOut
from shared.events.common import RefundLine, RefundLineKind
from shared.events.envelope import Recorded
from shared.events.inventory import (
    ReversedDeduction,
    Scarcity,
    StockDeducted,
    StockRanLow,
    StockReleased,
    StockReservationRejected,
    StockReserved,
    StockRestocked,
)
from shared.events.notifications import MessageSent
from shared.events.orders import (
    CaptureRequested,
    FulfillmentHeld,
    FulfillmentHoldReleased,
    LatePaymentReceived,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderEdited,
    OrderPlaced,
    OrderStockSecured,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentRequested,
    PaymentVoided,
    RefundCause,
    RefundIssued,
    Shipped,
)
from shared.events.returns import RefundApproved, RefundProposed, ReturnReceived
from tests.unit.laws.world import (
    ANNA,
    COUPON,
    MUG,
    START,
    TIN,
    World,
    entries,
    intent,
    item,
    judged,
    mixed,
    movement,
    order,
    the_day,
)

Event = Recorded[Any]
GOOD, LATE, NONE = order("good"), order("late"), order("none")


@dataclass(frozen=True)
class Case:
    """A way to spoil the day: the law that it breaks and the event to blame (None: no single one)."""

    name: str
    law: type[Law]
    spoil: Callable[[World], Event | None]
    kind: Kind = Kind.WRONG


def adjusted(world: World, sku: str, delta: int) -> Event:
    return world.add(
        item(sku), StockAdjusted(**movement("count"), delta=delta, reason=AdjustmentReason.SHRINKAGE)
    )


def held_twice(world: World) -> Event:
    return world.add(item("tin"), UnitsReserved(**movement("again"), entries=entries("none", MUG, 10)))


def released_twice(world: World) -> Event:
    return world.repeat(world.one(UnitsReleased))


def ledger_without_reservation(world: World) -> None:
    world.drop(world.one(StockReserved, LATE), world.one(StockReleased, LATE))
    world.drop(world.one(UnitsReleased, "mug"))


def held_back(world: World) -> Event:
    return world.add(item("tin"), StockTermsSet(**movement("terms"), safety_stock=10))


def told_of_nothing(world: World) -> None:
    world.add("skuavailability-hat", StockRanLow(level=Scarcity.LOW, available=1, threshold=1))


def deducted_again(world: World) -> Event:
    return world.repeat(world.one(StockDeducted))


def deducted_unreserved(world: World) -> Event:
    return world.change(world.one(StockDeducted, n=1), lines=world.one(StockReserved).data.placed)


def never_released(world: World) -> Event:
    world.drop(world.one(StockReleased, LATE))
    return world.one(OrderCancelled, LATE)


def shipped_not_deducted(world: World) -> Event:
    world.drop(world.one(StockDeducted))
    return world.one(Shipped)


def returned_not_restocked(world: World) -> Event:
    world.drop(world.one(StockRestocked))
    return world.one(ReturnReceived)


def restocked_again(world: World) -> Event:
    return world.repeat(world.one(StockRestocked))


def taken_back_too_much(world: World) -> Event:
    back = world.one(StockRestocked)
    more = ReversedDeduction(shipment_id=back.data.reverses[0].shipment_id, line_id=MUG, quantity=3)
    return world.change(back, reverses=(more,))


def shipped_too_much(world: World) -> Event:
    second = world.one(Shipped, n=1)
    lines = tuple(replace(gone, quantity=gone.quantity + 1) for gone in second.data.lines)
    return world.change(second, lines=lines)


def refunded_more_than_returned(world: World) -> Event:
    paid = world.one(RefundIssued, GOOD)
    return world.change(paid, lines=(replace(paid.data.lines[0], quantity=3),))


def refunded_a_claim(world: World) -> Event:
    paid = world.one(RefundIssued, GOOD)
    return world.change(paid, lines=(RefundLine(line_id=MUG, quantity=1, kind=RefundLineKind.CLAIM),))


def returned_more_than_shipped(world: World) -> Event:
    scan = world.one(ReturnReceived)
    return world.change(scan, lines=(replace(scan.data.lines[0], quantity=4),))


def refunded_twice(world: World) -> Event:
    return world.repeat(world.one(RefundIssued, GOOD))


def refunds_exceed_captures(world: World) -> Event:
    return world.change(world.one(RefundIssued, LATE), amount=601)


def late_money_kept(world: World) -> Event:
    world.drop(world.one(RefundIssued, LATE))
    return world.one(OrderCancelled, LATE)


def hold_kept(world: World) -> Event:
    world.drop(world.one(PaymentVoided, LATE))
    return world.one(OrderCancelled, LATE)


def completed_unpaid(world: World) -> Event:
    world.drop(world.one(PaymentCaptured, GOOD, 1))
    return world.one(OrderCompleted)


def edited_and_unpaid(world: World) -> Event:
    world.change(world.one(OrderEdited, n=1), totals=world.one(OrderEdited).data.totals)
    return world.one(OrderCompleted)


def shipped_what_an_edit_dropped(world: World) -> Event:
    taken_back = world.one(OrderEdited, n=1)
    world.change(taken_back, lines=taken_back.data.lines[:1])
    return world.one(Shipped, n=1)


def edit_with_a_wrong_sum(world: World) -> Event:
    edit = world.one(OrderEdited)
    return world.change(edit, lines=edit.data.lines[:1])


def shipped_under_a_hold(world: World) -> Event:
    world.drop(world.one(FulfillmentHoldReleased))
    return world.one(Shipped)


def shipped_a_held_line(world: World) -> Event:
    world.drop(world.one(FulfillmentHoldReleased))
    world.change(world.one(FulfillmentHeld), line_ids=(TIN,))
    return world.one(Shipped, n=1)


def released_a_hold_twice(world: World) -> Event:
    return world.repeat(world.one(FulfillmentHoldReleased))


def held_a_second_time(world: World) -> Event:
    return world.repeat(world.one(FulfillmentHeld))


def captured_beyond(world: World) -> Event:
    return world.change(world.one(PaymentCaptured, GOOD, 1), amount=351)


def voided_what_was_captured(world: World) -> Event:
    voided = world.one(PaymentVoided)
    return world.add(world.one(OrderPlaced).stream, replace(voided.data, intent_id=intent("good")))


def two_open_intents(world: World) -> Event:
    asked = world.one(PaymentRequested, GOOD)
    second = replace(asked.data, intent_id=ids.intent_id(GOOD, 2))
    world.add(asked.stream, second)
    return world.add(asked.stream, replace(second, intent_id=ids.intent_id(GOOD, 3)))


def captured_twice_of_one(world: World) -> Event:
    world.change(world.one(PaymentAuthorized, GOOD), multicapture=False)
    return world.one(PaymentCaptured, GOOD, 1)


def granted_not_paid(world: World) -> Event:
    world.drop(world.one(RefundIssued, GOOD))
    return world.one(RefundApproved)


def paid_not_granted(world: World) -> Event:
    return world.change(world.one(RefundIssued, LATE), cause=RefundCause.GOODWILL)


def paid_less_than_granted(world: World) -> Event:
    world.change(world.one(RefundIssued, GOOD), amount=199)
    return world.one(RefundApproved)


def one_approved_much(world: World) -> Event:
    world.change(world.one(RefundProposed), amount=501)
    return world.change(world.one(RefundApproved), amount=501)


def same_person_twice(world: World) -> Event:
    world.change(world.one(RefundProposed), approvals_needed=2)
    return world.change(world.one(RefundApproved), approved_by=(ANNA, ANNA))


def other_totals(world: World) -> Event:
    placed = world.one(OrderPlaced, GOOD)
    totals = replace(placed.data.totals, items_net=549, items_tax=1)
    return world.change(placed, totals=totals)


def wrong_sum(world: World) -> Event:
    checkout = world.one(CartCheckedOut)
    return world.change(checkout, shipping=replace(checkout.data.shipping, gross=51))


def checkout_lost(world: World) -> Event:
    world.drop(*world.all(object, f"order-{NONE}"))
    return world.one(CartCheckedOut, n=2)


def placed_twice(world: World) -> Event:
    placed = world.one(OrderPlaced, GOOD)
    return world.add(f"order-{ids.derive('order', 'other')}", placed.data)


def used_without_checkout(world: World) -> Event:
    return world.add(f"couponuse-{COUPON}", CouponUseTaken(code=COUPON, order_id=ids.derive("order", "x")))


def used_for_nothing(world: World) -> Event:
    world.drop(world.one(CouponUseTaken))
    return world.one(CartCheckedOut)


def use_kept(world: World) -> Event:
    world.drop(world.one(CouponUseGivenBack, n=1))
    return world.one(OrderCancelled, NONE)


def use_given_back_too_early(world: World) -> Event:
    order = world.one(CartCheckedOut).data.order_id
    return world.add(f"couponuse-{COUPON}", CouponUseGivenBack(code=COUPON, order_id=order))


def use_given_back_twice(world: World) -> Event:
    return world.add(f"couponuse-{COUPON}", world.one(CouponUseGivenBack).data)


def stock_unanswered(world: World) -> Event:
    world.drop(world.one(StockReservationRejected, NONE))
    return world.one(OrderPlaced, NONE)


def stock_answered_late(world: World) -> Event:
    return world.move(world.one(StockReservationRejected, NONE), START + timedelta(hours=3))


def never_ended(world: World) -> Event:
    world.drop(world.one(OrderCancelled, LATE))
    return world.one(OrderStockSecured, LATE)


def ended_twice(world: World) -> Event:
    return world.add(f"order-{LATE}", world.one(OrderCompleted).data)


def decided_late(world: World) -> Event:
    return world.move(world.one(OrderConfirmed), START + timedelta(hours=4))


def shipped_after_cancellation(world: World) -> Event:
    return world.add(f"order-{LATE}", world.one(Shipped).data)


def shipped_uncharged(world: World) -> Event:
    world.drop(world.one(CaptureRequested))
    return world.one(Shipped)


def charged_too_little(world: World) -> Event:
    world.change(world.one(CaptureRequested, n=1), amount=349)
    return world.one(Shipped, n=1)


def payment_of_another(world: World) -> Event:
    return world.change(world.one(LatePaymentReceived), provider_ref="cap_p1")


def sent_twice(world: World) -> Event:
    return world.repeat(world.one(MessageSent))


def occasion_missed(world: World) -> Event:
    gone = world.one(MessageSent)
    world.drop(gone)
    return next(event for event in world.events if event.event_id == gone.data.cause_event_id)


def version_missing(world: World) -> Event:
    second = world.one(PaymentRequested)
    world.events.remove(second)
    return world.one(PaymentAuthorized)


def version_twice(world: World) -> Event:
    first = world.one(OrderPlaced)
    again = world.add(first.stream, first.data)._replace(version=1, event_id=ids.derive("event", "again"))
    return world.swap(world.events[-1], again)


CASES = (
    Case("less than nothing on hand", OnHand, lambda w: adjusted(w, "mug", -20), Kind.OVERSOLD),
    Case("counted below what is held", AccountedFor, held_twice, Kind.OVERSOLD),
    Case("an entry resolved twice", AccountedFor, released_twice, Kind.OVERSOLD),
    Case("the ledger holds what nobody reserved", AccountedFor, ledger_without_reservation),
    Case("sold out and nobody told", AvailabilityIsTold, held_back),
    Case("told to be low, and never kept", AvailabilityIsTold, told_of_nothing),
    Case("deducted without a reservation", ReservationsSettle, deducted_again),
    Case("more deducted than reserved", ReservationsSettle, deducted_unreserved),
    Case("cancelled and still reserved", ReservationsSettle, never_released),
    Case("shipped and not deducted", ShippedIsDeducted, shipped_not_deducted, Kind.LOST),
    Case("deducted twice", ShippedIsDeducted, deducted_again, Kind.DUPLICATED),
    Case("returned and not restocked", ReturnedIsRestocked, returned_not_restocked, Kind.LOST),
    Case("restocked twice", ReturnedIsRestocked, restocked_again, Kind.DUPLICATED),
    Case("taken back more than left", ReturnedIsRestocked, taken_back_too_much, Kind.DUPLICATED),
    Case("shipped more than ordered", UnitsStayInBounds, shipped_too_much),
    Case("shipped what an edit dropped", UnitsStayInBounds, shipped_what_an_edit_dropped),
    Case("refunded more than returned", UnitsStayInBounds, refunded_more_than_returned),
    Case("refunded a claim", UnitsStayInBounds, refunded_a_claim),
    Case("returned more than shipped", UnitsStayInBounds, returned_more_than_shipped),
    Case("refunded twice", NoMoreBackThanTaken, refunded_twice, Kind.DUPLICATED),
    Case("refunded more than captured", NoMoreBackThanTaken, refunds_exceed_captures, Kind.DUPLICATED),
    Case("late money kept", EndedOrdersAreSquare, late_money_kept, Kind.LOST),
    Case("cancelled and still authorized", EndedOrdersAreSquare, hold_kept, Kind.LOST),
    Case("completed unpaid", EndedOrdersAreSquare, completed_unpaid),
    Case("completed below the last edit's total", EndedOrdersAreSquare, edited_and_unpaid),
    Case("captured more than authorized", AuthorizationsAreUsedUp, captured_beyond),
    Case("voided what was captured", AuthorizationsAreUsedUp, voided_what_was_captured),
    Case("neither captured nor voided", AuthorizationsAreUsedUp, hold_kept),
    Case("two open intents", AuthorizationsAreUsedUp, two_open_intents, Kind.DUPLICATED),
    Case("captured twice of one", AuthorizationsAreUsedUp, captured_twice_of_one, Kind.DUPLICATED),
    Case("granted and not paid", GrantsArePaid, granted_not_paid, Kind.LOST),
    Case("paid and not granted", GrantsArePaid, paid_not_granted, Kind.DUPLICATED),
    Case("paid twice", GrantsArePaid, refunded_twice, Kind.DUPLICATED),
    Case("paid less than granted", GrantsArePaid, paid_less_than_granted, Kind.LOST),
    Case("one person above the threshold", TwoApproveMuch, one_approved_much),
    Case("the same person twice", TwoApproveMuch, same_person_twice),
    Case("order with other totals", SumsAddUp, other_totals),
    Case("wrong sum", SumsAddUp, wrong_sum),
    Case("edit with a wrong sum", SumsAddUp, edit_with_a_wrong_sum),
    Case("checkout without order", CheckoutIsOrder, checkout_lost, Kind.LOST),
    Case("order without checkout", CheckoutIsOrder, placed_twice, Kind.DUPLICATED),
    Case("coupon used without a checkout", CouponsAreUsed, used_without_checkout, Kind.DUPLICATED),
    Case("bought with a coupon that was not used", CouponsAreUsed, used_for_nothing, Kind.LOST),
    Case("cancelled and the coupon's use kept", CouponsAreUsed, use_kept, Kind.LOST),
    Case("coupon's use given back too early", CouponsAreUsed, use_given_back_too_early),
    Case("coupon's use given back twice", CouponsAreUsed, use_given_back_twice, Kind.DUPLICATED),
    Case("no answer about stock", StockIsAnswered, stock_unanswered, Kind.LOST),
    Case("late answer about stock", StockIsAnswered, stock_answered_late),
    Case("order without end", OrdersEnd, never_ended, Kind.LOST),
    Case("order with two ends", OrdersEnd, ended_twice),
    Case("order decided late", OrdersEnd, decided_late),
    Case("shipped after cancellation", ShippedIsCharged, shipped_after_cancellation),
    Case("shipped and not charged", ShippedIsCharged, shipped_uncharged),
    Case("charged too little", ShippedIsCharged, charged_too_little),
    Case("shipped under a hold", HeldStays, shipped_under_a_hold),
    Case("shipped a held line", HeldStays, shipped_a_held_line),
    Case("hold released twice", HeldStays, released_a_hold_twice),
    Case("hold placed twice", HeldStays, held_a_second_time),
    Case("one payment, two orders", OnePaymentOneOrder, payment_of_another, Kind.DUPLICATED),
    Case("message sent twice", SentOnce, sent_twice, Kind.DUPLICATED),
    Case("nobody was written to", OccasionsAreAnswered, occasion_missed, Kind.LOST),
    Case("a version is missing", VersionsContiguous, version_missing, Kind.LOST),
    Case("a version is there twice", VersionsContiguous, version_twice, Kind.DUPLICATED),
)


def test_a_good_day_breaks_no_law() -> None:
    assert judged(the_day().events) == []


def test_a_good_day_breaks_no_law_however_it_is_mixed() -> None:
    events, chance = the_day().events, random.Random(3)
    for _ in range(50):
        assert judged(mixed(events, chance)) == []


def test_what_is_sold_out_and_told_so_is_well() -> None:
    world = the_day()
    held_back(world)
    world.add("skuavailability-tin", StockRanLow(level=Scarcity.OUT, available=0, threshold=0))
    assert judged(world.events) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_spoiled_day_names_the_law_and_the_event(case: Case) -> None:
    world = the_day()
    blamed = case.spoil(world)
    found = judged(world.events)
    matching = [v for v in found if v.law == case.law.number and v.kind is case.kind]
    first = matching[0]
    if blamed is None:
        assert first.event_id is None
    else:
        place = (blamed.event_id, blamed.type, blamed.stream, blamed.version)
        assert place in [(v.event_id, v.event_type, v.stream, v.version) for v in matching]
        assert str(blamed.event_id) in str(first)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_verdict_does_not_depend_on_the_mixture(case: Case) -> None:
    world, chance = the_day(), random.Random(7)
    case.spoil(world)
    verdict = judged(world.events)
    for _ in range(5):
        assert judged(mixed(world.events, chance)) == verdict
