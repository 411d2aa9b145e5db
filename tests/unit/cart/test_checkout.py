"""The checkout: the snapshot it freezes, and everything that must be right before it does."""

from dataclasses import replace

import pytest

from services.cart.domain.cart import CART
from services.cart.domain.checkout import CheckOut
from services.cart.domain.product import Product
from services.cart.domain.quote import NO_SHIPPING
from shared.domain import Sealed, ids
from shared.events.cart import CartCheckedOut, CartDeliveryChosen, CartItemQuantityChanged, CartItemRemoved
from shared.events.common import Charge, DeliveryKind, Line, Totals
from shared.testing.scenario import NOW, given
from tests.unit.cart.samples import (
    CART_ID,
    CONTACT,
    CUSTOMER,
    DEPOT,
    LINE_A,
    LONDON,
    MUG,
    POLICY,
    STARTED,
    TO_LONDON,
    TWO_MUGS,
    product,
)

CHECK_OUT = CheckOut(
    cart_id=CART_ID,
    expected_total=2795,
    currency="GBP",
    products={"MUG": MUG},
    policy=POLICY,
    terms_version="2026-01",
    now=NOW,
)
BOUGHT = CartCheckedOut(
    order_id=ids.order_id(CART_ID),
    contact=CONTACT,
    destination=LONDON,
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
    totals=Totals(items_net=2000, items_tax=400, shipping_net=329, shipping_tax=66, discount=0, total=2795),
    currency="GBP",
    locale="en",
    pricing_version=4,
    terms_version="2026-01",
)
READY = (STARTED, TWO_MUGS, TO_LONDON)


def test_a_guest_buys() -> None:
    given(CART, *READY).when(CHECK_OUT).then(BOUGHT)


def test_a_customer_buys_with_all_consents() -> None:
    asked = replace(
        CHECK_OUT,
        billing=Sealed("v1.s.n.billing"),
        create_account=True,
        marketing_consent=True,
        customer_note=Sealed("v1.s.n.note"),
    )
    given(CART, replace(STARTED, customer_id=CUSTOMER), TWO_MUGS, TO_LONDON).when(asked).then(
        replace(
            BOUGHT,
            customer_id=CUSTOMER,
            billing=Sealed("v1.s.n.billing"),
            create_account=True,
            marketing_consent=True,
            customer_note=Sealed("v1.s.n.note"),
        )
    )


def test_a_second_checkout_names_the_same_order_whatever_it_says() -> None:
    cart = given(CART, *READY, BOUGHT)
    cart.when(replace(CHECK_OUT, expected_total=1, products={})).then()
    assert cart.state.order_id == ids.order_id(CART_ID)


def test_no_cart() -> None:
    given(CART).when(CHECK_OUT).rejected("unknown_cart")


def test_an_empty_cart() -> None:
    removed = CartItemRemoved(line_id=LINE_A, sku="MUG", quantity=2)
    given(CART, *READY, removed).when(CHECK_OUT).rejected("empty_cart")


def test_nobody_to_write_to() -> None:
    given(CART, STARTED, TWO_MUGS, replace(TO_LONDON, contact=None)).when(CHECK_OUT).rejected("email_missing")


def test_nowhere_to_send_to() -> None:
    nowhere = CartDeliveryChosen(contact=CONTACT)
    refusal = given(CART, STARTED, TWO_MUGS, nowhere).when(CHECK_OUT).rejected("address_incomplete")
    assert refusal.extra == {"missing": ("address",)}


def test_half_an_address() -> None:
    half = replace(LONDON, complete=False, missing=("street", "postal_code"))
    cart = given(CART, STARTED, TWO_MUGS, replace(TO_LONDON, destination=half))
    refusal = cart.when(CHECK_OUT).rejected("address_incomplete")
    assert refusal.extra == {"missing": ("street", "postal_code")}


@pytest.mark.parametrize("products", [{}, {"MUG": product(active=False)}, {"MUG": product(prices={})}])
def test_a_product_that_is_gone(products: dict[str, Product]) -> None:
    refusal = given(CART, *READY).when(replace(CHECK_OUT, products=products)).rejected("product_unavailable")
    assert refusal.extra == {"skus": ("MUG",)}


def test_more_than_the_product_allows_by_now() -> None:
    rare = {"MUG": product(limit_quantity_per_checkout=1)}
    refusal = given(CART, *READY).when(replace(CHECK_OUT, products=rare)).rejected("quantity_limit")
    assert refusal.extra == {"skus": ("MUG",)}


def test_no_way_to_send_it() -> None:
    given(CART, STARTED, TWO_MUGS, replace(TO_LONDON, method_id=None)).when(CHECK_OUT).rejected(
        "method_unavailable"
    )


def test_what_must_be_picked_up_needs_a_place() -> None:
    safe = {"MUG": product(pickup_only=True)}
    given(CART, *READY).when(replace(CHECK_OUT, products=safe)).rejected("method_unavailable")


def test_another_currency_than_the_carts() -> None:
    given(CART, *READY).when(replace(CHECK_OUT, currency="EUR")).rejected("currency_mismatch")


@pytest.mark.parametrize("seen", [2794, 2796, 0, -2795])
def test_the_buyer_saw_another_total(seen: int) -> None:
    refusal = given(CART, *READY).when(replace(CHECK_OUT, expected_total=seen)).rejected("total_changed")
    assert refusal.extra == {"total": 2795}


def test_a_price_that_changed_since_the_item_was_added() -> None:
    dearer = {"MUG": product(prices={"GBP": 1300})}
    refusal = given(CART, *READY).when(replace(CHECK_OUT, products=dearer)).rejected("total_changed")
    assert refusal.extra == {"total": 2995}


def test_a_quantity_that_changed_since_the_total_was_shown() -> None:
    more = CartItemQuantityChanged(line_id=LINE_A, from_quantity=2, to_quantity=3)
    refusal = given(CART, *READY, more).when(CHECK_OUT).rejected("total_changed")
    assert refusal.extra == {"total": 3995}


def test_a_free_cart_is_bought_for_nothing() -> None:
    gift = {"MUG": product(prices={"GBP": 0}, digital=True)}
    cart = given(CART, *READY).when(replace(CHECK_OUT, products=gift, expected_total=0))
    nothing = Totals(items_net=0, items_tax=0, shipping_net=0, shipping_tax=0, discount=0, total=0)
    free = replace(BOUGHT.lines[0], unit_price=0, net=0, tax=0, gross=0, delivery=DeliveryKind.DIGITAL)
    cart.then(replace(BOUGHT, lines=(free,), shipping=NO_SHIPPING, totals=nothing))


def test_picking_up_needs_no_complete_address_and_no_shipping() -> None:
    vague = replace(LONDON, complete=False, missing=("street",))
    collected = CartDeliveryChosen(contact=CONTACT, destination=vague, pickup_location_id=DEPOT)
    given(CART, STARTED, TWO_MUGS, collected).when(replace(CHECK_OUT, expected_total=2400)).then(
        replace(
            BOUGHT,
            destination=vague,
            pickup_location_id=DEPOT,
            lines=(replace(BOUGHT.lines[0], delivery=DeliveryKind.PICKUP),),
            shipping=NO_SHIPPING,
            totals=Totals(
                items_net=2000, items_tax=400, shipping_net=0, shipping_tax=0, discount=0, total=2400
            ),
        )
    )
