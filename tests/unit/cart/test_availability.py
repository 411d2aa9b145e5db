"""Sold out by what inventory told: at adding, changing and the checkout; and the warnings before that."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from services.cart.domain.cart import CART, AddItem, ChangeQuantity
from services.cart.domain.cart_state import Cart
from services.cart.domain.cautions import cautions
from services.cart.domain.product import Product
from shared.events.cart import CartItemAdded, CartItemQuantityChanged
from shared.events.inventory import Scarcity
from shared.testing.scenario import given
from tests.unit.cart.samples import CART_ID, LINE_A, LINE_B, MUG, RULES, STARTED, TO_LONDON, TWO_MUGS, product
from tests.unit.cart.test_checkout import BOUGHT, CHECK_OUT, READY

UNTRACKED = product(stock_tracked=False)
ADD = AddItem(
    cart_id=CART_ID,
    line_id=LINE_A,
    sku="MUG",
    quantity=2,
    product=MUG,
    availability=Scarcity.OUT,
    rules=RULES,
)
MORE = ChangeQuantity(cart_id=CART_ID, line_id=LINE_A, quantity=3, product=MUG, availability=Scarcity.OUT)
ONE_CARD = CartItemAdded(line_id=LINE_B, sku="CARD", quantity=1, unit_price=300)


def test_what_is_sold_out_cannot_be_added() -> None:
    refusal = given(CART, STARTED).when(ADD).rejected("sold_out")
    assert refusal.extra == {"skus": ("MUG",)}
    given(CART, STARTED, TWO_MUGS).when(replace(ADD, line_id=LINE_B)).rejected("sold_out")


def test_what_runs_low_or_is_unknown_sells() -> None:
    for level in (Scarcity.LOW, None):
        given(CART, STARTED).when(replace(ADD, availability=level)).then(TWO_MUGS)


def test_what_is_not_tracked_is_never_sold_out() -> None:
    given(CART, STARTED).when(replace(ADD, product=UNTRACKED)).then(TWO_MUGS)


def test_what_was_added_before_it_ran_out_may_be_added_again_under_its_id() -> None:
    given(CART, STARTED, TWO_MUGS).when(ADD).then()


def test_of_what_is_sold_out_there_may_be_fewer_but_not_more() -> None:
    cart = given(CART, STARTED, TWO_MUGS)
    refusal = cart.when(MORE).rejected("sold_out")
    assert refusal.extra == {"skus": ("MUG",)}
    cart.when(replace(MORE, product=UNTRACKED)).then(
        CartItemQuantityChanged(line_id=LINE_A, from_quantity=2, to_quantity=3)
    )
    cart.when(replace(MORE, quantity=1)).then(
        CartItemQuantityChanged(line_id=LINE_A, from_quantity=3, to_quantity=1)
    )


def test_a_checkout_names_all_that_is_sold_out() -> None:
    card = product("CARD", prices={"GBP": 300})
    command = replace(
        CHECK_OUT,
        products={"MUG": MUG, "CARD": card},
        availability={"MUG": Scarcity.OUT, "CARD": Scarcity.OUT, "HAT": Scarcity.OUT},
    )
    refusal = given(CART, STARTED, TWO_MUGS, ONE_CARD, TO_LONDON).when(command).rejected("sold_out")
    assert refusal.extra == {"skus": ("MUG", "CARD")}


@pytest.mark.parametrize(
    ("availability", "sold"),
    [
        ({}, MUG),
        ({"MUG": Scarcity.LOW}, MUG),
        ({"HAT": Scarcity.OUT}, MUG),
        ({"MUG": Scarcity.OUT}, UNTRACKED),
    ],
)
def test_what_is_there_is_bought(availability: dict[str, Scarcity], sold: Product) -> None:
    command = replace(CHECK_OUT, availability=availability, products={"MUG": sold})
    line = replace(BOUGHT.lines[0], stock_tracked=sold.details.stock_tracked)
    given(CART, *READY).when(command).then(replace(BOUGHT, lines=(line,)))


def test_a_bought_cart_stays_bought_when_its_goods_run_out() -> None:
    given(CART, *READY, BOUGHT).when(replace(CHECK_OUT, availability={"MUG": Scarcity.OUT})).then()


# Warnings


def told(products: dict[str, Product], **availability: Scarcity) -> list[tuple[UUID, str, Any]]:
    cart = given(CART, STARTED, TWO_MUGS, ONE_CARD).state
    assert isinstance(cart, Cart)
    return [
        (each.item.line_id, str(each.code), each.limit or (each.then, each.now))
        for each in cautions(cart, products, availability)
    ]


CARD = product("CARD", prices={"GBP": 300})
NOTHING = (None, None)


def test_nothing_is_said_of_what_can_be_bought_as_it_was_seen() -> None:
    assert told({"MUG": MUG, "CARD": CARD}) == []


def test_a_buyer_is_warned_line_by_line() -> None:
    assert told({"MUG": MUG, "CARD": CARD}, MUG=Scarcity.LOW, CARD=Scarcity.OUT) == [
        (LINE_A, "low_stock", NOTHING),
        (LINE_B, "sold_out", NOTHING),
    ]
    assert told({"MUG": product(prices={"GBP": 1300}), "CARD": CARD}) == [
        (LINE_A, "price_changed", (1200, 1300))
    ]
    assert told({"MUG": product(limit_quantity_per_checkout=1), "CARD": product("CARD", active=False)}) == [
        (LINE_A, "quantity_limit", 1),
        (LINE_B, "product_unavailable", NOTHING),
    ]
    assert told({"MUG": product(prices={"EUR": 1})}) == [
        (LINE_A, "product_unavailable", NOTHING),
        (LINE_B, "product_unavailable", NOTHING),
    ]


def test_of_what_is_gone_nothing_else_is_said_but_the_rest_adds_up() -> None:
    scarce = product(prices={"GBP": 1}, limit_quantity_per_checkout=1)
    assert told(
        {"MUG": scarce, "CARD": product("CARD", active=False)}, MUG=Scarcity.OUT, CARD=Scarcity.OUT
    ) == [
        (LINE_A, "sold_out", NOTHING),
        (LINE_A, "quantity_limit", 1),
        (LINE_A, "price_changed", (1200, 1)),
        (LINE_B, "product_unavailable", NOTHING),
    ]
