"""Sharing money and rounding taxes, against fractions: nothing is lost, and no part is a whole penny off."""

from collections.abc import Sequence
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from services.returns.domain.amounts import PricedLine, RefundTerms, ShippingPaid, UnitsBack, refund_for
from shared.domain import round_half_up, share, spread, tax_on, tax_within
from shared.events.common import Breakdown
from shared.events.returns import RefundShipping
from tests.property.machine import uid
from tests.property.profiles import PROFILE

amounts = st.integers(0, 10**12)
rates = st.integers(0, 10_000)
LINES = (uid("line", 1), uid("line", 2))


@PROFILE
@given(amounts, st.integers(1, 10_000), st.data())
def test_a_share_is_less_than_a_penny_off(amount: int, quantity: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, quantity))
    last = data.draw(st.integers(first, quantity))
    middle = data.draw(st.integers(first, last))

    part = share(amount, quantity, first, last)

    assert part == share(amount, quantity, first, middle) + share(amount, quantity, middle, last)
    assert part >= 0
    assert abs(part - Fraction(amount * (last - first), quantity)) < 1
    assert share(amount, quantity, 0, quantity) == amount


@PROFILE
@given(amounts, st.lists(st.integers(0, 10**9), min_size=1, max_size=20))
def test_a_part_is_less_than_a_penny_off_its_weight(amount: int, weights: list[int]) -> None:
    parts = spread(amount, weights)

    assert sum(parts) == amount
    assert len(parts) == len(weights)
    for part, weight in zip(parts, weights, strict=True):
        if total := sum(weights):
            assert part >= 0
            assert abs(part - Fraction(amount * weight, total)) < 1
            assert weight or not part


@PROFILE
@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_rounding_takes_the_nearest_and_halves_away_from_zero(numerator: int, denominator: int) -> None:
    exact, rounded = Fraction(numerator, denominator), round_half_up(numerator, denominator)

    assert abs(rounded - exact) <= Fraction(1, 2)
    if abs(rounded - exact) == Fraction(1, 2):
        assert abs(rounded) > abs(exact)
    assert round_half_up(-numerator, denominator) == -rounded


@PROFILE
@given(amounts, rates)
def test_tax_is_the_nearest_penny(amount: int, rate_bp: int) -> None:
    rate = Fraction(rate_bp, 10_000)

    assert abs(tax_on(amount, rate_bp) - amount * rate) <= Fraction(1, 2)
    assert abs(tax_within(amount, rate_bp) - amount * rate / (1 + rate)) <= Fraction(1, 2)


@st.composite
def orders(draw: st.DrawFn) -> tuple[list[PricedLine], ShippingPaid]:
    """Two lines and shipping, as they were paid."""
    lines = []
    for line_id in LINES:
        gross = draw(st.integers(0, 10_000))
        tax = draw(st.integers(0, gross))
        lines.append(PricedLine(line_id=line_id, ordered=draw(st.integers(1, 5)), gross=gross, tax=tax))
    shipping = draw(st.integers(0, 1_000))
    return lines, ShippingPaid(gross=shipping, tax=draw(st.integers(0, shipping)))


@PROFILE
@given(orders(), st.sampled_from(RefundShipping), st.data())
def test_in_whatever_parts_everything_comes_back_it_adds_up_to_what_was_paid(
    paid: tuple[list[PricedLine], ShippingPaid], mode: RefundShipping, data: st.DataObject
) -> None:
    lines, shipping = paid
    terms = RefundTerms(refund_shipping=mode, fee_bp=0, flat_fee=0)
    units = [line.line_id for line in lines for _ in range(line.ordered)]
    refunds: list[Breakdown] = []
    for line_id in data.draw(st.permutations(units)):
        fault = data.draw(st.booleans())
        left = sum(line.gross for line in lines) + shipping.gross - sum(refund.total for refund in refunds)
        back = [UnitsBack(line_id=line_id, quantity=1, fault=fault)]
        refund = refund_for(lines, shipping, back, terms, left)
        refunds.append(refund)
        lines, shipping = after(lines, shipping, back, refund)

    assert sum(refund.items_net + refund.items_tax for refund in refunds) == sum(line.gross for line in lines)
    assert sum(refund.items_tax for refund in refunds) == sum(line.tax for line in lines)
    assert all(refund.deduction == 0 for refund in refunds)
    came_back = (shipping.refunded_gross, shipping.refunded_tax)
    whole = (shipping.gross, shipping.tax)
    assert came_back == whole if mode is not RefundShipping.NEVER else came_back <= whole


def after(
    lines: Sequence[PricedLine], shipping: ShippingPaid, back: Sequence[UnitsBack], refund: Breakdown
) -> tuple[list[PricedLine], ShippingPaid]:
    """The order once these units are paid back."""
    units = {part.line_id: part.quantity for part in back}
    gross = refund.shipping_net + refund.shipping_tax
    return [
        PricedLine(
            line_id=line.line_id,
            ordered=line.ordered,
            gross=line.gross,
            tax=line.tax,
            refunded=line.refunded + units.get(line.line_id, 0),
        )
        for line in lines
    ], ShippingPaid(
        gross=shipping.gross,
        tax=shipping.tax,
        refunded_gross=shipping.refunded_gross + gross,
        refunded_tax=shipping.refunded_tax + refund.shipping_tax,
    )
