"""The checkout: freezes a cart, at the total that the buyer saw, into what the order will be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from services.cart.domain.availability import demand_in_stock
from services.cart.domain.cart_state import Cart, CartStatus
from services.cart.domain.pricing import PolicyAdopted
from services.cart.domain.product import Product
from services.cart.domain.promises import demand_promise, wish_of
from services.cart.domain.quote import Priced
from shared.domain import Rejected, Sealed, ids
from shared.events.cart import CartCheckedOut, CartDeliveryChosen
from shared.events.common import Destination, Quote
from shared.events.inventory import Scarcity


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOut:
    """Buy the cart at the total (minor units) that the buyer saw; repeated, it names the same order.

    `products` are at least the cart's, by sku. With a `quote`, whose signature was checked, its prices hold
    whatever they are now. A use of each coupon that counts is taken in the same transaction, which may be
    refused too (`coupon_use.py`). Refused: unknown_cart, cart_closed, empty_cart, email_missing,
    address_incomplete{missing}, product_unavailable{skus}, quantity_limit{skus}, sold_out{skus},
    method_unavailable, currency_mismatch, quote_expired, total_changed{total}.
    """

    cart_id: UUID
    expected_total: int
    currency: str
    products: Mapping[str, Product]
    availability: Mapping[str, Scarcity | None] = field(default_factory=dict)
    policy: PolicyAdopted
    quote: Quote | None = None
    terms_version: str
    billing: Sealed | None = None
    create_account: bool = False
    marketing_consent: bool = False
    customer_note: Sealed | None = None
    now: datetime


def check_out(cart: Cart, command: CheckOut) -> Sequence[CartCheckedOut]:
    """The frozen cart; raises Rejected with one of the codes that CheckOut names."""
    if cart.status is CartStatus.CHECKED_OUT:
        return []
    cart.demand_open()
    delivery, policy = cart.delivery, command.policy
    if not cart.items:
        raise Rejected("empty_cart", "There is nothing in the cart.")
    if delivery.contact is None:
        raise Rejected("email_missing", "Say where the confirmation should be sent.")
    destination = _complete(delivery)
    priced = cart.priced(command.products, policy.document, policy.document.coupons_at(command.now))
    _check_available(cart, priced, command)
    if (priced.shipping is None and command.quote is None) or _uncollected(cart, command.products):
        raise Rejected("method_unavailable", "Choose a shipping method or pickup location for these lines.")
    cart.demand_currency(command.currency)
    if command.quote is not None:
        demand_promise(command.quote, wish_of(command.cart_id, cart), priced, command.now)
        priced = _as_promised(command.quote, cart)
    assert priced.shipping is not None
    total = priced.totals.total
    if total != command.expected_total:
        raise Rejected("total_changed", f"The total is {total} {cart.currency} now.", total=total)
    return [
        CartCheckedOut(
            order_id=ids.order_id(command.cart_id),
            customer_id=cart.customer_id,
            contact=delivery.contact,
            destination=destination,
            billing=command.billing,
            pickup_location_id=delivery.pickup_location_id,
            lines=priced.lines,
            shipping=priced.shipping,
            coupons=priced.coupons,
            totals=priced.totals,
            currency=cart.currency,
            locale=cart.locale,
            pricing_version=command.quote.policy_version if command.quote else policy.version,
            terms_version=command.terms_version,
            create_account=command.create_account,
            marketing_consent=command.marketing_consent,
            customer_note=command.customer_note,
        )
    ]


def _as_promised(quote: Quote, cart: Cart) -> Priced:
    """What the quote says; one is only made if all coupons of the cart count."""
    return Priced(lines=quote.lines, shipping=quote.shipping, totals=quote.totals, coupons=cart.coupons)


def _complete(delivery: CartDeliveryChosen) -> Destination:
    destination = delivery.destination
    if destination is None:
        raise Rejected("address_incomplete", "Say where the goods should go.", missing=("address",))
    if not destination.complete and delivery.pickup_location_id is None:
        missing = destination.missing
        raise Rejected("address_incomplete", f"The address lacks {', '.join(missing)}.", missing=missing)
    return destination


def _check_available(cart: Cart, priced: Priced, command: CheckOut) -> None:
    products = {item.sku: command.products[item.sku] for item in cart.items if item.sku in command.products}
    skus = tuple(item.sku for item in cart.items if item.line_id in priced.unavailable)
    if skus:
        raise Rejected("product_unavailable", f"No longer sold: {', '.join(skus)}.", skus=skus)
    skus = tuple(sku for sku, product in products.items() if cart.units(sku) > product.limit)
    if skus:
        raise Rejected("quantity_limit", f"Too many units of {', '.join(skus)}.", skus=skus)
    demand_in_stock(products, command.availability)


def _uncollected(cart: Cart, products: Mapping[str, Product]) -> bool:
    pickup_only = any(products[item.sku].details.pickup_only for item in cart.items)
    return pickup_only and cart.delivery.pickup_location_id is None
