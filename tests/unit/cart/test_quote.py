"""What a cart costs: taxes, delivery, lines that cannot be bought, and sums that always add up."""

import sys
from dataclasses import replace
from time import process_time
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.cart.domain.coupons import Coupon
from services.cart.domain.product import HIGHEST_PRICE, HIGHEST_QUANTITY, Product
from services.cart.domain.quote import NO_SHIPPING, Item, Priced, ShippingOption, quote, shipping_options
from services.cart.domain.rule_problems import problems
from services.cart.domain.rules import (
    ANYWHERE,
    Band,
    BandMeasure,
    PricingRules,
    ShippingMethod,
    TaxRule,
)
from shared.domain import Sealed, round_half_up
from shared.events.common import Charge, DeliveryKind, Destination, Line, Totals
from tests.unit.cart.samples import LINE_A, LINE_B, LONDON, MUG, PARIS, RULES, product

TWO_MUGS = Item(line_id=LINE_A, sku="MUG", quantity=2)
NET_RULES = replace(RULES, prices_include_tax=False)


def price(
    *items: Item,
    products: tuple[Product, ...] = (MUG,),
    destination: Destination | None = LONDON,
    method_id: str | None = "standard",
    pickup: bool = False,
    rules: PricingRules = RULES,
    currency: str = "GBP",
    codes: tuple[str, ...] = (),
) -> Priced:
    return quote(
        items,
        currency=currency,
        locale="en",
        destination=destination,
        method_id=method_id,
        pickup=pickup,
        products={product.sku: product for product in products},
        rules=rules,
        codes=codes,
        coupons=rules.coupons_by_code,
    )


def test_prices_with_tax() -> None:
    assert price(TWO_MUGS) == Priced(
        lines=(
            Line(
                line_id=LINE_A,
                sku="MUG",
                title="Mug",
                quantity=2,
                unit_price=1200,
                net=2000,
                tax=400,
                gross=2400,
                tax_class="standard",
                tax_rate_bp=2000,
                weight_g=350,
            ),
        ),
        shipping=Charge(method_id="standard", title="Standard delivery", net=329, tax=66, gross=395),
        totals=Totals(
            items_net=2000, items_tax=400, shipping_net=329, shipping_tax=66, discount=0, total=2795
        ),
    )


def test_prices_without_tax() -> None:
    priced = price(TWO_MUGS, rules=NET_RULES)
    assert (priced.lines[0].net, priced.lines[0].tax, priced.lines[0].gross) == (2400, 480, 2880)
    assert priced.shipping == Charge(
        method_id="standard", title="Standard delivery", net=395, tax=79, gross=474
    )
    assert priced.totals.total == 2880 + 474


def test_tax_rounds_half_up_on_the_line_not_the_unit() -> None:
    rules = replace(NET_RULES, tax_rules=(TaxRule(country="GB", tax_class="standard", rate_bp=500),))
    thirty = product(prices={"GBP": 30})
    one, three = Item(line_id=LINE_A, sku="MUG", quantity=1), Item(line_id=LINE_B, sku="MUG", quantity=3)
    taxes = [line.tax for line in price(one, three, products=(thirty,), rules=rules).lines]
    assert taxes == [2, 5]


def test_the_destination_sets_the_tax_and_an_export_has_none() -> None:
    assert price(TWO_MUGS, destination=PARIS).lines[0].tax_rate_bp == 2000
    export = price(TWO_MUGS, destination=replace(LONDON, country="AU"), method_id="international")
    assert (export.lines[0].net, export.lines[0].tax) == (2400, 0)


def test_home_tax_and_no_shipping_yet_before_a_destination_is_known() -> None:
    priced = price(TWO_MUGS, destination=None)
    assert (priced.lines[0].tax_rate_bp, priced.shipping, priced.totals.total) == (2000, None, 2400)


def test_a_free_line_is_a_line() -> None:
    priced = price(TWO_MUGS, products=(product(prices={"GBP": 0}),))
    assert (priced.lines[0].gross, priced.totals.total) == (0, 395)


