"""A guest's cart at sign-in: it closes once, and its lines arrive in the customer's within the limits."""

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
from services.cart.domain.merging import LEFT_BEHIND, MergeCart, TakeLines
from services.cart.follow_ups import follow_up
from shared.domain import ids
from shared.events import cart as cart_events
from shared.events.cart import (
    CartItemAdded,
    CartItemCause,
    CartItemQuantityChanged,
    CartItemRemoved,
    CartMerged,
    CartQuantityCause,
)
from shared.events.common import Qty
from shared.events.inventory import Scarcity
from shared.store import todo
from shared.testing.scenario import NOW, given
from tests.contract.golden import example
from tests.property.folds import recorded
from tests.unit.cart.samples import (
    CART_ID,
    CONTACT,
    CUSTOMER,
    ENGRAVED,
    LINE_A,
    LINE_B,
    LINE_C,
    MUG,
    RULES,
    STARTED,
    SUBJECT,
    TWO_MUGS,
    product,
)
from tests.unit.cart.test_checkout import BOUGHT, CHECK_OUT, READY

TARGET = UUID(int=7)
MERGE = MergeCart(cart_id=CART_ID, into_cart_id=TARGET)
MERGED = CartMerged(into_cart_id=TARGET, lines=(Qty(line_id=LINE_A, quantity=2),))
OF_CUSTOMER = replace(STARTED, customer_id=CUSTOMER)
ARRIVE = AddItem(
    cart_id=TARGET,
    line_id=LINE_B,
    sku="MUG",
    quantity=2,
    product=MUG,
    rules=RULES,
    cause=CartItemCause.MERGE,
)


def test_a_guests_cart_is_merged_with_all_its_lines() -> None:
    other = replace(TWO_MUGS, line_id=LINE_B, sku="CARD", quantity=5)
    gone = CartItemRemoved(line_id=LINE_A, sku="MUG", quantity=2)
    given(CART, STARTED, TWO_MUGS).when(MERGE).then(MERGED)
    given(CART, STARTED, TWO_MUGS, other, gone).when(MERGE).then(
        CartMerged(into_cart_id=TARGET, lines=(Qty(line_id=LINE_B, quantity=5),))
    )
    given(CART, STARTED).when(MERGE).then(CartMerged(into_cart_id=TARGET))


def test_it_is_merged_once() -> None:
    given(CART, STARTED, TWO_MUGS, MERGED).when(replace(MERGE, into_cart_id=LINE_C)).rejected("cart_closed")
    given(CART, *READY, BOUGHT).when(MERGE).rejected("cart_closed")
    given(CART).when(MERGE).rejected("unknown_cart")


def test_only_a_guests_cart_is_merged_and_only_into_another() -> None:
    given(CART, OF_CUSTOMER, TWO_MUGS).when(MERGE).rejected("not_mergeable")
    given(CART, STARTED, TWO_MUGS).when(replace(MERGE, into_cart_id=CART_ID)).rejected("not_mergeable")


@pytest.mark.parametrize(
    "command",
    [
        replace(ARRIVE, line_id=LINE_C, cause=CartItemCause.CUSTOMER),
        ChangeQuantity(cart_id=CART_ID, line_id=LINE_A, quantity=1, product=MUG),
        RemoveItem(cart_id=CART_ID, line_id=LINE_A),
        ChooseDelivery(cart_id=CART_ID, contact=CONTACT, rules=RULES),
        CHECK_OUT,
    ],
)
def test_a_merged_cart_takes_nothing_any_more(command: CartCommand) -> None:
    given(CART, STARTED, TWO_MUGS, MERGED).when(command).rejected("cart_closed")


def test_what_was_done_before_may_be_repeated_after_it() -> None:
    merged = given(CART, STARTED, TWO_MUGS, MERGED)
    merged.when(replace(ARRIVE, line_id=LINE_A)).then()
    merged.when(
        StartCart(cart_id=CART_ID, subject_id=SUBJECT, currency="GBP", locale="en", rules=RULES)
    ).then()
    assert isinstance(merged.state, Cart)
    assert (merged.state.status, merged.state.merged_into) == (CartStatus.MERGED, TARGET)
    assert CART.deadlines(merged.state) == {}


