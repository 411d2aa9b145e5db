"""Price promises: a quote says what exactly it is for, so that a checkout takes no other one for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from services.cart.domain.cart_state import Cart
from services.cart.domain.quote import Item, Priced
from shared.domain import Rejected, ids
from shared.events.common import Destination, Quote

VALID_FOR: Final = timedelta(minutes=30)
"""How long a quote is promised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants the price of; `cart_id` None: not what is in a cart."""

    cart_id: UUID | None = None
    currency: str
    items: tuple[Item, ...]
    destination: Destination | None = None
    method_id: str | None = None
    pickup_location_id: UUID | None = None
    codes: tuple[str, ...] = ()

    def quote_id(self, valid_until: datetime) -> UUID:
        """The id of the promise for this wish until then; another wish has another."""
        place = self.destination
        where = (place.country, place.region, place.postal_prefix) if place else ()
        how = (self.method_id, self.pickup_location_id, *self.codes)
        what = ((i.line_id, i.sku, i.quantity, i.customization) for i in self.items)
        return ids.quote_id(self.cart_id, self.currency, valid_until, where, how, tuple(what))


def wish_of(cart_id: UUID, cart: Cart) -> Wish:
    """What a cart holds, and where it should go."""
    return Wish(
        cart_id=cart_id,
        currency=cart.currency,
        items=cart.items,
        destination=cart.delivery.destination,
        method_id=cart.delivery.method_id,
        pickup_location_id=cart.delivery.pickup_location_id,
        codes=cart.coupons,
    )


def promise(wish: Wish, priced: Priced, *, policy_version: int, now: datetime) -> Quote:
    """The quote, not yet signed. Raises Rejected where there is no price to promise: empty_cart,
    product_unavailable{skus}, method_unavailable, coupon_invalid{coupon, reason} (not all of them count)."""
    if not wish.items:
        raise Rejected("empty_cart", "There is nothing to quote.")
    skus = tuple(item.sku for item in wish.items if item.line_id in priced.unavailable)
    if skus:
        raise Rejected("product_unavailable", f"Not sold: {', '.join(skus)}.", skus=skus)
    if priced.shipping is None:
        raise Rejected("method_unavailable", "Choose a shipping method for these lines.")
    if unused := _unused(wish.codes, priced):
        raise Rejected(
            "coupon_invalid", f"Coupon {unused} does not count.", coupon=unused, reason="not_counting"
        )
    until = now + VALID_FOR
    return Quote(
        quote_id=wish.quote_id(until),
        lines=priced.lines,
        shipping=priced.shipping,
        totals=priced.totals,
        policy_version=policy_version,
        valid_until=until,
        signature="",
    )


def demand_promise(quote: Quote, wish: Wish, priced: Priced, now: datetime) -> None:
    """Raises Rejected unless the quote still holds and is for this wish: quote_expired, total_changed."""
    if now >= quote.valid_until:
        raise Rejected("quote_expired", "The quote's time is over; ask for another one.")
    if quote.quote_id != wish.quote_id(quote.valid_until):
        total = priced.totals.total
        raise Rejected("total_changed", f"The quote is not for this cart; it costs {total} now.", total=total)


def _unused(codes: Sequence[str], priced: Priced) -> str | None:
    return next((code for code in codes if code not in priced.coupons), None)
