"""The cart aggregate: what somebody wants to buy, until the checkout freezes it into an order."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final, TypeAlias, assert_never
from uuid import UUID

from services.cart.domain.abandoning import ABANDONED_AFTER, MarkAbandoned, deadlines, mark_abandoned
from services.cart.domain.availability import demand_in_stock
from services.cart.domain.cart_state import Cart, evolve
from services.cart.domain.checkout import CheckOut, check_out
from services.cart.domain.choosing_coupons import ChooseCoupons, choose_coupons
from services.cart.domain.merging import MergeCart, merge
from services.cart.domain.product import HIGHEST_QUANTITY, Product
from services.cart.domain.rules import PricingRules
from shared.domain import Decider, Rejected, Sealed
from shared.events.cart import (
    CartDeliveryChosen,
    CartEvent,
    CartItemAdded,
    CartItemCause,
    CartItemQuantityChanged,
    CartItemRemoved,
    CartQuantityCause,
    CartStarted,
)
from shared.events.common import Contact, Destination
from shared.events.inventory import Scarcity


@dataclass(frozen=True, slots=True, kw_only=True)
class StartCart:
    """Begin a cart; a guest has no customer_id. Refused: currency_mismatch, cart_exists (another buyer's)."""

    cart_id: UUID
    customer_id: UUID | None = None
    subject_id: UUID
    currency: str
    locale: str
    reorder_of: UUID | None = None
    rules: PricingRules


@dataclass(frozen=True, slots=True, kw_only=True)
class AddItem:
    """Put units of a product (None: there is none of this sku) into the cart.

    `line_id` names this wish and is never used for another one, not even after the line was removed; more
    units of an article that is in the cart already join its line. What is merged is capped at the limit.
    Refused: unknown_cart, cart_closed, product_unavailable, currency_mismatch, customization_required,
    sold_out{skus}, quantity_limit, line_limit.
    """

    cart_id: UUID
    line_id: UUID
    sku: str
    quantity: int
    customization: Sealed | None = None
    product: Product | None
    availability: Scarcity | None = None
    rules: PricingRules
    cause: CartItemCause = CartItemCause.CUSTOMER


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeQuantity:
    """Set a line's quantity; `product` is the line's, None if it is gone. Refused: unknown_cart,
    unknown_line, cart_closed, quantity_limit and, of more units than before, sold_out{skus}."""

    cart_id: UUID
    line_id: UUID
    quantity: int
    product: Product | None
    availability: Scarcity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveItem:
    """Take a line out. Refused: unknown_cart, unknown_line, cart_closed."""

    cart_id: UUID
    line_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ChooseDelivery:
    """Set who is written to and how the goods get there; None keeps what was chosen before.

    A shipping method and a pickup location replace each other, and a method that does not serve a new
    destination is forgotten. Refused: unknown_cart, cart_closed, method_unavailable.
    """

    cart_id: UUID
    contact: Contact | None = None
    destination: Destination | None = None
    method_id: str | None = None
    pickup_location_id: UUID | None = None
    rules: PricingRules


CartCommand: TypeAlias = (
    StartCart
    | AddItem
    | ChangeQuantity
    | RemoveItem
    | ChooseDelivery
    | ChooseCoupons
    | MergeCart
    | MarkAbandoned
    | CheckOut
)


def decide(state: Cart | None, command: CartCommand) -> Sequence[CartEvent]:
    """The events that `command` causes; raises Rejected with one of the codes that the command names."""
    if isinstance(command, StartCart):
        return _start(state, command)
    if state is None:
        raise Rejected("unknown_cart", f"There is no cart {command.cart_id}.")
    match command:
        case AddItem():
            return _add(state, command)
        case ChangeQuantity():
            return _change_quantity(state, command)
        case RemoveItem():
            return _remove(state, command)
        case ChooseDelivery():
            return _choose_delivery(state, command)
        case ChooseCoupons():
            return choose_coupons(state, command)
        case MergeCart():
            return merge(state, command)
        case MarkAbandoned():
            return mark_abandoned(state)
        case CheckOut():
            return check_out(state, command)
        case _:
            assert_never(command)


def _start(state: Cart | None, command: StartCart) -> Sequence[CartEvent]:
    if state is not None and state.customer_id != command.customer_id:
        raise Rejected("cart_exists", "This cart id belongs to another buyer's cart.")
    if state is not None:
        state.demand_currency(command.currency)
        return []
    if command.currency not in command.rules.currencies:
        sold_in = ", ".join(command.rules.currencies)
        raise Rejected("currency_mismatch", f"The shop sells in {sold_in}, not in {command.currency}.")
    return [
        CartStarted(
            customer_id=command.customer_id,
            subject_id=command.subject_id,
            currency=command.currency,
            locale=command.locale,
            reorder_of=command.reorder_of,
        )
    ]


def _add(cart: Cart, command: AddItem) -> Sequence[CartEvent]:
    line_id, product = command.line_id, command.product
    if cart.item(line_id) or line_id in cart.removed or line_id in cart.joined:
        return []
    cart.demand_open()
    if product is None or not product.active:
        raise Rejected("product_unavailable", f"{command.sku} is not sold.", skus=(command.sku,))
    if cart.currency not in product.prices:
        raise Rejected("currency_mismatch", f"{command.sku} is not sold in {cart.currency}.")
    if product.details.custom and command.customization is None:
        raise Rejected("customization_required", f"{command.sku} is made to order; say how.")
    demand_in_stock({command.sku: product}, {command.sku: command.availability})
    units, merged = cart.units(command.sku), command.cause is CartItemCause.MERGE
    quantity = min(command.quantity, product.limit - units) if merged else command.quantity
    if merged and quantity < 1:
        return []
    _check_quantity(quantity, units, product)
    for item in cart.items:
        if (item.sku, item.customization) == (command.sku, command.customization):
            return [
                CartItemQuantityChanged(
                    line_id=item.line_id,
                    from_quantity=item.quantity,
                    to_quantity=item.quantity + quantity,
                    cause=CartQuantityCause.MERGE if merged else CartQuantityCause.CUSTOMER,
                    added_line_id=line_id,
                )
            ]
    if len(cart.items) >= command.rules.line_limit:
        raise Rejected("line_limit", f"A cart holds at most {command.rules.line_limit} lines.")
    return [
        CartItemAdded(
            line_id=line_id,
            sku=command.sku,
            quantity=quantity,
            unit_price=product.prices[cart.currency],
            customization=command.customization,
            cause=command.cause,
        )
    ]


def _change_quantity(cart: Cart, command: ChangeQuantity) -> Sequence[CartEvent]:
    item = cart.item(command.line_id)
    if item is not None and item.quantity == command.quantity:
        return []
    cart.demand_open()
    if item is None:
        raise _unknown_line(command.line_id)
    _check_quantity(command.quantity, cart.units(item.sku) - item.quantity, command.product)
    if command.quantity > item.quantity and command.product is not None:
        demand_in_stock({item.sku: command.product}, {item.sku: command.availability})
    return [
        CartItemQuantityChanged(
            line_id=item.line_id, from_quantity=item.quantity, to_quantity=command.quantity
        )
    ]


def _remove(cart: Cart, command: RemoveItem) -> Sequence[CartEvent]:
    if command.line_id in cart.removed:
        return []
    cart.demand_open()
    item = cart.item(command.line_id)
    if item is None:
        raise _unknown_line(command.line_id)
    return [CartItemRemoved(line_id=item.line_id, sku=item.sku, quantity=item.quantity)]


def _choose_delivery(cart: Cart, command: ChooseDelivery) -> Sequence[CartEvent]:
    before = cart.delivery
    wishes = (command.contact, command.destination, command.method_id, command.pickup_location_id)
    had = (before.contact, before.destination, before.method_id, before.pickup_location_id)
    if all(wish is None or wish == held for wish, held in zip(wishes, had, strict=True)):
        return []
    cart.demand_open()
    destination = command.destination or before.destination
    method_id, pickup = _way(cart, command, destination)
    return [
        CartDeliveryChosen(
            contact=command.contact or before.contact,
            destination=destination,
            method_id=method_id,
            pickup_location_id=pickup,
        )
    ]


def _way(
    cart: Cart, command: ChooseDelivery, destination: Destination | None
) -> tuple[str | None, UUID | None]:
    """The shipping method or the pickup location that holds after the command."""
    wished, pickup = command.method_id, command.pickup_location_id
    if pickup is not None:
        if wished is not None:
            raise Rejected("method_unavailable", "Choose a shipping method or a pickup location, not both.")
        return None, pickup
    method_id = cart.delivery.method_id if wished is None else wished
    if method_id is not None and _serves(command.rules, method_id, destination, cart.currency):
        return method_id, None
    if wished is not None:
        raise Rejected("method_unavailable", f"No shipping method {wished!r} serves the destination.")
    return None, cart.delivery.pickup_location_id


def _check_quantity(quantity: int, others: int, product: Product | None) -> None:
    limit = product.limit if product else HIGHEST_QUANTITY
    if quantity < 1 or others + quantity > limit:
        raise Rejected("quantity_limit", f"One checkout takes 1 to {limit} units of this.", limit=limit)


def _unknown_line(line_id: UUID) -> Rejected:
    return Rejected("unknown_line", f"There is no line {line_id} in the cart.")


def _serves(rules: PricingRules, method_id: str, destination: Destination | None, currency: str) -> bool:
    if destination is None:
        return False
    return rules.method(method_id, destination.country, currency, destination.region) is not None


def cart_decider(abandoned_after: timedelta) -> Decider[Cart, CartCommand, CartEvent]:
    """The aggregate, of which a cart is abandoned when nothing has changed for so long."""
    return Decider(
        category="cart",
        decide=decide,
        evolve=evolve,
        deadlines=partial(deadlines, after=abandoned_after),
    )


CART: Final = cart_decider(ABANDONED_AFTER)
