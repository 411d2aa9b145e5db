"""A cart as it is now: the fold of its events."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, assert_never
from uuid import UUID

from services.cart.domain.coupons import Coupon
from services.cart.domain.product import Product
from services.cart.domain.quote import NO_COUPONS, Item, Priced, quote
from services.cart.domain.rules import PricingRules
from shared.domain import Rejected
from shared.events.cart import (
    CartAbandoned,
    CartCheckedOut,
    CartCouponsChosen,
    CartDeliveryChosen,
    CartEvent,
    CartItemAdded,
    CartItemQuantityChanged,
    CartItemRemoved,
    CartMerged,
    CartStarted,
)

NOTHING_CHOSEN: Final = CartDeliveryChosen()


class CartStatus(StrEnum):
    """Where a cart is in its life. An abandoned one is open again as soon as its items change."""

    OPEN = "OPEN"
    ABANDONED = "ABANDONED"
    CHECKED_OUT = "CHECKED_OUT"
    MERGED = "MERGED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cart:
    """A cart as it is now. `removed` and `joined` are line ids that were used up: taken out again, or added
    to another line of the same article."""

    status: CartStatus = CartStatus.OPEN
    customer_id: UUID | None
    subject_id: UUID
    currency: str
    locale: str
    items: tuple[Item, ...] = ()
    removed: frozenset[UUID] = frozenset()
    joined: frozenset[UUID] = frozenset()
    delivery: CartDeliveryChosen = NOTHING_CHOSEN
    coupons: tuple[str, ...] = ()
    order_id: UUID | None = None
    merged_into: UUID | None = None
    changed_at: datetime

    def item(self, line_id: UUID) -> Item | None:
        """The line of this id, if it is in the cart."""
        return next((item for item in self.items if item.line_id == line_id), None)

    def units(self, sku: str) -> int:
        """How many units of the product all lines hold together."""
        return sum(item.quantity for item in self.items if item.sku == sku)

    def demand_open(self) -> None:
        """Raises Rejected `cart_closed` if nothing can change any more."""
        if self.status is CartStatus.CHECKED_OUT:
            raise Rejected("cart_closed", "This cart was checked out; start a new one.")
        if self.status is CartStatus.MERGED:
            raise Rejected("cart_closed", f"This cart was merged into {self.merged_into}; go on with that.")

    def demand_currency(self, currency: str) -> None:
        """Raises Rejected `currency_mismatch` if the cart is in another currency."""
        if self.currency != currency:
            raise Rejected("currency_mismatch", f"The cart is in {self.currency}, not in {currency}.")

    def priced(
        self,
        products: Mapping[str, Product],
        rules: PricingRules,
        coupons: Mapping[str, Coupon] = NO_COUPONS,
    ) -> Priced:
        """What the cart costs by these products (by sku), rules, and coupons (what holds now, by code)."""
        return quote(
            self.items,
            currency=self.currency,
            locale=self.locale,
            destination=self.delivery.destination,
            method_id=self.delivery.method_id,
            pickup=self.delivery.pickup_location_id is not None,
            products=products,
            rules=rules,
            codes=self.coupons,
            coupons=coupons,
        )


def evolve(state: Cart | None, event: CartEvent, at: datetime) -> Cart:
    """The cart after `event`."""
    if isinstance(event, CartStarted):
        return Cart(
            customer_id=event.customer_id,
            subject_id=event.subject_id,
            currency=event.currency,
            locale=event.locale,
            changed_at=at,
        )
    assert state is not None, "a cart's stream begins with CartStarted"
    cart = replace(state, changed_at=at)
    match event:
        case CartItemAdded():
            item = Item(
                line_id=event.line_id,
                sku=event.sku,
                quantity=event.quantity,
                customization=event.customization,
                seen_price=event.unit_price,
            )
            return replace(_reopened(cart), items=(*cart.items, item))
        case CartItemQuantityChanged(line_id=line_id, to_quantity=quantity, added_line_id=added):
            items = (replace(i, quantity=quantity) if i.line_id == line_id else i for i in cart.items)
            joined = cart.joined if added is None else cart.joined | {added}
            return replace(_reopened(cart), items=tuple(items), joined=joined)
        case CartItemRemoved(line_id=line_id):
            items = (item for item in cart.items if item.line_id != line_id)
            return replace(_reopened(cart), items=tuple(items), removed=cart.removed | {line_id})
        case CartDeliveryChosen():
            return replace(cart, delivery=event)
        case CartCouponsChosen(codes=codes):
            return replace(cart, coupons=codes)
        case CartMerged(into_cart_id=into_cart_id):
            return replace(cart, status=CartStatus.MERGED, merged_into=into_cart_id)
        case CartAbandoned():
            return replace(cart, status=CartStatus.ABANDONED)
        case CartCheckedOut(order_id=order_id):
            return replace(cart, status=CartStatus.CHECKED_OUT, order_id=order_id)
        case _:
            assert_never(event)


def _reopened(cart: Cart) -> Cart:
    return replace(cart, status=CartStatus.OPEN)
