"""`products`: the catalogue as it is now. For the shop's pages, and for what a cart shows and charges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.cart.domain import product
from services.cart.domain.product import PRODUCT, Product, ProductDetails
from shared.domain import key_of
from shared.events.envelope import Recorded
from shared.store.readmodel import Key, ReadModel


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductRow:
    """A catalogue entry and the version of its stream; a delisted one is not active."""

    sku: str
    version: int
    details: ProductDetails
    prices: Mapping[str, int]
    compare_at: Mapping[str, int]
    active: bool

    @property
    def product(self) -> Product:
        """The entry as the pure core knows it."""
        return Product(
            sku=self.sku,
            details=self.details,
            prices=self.prices,
            compare_at=self.compare_at,
            active=self.active,
        )


def row_of(state: Product, version: int) -> ProductRow:
    """The row of a product at this version."""
    return ProductRow(
        sku=state.sku,
        version=version,
        details=state.details,
        prices=state.prices,
        compare_at=state.compare_at,
        active=state.active,
    )


def _keys(event: Recorded[Any]) -> Sequence[Key]:
    return [(key_of(event.stream),)]


def _fold(row: ProductRow | None, event: Recorded[Any], key: Key) -> ProductRow:
    after = PRODUCT.evolve(row.product if row else None, event.data, event.occurred_at)
    return row_of(after, event.version)


PRODUCTS = ReadModel(
    name="products",
    row=ProductRow,
    key=("sku",),
    events=frozenset(product.EVENTS),
    keys=_keys,
    fold=_fold,
)
