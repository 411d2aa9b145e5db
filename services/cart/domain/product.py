"""A catalogue entry: what the shop sells, how it is taxed and delivered, and what it costs per currency."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Final, TypeAlias, assert_never
from uuid import UUID

from shared.domain import Decider, Rejected
from shared.events.common import DeliveryKind
from shared.events.registry import JsonObject, Upcaster

HIGHEST_PRICE: Final = 10_000_000_000
"""Minor units; keeps the sum of the largest cart within 64 bits."""
HIGHEST_QUANTITY: Final = 100_000
"""Units of one product in a checkout, where the product sets no lower limit."""
MOST_OPTIONS: Final = 3
MOST_IMAGES: Final = 250
MOST_ATTRIBUTES_LENGTH: Final = 200_000
"""Characters in all attributes of one product together."""

_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


# Events (private stream `product-<sku>`)


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """What sets a variant apart from the others: a size, a color."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A picture of the article, and what it shows in words."""

    url: str
    alt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductDetails:
    """All of a product but its prices. `title` is per locale (`en`, `de-AT`); `limit_quantity_per_checkout`
    None means no limit of its own.

    The variants of one article share a `handle`; `position` is the variant's place among them, and the first
    of them carries what belongs to the article as a whole: its `images`, and of `attributes` those that are
    no variant's. `attributes` are kept for who imported them: nothing reads them, and no buyer sees them.
    """

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
    handle: str | None = None
    position: int = 0
    options: tuple[Option, ...] = ()
    images: tuple[Image, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)


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
    """The product's prices from now on, all of them: minor units per currency. `compare_at` are the higher
    ones that they are shown beside."""

    sku: str
    prices: Mapping[str, int]
    compare_at: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductDelisted:
    """The product is no longer sold."""

    sku: str


ProductEvent: TypeAlias = ProductListed | ProductRevised | ProductPriced | ProductDelisted
EVENTS: tuple[type[ProductEvent], ...] = (ProductListed, ProductRevised, ProductPriced, ProductDelisted)


def _with_new_members_left_out(document: JsonObject) -> JsonObject:
    return document


UPCASTERS: Mapping[str, tuple[Upcaster, ...]] = dict.fromkeys(
    ("ProductListed", "ProductRevised", "ProductPriced"), (_with_new_members_left_out,)
)
"""Version 2 knows variants, images, attributes and `compare_at`, which may all be left out. It is a version
of its own because a process that does not know them would revise them away."""


# State


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A catalogue entry as it is now; `active` is false once it is delisted."""

    sku: str
    details: ProductDetails
    prices: Mapping[str, int]
    compare_at: Mapping[str, int] = field(default_factory=dict)
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
        """The title in the locale, else in its language, else in English, else in any language; of a variant
        with its options."""
        titles = self.details.title
        known = (titles[wanted] for wanted in (locale, locale.split("-", 1)[0], "en") if wanted in titles)
        title = next(known, None) or next(iter(titles.values()), self.sku)
        values = " / ".join(option.value for option in self.details.options)
        return f"{title} - {values}" if values else title


def evolve(state: Product | None, event: ProductEvent, _at: datetime) -> Product:
    """The product after `event`."""
    match event:
        case ProductListed(sku=sku, details=details):
            return Product(
                sku=sku,
                details=details,
                prices=state.prices if state else {},
                compare_at=state.compare_at if state else {},
            )
        case ProductRevised(details=details):
            return replace(_known(state), details=details)
        case ProductPriced(prices=prices, compare_at=compare_at):
            return replace(_known(state), prices=prices, compare_at=compare_at)
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
    """Have the product in the catalogue exactly so; not `active`, it is known but not sold.

    `keep_attributes`: those that it has stay, whatever the details say. Refused with `invalid_product` and
    the wrong `fields`.
    """

    sku: str
    details: ProductDetails
    prices: Mapping[str, int]
    compare_at: Mapping[str, int] = field(default_factory=dict)
    active: bool = True
    keep_attributes: bool = False


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
    sku, details = command.sku, command.details
    if command.keep_attributes:
        details = replace(details, attributes=state.details.attributes if state else {})
    events: list[ProductEvent] = []
    if state is None or (command.active and not state.active):
        events.append(ProductListed(sku=sku, details=details))
    elif state.details != details:
        events.append(ProductRevised(sku=sku, details=details))
    if state is None or (state.prices, state.compare_at) != (command.prices, command.compare_at):
        events.append(ProductPriced(sku=sku, prices=command.prices, compare_at=command.compare_at))
    if not command.active and (state is None or state.active):
        events.append(ProductDelisted(sku=sku))
    return events


def _wrong_fields(command: ListProduct) -> Iterator[str]:
    details, prices = command.details, command.prices
    if not is_text(command.sku, longest=64):
        yield "sku"
    if not details.title or not all(
        is_text(locale, longest=35) and is_text(title, longest=300) for locale, title in details.title.items()
    ):
        yield "title"
    if not is_text(details.tax_class, longest=40):
        yield "tax_class"
    if not prices or not _are_amounts(prices):
        yield "prices"
    if not _are_amounts(command.compare_at):
        yield "compare_at"
    if details.digital and details.pickup_only:
        yield "pickup_only"
    if not 0 <= details.weight_g <= 100_000_000:
        yield "weight_g"
    if details.image_url is not None and not is_text(details.image_url, longest=2_000):
        yield "image_url"
    limit = details.limit_quantity_per_checkout
    if limit is not None and not 1 <= limit <= HIGHEST_QUANTITY:
        yield "limit_quantity_per_checkout"
    yield from _wrong_of_variant(details)


def _wrong_of_variant(details: ProductDetails) -> Iterator[str]:
    if details.handle is not None and not is_text(details.handle, longest=255):
        yield "handle"
    if not 0 <= details.position <= 1_000_000:
        yield "position"
    names = {option.name for option in details.options}
    if (
        len(names) < len(details.options)
        or len(names) > MOST_OPTIONS
        or not all(
            is_text(option.name, longest=255) and is_text(option.value, longest=255)
            for option in details.options
        )
    ):
        yield "options"
    if len(details.images) > MOST_IMAGES or not all(
        is_text(image.url, longest=2_000) and (image.alt is None or is_text(image.alt, longest=1_000))
        for image in details.images
    ):
        yield "images"
    length = sum(len(name) + len(value) for name, value in details.attributes.items())
    if length > MOST_ATTRIBUTES_LENGTH or not all(
        is_text(name, longest=200) and _is_storable(value) for name, value in details.attributes.items()
    ):
        yield "attributes"


def _are_amounts(prices: Mapping[str, int]) -> bool:
    return all(is_currency(currency) and 0 <= price <= HIGHEST_PRICE for currency, price in prices.items())


def _is_storable(text: str) -> bool:
    """Whether JSON columns can hold it: no NUL, no half of a surrogate pair."""
    return _UNSTORABLE.search(text) is None


def is_currency(code: str) -> bool:
    """Whether `code` looks like an ISO 4217 code: three capital letters."""
    return _CURRENCY.fullmatch(code) is not None


def is_text(text: str, *, longest: int) -> bool:
    """Whether `text` has 1 to `longest` printable characters, none of them a blank at either end."""
    return 0 < len(text) <= longest and text.isprintable() and text == text.strip()


PRODUCT: Final[Decider[Product, ProductCommand, ProductEvent]] = Decider(
    category="product", decide=decide, evolve=evolve, public=False
)
