"""Coupons: what they take off, which a cart may have, and the uses that orders hold of each."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from services.cart.domain.cart import CART
from services.cart.domain.cart_state import Cart, CartStatus
from services.cart.domain.checkout import CheckOut
from services.cart.domain.choosing_coupons import ChooseCoupons
from services.cart.domain.coupon_use import (
    COUPON_USE,
    CouponUse,
    CouponUseGivenBack,
    CouponUseTaken,
    GiveBackCouponUse,
    TakeCouponUse,
    uses_of,
)
from services.cart.domain.coupons import Coupon
from services.cart.domain.product import Product
from services.cart.domain.quote import Item, Priced, quote
from services.cart.domain.rules import PricingRules
from shared.domain import ids
from shared.events.cart import CartAbandoned, CartCheckedOut, CartCouponsChosen, CartMerged, CheckoutStep
from shared.testing.scenario import NOW, given
from tests.unit.cart.samples import (
    CART_ID,
    LINE_A,
    LINE_B,
    LONDON,
    MUG,
    POLICY,
    RULES,
    STARTED,
    TO_LONDON,
    TWO_MUGS,
    product,
)

TENTH = Coupon(code="TENTH", percent_bp=1_000, combines=True)
FIVER = Coupon(code="FIVER", amount={"GBP": 500}, combines=True)
ALONE = Coupon(code="ALONE", percent_bp=2_500, max_uses=2)
CARRIAGE = Coupon(code="CARRIAGE", free_shipping=True, combines=True)
COUPONS = (TENTH, FIVER, ALONE, CARRIAGE)
ORDER, OTHER, THIRD = ids.order_id(CART_ID), UUID(int=71), UUID(int=72)


def with_coupons(*coupons: Coupon, **changes: Any) -> PricingRules:
    return replace(RULES, coupons=coupons or COUPONS, **changes)


def price(
    *codes: str,
    products: Sequence[Product] = (MUG,),
    rules: PricingRules | None = None,
    items: Sequence[Item] = (Item(line_id=LINE_A, sku="MUG", quantity=2),),
) -> Priced:
    known = rules or with_coupons()
    return quote(
        items,
        currency="GBP",
        locale="en",
        destination=LONDON,
        method_id="standard",
        pickup=False,
        products={each.sku: each for each in products},
        rules=known,
        codes=codes,
        coupons=known.coupons_at(NOW),
    )


# What they take off


def test_a_percentage_lowers_the_line_and_its_tax() -> None:
    priced = price("TENTH")
    (line,) = priced.lines
    assert (line.unit_price, line.discount, line.net, line.tax, line.gross) == (1200, 240, 1800, 360, 2160)
    assert (priced.totals.discount, priced.totals.total, priced.coupons) == (240, 2160 + 395, ("TENTH",))


def test_an_amount_off_prices_without_tax_is_off_before_tax() -> None:
    priced = price("FIVER", rules=with_coupons(prices_include_tax=False))
    (line,) = priced.lines
    assert (line.discount, line.net, line.tax, line.gross) == (500, 1900, 380, 2280)


def test_percentages_round_half_up() -> None:
    odd = product(prices={"GBP": 15})
    one = (Item(line_id=LINE_A, sku="MUG", quantity=1),)
    assert price("TENTH", products=(odd,), items=one).totals.discount == 2


def test_a_discount_is_spread_by_listed_prices_and_adds_up() -> None:
    tea = product("TEA", prices={"GBP": 100}, tax_class="zero")
    items = (Item(line_id=LINE_A, sku="MUG", quantity=1), Item(line_id=LINE_B, sku="TEA", quantity=1))
    priced = price("FIVER", products=(MUG, tea), items=items)
    assert [line.discount for line in priced.lines] == [461, 39]
    assert [line.gross for line in priced.lines] == [739, 61]


def test_an_amount_is_never_more_than_the_goods() -> None:
    cheap = product(prices={"GBP": 100})
    priced = price("FIVER", products=(cheap,))
    assert [(line.discount, line.gross) for line in priced.lines] == [(200, 0)]
    assert priced.totals.total == 395


def test_free_shipping_costs_nothing_and_is_no_discount_on_goods() -> None:
    priced = price("CARRIAGE")
    assert priced.shipping is not None
    assert (priced.shipping.method_id, priced.shipping.gross) == ("standard", 0)
    assert (priced.totals.discount, priced.totals.total) == (0, 2400)


def test_what_combines_counts_together_each_of_the_full_price() -> None:
    priced = price("TENTH", "FIVER", "CARRIAGE")
    assert (priced.totals.discount, priced.totals.total) == (740, 1660)


@pytest.mark.parametrize("codes", [("ALONE", "TENTH"), ("TENTH", "ALONE")])
def test_of_what_does_not_combine_the_first_counts(codes: tuple[str, str]) -> None:
    assert price(*codes).coupons == codes[:1]


@pytest.mark.parametrize(
    "coupon",
    [
        replace(TENTH, valid_until=NOW),
        replace(TENTH, valid_from=NOW + timedelta(microseconds=1)),
        replace(TENTH, minimum={"GBP": 2401}),
        replace(FIVER, code="TENTH", amount={"EUR": 500}),
        replace(TENTH, code="OTHER"),
    ],
    ids=["expired", "early", "minimum", "currency", "unknown"],
)
def test_a_coupon_that_does_not_count_takes_nothing_off(coupon: Coupon) -> None:
    priced = price("TENTH", rules=with_coupons(coupon))
    assert (priced.coupons, priced.totals.discount, priced.totals.total) == ((), 0, 2795)


def test_a_coupon_holds_from_its_first_instant_for_its_minimum() -> None:
    just = replace(TENTH, valid_from=NOW, valid_until=NOW + timedelta(seconds=1), minimum={"GBP": 2400})
    assert price("TENTH", rules=with_coupons(just)).coupons == ("TENTH",)


# Naming them


CHOOSE = ChooseCoupons(
    cart_id=CART_ID, codes=("TENTH",), products={"MUG": MUG}, rules=with_coupons(), now=NOW
)
CHOSEN = CartCouponsChosen(codes=("TENTH",))


def test_a_coupon_is_named() -> None:
    given(CART, STARTED, TWO_MUGS).when(CHOOSE).then(CHOSEN)


def test_codes_may_be_typed_in_any_way_and_twice() -> None:
    typed = replace(CHOOSE, codes=(" tenth", "TENTH", "fiver"))
    given(CART, STARTED, TWO_MUGS).when(typed).then(CartCouponsChosen(codes=("TENTH", "FIVER")))


def test_coupons_are_taken_off_again() -> None:
    given(CART, STARTED, TWO_MUGS, CHOSEN).when(replace(CHOOSE, codes=())).then(CartCouponsChosen(codes=()))


def test_naming_the_same_coupons_again_changes_nothing_even_if_they_hold_no_more() -> None:
    given(CART, STARTED, TWO_MUGS, CHOSEN).when(replace(CHOOSE, rules=RULES)).then()


@pytest.mark.parametrize(
    ("codes", "coupon", "used", "reason"),
    [
        (("NONE",), TENTH, 0, "unknown"),
        (("TENTH",), replace(TENTH, valid_from=NOW + timedelta(days=1)), 0, "not_yet_valid"),
        (("TENTH",), replace(TENTH, valid_until=NOW), 0, "expired"),
        (("TENTH",), replace(FIVER, code="TENTH", amount={"EUR": 1}), 0, "other_currency"),
        (("TENTH",), replace(TENTH, minimum={"GBP": 2401}), 0, "below_minimum"),
        (("FIVER", "TENTH"), replace(TENTH, combines=False), 0, "not_combinable"),
        (("TENTH",), replace(TENTH, max_uses=2), 2, "used_up"),
    ],
)
def test_a_coupon_that_cannot_be_named(
    codes: tuple[str, ...], coupon: Coupon, used: int, reason: str
) -> None:
    wish = replace(CHOOSE, codes=codes, rules=with_coupons(coupon, FIVER), used={"TENTH": used})
    refusal = given(CART, STARTED, TWO_MUGS).when(wish).rejected("coupon_invalid")
    assert refusal.extra == {"coupon": codes[-1], "reason": reason}


def test_a_sixth_coupon_is_one_too_many() -> None:
    wish = replace(CHOOSE, codes=tuple(f"C{n}" for n in range(6)))
    refusal = given(CART, STARTED, TWO_MUGS).when(wish).rejected("coupon_invalid")
    assert refusal.extra == {"coupon": "C5", "reason": "too_many"}


def test_the_last_use_may_be_wanted_by_several_carts() -> None:
    limited = replace(CHOOSE, rules=with_coupons(replace(TENTH, max_uses=2)), used={"TENTH": 1})
    given(CART, STARTED, TWO_MUGS).when(limited).then(CHOSEN)


# Buying with them


CHECK_OUT = CheckOut(
    cart_id=CART_ID,
    expected_total=2160 + 395,
    currency="GBP",
    products={"MUG": MUG},
    policy=replace(POLICY, document=with_coupons()),
    terms_version="2026-01",
    now=NOW,
)


def bought(command: CheckOut) -> CartCheckedOut:
    state = given(CART, STARTED, TWO_MUGS, CHOSEN, TO_LONDON).state
    (event,) = CART.decide(state, command)
    assert isinstance(event, CartCheckedOut)
    return event


def test_a_checkout_freezes_what_the_coupon_took_off_and_takes_a_use() -> None:
    event = bought(CHECK_OUT)
    assert (event.coupons, event.totals.discount, event.totals.total) == (("TENTH",), 240, 2555)
    limited = {"TENTH": replace(TENTH, max_uses=7)}
    assert uses_of(event, limited) == (TakeCouponUse(code="TENTH", order_id=ORDER, max_uses=7),)
    assert uses_of(event, {}) == (TakeCouponUse(code="TENTH", order_id=ORDER),)


def test_a_coupon_that_ended_meanwhile_changes_the_total() -> None:
    ended = replace(CHECK_OUT, policy=POLICY)
    refusal = given(CART, STARTED, TWO_MUGS, CHOSEN, TO_LONDON).when(ended).rejected("total_changed")
    assert refusal.extra == {"total": 2795}
    event = bought(replace(ended, expected_total=2795))
    assert (event.coupons, event.totals.discount) == ((), 0)


def test_a_bought_cart_takes_no_coupons() -> None:
    closed = given(CART, STARTED, TWO_MUGS, CHOSEN, TO_LONDON, bought(CHECK_OUT))
    closed.when(replace(CHOOSE, codes=("FIVER",))).rejected("cart_closed")
    closed.when(CHOOSE).then()


def test_a_merged_cart_takes_no_coupons() -> None:
    merged = CartMerged(into_cart_id=UUID(int=7))
    given(CART, STARTED, TWO_MUGS, merged).when(CHOOSE).rejected("cart_closed")


def test_coupons_do_not_open_an_abandoned_cart_again() -> None:
    left = CartAbandoned(item_count=2, value=2400, last_step=CheckoutStep.ITEMS)
    cart = given(CART, STARTED, TWO_MUGS, left).when(CHOOSE).then(CHOSEN)
    assert isinstance(cart.state, Cart)
    assert (cart.state.status, cart.state.coupons) == (CartStatus.ABANDONED, ("TENTH",))
    assert CART.deadlines(cart.state) == {}


def test_no_coupons_before_the_start() -> None:
    given(CART).when(CHOOSE).rejected("unknown_cart")


# Their uses


TAKE = TakeCouponUse(code="ALONE", order_id=ORDER, max_uses=2)
TAKEN = CouponUseTaken(code="ALONE", order_id=ORDER)
GIVEN_BACK = CouponUseGivenBack(code="ALONE", order_id=ORDER)


def test_an_order_takes_a_use_once() -> None:
    given(COUPON_USE).when(TAKE).then(TAKEN)


def test_there_are_no_more_uses_than_the_policy_says() -> None:
    both = (TAKEN, replace(TAKEN, order_id=OTHER))
    refusal = given(COUPON_USE, *both).when(replace(TAKE, order_id=THIRD)).rejected("coupon_used_up")
    assert refusal.extra == {"coupon": "ALONE"}
    given(COUPON_USE, *both).when(TAKE).then()
    given(COUPON_USE, *both).when(replace(TAKE, order_id=THIRD, max_uses=None)).then(
        replace(TAKEN, order_id=THIRD)
    )


def test_a_use_is_given_back_once_and_is_free_again() -> None:
    give = GiveBackCouponUse(code="ALONE", order_id=ORDER)
    both = (TAKEN, replace(TAKEN, order_id=OTHER))
    given(COUPON_USE, *both).when(give).then(GIVEN_BACK)
    given(COUPON_USE, *both, GIVEN_BACK).when(replace(TAKE, order_id=THIRD)).then(
        replace(TAKEN, order_id=THIRD)
    )


def test_an_order_without_a_use_gives_none_back() -> None:
    give = GiveBackCouponUse(code="ALONE", order_id=OTHER)
    given(COUPON_USE).when(give).then()
    given(COUPON_USE, TAKEN).when(give).then()


def test_the_state_after_its_events() -> None:
    state = given(COUPON_USE, TAKEN, replace(TAKEN, order_id=OTHER), GIVEN_BACK).state
    assert state == CouponUse(holders=frozenset({OTHER}))
    assert COUPON_USE.deadlines(state) == {}
