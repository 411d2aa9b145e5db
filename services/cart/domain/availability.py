"""What of a cart can be had: sold out is what inventory told to be out, and an unknown sku sells."""

from collections.abc import Mapping

from services.cart.domain.product import Product
from shared.domain import Rejected
from shared.events.inventory import Scarcity


def scarcity_of(product: Product, availability: Scarcity | None) -> Scarcity | None:
    """How scarce the product is; what is not stock-tracked never is."""
    return availability if product.details.stock_tracked else None


def demand_in_stock(products: Mapping[str, Product], availability: Mapping[str, Scarcity | None]) -> None:
    """Raises Rejected `sold_out{skus}` if there is no unit left of some of the products (by sku)."""
    skus = tuple(
        sku
        for sku, product in products.items()
        if scarcity_of(product, availability.get(sku)) is Scarcity.OUT
    )
    if skus:
        raise Rejected("sold_out", f"Sold out: {', '.join(skus)}.", skus=skus)
