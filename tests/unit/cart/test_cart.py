"""The cart until its checkout: every command, accepted, refused and repeated."""

from dataclasses import replace
from uuid import UUID

import pytest

from services.cart.domain.cart import (
    CART,
    AddItem,
    CartCommand,
    ChangeQuantity,
    ChooseDelivery,
    RemoveItem,
    StartCart,
)
from services.cart.domain.cart_state import Cart, CartStatus
from services.cart.domain.product import HIGHEST_QUANTITY, Product
from services.cart.domain.quote import NO_SHIPPING, Item
from shared.domain import ids
from shared.events.cart import (
    CartCheckedOut,
    CartDeliveryChosen,
    CartItemAdded,
    CartItemCause,
    CartItemQuantityChanged,
    CartItemRemoved,
    CartQuantityCause,
    CartStarted,
)
from shared.events.common import Totals
from shared.testing.scenario import NOW, given
from tests.unit.cart.samples import (
    CART_ID,
    CONTACT,
    CUSTOMER,
    DEPOT,
    ENGRAVED,
    LINE_A,
    LINE_B,
    LINE_C,
    LONDON,
    MUG,
    PARIS,
    RULES,
    STARTED,
    SUBJECT,
    TO_LONDON,
    TWO_MUGS,
    product,
)

START = StartCart(cart_id=CART_ID, subject_id=SUBJECT, currency="GBP", locale="en", rules=RULES)
ADD = AddItem(cart_id=CART_ID, line_id=LINE_A, sku="MUG", quantity=2, product=MUG, rules=RULES)
CHANGE = ChangeQuantity(cart_id=CART_ID, line_id=LINE_A, quantity=5, product=MUG)
REMOVE = RemoveItem(cart_id=CART_ID, line_id=LINE_A)
CHOOSE = ChooseDelivery(
    cart_id=CART_ID, contact=CONTACT, destination=LONDON, method_id="standard", rules=RULES
)
REMOVED = CartItemRemoved(line_id=LINE_A, sku="MUG", quantity=2)
BOUGHT = CartCheckedOut(
    order_id=ids.order_id(CART_ID),
    contact=CONTACT,
    destination=LONDON,
    lines=(),
    shipping=NO_SHIPPING,
    totals=Totals(items_net=0, items_tax=0, shipping_net=0, shipping_tax=0, discount=0, total=0),
    currency="GBP",
    locale="en",
    pricing_version=1,
    terms_version="2026-01",
)


def test_a_guest_starts_a_cart() -> None:
    given(CART).when(START).then(STARTED)


def test_a_customer_orders_again() -> None:
    old_order = UUID(int=99)
    given(CART).when(replace(START, customer_id=CUSTOMER, reorder_of=old_order)).then(
        CartStarted(
            customer_id=CUSTOMER, subject_id=SUBJECT, currency="GBP", locale="en", reorder_of=old_order
        )
    )


def test_a_guest_whose_start_is_repeated_keeps_the_first_subject() -> None:
    given(CART, STARTED).when(replace(START, subject_id=UUID(int=98))).then()


@pytest.mark.parametrize("currency", ["EUR", "gbp", ""])
def test_a_cart_in_a_currency_that_the_shop_does_not_take(currency: str) -> None:
    given(CART).when(replace(START, currency=currency)).rejected("currency_mismatch")


def test_a_cart_keeps_its_currency() -> None:
    given(CART, STARTED).when(replace(START, currency="EUR")).rejected("currency_mismatch")


def test_a_cart_keeps_its_buyer() -> None:
    given(CART, STARTED).when(replace(START, customer_id=CUSTOMER)).rejected("cart_exists")


@pytest.mark.parametrize("command", [ADD, CHANGE, REMOVE, CHOOSE])
def test_no_command_before_the_start(command: CartCommand) -> None:
    given(CART).when(command).rejected("unknown_cart")


def test_an_item_is_added() -> None:
    given(CART, STARTED).when(ADD).then(TWO_MUGS)


def test_the_cause_and_customization_of_an_item_are_kept() -> None:
    custom = replace(ADD, customization=ENGRAVED, product=product(custom=True), cause=CartItemCause.REORDER)
    given(CART, STARTED).when(custom).then(
        replace(TWO_MUGS, customization=ENGRAVED, cause=CartItemCause.REORDER)
    )


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        (CartItemCause.CUSTOMER, CartQuantityCause.CUSTOMER),
        (CartItemCause.REORDER, CartQuantityCause.CUSTOMER),
        (CartItemCause.MERGE, CartQuantityCause.MERGE),
    ],
)
def test_more_of_the_same_joins_its_line(cause: CartItemCause, told: CartQuantityCause) -> None:
    given(CART, STARTED, TWO_MUGS).when(replace(ADD, line_id=LINE_B, quantity=3, cause=cause)).then(
        CartItemQuantityChanged(
            line_id=LINE_A, from_quantity=2, to_quantity=5, cause=told, added_line_id=LINE_B
        )
    )


