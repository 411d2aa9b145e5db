"""The total shown is the total bought and ordered, to the minor unit, and every part of it adds up to it.

Random carts in currencies with 0, 2 and 3 decimals: prices with and without tax, mixed tax classes and
rates, shipping by zone, weight and value, and coupons.
"""

from fractions import Fraction
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.cart.domain.cart import CART
from services.cart.domain.checkout import CheckOut
from services.cart.domain.coupons import Coupon
from services.cart.domain.pricing import PolicyAdopted
from services.cart.domain.product import HIGHEST_PRICE, Product, ProductDetails
from services.cart.domain.quote import Priced
from services.cart.domain.rule_problems import problems
from services.cart.domain.rules import ANYWHERE, Band, BandMeasure, PricingRules, ShippingMethod, TaxRule
from services.orders.domain import OrderPolicy, PlaceOrder, order_decider
from shared.domain import Sealed, ids
from shared.events.cart import (
    CartCheckedOut,
    CartCouponsChosen,
    CartDeliveryChosen,
    CartEvent,
    CartItemAdded,
    CartStarted,
)
from shared.events.common import Contact, Destination
from shared.events.orders import OrderPlaced
from shared.testing.scenario import NOW
from tests.property.machine import uid
from tests.property.profiles import PROFILE

CART_ID = uid("cart")
SEAL = Sealed("v1.anna.nonce.text")
CONTACT = Contact(subject_id=uid("anna"), name=SEAL, email=SEAL)
CURRENCIES = ("JPY", "EUR", "KWD")
CLASSES = ("standard", "reduced", "zero")
COUNTRIES = ("JP", "FR", "KW")
REGIONS = (None, "NORTH", "SOUTH")
CODES = ("A", "B", "C", "D")

amounts = st.sampled_from([0, 1, 99, 100, 333, 4_999]) | st.integers(0, HIGHEST_PRICE)
rates = st.sampled_from([0, 550, 700, 2_000, 2_550, 10_000]) | st.integers(0, 10_000)


@st.composite
def coupons(draw: st.DrawFn, code: str) -> Coupon:
    """A coupon that some carts may have."""
    kind = draw(st.sampled_from(["percent", "amount", "free"]))
    return Coupon(
        code=code,
        percent_bp=draw(st.integers(1, 10_000)) if kind == "percent" else None,
        amount={c: draw(st.integers(1, 10_000)) for c in CURRENCIES} if kind == "amount" else None,
        free_shipping=kind == "free" or draw(st.booleans()),
        minimum=draw(st.sampled_from([{}, dict.fromkeys(CURRENCIES, 1_000)])),
        combines=draw(st.booleans()),
    )


@st.composite
def policies(draw: st.DrawFn) -> PricingRules:
    """Rules under which everything can be sent: the last zone is anywhere, its last band is open."""
    methods = [
        ShippingMethod(
            id="post",
            title="Post",
            countries=(where,),
            regions=regions,
            currency=currency,
            measure=draw(st.sampled_from(BandMeasure)),
            bands=(Band(up_to=draw(st.integers(0, 9_999)), price=draw(amounts)), Band(price=draw(amounts))),
            free_from=draw(st.none() | amounts),
            tax_class=draw(st.sampled_from(CLASSES)),
            eta_days=2,
        )
        for currency in CURRENCIES
        for where, regions in (("FR", ("NORTH",)), ("FR", ()), (ANYWHERE, ()))
    ]
    return PricingRules(
        currencies=CURRENCIES,
        home_country="FR",
        prices_include_tax=draw(st.booleans()),
        tax_rules=tuple(
            TaxRule(country=country, region=region, tax_class=tax_class, rate_bp=draw(rates))
            for country in COUNTRIES[:2]
            for region in REGIONS[:2]
            for tax_class in CLASSES[:2]
        ),
        shipping_methods=tuple(methods),
        coupons=tuple(draw(coupons(code)) for code in CODES[:3]),
    )