def test_a_merged_line_arrives() -> None:
    given(CART, OF_CUSTOMER).when(ARRIVE).then(
        CartItemAdded(line_id=LINE_B, sku="MUG", quantity=2, unit_price=1200, cause=CartItemCause.MERGE)
    )
    given(CART, OF_CUSTOMER, TWO_MUGS).when(ARRIVE).then(
        CartItemQuantityChanged(
            line_id=LINE_A,
            from_quantity=2,
            to_quantity=4,
            cause=CartQuantityCause.MERGE,
            added_line_id=LINE_B,
        )
    )


def test_sums_are_capped_at_the_limit() -> None:
    rare = product(limit_quantity_per_checkout=3)
    given(CART, OF_CUSTOMER, TWO_MUGS).when(replace(ARRIVE, product=rare)).then(
        CartItemQuantityChanged(
            line_id=LINE_A,
            from_quantity=2,
            to_quantity=3,
            cause=CartQuantityCause.MERGE,
            added_line_id=LINE_B,
        )
    )
    given(CART, OF_CUSTOMER, TWO_MUGS).when(
        replace(ARRIVE, customization=ENGRAVED, quantity=9, product=rare)
    ).then(
        CartItemAdded(
            line_id=LINE_B,
            sku="MUG",
            quantity=1,
            unit_price=1200,
            customization=ENGRAVED,
            cause=CartItemCause.MERGE,
        )
    )


def test_what_is_full_already_stays_as_it_is() -> None:
    full = product(limit_quantity_per_checkout=2)
    given(CART, OF_CUSTOMER, TWO_MUGS).when(replace(ARRIVE, product=full)).then()


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (replace(ARRIVE, product=None), "product_unavailable"),
        (replace(ARRIVE, product=product(active=False)), "product_unavailable"),
        (replace(ARRIVE, product=product(prices={"EUR": 1})), "currency_mismatch"),
        (replace(ARRIVE, product=product(custom=True)), "customization_required"),
        (replace(ARRIVE, availability=Scarcity.OUT), "sold_out"),
        (replace(ARRIVE, rules=replace(RULES, line_limit=0)), "line_limit"),
    ],
)
def test_what_cannot_be_bought_stays_behind(command: AddItem, code: str) -> None:
    given(CART, OF_CUSTOMER).when(command).rejected(code)
    assert code in LEFT_BEHIND


def test_a_bought_cart_takes_nothing_over() -> None:
    given(CART, *READY, BOUGHT).when(ARRIVE).rejected("cart_closed")
    assert "cart_closed" in LEFT_BEHIND


def test_the_lines_go_to_the_other_cart_in_a_transaction_of_its_own() -> None:
    (event,) = recorded([(CART.stream(CART_ID), MERGED, NOW)])
    take = TakeLines(cart_id=TARGET, from_cart_id=CART_ID, lines=MERGED.lines)
    assert list(follow_up(event)) == [todo.command(take, CART.stream(TARGET))]


def test_no_other_event_asks_for_anything_nor_does_an_empty_cart() -> None:
    others = [example(kind, kind.__name__) for kind in cart_events.EVENTS if kind is not CartMerged]
    told = recorded(
        [(CART.stream(CART_ID), event, NOW) for event in (*others, CartMerged(into_cart_id=TARGET))]
    )
    assert [list(follow_up(event)) for event in told] == [[]] * len(told)


def test_each_line_has_an_id_of_its_own_in_each_cart() -> None:
    found = {
        ids.copied_line_id(into, source, line)
        for into in (TARGET, CART_ID)
        for source in (TARGET, CART_ID)
        for line in (LINE_A, LINE_B)
    }
    assert len(found) == 8
