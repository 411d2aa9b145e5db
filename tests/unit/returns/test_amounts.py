"""What returned units are worth; whatever the receipts, everything adds up to what was paid."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from services.returns.domain.amounts import (
    PricedLine,
    RefundTerms,
    ShippingPaid,
    UnitsBack,
    charged,
    goodwill,
    refund_for,
    with_deduction,
)
from shared.events.common import Breakdown
from shared.events.returns import RefundShipping
from tests.unit.returns.samples import LAMP, MUGS

LINES = [
    PricedLine(line_id=MUGS, ordered=3, gross=1000, tax=167),
    PricedLine(line_id=LAMP, ordered=1, gross=3000, tax=500),
]
SHIPPING = ShippingPaid(gross=480, tax=80)
ENOUGH = 10**9


def terms(mode: RefundShipping, fee_bp: int = 0, flat_fee: int = 0) -> RefundTerms:
    return RefundTerms(refund_shipping=mode, fee_bp=fee_bp, flat_fee=flat_fee)


def units(quantity: int, fault: bool = False) -> list[UnitsBack]:
    return [UnitsBack(line_id=MUGS, quantity=quantity, fault=fault)]


@pytest.mark.parametrize(
    ("mode", "shipping", "tax"),
    [(RefundShipping.NEVER, 0, 0), (RefundShipping.FULL_RETURN, 0, 0), (RefundShipping.PROPORTIONAL, 79, 13)],
)
def test_a_part_of_the_order_by_each_shipping_mode(mode: RefundShipping, shipping: int, tax: int) -> None:
    assert refund_for(LINES, SHIPPING, units(2), terms(mode), ENOUGH) == Breakdown(
        items_net=666 - 111,
        items_tax=111,
        shipping_net=shipping - tax,
        shipping_tax=tax,
        total=666 + shipping,
    )


def test_the_receipt_that_completes_a_full_return_brings_the_shipping() -> None:
    rest = [replace(LINES[0], refunded=1), replace(LINES[1], refunded=1)]
    refund = refund_for(rest, SHIPPING, units(2), terms(RefundShipping.FULL_RETURN), ENOUGH)
    assert (refund.shipping_net, refund.shipping_tax, refund.total) == (400, 80, 667 + 480)


def test_the_merchants_fault_is_proportional_and_free() -> None:
    strict = terms(RefundShipping.NEVER, fee_bp=1000, flat_fee=50)
    refund = refund_for(LINES, SHIPPING, units(2, fault=True), strict, ENOUGH)
    assert (refund.fee, refund.shipping_net + refund.shipping_tax) == (0, 79)


def test_the_fee_is_taken_of_goods_that_nobody_is_to_blame_for() -> None:
    strict = terms(RefundShipping.NEVER, fee_bp=1000, flat_fee=50)
    both = [*units(2), UnitsBack(line_id=LAMP, quantity=1, fault=True)]
    assert refund_for(LINES, SHIPPING, both, strict, ENOUGH).fee == 66 + 50
    assert refund_for(LINES, SHIPPING, units(2), terms(RefundShipping.NEVER, flat_fee=900), ENOUGH).total == 0


def test_units_of_one_line_with_two_dispositions_count_together() -> None:
    refund = refund_for(LINES, SHIPPING, [*units(1), *units(2)], terms(RefundShipping.NEVER), ENOUGH)
    assert refund.total == 1000


def test_what_is_already_granted_is_deducted_first_from_the_goods_then_from_the_shipping() -> None:
    everything = [*units(3), UnitsBack(line_id=LAMP, quantity=1, fault=False)]
    mode = terms(RefundShipping.FULL_RETURN)
    less = refund_for(LINES, SHIPPING, everything, mode, 4000)
    assert (less.deduction, less.total, less.shipping_net + less.shipping_tax) == (480, 4000, 480)
    hardly = refund_for(LINES, SHIPPING, everything, mode, 100)
    assert (hardly.deduction, hardly.total, hardly.shipping_net, hardly.shipping_tax) == (4000, 100, 84, 16)
    assert refund_for(LINES, SHIPPING, everything, mode, 0).total == 0


def test_free_goods_bring_back_their_shipping_when_all_are_back() -> None:
    free = [replace(LINES[0], gross=0, tax=0)]
    mode = terms(RefundShipping.PROPORTIONAL)
    assert refund_for(free, SHIPPING, units(2), mode, ENOUGH).total == 0
    assert refund_for(free, SHIPPING, units(3), mode, ENOUGH).total == 480


def test_units_that_are_not_there_are_an_error() -> None:
    with pytest.raises(ValueError, match="cannot be paid back"):
        refund_for(LINES, SHIPPING, units(4), terms(RefundShipping.NEVER), ENOUGH)
    with pytest.raises(KeyError):
        refund_for(LINES[1:], SHIPPING, units(1), terms(RefundShipping.NEVER), ENOUGH)


def test_a_deduction_stays_within_the_goods() -> None:
    refund = refund_for(LINES, SHIPPING, units(3), terms(RefundShipping.NEVER, fee_bp=1000), ENOUGH)
    less = with_deduction(refund, 900)
    assert (less.deduction, less.total) == (900, 0)
    for wrong in (901, -1):
        with pytest.raises(ValueError, match="cannot deduct"):
            with_deduction(refund, wrong)


def test_goodwill_lowers_price_and_tax_alike() -> None:
    assert goodwill(448, 4480, 747) == Breakdown(
        items_net=374, items_tax=74, shipping_net=0, shipping_tax=0, total=448
    )


def test_an_order_is_charged_for_what_left() -> None:
    assert charged(LINES, [0, 0], SHIPPING) == (0, 0)
    assert charged(LINES, [2, 0], SHIPPING) == (666 + 480, 111 + 80)
    assert charged(LINES, [3, 1], SHIPPING) == (4480, 747)


@st.composite
def orders_and_receipts(draw: st.DrawFn) -> tuple[list[PricedLine], ShippingPaid, list[list[UnitsBack]]]:
    """An order and a way for all of its units to come back, in receipts of any cut and blame."""
    lines, coming = [], []
    for line_id in (MUGS, LAMP):
        ordered, gross = draw(st.integers(1, 7)), draw(st.integers(0, 100_000))
        lines.append(
            PricedLine(line_id=line_id, ordered=ordered, gross=gross, tax=draw(st.integers(0, gross // 2)))
        )
        coming += [UnitsBack(line_id=line_id, quantity=1, fault=draw(st.booleans())) for _ in range(ordered)]
    receipts: list[list[UnitsBack]] = [[] for _ in range(draw(st.integers(1, 4)))]
    for unit in draw(st.permutations(coming)):
        receipts[draw(st.integers(0, len(receipts) - 1))].append(unit)
    gross = draw(st.integers(0, 5_000))
    shipping = ShippingPaid(gross=gross, tax=draw(st.integers(0, gross // 2)))
    return lines, shipping, [receipt for receipt in receipts if receipt]


def refund_all(
    lines: list[PricedLine], shipping: ShippingPaid, receipts: list[list[UnitsBack]], mode: RefundShipping
) -> list[Breakdown]:
    refunds = []
    for receipt in receipts:
        refund = refund_for(lines, shipping, receipt, terms(mode), ENOUGH)
        refunds.append(refund)
        back = {line.line_id: sum(u.quantity for u in receipt if u.line_id == line.line_id) for line in lines}
        lines = [replace(line, refunded=line.refunded + back[line.line_id]) for line in lines]
        shipping = replace(
            shipping,
            refunded_gross=shipping.refunded_gross + refund.shipping_net + refund.shipping_tax,
            refunded_tax=shipping.refunded_tax + refund.shipping_tax,
        )
    return refunds


@for_all(orders_and_receipts(), st.sampled_from(RefundShipping))
def test_refunding_everything_adds_up_to_exactly_what_was_paid(
    case: tuple[list[PricedLine], ShippingPaid, list[list[UnitsBack]]], mode: RefundShipping
) -> None:
    lines, shipping, receipts = case
    refunds = refund_all(lines, shipping, receipts, mode)

    def total(part: str) -> Any:
        return sum(getattr(refund, part) for refund in refunds)

    assert all(refund.total >= 0 for refund in refunds)
    assert total("items_tax") == sum(line.tax for line in lines)
    assert total("items_net") + total("items_tax") == sum(line.gross for line in lines)
    shipping_back = total("shipping_net") + total("shipping_tax")
    if mode is RefundShipping.NEVER:
        assert shipping_back <= shipping.gross
    else:
        assert (shipping_back, total("shipping_tax")) == (shipping.gross, shipping.tax)
    assert total("total") == sum(line.gross for line in lines) + shipping_back


@for_all(orders_and_receipts(), st.integers(0, 200_000))
def test_a_refund_never_exceeds_what_is_left(
    case: tuple[list[PricedLine], ShippingPaid, list[list[UnitsBack]]], left: int
) -> None:
    lines, shipping, receipts = case
    refund = refund_for(lines, shipping, receipts[0], terms(RefundShipping.PROPORTIONAL), left)
    parts = refund.items_net + refund.items_tax + refund.shipping_net + refund.shipping_tax
    assert 0 <= refund.total <= left
    assert refund.total == parts - refund.fee - refund.deduction
