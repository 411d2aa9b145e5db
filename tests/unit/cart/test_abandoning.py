"""A cart that nobody comes back to: told once, at its deadline, and open again when its items change."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.cart.domain.abandoning import ABANDONED_AFTER, MarkAbandoned
from services.cart.domain.cart import CART, AddItem, ChangeQuantity, ChooseDelivery, RemoveItem, cart_decider
from services.cart.domain.cart_state import Cart, CartStatus
from services.cart.follow_ups import on_deadline
from shared.events.cart import (
    CartAbandoned,
    CartDeliveryChosen,
    CartItemQuantityChanged,
    CartItemRemoved,
    CheckoutStep,
)
from shared.testing.scenario import NOW, Scenario, given
from tests.unit.cart.samples import (
    CART_ID,
    CONTACT,
    DEPOT,
    LINE_A,
    LINE_B,
    LONDON,
    MUG,
    PARIS,
    RULES,
    STARTED,
    TO_LONDON,
    TWO_MUGS,
)
from tests.unit.cart.test_checkout import BOUGHT, CHECK_OUT, READY

MARK = MarkAbandoned(cart_id=CART_ID)
LEFT = CartAbandoned(item_count=2, value=2400, last_step=CheckoutStep.ITEMS)
REMOVED = CartItemRemoved(line_id=LINE_A, sku="MUG", quantity=2)


def status(scenario: Scenario) -> CartStatus:
    assert isinstance(scenario.state, Cart)
    return scenario.state.status


def test_a_cart_with_items_waits_a_day_after_its_last_change() -> None:
    cart = given(CART, STARTED, TWO_MUGS).state
    assert CART.deadlines(cart) == {"abandoned": NOW + timedelta(hours=24)}
    assert cart_decider(timedelta(minutes=5)).deadlines(cart) == {"abandoned": NOW + timedelta(minutes=5)}
    later = NOW + timedelta(hours=3)
    moved = CART.evolve(cart, TO_LONDON, later)
    assert CART.deadlines(moved) == {"abandoned": later + ABANDONED_AFTER}


@pytest.mark.parametrize(
    "events", [(STARTED,), (STARTED, TWO_MUGS, REMOVED), (*READY, BOUGHT), (STARTED, TWO_MUGS, LEFT)]
)
def test_no_other_cart_waits_or_is_abandoned(events: Sequence[Any]) -> None:
    cart = given(CART, *events)
    assert CART.deadlines(cart.state) == {}
    cart.when(MARK).then()


def test_the_timer_marks_the_cart_of_its_stream() -> None:
    cart = given(CART, STARTED, TWO_MUGS).state
    assert on_deadline(cart, "abandoned", NOW)(str(CART_ID)) == MARK


def test_no_cart_cannot_be_abandoned() -> None:
    given(CART).when(MARK).rejected("unknown_cart")


@pytest.mark.parametrize(
    ("chosen", "step"),
    [
        ((), CheckoutStep.ITEMS),
        ((CartDeliveryChosen(contact=CONTACT),), CheckoutStep.DELIVERY),
        ((CartDeliveryChosen(destination=LONDON),), CheckoutStep.DELIVERY),
        ((TO_LONDON,), CheckoutStep.REVIEW),
        ((replace(TO_LONDON, method_id=None, pickup_location_id=DEPOT),), CheckoutStep.REVIEW),
        ((replace(TO_LONDON, method_id=None),), CheckoutStep.DELIVERY),
    ],
)
def test_it_is_told_how_far_the_buyer_came(chosen: tuple[Any, ...], step: CheckoutStep) -> None:
    given(CART, STARTED, TWO_MUGS, *chosen).when(MARK).then(replace(LEFT, last_step=step))


def test_the_value_is_what_the_buyer_saw() -> None:
    more = CartItemQuantityChanged(line_id=LINE_A, from_quantity=2, to_quantity=3)
    dear = replace(TWO_MUGS, line_id=LINE_B, sku="SOFA", quantity=1, unit_price=90_000)
    given(CART, STARTED, TWO_MUGS, dear, more).when(MARK).then(
        CartAbandoned(item_count=4, value=93_600, last_step=CheckoutStep.ITEMS)
    )


@pytest.mark.parametrize(
    "command",
    [
        AddItem(cart_id=CART_ID, line_id=LINE_B, sku="MUG", quantity=1, product=MUG, rules=RULES),
        ChangeQuantity(cart_id=CART_ID, line_id=LINE_A, quantity=1, product=MUG),
        RemoveItem(cart_id=CART_ID, line_id=LINE_A),
    ],
)
def test_any_change_of_its_items_opens_it_again(command: Any) -> None:
    cart = given(CART, STARTED, TWO_MUGS, LEFT)
    assert status(cart) is CartStatus.ABANDONED
    cart.when(command).then(*CART.decide(cart.state, command))
    assert status(cart) is CartStatus.OPEN


def test_it_is_abandoned_again_after_that() -> None:
    back = CartItemQuantityChanged(line_id=LINE_A, from_quantity=2, to_quantity=1)
    given(CART, STARTED, TWO_MUGS, LEFT, back).when(MARK).then(
        CartAbandoned(item_count=1, value=1200, last_step=CheckoutStep.ITEMS)
    )


def test_delivery_and_checkout_go_on_where_they_were_left() -> None:
    cart = given(CART, *READY, LEFT)
    cart.when(ChooseDelivery(cart_id=CART_ID, contact=CONTACT, rules=RULES)).then()
    cart.when(
        ChooseDelivery(cart_id=CART_ID, destination=PARIS, method_id="international", rules=RULES)
    ).then(CartDeliveryChosen(contact=CONTACT, destination=PARIS, method_id="international"))
    assert status(cart) is CartStatus.ABANDONED
    given(CART, *READY, LEFT).when(CHECK_OUT).then(BOUGHT)