def test_another_customization_is_another_line() -> None:
    engraved = replace(ADD, line_id=LINE_B, customization=ENGRAVED)
    given(CART, STARTED, TWO_MUGS).when(engraved).then(
        replace(TWO_MUGS, line_id=LINE_B, customization=ENGRAVED)
    )


def test_a_line_id_means_one_wish_even_after_the_line_was_removed() -> None:
    given(CART, STARTED, TWO_MUGS).when(replace(ADD, quantity=7)).then()
    given(CART, STARTED, TWO_MUGS, REMOVED).when(ADD).then()
    given(CART, STARTED, TWO_MUGS, REMOVED).when(replace(ADD, line_id=LINE_B)).then(
        replace(TWO_MUGS, line_id=LINE_B)
    )


@pytest.mark.parametrize("gone", [None, product(active=False)])
def test_what_is_not_sold_cannot_be_added(gone: Product | None) -> None:
    refusal = given(CART, STARTED).when(replace(ADD, product=gone)).rejected("product_unavailable")
    assert refusal.extra == {"skus": ("MUG",)}


def test_what_has_no_price_in_the_carts_currency_cannot_be_added() -> None:
    priced_abroad = product(prices={"EUR": 1400})
    given(CART, STARTED).when(replace(ADD, product=priced_abroad)).rejected("currency_mismatch")


def test_what_is_made_to_order_needs_its_wish() -> None:
    given(CART, STARTED).when(replace(ADD, product=product(custom=True))).rejected("customization_required")


@pytest.mark.parametrize("quantity", [0, -1, HIGHEST_QUANTITY + 1, 10**30])
def test_quantities_out_of_bounds(quantity: int) -> None:
    given(CART, STARTED).when(replace(ADD, quantity=quantity)).rejected("quantity_limit")
    refusal = (
        given(CART, STARTED, TWO_MUGS).when(replace(CHANGE, quantity=quantity)).rejected("quantity_limit")
    )
    assert refusal.extra == {"limit": HIGHEST_QUANTITY}


def test_a_products_limit_counts_all_its_lines() -> None:
    rare = product(limit_quantity_per_checkout=3)
    engraved = replace(TWO_MUGS, line_id=LINE_B, quantity=1, customization=ENGRAVED)
    full = given(CART, STARTED, TWO_MUGS, engraved)
    full.when(replace(ADD, line_id=LINE_C, quantity=1, product=rare)).rejected("quantity_limit")
    full.when(replace(CHANGE, quantity=3, product=rare)).rejected("quantity_limit")
    full.when(replace(CHANGE, quantity=1, product=rare)).then(
        CartItemQuantityChanged(line_id=LINE_A, from_quantity=2, to_quantity=1)
    )


def test_a_full_cart_takes_no_new_line_but_more_of_an_old_one() -> None:
    many = [
        CartItemAdded(line_id=UUID(int=1000 + n), sku=f"SKU{n}", quantity=1, unit_price=1)
        for n in range(RULES.line_limit)
    ]
    full = given(CART, STARTED, *many)
    full.when(ADD).rejected("line_limit")
    full.when(replace(ADD, sku="SKU7", product=product("SKU7"))).then(
        CartItemQuantityChanged(line_id=UUID(int=1007), from_quantity=1, to_quantity=3, added_line_id=LINE_A)
    )


def test_a_quantity_is_changed_in_place() -> None:
    given(CART, STARTED, TWO_MUGS).when(CHANGE).then(
        CartItemQuantityChanged(line_id=LINE_A, from_quantity=2, to_quantity=5)
    )


def test_the_quantity_that_is_there_changes_nothing() -> None:
    given(CART, STARTED, TWO_MUGS).when(replace(CHANGE, quantity=2)).then()


def test_fewer_of_what_is_no_longer_sold() -> None:
    given(CART, STARTED, TWO_MUGS).when(replace(CHANGE, quantity=1, product=None)).then(
        CartItemQuantityChanged(line_id=LINE_A, from_quantity=2, to_quantity=1)
    )


def test_a_line_that_is_not_there_cannot_be_changed() -> None:
    given(CART, STARTED).when(CHANGE).rejected("unknown_line")
    given(CART, STARTED, TWO_MUGS, REMOVED).when(CHANGE).rejected("unknown_line")


