"""Returnable: where two returns meet, and where the money left is counted."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from services.returns.domain.amounts import UnitsBack
from services.returns.domain.facts import OrderFact
from services.returns.domain.returnable import (
    RETURNABLE,
    ClaimUnits,
    GiveBackUnits,
    NoteGrant,
    NoteOrderFact,
    ValueReceipt,
)
from services.returns.domain.returnable_events import (
    CancellationNoted,
    GrantNoted,
    GrantPaid,
    GrantUnpaid,
    OrderedLine,
    PlacementNoted,
    ReceiptValued,
    RevisionNoted,
    ShipmentNoted,
    UnitsClaimed,
    UnitsGivenBack,
)
from shared.domain import Sealed
from shared.domain.ids import derive
from shared.events.common import (
    Breakdown,
    CancelReason,
    Charge,
    Contact,
    DeliveryKind,
    Destination,
    Line,
    Qty,
    RefundSource,
    Totals,
)
from shared.events.orders import (
    Delivered,
    DeliveryProof,
    EditCause,
    OrderCancelled,
    OrderEdited,
    OrderPlaced,
    OrderSource,
    RefundCause,
    RefundFailed,
    RefundFailureCode,
    RefundIssued,
    ShipmentMethod,
    Shipped,
    ShippedLine,
    SourceKind,
)
from shared.events.returns import RequestedLine, ReturnReason
from shared.testing.scenario import NOW, given
from tests.unit.returns.samples import (
    CARD,
    DELIVERED,
    DELIVERED_AT,
    DELIVERY_NOTED,
    EVERYTHING,
    LAMP,
    MUGS,
    ORDER,
    OTHER_RETURN,
    PARCEL,
    PLACEMENT_NOTED,
    POLICY,
    RECEIPT,
    RETURN_ID,
    SECOND_RECEIPT,
    SHIPMENT_NOTED,
    STRICT,
    returnable,
    wish,
)

REFUND = derive("test", "refund")
CLAIMED = UnitsClaimed(return_id=RETURN_ID, lines=(Qty(line_id=MUGS, quantity=2),))
WORTH_TWO_MUGS = Breakdown(items_net=555, items_tax=111, shipping_net=0, shipping_tax=0, total=666)
VALUED = ReceiptValued(
    return_id=RETURN_ID,
    receipt_id=RECEIPT,
    lines=(Qty(line_id=MUGS, quantity=2),),
    breakdown=WORTH_TWO_MUGS,
)
GRANTED = GrantNoted(
    refund_id=REFUND, source=RefundSource.RETURN, source_id=RETURN_ID, receipt_id=RECEIPT, amount=666
)
GOODWILL = GrantNoted(
    refund_id=REFUND, source=RefundSource.GOODWILL, source_id=RETURN_ID, receipt_id=None, amount=4000
)


def line(**overrides: Any) -> Line:
    return replace(
        Line(
            line_id=MUGS,
            sku="MUG",
            title="Mug",
            quantity=3,
            unit_price=333,
            net=833,
            tax=167,
            gross=1000,
            tax_class="standard",
            tax_rate_bp=2000,
        ),
        **overrides,
    )


PLACED = OrderPlaced(
    order_number="A7K3F-92QXM",
    source=OrderSource(kind=SourceKind.CART, ref_id=ORDER),
    contact=Contact(subject_id=ORDER, name=Sealed("v1.name"), email=Sealed("v1.mail")),
    destination=Destination(country="GB", complete=True, address=Sealed("v1.address")),
    lines=(
        line(),
        line(line_id=LAMP, delivery=DeliveryKind.DIGITAL, customization=Sealed("v1.x"), final_sale=True),
    ),
    shipping=Charge(method_id="post", title="Post", net=400, tax=80, gross=480),
    totals=Totals(items_net=1666, items_tax=334, shipping_net=400, shipping_tax=80, discount=0, total=2480),
    currency="GBP",
    locale="en",
    pricing_version=1,
    stock_answer_by=NOW,
)
EDITED = OrderEdited(
    edit_id=derive("test", "edit"),
    revision=1,
    cause=EditCause.STAFF,
    lines=(line(quantity=2, gross=667, net=556, tax=111), line(line_id=CARD, quantity=1)),
    shipping=Charge(method_id="post", title="Post", net=100, tax=20, gross=120),
    total_before=2480,
    totals=Totals(items_net=1389, items_tax=278, shipping_net=100, shipping_tax=20, discount=0, total=1787),
    raises_stock=True,
)
REVISION_NOTED = RevisionNoted(
    revision=1,
    lines=tuple(
        OrderedLine(
            line_id=line_id,
            sku="MUG",
            ordered=ordered,
            gross=gross,
            tax=tax,
            digital=False,
            custom=False,
            final_sale=False,
        )
        for line_id, ordered, gross, tax in ((MUGS, 2, 667, 111), (CARD, 1, 1000, 167))
    ),
    shipping_gross=120,
    shipping_tax=20,
)
SHIPPED = Shipped(
    shipment_id=PARCEL,
    fulfillment_id=ORDER,
    method=ShipmentMethod.CARRIER,
    lines=tuple(
        ShippedLine(line_id=qty.line_id, sku="", quantity=qty.quantity, stock_tracked=True)
        for qty in EVERYTHING
    ),
    estimated_delivery=date(2026, 1, 7),
    last=True,
)
ARRIVED = Delivered(
    shipment_id=PARCEL, lines=EVERYTHING, delivered_at=DELIVERED_AT, proof=DeliveryProof.CARRIER
)
CANCELLED = OrderCancelled(reason=CancelReason.CUSTOMER, stock_tracked=True, revision=0)
ISSUED = RefundIssued(
    refund_id=REFUND,
    amount=666,
    breakdown=WORTH_TWO_MUGS,
    cause=RefundCause.RETURN,
    ref_id=RETURN_ID,
    allocations=(),
)
FAILED = RefundFailed(
    refund_id=REFUND, amount=666, code=RefundFailureCode.PROVIDER_REFUSED, retryable=False, attempt=5
)


def note(fact: OrderFact) -> NoteOrderFact:
    return NoteOrderFact(order_id=ORDER, fact=fact)


def claim(*lines: RequestedLine, now: datetime = NOW) -> ClaimUnits:
    return ClaimUnits(return_id=RETURN_ID, lines=lines or (wish(),), policy=POLICY.current, now=now)


def test_an_order_is_noted_with_its_frozen_amounts() -> None:
    given(RETURNABLE).when(note(PLACED)).then(
        PlacementNoted(
            currency="GBP",
            lines=(
                OrderedLine(
                    line_id=MUGS,
                    sku="MUG",
                    ordered=3,
                    gross=1000,
                    tax=167,
                    digital=False,
                    custom=False,
                    final_sale=False,
                ),
                OrderedLine(
                    line_id=LAMP,
                    sku="MUG",
                    ordered=3,
                    gross=1000,
                    tax=167,
                    digital=True,
                    custom=True,
                    final_sale=True,
                ),
            ),
            shipping_gross=480,
            shipping_tax=80,
        )
    )


def test_parcels_and_cancellation_are_noted_once() -> None:
    given(RETURNABLE, PLACEMENT_NOTED).when(note(SHIPPED)).then(SHIPMENT_NOTED)
    given(RETURNABLE, PLACEMENT_NOTED, SHIPMENT_NOTED).when(note(ARRIVED)).then(DELIVERY_NOTED)
    given(RETURNABLE, PLACEMENT_NOTED).when(note(CANCELLED)).then(CancellationNoted())


def test_an_edit_is_noted_once_and_in_order() -> None:
    given(RETURNABLE, PLACEMENT_NOTED).when(note(EDITED)).then(REVISION_NOTED)
    later = replace(REVISION_NOTED, revision=2)
    given(RETURNABLE, PLACEMENT_NOTED, later).when(note(EDITED)).then()


def test_what_comes_back_is_what_the_edit_left() -> None:
    """The lamp was dropped, of the mugs two are left, and the money is that of the edit."""
    units = (Qty(line_id=MUGS, quantity=2), Qty(line_id=CARD, quantity=1))
    parcel = replace(SHIPMENT_NOTED, lines=units), replace(DELIVERY_NOTED, lines=units)
    edited = (PLACEMENT_NOTED, REVISION_NOTED, *parcel)
    given(RETURNABLE, *edited).when(claim()).then(CLAIMED)
    given(RETURNABLE, *edited).when(claim(wish(LAMP, 1))).rejected("exceeds_returnable")
    assert returnable(*edited).paid() == (667 + 1000 + 120, 111 + 167 + 20)


def test_facts_of_an_order_that_is_not_known_are_not_ours() -> None:
    for fact in (EDITED, SHIPPED, ARRIVED, CANCELLED, ISSUED, FAILED):
        given(RETURNABLE).when(note(fact)).then()


def test_units_are_claimed_once() -> None:
    given(RETURNABLE, *DELIVERED).when(claim()).then(CLAIMED)
    both = (wish(quantity=1), wish(quantity=1, reason=ReturnReason.DEFECTIVE))
    given(RETURNABLE, *DELIVERED).when(claim(*both)).then(CLAIMED)


def test_two_returns_cannot_claim_one_unit() -> None:
    other = replace(CLAIMED, return_id=OTHER_RETURN)
    refusal = given(RETURNABLE, *DELIVERED, other).when(claim()).rejected("exceeds_returnable")
    assert refusal.extra == {"line_id": MUGS, "returnable": 1}
    given(RETURNABLE, *DELIVERED, other).when(claim(wish(quantity=1))).then(
        replace(CLAIMED, lines=(Qty(line_id=MUGS, quantity=1),))
    )


@pytest.mark.parametrize("lines", [(wish(quantity=4),), (wish(CARD),), (wish(quantity=0),), (wish(), wish())])
def test_more_than_was_delivered_cannot_come_back(lines: tuple[RequestedLine, ...]) -> None:
    given(RETURNABLE, *DELIVERED).when(claim(*lines)).rejected("exceeds_returnable")


def test_nothing_comes_back_that_was_not_delivered() -> None:
    given(RETURNABLE).when(claim()).rejected("not_delivered")
    given(RETURNABLE, PLACEMENT_NOTED, SHIPMENT_NOTED).when(claim()).rejected("not_delivered")
    given(RETURNABLE, PLACEMENT_NOTED, CancellationNoted()).when(claim()).rejected("not_delivered")


def test_the_window_ends_to_the_instant() -> None:
    last = DELIVERED_AT + timedelta(days=30)
    given(RETURNABLE, *DELIVERED).when(claim(now=last)).then(CLAIMED)
    late = claim(now=last + timedelta(microseconds=1))
    given(RETURNABLE, *DELIVERED).when(late).rejected("period_ended")


def test_the_window_counts_from_the_last_parcel_of_the_line() -> None:
    first = replace(DELIVERY_NOTED, lines=(Qty(line_id=MUGS, quantity=2),), delivered_at=DELIVERED_AT)
    second = replace(
        first,
        shipment_id=LAMP,
        lines=(Qty(line_id=MUGS, quantity=1),),
        delivered_at=DELIVERED_AT - timedelta(days=25),
    )
    given(RETURNABLE, PLACEMENT_NOTED, SHIPMENT_NOTED, first, second).when(claim()).then(CLAIMED)


def test_excluded_goods_come_back_only_by_the_merchants_fault() -> None:
    lamp = wish(LAMP, 1)
    refusal = given(RETURNABLE, *DELIVERED).when(claim(lamp)).rejected("excluded")
    assert refusal.extra == {"line_id": LAMP, "exclusion": "FINAL_SALE"}
    broken = wish(LAMP, 1, ReturnReason.DEFECTIVE)
    given(RETURNABLE, *DELIVERED).when(claim(broken)).then(
        replace(CLAIMED, lines=(Qty(line_id=LAMP, quantity=1),))
    )
    by_sku = replace(claim(), policy=STRICT.current)
    given(RETURNABLE, *DELIVERED).when(by_sku).rejected("excluded")


@pytest.mark.parametrize("trait", ["digital", "custom"])
def test_custom_and_digital_goods_are_excluded(trait: str) -> None:
    flag: dict[str, Any] = {trait: True}
    special = replace(PLACEMENT_NOTED.lines[0], **flag)
    order = replace(PLACEMENT_NOTED, lines=(special,))
    given(RETURNABLE, order, SHIPMENT_NOTED, DELIVERY_NOTED).when(claim()).rejected("excluded")


def test_units_are_given_back_as_far_as_they_are_held() -> None:
    give_back = GiveBackUnits(return_id=RETURN_ID, lines=(Qty(line_id=MUGS, quantity=3),))
    back = UnitsGivenBack(return_id=RETURN_ID, lines=(Qty(line_id=MUGS, quantity=2),))
    given(RETURNABLE, *DELIVERED, CLAIMED).when(give_back).then(back)
    given(RETURNABLE, *DELIVERED).when(give_back).then()
    given(RETURNABLE).when(give_back).then()
    assert returnable(*DELIVERED, CLAIMED).returnable(MUGS) == 1
    assert returnable(*DELIVERED, CLAIMED, back).returnable(MUGS) == 3


def value(quantity: int = 2, fault: bool = False) -> ValueReceipt:
    return ValueReceipt(
        return_id=RETURN_ID,
        receipt_id=RECEIPT,
        back=(UnitsBack(line_id=MUGS, quantity=quantity, fault=fault),),
        policy=POLICY.current,
    )


def test_a_receipt_is_valued_once_and_its_amount_frozen() -> None:
    given(RETURNABLE, *DELIVERED, CLAIMED).when(value()).then(VALUED)
    given(RETURNABLE, *DELIVERED, CLAIMED).when(replace(value(), back=())).then()


def test_the_return_shipping_fee_is_kept_once_per_return() -> None:
    strict = replace(value(1), policy=STRICT.current)
    earlier = replace(VALUED, receipt_id=SECOND_RECEIPT, lines=(Qty(line_id=MUGS, quantity=1),))
    for events, fee in (((), 33 + 50), ((earlier,), 33)):
        events_now = RETURNABLE.decide(returnable(*DELIVERED, CLAIMED, *events), strict)
        assert [event.breakdown.fee for event in events_now if isinstance(event, ReceiptValued)] == [fee]


def test_goodwill_that_is_already_granted_is_deducted_from_a_receipt() -> None:
    [event] = RETURNABLE.decide(returnable(*DELIVERED, CLAIMED, GOODWILL), value())
    assert isinstance(event, ReceiptValued)
    assert (event.breakdown.total, event.breakdown.deduction) == (480, 186)


def test_a_receipt_of_an_unknown_order_is_worth_nothing() -> None:
    given(RETURNABLE).when(value()).rejected("exceeds_refundable")


def grant(amount: int, receipt: bool) -> NoteGrant:
    source = RefundSource.RETURN if receipt else RefundSource.GOODWILL
    return NoteGrant(
        refund_id=REFUND,
        source=source,
        source_id=RETURN_ID,
        receipt_id=RECEIPT if receipt else None,
        amount=amount,
    )


def test_grants_stay_within_the_receipt_or_the_money_left() -> None:
    valued = (*DELIVERED, CLAIMED, VALUED)
    given(RETURNABLE, *valued).when(grant(666, receipt=True)).then(GRANTED)
    given(RETURNABLE, *valued).when(grant(667, receipt=True)).rejected("exceeds_refundable")
    given(RETURNABLE, *DELIVERED).when(grant(1, receipt=True)).rejected("exceeds_refundable")
    given(RETURNABLE, *DELIVERED).when(grant(4000, receipt=False)).then(GOODWILL)
    given(RETURNABLE, *valued).when(grant(4480 - 666, receipt=False)).then(replace(GOODWILL, amount=3814))
    refusal = given(RETURNABLE, *valued).when(grant(3815, receipt=False)).rejected("exceeds_refundable")
    assert refusal.extra == {"refundable": 3814}
    given(RETURNABLE, *DELIVERED).when(grant(0, receipt=False)).rejected("exceeds_refundable")
    given(RETURNABLE, PLACEMENT_NOTED).when(grant(1, receipt=False)).rejected("exceeds_refundable")
    given(RETURNABLE).when(grant(1, receipt=False)).rejected("exceeds_refundable")


def test_what_orders_made_of_a_grant_is_noted() -> None:
    granted = (*DELIVERED, CLAIMED, VALUED, GRANTED)
    unpaid = GrantUnpaid(refund_id=REFUND, code="PROVIDER_REFUSED")
    given(RETURNABLE, *granted).when(note(ISSUED)).then(GrantPaid(refund_id=REFUND))
    given(RETURNABLE, *granted).when(note(FAILED)).then(unpaid)
    given(RETURNABLE, *granted).when(note(replace(FAILED, retryable=True))).then()
    given(RETURNABLE, *granted, unpaid).when(note(ISSUED)).then(GrantPaid(refund_id=REFUND))
    given(RETURNABLE, *DELIVERED).when(note(ISSUED)).then()


def test_a_return_is_settled_when_all_its_receipts_are_paid() -> None:
    granted = (*DELIVERED, CLAIMED, VALUED, GRANTED)
    assert not returnable(*DELIVERED, CLAIMED, VALUED).settled(RETURN_ID)
    assert not returnable(*granted).settled(RETURN_ID)
    assert not returnable(*granted, GrantUnpaid(refund_id=REFUND, code="X")).settled(RETURN_ID)
    assert returnable(*granted, GrantPaid(refund_id=REFUND)).settled(RETURN_ID)
    worthless = replace(VALUED, breakdown=replace(WORTH_TWO_MUGS, fee=666, total=0))
    assert returnable(*DELIVERED, CLAIMED, worthless).settled(RETURN_ID)


def test_the_fold_counts_units_and_money() -> None:
    half = ShipmentNoted(shipment_id=PARCEL, lines=(Qty(line_id=MUGS, quantity=1),))
    assert returnable(PLACEMENT_NOTED).left() == 0
    assert returnable(PLACEMENT_NOTED, half).left() == 333 + 480
    state = returnable(*DELIVERED, CLAIMED, VALUED, replace(GRANTED, amount=600))
    assert (state.paid(), state.granted(), state.left()) == ((4480, 747), 600, 3880)
    assert (state.lines[MUGS].refunded, state.claimed(MUGS), state.returnable(CARD)) == (2, 2, 0)
    assert state.lines[MUGS].delivered_at == datetime(2025, 12, 26, 9, tzinfo=UTC)
    assert not RETURNABLE.public
    assert RETURNABLE.stream(ORDER) == f"returnable-{ORDER}"


def test_parts_of_an_unknown_line_change_nothing() -> None:
    strange = replace(SHIPMENT_NOTED, lines=(Qty(line_id=CARD, quantity=1),))
    assert returnable(PLACEMENT_NOTED, strange).lines == returnable(PLACEMENT_NOTED).lines