@pytest.mark.parametrize(
    "gone",
    [(), (product(active=False),), (product(prices={"EUR": 1}),)],
    ids=["unknown", "delisted", "priceless"],
)
def test_a_line_that_cannot_be_bought_is_named_and_not_counted(gone: tuple[Product, ...]) -> None:
    tea = Item(line_id=LINE_B, sku="TEA", quantity=1)
    priced = price(TWO_MUGS, tea, products=(*gone, product("TEA", prices={"GBP": 400})))
    assert priced.unavailable == (LINE_A,)
    assert [line.line_id for line in priced.lines] == [LINE_B]
    assert priced.totals.total == 400 + 395


@pytest.mark.parametrize("method_id", [None, "pigeon", "international "])
def test_no_shipping_without_a_method_that_exists(method_id: str | None) -> None:
    assert price(TWO_MUGS, method_id=method_id).shipping is None


def test_no_shipping_by_a_method_that_the_parcel_is_too_heavy_for() -> None:
    heavy = product(weight_g=15_001)
    assert price(TWO_MUGS, products=(heavy,), method_id="express").shipping is None


def test_free_delivery_from_a_value_on() -> None:
    free = price(replace(TWO_MUGS, quantity=5))
    assert free.shipping == Charge(method_id="standard", title="Standard delivery", net=0, tax=0, gross=0)


def test_nothing_travels_nothing_is_charged() -> None:
    assert price(TWO_MUGS, products=(product(digital=True),), method_id=None).shipping == NO_SHIPPING
    assert price(TWO_MUGS, pickup=True, method_id=None).shipping == NO_SHIPPING
    assert price().shipping == NO_SHIPPING


def test_only_what_travels_is_weighed() -> None:
    book = product("BOOK", digital=True, weight_g=5_000)
    priced = price(
        TWO_MUGS, Item(line_id=LINE_B, sku="BOOK", quantity=1), products=(MUG, book), method_id="express"
    )
    assert priced.shipping is not None
    assert priced.shipping.gross == 795
    assert [line.delivery for line in priced.lines] == [DeliveryKind.SHIP, DeliveryKind.DIGITAL]


def test_pickup_leaves_digital_lines_digital() -> None:
    book = product("BOOK", digital=True)
    priced = price(TWO_MUGS, Item(line_id=LINE_B, sku="BOOK", quantity=1), products=(MUG, book), pickup=True)
    assert [line.delivery for line in priced.lines] == [DeliveryKind.PICKUP, DeliveryKind.DIGITAL]


def test_the_ways_to_send_a_parcel() -> None:
    lines = price(TWO_MUGS).lines
    at_home = shipping_options(lines, destination=LONDON, currency="GBP", rules=RULES)
    assert [(o.charge.method_id, o.charge.gross, o.eta_days) for o in at_home] == [
        ("standard", 395, 3),
        ("express", 795, 1),
        ("international", 1800, 7),
    ]
    abroad = shipping_options(lines, destination=PARIS, currency="GBP", rules=RULES)
    post = Charge(method_id="international", title="International post", net=1500, tax=300, gross=1800)
    assert abroad == (ShippingOption(charge=post, eta_days=7),)
    assert shipping_options(lines, destination=LONDON, currency="EUR", rules=RULES) == ()


def test_the_largest_cart() -> None:
    """Prints how long its quote takes (`pytest -s`)."""
    many = tuple(product(f"SKU{n}", prices={"GBP": 99 + n}, tax_class=CLASSES[n % 2]) for n in range(500))
    items = [Item(line_id=UUID(int=n), sku=f"SKU{n}", quantity=n % 7 + 1) for n in range(500)]
    rules = replace(RULES, coupons=(Coupon(code="TENTH", percent_bp=1_000),))
    took = []
    for _ in range(5):
        began = process_time()
        priced = price(*items, products=many, rules=rules, codes=("TENTH",))
        took.append(process_time() - began)
    assert sum(line.gross for line in priced.lines) == priced.totals.total
    assert priced.totals.discount == round_half_up(sum(n % 7 * (99 + n) + 99 + n for n in range(500)), 10)
    sys.stdout.write(f"a cart of 500 lines is quoted in {min(took) * 1000:.1f} ms\n")


