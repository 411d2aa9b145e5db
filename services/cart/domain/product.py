"""A catalogue entry: what the shop sells, how it is taxed and delivered, and what it costs per currency."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final, TypeAlias, assert_never
from uuid import UUID

from shared.domain import Decider, Rejected
from shared.events.common import DeliveryKind

HIGHEST_PRICE: Final = 10_000_000_000
"""Minor units; keeps the sum of the largest cart within 64 bits."""
HIGHEST_QUANTITY: Final = 100_000
"""Units of one product in a checkout, where the product sets no lower limit."""

_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)


# Events (private stream `product-<sku>`)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductDetails:
    """All of a product but its prices. `title` is per locale (`en`, `de-AT`); `limit_quantity_per_checkout`
    None means no limit of its own."""

    title: Mapping[str, str]
    tax_class: str = "standard"
    digital: bool = False
    preorder_until: date | None = None
    pickup_only: bool = False
    custom: bool = False
    stock_tracked: bool = True
    final_sale: bool = False
    supplier_id: UUID | None = None
    weight_g: int = 0
    image_url: str | None = None
    limit_quantity_per_checkout: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductListed:
    """The product is in the catalogue, for the first time or again."""

    sku: str
    details: ProductDetails


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductRevised:
    """Something other than the price of a listed product changed; the details are complete."""

    sku: str
    details: ProductDetails


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductPriced:
    """The product's prices from now on, all of them: minor units per currency."""

    sku: str
    prices: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductDelisted:
    """The product is no longer sold."""

    sku: str


ProductEvent: TypeAlias = ProductListed | ProductRevised | ProductPriced | ProductDelisted
EVENTS: tuple[type[ProductEvent], ...] = (ProductListed, ProductRevised, ProductPriced, ProductDelisted)


# State


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A catalogue entry as it is now; `active` is false once it is delisted."""

    sku: str
    details: ProductDetails
    prices: Mapping[str, int]
    active: bool = True

    @property
    def limit(self) -> int:
        """The most units that one checkout may hold."""
        return self.details.limit_quantity_per_checkout or HIGHEST_QUANTITY

    @property
    def delivery(self) -> DeliveryKind:
        """How the product reaches a buyer who does not ask to pick it up."""
        if self.details.digital:
            return DeliveryKind.DIGITAL
        return DeliveryKind.PICKUP if self.details.pickup_only else DeliveryKind.SHIP

    def title(self, locale: str) -> str:
        """The title in the locale, else in its language, else in English, else in any language."""
        titles = self.details.title
        for wanted in (locale, locale.split("-", maxsplit=1)[0], "en"):
            if wanted in titles:
                return titles[wanted]
        return next(iter(titles.values()), self.sku)


def evolve(state: Product | None, event: ProductEvent, _at: datetime) -> Product:
    """The product after `event`."""
    match event:
        case ProductListed(sku=sku, details=details):
            return Product(sku=sku, details=details, prices=state.prices if state else {})
        case ProductRevised(details=details):
            return replace(_known(state), details=details)
        case ProductPriced(prices=prices):
            return replace(_known(state), prices=prices)
        case ProductDelisted():
            return replace(_known(state), active=False)
        case _:
            assert_never(event)


def _known(state: Product | None) -> Product:
    assert state is not None, "a product's stream begins with ProductListed"
    return state


# Commands


@dataclass(frozen=True, slots=True, kw_only=True)
class ListProduct:
    """Have the product in the catalogue exactly so. Refused with `invalid_product` and the wrong `fields`."""

    sku: str
    details: ProductDetails
    prices: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class DelistProduct:
    """Stop selling the product. Refused with `unknown_product`."""

    sku: str


ProductCommand: TypeAlias = ListProduct | DelistProduct


# Decisions


def decide(state: Product | None, command: ProductCommand) -> Sequence[ProductEvent]:
    """The events that `command` causes; raises Rejected with the code that the command names."""
    match command:
        case ListProduct():
            return _list(state, command)
        case DelistProduct(sku=sku):
            if state is None:
                raise Rejected("unknown_product", f"There is no product {sku!r}.", sku=sku)
            return [ProductDelisted(sku=sku)] if state.active else []
        case _:
            assert_never(command)


def _list(state: Product | None, command: ListProduct) -> Sequence[ProductEvent]:
    wrong = tuple(_wrong_fields(command))
    if wrong:
        raise Rejected("invalid_product", f"These fields are not valid: {', '.join(wrong)}.", fields=wrong)
    events: list[ProductEvent] = []
    if state is None or not state.active:
        events.append(ProductListed(sku=command.sku, details=command.details))
    elif state.details != command.details:
        events.append(ProductRevised(sku=command.sku, details=command.details))
    if state is None or state.prices != command.prices:
        events.append(ProductPriced(sku=command.sku, prices=command.prices))
    return events


def _wrong_fields(command: ListProduct) -> Iterator[str]:
    details, prices = command.details, command.prices
    if not is_text(command.sku, longest=64):
        yield "sku"
    if not details.title or not all(
        is_text(locale, longest=35) and is_text(title, longest=200) for locale, title in details.title.items()
    ):
        yield "title"
    if not is_text(details.tax_class, longest=40):
        yield "tax_class"
    if not prices or not all(is_currency(c) and 0 <= price <= HIGHEST_PRICE for c, price in prices.items()):
        yield "prices"
    if details.digital and details.pickup_only:
        yield "pickup_only"
    if not 0 <= details.weight_g <= 100_000_000:
        yield "weight_g"
    if details.image_url is not None and not is_text(details.image_url, longest=2_000):
        yield "image_url"
    limit = details.limit_quantity_per_checkout
    if limit is not None and not 1 <= limit <= HIGHEST_QUANTITY:
        yield "limit_quantity_per_checkout"


def is_currency(code: str) -> bool:
    """Whether `code` looks like an ISO 4217 code: three capital letters."""
    return _CURRENCY.fullmatch(code) is not None


def is_text(text: str, *, longest: int) -> bool:
    """Whether `text` has 1 to `longest` printable characters, none of them a blank at either end."""
    return 0 < len(text) <= longest and text.isprintable() and text == text.strip()


PRODUCT: Final[Decider[Product, ProductCommand, ProductEvent]] = Decider(
    category="product", decide=decide, evolve=evolve, public=False
)