@st.composite
def catalogues(draw: st.DrawFn) -> dict[str, Product]:
    """Some products, all of them for sale in every currency."""
    found = [
        Product(
            sku=f"SKU{n}",
            details=ProductDetails(
                title={"en": "Thing"},
                tax_class=draw(st.sampled_from(CLASSES)),
                digital=draw(st.booleans()),
                weight_g=draw(st.integers(0, 5_000)),
            ),
            prices={currency: draw(amounts) for currency in CURRENCIES},
        )
        for n in range(draw(st.integers(1, 5)))
    ]
    return {product.sku: product for product in found}


@st.composite
def filled(draw: st.DrawFn, products: dict[str, Product], currency: str) -> list[CartEvent]:
    """What happened to a cart until its checkout."""
    added = [
        CartItemAdded(
            line_id=UUID(int=n + 1),
            sku=draw(st.sampled_from(sorted(products))),
            quantity=draw(st.integers(1, 3) | st.integers(1, 1_000)),
            unit_price=0,
        )
        for n in range(draw(st.integers(1, 8)))
    ]
    destination = Destination(
        country=draw(st.sampled_from(COUNTRIES)),
        region=draw(st.sampled_from(REGIONS)),
        complete=True,
        address=SEAL,
    )
    return [
        CartStarted(subject_id=uid("anna"), currency=currency, locale="en"),
        *added,
        CartDeliveryChosen(contact=CONTACT, destination=destination, method_id="post"),
        CartCouponsChosen(codes=tuple(draw(st.lists(st.sampled_from(CODES), unique=True)))),
    ]


def check_sums(priced: Priced, rules: PricingRules) -> None:
    """Line, tax, shipping and discount parts give the total, each exactly."""
    totals, charge = priced.totals, priced.shipping
    assert charge is not None
    lines = priced.lines
    assert totals.total == sum(line.gross for line in lines) + charge.gross
    assert totals.total == totals.items_net + totals.items_tax + totals.shipping_net + totals.shipping_tax
    assert totals.items_net == sum(line.net for line in lines)
    assert totals.items_tax == sum(line.tax for line in lines)
    assert (totals.shipping_net, totals.shipping_tax) == (charge.net, charge.tax)
    assert totals.discount == sum(line.discount for line in lines)
    listed = sum(line.unit_price * line.quantity for line in lines)
    asked = totals.items_net + (totals.items_tax if rules.prices_include_tax else 0)
    assert asked == listed - totals.discount
    assert charge.gross == charge.net + charge.tax
    for line in lines:
        price = line.unit_price * line.quantity
        assert 0 <= line.discount <= price
        assert (line.gross if rules.prices_include_tax else line.net) == price - line.discount
        assert line.gross == line.net + line.tax
        assert abs(line.tax - Fraction(line.net * line.tax_rate_bp, 10_000)) <= 1
        if listed:
            assert abs(line.discount - Fraction(totals.discount * price, listed)) < 1


@PROFILE
@given(st.data(), policies(), catalogues(), st.sampled_from(CURRENCIES))
def test_the_total_shown_is_the_total_charged(
    data: st.DataObject, rules: PricingRules, products: dict[str, Product], currency: str
) -> None:
    assert list(problems(rules)) == []
    state = None
    for event in data.draw(filled(products, currency)):
        state = CART.evolve(state, event, NOW)
    assert state is not None
    shown = state.priced(products, rules, rules.coupons_at(NOW))
    check_sums(shown, rules)

    command = CheckOut(
        cart_id=CART_ID,
        expected_total=shown.totals.total,
        currency=currency,
        products=products,
        policy=PolicyAdopted(version=1, document=rules, effective_from=NOW, adopted_by="admin"),
        terms_version="1",
        now=NOW,
    )
    (bought,) = CART.decide(state, command)
    assert isinstance(bought, CartCheckedOut)
    assert (bought.lines, bought.shipping, bought.totals) == (shown.lines, shown.shipping, shown.totals)
    assert bought.coupons == shown.coupons

    order_id = ids.order_id(CART_ID)
    place = PlaceOrder(order_id=order_id, cart_id=CART_ID, checkout=bought, now=NOW)
    placed = order_decider(OrderPolicy()).decide(None, place)[0]
    assert isinstance(placed, OrderPlaced)
    assert (placed.lines, placed.shipping, placed.totals) == (bought.lines, bought.shipping, bought.totals)