def test_a_line_is_removed() -> None:
    given(CART, STARTED, TWO_MUGS).when(REMOVE).then(REMOVED)


def test_a_line_that_never_was_cannot_be_removed() -> None:
    given(CART, STARTED, TWO_MUGS).when(replace(REMOVE, line_id=LINE_B)).rejected("unknown_line")


def test_delivery_is_chosen_at_once() -> None:
    given(CART, STARTED).when(CHOOSE).then(TO_LONDON)


def test_delivery_is_chosen_step_by_step() -> None:
    cart = given(CART, STARTED)
    cart.when(ChooseDelivery(cart_id=CART_ID, contact=CONTACT, rules=RULES)).then(
        CartDeliveryChosen(contact=CONTACT)
    )
    cart.when(ChooseDelivery(cart_id=CART_ID, destination=LONDON, rules=RULES)).then(
        CartDeliveryChosen(contact=CONTACT, destination=LONDON)
    )
    cart.when(ChooseDelivery(cart_id=CART_ID, method_id="standard", rules=RULES)).then(TO_LONDON)


def test_a_method_that_serves_the_new_destination_is_kept_and_another_forgotten() -> None:
    to_paris = ChooseDelivery(cart_id=CART_ID, destination=PARIS, rules=RULES)
    given(CART, STARTED, TO_LONDON).when(to_paris).then(
        CartDeliveryChosen(contact=CONTACT, destination=PARIS)
    )
    given(CART, STARTED, replace(TO_LONDON, method_id="international")).when(to_paris).then(
        CartDeliveryChosen(contact=CONTACT, destination=PARIS, method_id="international")
    )


def test_shipping_and_pickup_replace_each_other() -> None:
    collected = CartDeliveryChosen(contact=CONTACT, destination=LONDON, pickup_location_id=DEPOT)
    cart = given(CART, STARTED, TO_LONDON)
    cart.when(ChooseDelivery(cart_id=CART_ID, pickup_location_id=DEPOT, rules=RULES)).then(collected)
    cart.when(ChooseDelivery(cart_id=CART_ID, destination=PARIS, rules=RULES)).then(
        replace(collected, destination=PARIS)
    )
    cart.when(CHOOSE).then(TO_LONDON)


@pytest.mark.parametrize(
    "command",
    [
        replace(CHOOSE, method_id="pigeon"),
        replace(CHOOSE, method_id=""),
        replace(CHOOSE, destination=PARIS),
        replace(CHOOSE, destination=None),
        replace(CHOOSE, pickup_location_id=DEPOT),
    ],
)
def test_a_method_that_does_not_serve_the_destination(command: ChooseDelivery) -> None:
    given(CART, STARTED).when(command).rejected("method_unavailable")


@pytest.mark.parametrize(
    "command",
    [
        replace(ADD, line_id=LINE_B),
        CHANGE,
        replace(REMOVE, line_id=LINE_A),
        replace(CHOOSE, destination=PARIS, method_id=None),
        replace(CHOOSE, method_id="pigeon"),
    ],
)
def test_a_bought_cart_stays_as_it_is(command: CartCommand) -> None:
    given(CART, STARTED, TWO_MUGS, TO_LONDON, BOUGHT).when(command).rejected("cart_closed")


@pytest.mark.parametrize("command", [START, ADD, replace(CHANGE, quantity=2), CHOOSE])
def test_what_was_done_before_the_checkout_may_be_repeated_after_it(command: CartCommand) -> None:
    given(CART, STARTED, TWO_MUGS, TO_LONDON, BOUGHT).when(command).then()


def test_the_state_after_its_events() -> None:
    joined = CartItemQuantityChanged(line_id=LINE_A, from_quantity=2, to_quantity=3, added_line_id=LINE_B)
    engraved = replace(TWO_MUGS, line_id=LINE_C, customization=ENGRAVED)
    gone = replace(REMOVED, quantity=3)
    cart = given(CART, STARTED, TWO_MUGS, joined, engraved, gone, TO_LONDON, BOUGHT).state
    assert cart == Cart(
        status=CartStatus.CHECKED_OUT,
        customer_id=None,
        subject_id=SUBJECT,
        currency="GBP",
        locale="en",
        items=(Item(line_id=LINE_C, sku="MUG", quantity=2, customization=ENGRAVED, seen_price=1200),),
        removed=frozenset({LINE_A}),
        joined=frozenset({LINE_B}),
        delivery=TO_LONDON,
        order_id=ids.order_id(CART_ID),
        changed_at=NOW,
    )
    assert CART.deadlines(cart) == {}