CURRENCIES = ("JPY", "GBP", "KWD")
CLASSES = ("standard", "reduced")
COUNTRIES = ("GB", "JP", "KW")
prices = st.integers(0, HIGHEST_PRICE)
sizes = st.integers(0, 10**9)


@st.composite
def usable_rules(draw: st.DrawFn) -> PricingRules:
    rates = st.integers(0, 10_000)
    limits = sorted(draw(st.sets(sizes, max_size=3)))
    bands = (*(Band(up_to=limit, price=draw(prices)) for limit in limits), Band(price=draw(prices)))
    return PricingRules(
        currencies=CURRENCIES,
        home_country="GB",
        prices_include_tax=draw(st.booleans()),
        tax_rules=tuple(
            TaxRule(country=country, tax_class=tax_class, rate_bp=draw(rates))
            for country in COUNTRIES[:2]
            for tax_class in CLASSES
        ),
        shipping_methods=tuple(
            ShippingMethod(
                id="post",
                title="Post",
                countries=(ANYWHERE,),
                currency=currency,
                measure=draw(st.sampled_from(BandMeasure)),
                bands=bands,
                tax_class=draw(st.sampled_from(CLASSES)),
                eta_days=2,
            )
            for currency in CURRENCIES
        ),
    )


@st.composite
def catalogues(draw: st.DrawFn) -> tuple[Product, ...]:
    return tuple(
        product(
            f"SKU{n}",
            prices={currency: draw(prices) for currency in draw(st.sets(st.sampled_from(CURRENCIES)))},
            active=draw(st.booleans()),
            tax_class=draw(st.sampled_from(CLASSES)),
            digital=draw(st.booleans()),
            weight_g=draw(st.integers(0, 10**6)),
        )
        for n in range(draw(st.integers(1, 4)))
    )


quantities = st.tuples(st.integers(0, 5), st.integers(1, HIGHEST_QUANTITY))


@settings(max_examples=200, deadline=None)
@given(
    rules=usable_rules(),
    products=catalogues(),
    wanted=st.lists(quantities, max_size=8),
    country=st.none() | st.sampled_from(COUNTRIES),
    currency=st.sampled_from(CURRENCIES),
    method_id=st.none() | st.just("post"),
    pickup=st.booleans(),
)
def test_the_parts_always_add_up(
    *,
    rules: PricingRules,
    products: tuple[Product, ...],
    wanted: list[tuple[int, int]],
    country: str | None,
    currency: str,
    method_id: str | None,
    pickup: bool,
) -> None:
    assert list(problems(rules)) == []
    items = [
        Item(line_id=UUID(int=n), sku=f"SKU{which}", quantity=quantity)
        for n, (which, quantity) in enumerate(wanted)
    ]
    destination = country and Destination(country=country, complete=True, address=Sealed("v1.s.n.a"))
    priced = price(
        *items,
        products=products,
        destination=destination or None,
        method_id=method_id,
        pickup=pickup,
        rules=rules,
        currency=currency,
    )
    charge, totals = priced.shipping or NO_SHIPPING, priced.totals
    assert sum(line.gross for line in priced.lines) + charge.gross == totals.total
    assert totals.total == totals.items_net + totals.items_tax + totals.shipping_net + totals.shipping_tax
    assert charge.gross == charge.net + charge.tax
    assert 0 <= totals.total < 2**63
    for line in priced.lines:
        listed = line.gross if rules.prices_include_tax else line.net
        assert listed == line.unit_price * line.quantity
        assert line.gross == line.net + line.tax
        assert abs(line.tax * 10_000 - line.net * line.tax_rate_bp) <= 10_000
        assert 0 <= line.tax <= line.net + 1
    asked = [line.line_id for line in priced.lines] + list(priced.unavailable)
    assert sorted(asked) == [item.line_id for item in items]
