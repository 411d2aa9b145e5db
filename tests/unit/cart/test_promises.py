"""Quotes: what is promised for how long, what a checkout accepts of it, and that nobody else can make one."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from services.cart.domain.cart import CART
from services.cart.domain.checkout import CheckOut
from services.cart.domain.coupons import Coupon
from services.cart.domain.promises import VALID_FOR, promise, wish_of
from shared.domain import Rejected
from shared.events.cart import CartCheckedOut, CartCouponsChosen, CartDeliveryChosen, CartItemQuantityChanged
from shared.events.common import Quote
from shared.events.inventory import Scarcity
from shared.service.quotes import QuoteKeys
from shared.service.settings import Settings
from shared.testing.scenario import NOW, given
from tests.unit.cart.samples import (
    CART_ID,
    CONTACT,
    LINE_A,
    LONDON,
    MUG,
    PARIS,
    POLICY,
    RULES,
    STARTED,
    TO_LONDON,
    TWO_MUGS,
    product,
)

READY = (STARTED, TWO_MUGS, TO_LONDON)
TENTH = Coupon(code="TENTH", percent_bp=1_000, max_uses=5)
WITH_TENTH = replace(POLICY, document=replace(RULES, coupons=(TENTH,)))
CHOSEN = CartCouponsChosen(codes=("TENTH",))
OLD, NEW = b"the key of last month, long enough", b"the key of this month, long enough"


def quoted(*events: Any, policy: Any = POLICY, products: Any = None) -> Quote:
    cart = given(CART, *(events or READY)).state
    priced = cart.priced(
        {"MUG": MUG} if products is None else products, policy.document, policy.document.coupons_at(NOW)
    )
    return promise(wish_of(CART_ID, cart), priced, policy_version=policy.version, now=NOW)


def buying(quote: Quote, **changes: Any) -> CheckOut:
    """At a time when mugs have become dearer."""
    whole = CheckOut(
        cart_id=CART_ID,
        expected_total=quote.totals.total,
        currency="GBP",
        products={"MUG": product(prices={"GBP": 9_900})},
        policy=replace(POLICY, version=9),
        quote=quote,
        terms_version="2026-01",
        now=NOW + VALID_FOR - timedelta(microseconds=1),
    )
    return replace(whole, **changes)


def test_a_quote_says_what_the_cart_costs_and_until_when() -> None:
    quote = quoted()
    assert (quote.totals.total, quote.shipping.gross, len(quote.lines)) == (2795, 395, 1)
    assert (quote.policy_version, quote.valid_until) == (4, NOW + timedelta(minutes=30))
    assert quote == quoted()


def test_a_checkout_at_the_quoted_price_whatever_it_is_now() -> None:
    quote = quoted()
    (event,) = CART.decide(given(CART, *READY).state, buying(quote))
    assert isinstance(event, CartCheckedOut)
    assert (event.lines, event.shipping, event.totals) == (quote.lines, quote.shipping, quote.totals)
    assert event.pricing_version == 4


def test_a_quoted_coupon_counts_although_it_is_withdrawn() -> None:
    quote = quoted(*READY, CHOSEN, policy=WITH_TENTH)
    (event,) = CART.decide(given(CART, *READY, CHOSEN).state, buying(quote))
    assert isinstance(event, CartCheckedOut)
    assert (event.coupons, event.totals.discount) == (("TENTH",), 240)


def test_a_bought_cart_stays_bought_when_its_quote_is_over() -> None:
    quote = quoted()
    (event,) = CART.decide(given(CART, *READY).state, buying(quote))
    late = buying(quote, now=NOW + timedelta(days=1))
    given(CART, *READY, event).when(late).then()


def test_a_quote_that_is_over() -> None:
    given(CART, *READY).when(buying(quoted(), now=NOW + VALID_FOR)).rejected("quote_expired")


@pytest.mark.parametrize(
    "after",
    [
        CartItemQuantityChanged(line_id=LINE_A, from_quantity=2, to_quantity=1),
        CartDeliveryChosen(contact=CONTACT, destination=PARIS, method_id="international"),
        CartDeliveryChosen(contact=CONTACT, destination=LONDON, method_id="express"),
        CHOSEN,
    ],
    ids=["items", "destination", "method", "coupons"],
)
def test_a_quote_of_a_cart_that_has_changed(after: Any) -> None:
    refusal = given(CART, *READY, after).when(buying(quoted())).rejected("total_changed")
    assert refusal.extra["total"] != 2795


def test_a_quote_of_another_cart() -> None:
    other = buying(quoted(), cart_id=UUID(int=999))
    given(CART, *READY).when(other).rejected("total_changed")


def test_a_quote_at_another_total_than_the_buyer_saw() -> None:
    refusal = given(CART, *READY).when(buying(quoted(), expected_total=2794)).rejected("total_changed")
    assert refusal.extra == {"total": 2795}


def test_a_quote_does_not_bring_back_what_is_no_longer_sold_or_sold_out() -> None:
    given(CART, *READY).when(buying(quoted(), products={})).rejected("product_unavailable")
    sold_out = buying(quoted(), availability={"MUG": Scarcity.OUT})
    given(CART, *READY).when(sold_out).rejected("sold_out")


@pytest.mark.parametrize(
    ("events", "products", "code"),
    [
        ((STARTED, TO_LONDON), None, "empty_cart"),
        (READY, {}, "product_unavailable"),
        ((STARTED, TWO_MUGS), None, "method_unavailable"),
        ((*READY, CHOSEN), None, "coupon_invalid"),
    ],
)
def test_what_has_no_price_to_promise(events: Any, products: Any, code: str) -> None:
    with pytest.raises(Rejected) as refused:
        quoted(*events, products=products)
    assert refused.value.code == code


# Signatures


def test_a_signed_quote_is_good_with_any_live_key() -> None:
    signed = QuoteKeys([OLD]).signed(quoted(), "GBP")
    QuoteKeys([OLD]).check(signed, "GBP")
    QuoteKeys([NEW, OLD]).check(signed, "GBP")
    assert QuoteKeys([NEW, OLD]).signed(signed, "GBP").signature != signed.signature


def test_a_quote_under_a_key_that_is_gone_or_with_other_contents_is_not_the_shops() -> None:
    signed = QuoteKeys([OLD]).signed(quoted(), "GBP")
    cheaper = replace(signed, totals=replace(signed.totals, total=1))
    later = replace(signed, valid_until=signed.valid_until + timedelta(days=1))
    for keys, quote, currency in (
        ([NEW], signed, "GBP"),
        ([OLD], signed, "JPY"),
        ([OLD], cheaper, "GBP"),
        ([OLD], later, "GBP"),
        ([OLD], replace(signed, signature=""), "GBP"),
        ([OLD], replace(signed, signature="ü"), "GBP"),
    ):
        with pytest.raises(Rejected) as refused:
            QuoteKeys(keys).check(quote, currency)
        assert refused.value.code == "invalid_quote"


def test_nothing_is_signed_without_a_key() -> None:
    with pytest.raises(ValueError, match="no key"):
        QuoteKeys([])


def test_keys_come_from_the_settings_and_by_default_from_that_of_tokens() -> None:
    needed: dict[str, Any] = {
        "database_url": "postgresql://",
        "kafka_bootstrap_servers": "127.0.0.1:1",
        "jwt_key": "a key that signs the tokens of these tests",
        "data_key": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        "port": 0,
    }
    (derived,) = Settings(**needed).live_quote_keys
    assert len(derived) == 32
    named = ", ".join(("a" * 32, "b" * 32))
    assert Settings(**needed, quote_keys=named).live_quote_keys == (b"a" * 32, b"b" * 32)
