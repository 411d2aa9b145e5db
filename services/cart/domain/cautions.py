"""What a buyer should know of a cart's lines before the checkout refuses them or charges another price."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.cart.domain.availability import scarcity_of
from services.cart.domain.cart_state import Cart
from services.cart.domain.product import Product
from services.cart.domain.quote import Item
from shared.events.inventory import Scarcity


class CautionCode(StrEnum):
    """What is the matter; the refusals of a checkout have the same names."""

    PRODUCT_UNAVAILABLE = "product_unavailable"
    SOLD_OUT = "sold_out"
    LOW_STOCK = "low_stock"
    QUANTITY_LIMIT = "quantity_limit"
    PRICE_CHANGED = "price_changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caution:
    """Something about one line; `then` and `now` are what a unit cost when it was added, and costs now."""

    item: Item
    code: CautionCode
    then: int | None = None
    now: int | None = None
    limit: int | None = None


def cautions(
    cart: Cart, products: Mapping[str, Product], availability: Mapping[str, Scarcity]
) -> Iterator[Caution]:
    """All there is to say about the cart's lines, in their order."""
    for item in cart.items:
        product = products.get(item.sku)
        price = product.prices.get(cart.currency) if product and product.active else None
        if product is None or price is None:
            yield Caution(item=item, code=CautionCode.PRODUCT_UNAVAILABLE)
            continue
        match scarcity_of(product, availability.get(item.sku)):
            case Scarcity.OUT:
                yield Caution(item=item, code=CautionCode.SOLD_OUT)
            case Scarcity.LOW:
                yield Caution(item=item, code=CautionCode.LOW_STOCK)
        if cart.units(item.sku) > product.limit:
            yield Caution(item=item, code=CautionCode.QUANTITY_LIMIT, limit=product.limit)
        if item.seen_price not in (None, price):
            yield Caution(item=item, code=CautionCode.PRICE_CHANGED, then=item.seen_price, now=price)
