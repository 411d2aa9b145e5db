"""Catalogue entries: what listing changes, what it refuses, and how a product is read."""

from dataclasses import replace
from datetime import date

import pytest

from services.cart.domain import pricing
from services.cart.domain import product as product_module
from services.cart.domain.pricing import PolicyAdopted
from services.cart.domain.product import (
    HIGHEST_PRICE,
    HIGHEST_QUANTITY,
    MOST_ATTRIBUTES_LENGTH,
    PRODUCT,
    DelistProduct,
    Image,
    ListProduct,
    Option,
    Product,
    ProductDelisted,
    ProductDetails,
    ProductListed,
    ProductPriced,
    ProductRevised,
)
from shared.events.common import DeliveryKind
from shared.events.registry import Registry
from shared.testing.scenario import given
from tests.unit.cart.samples import POLICY, product

DETAILS = ProductDetails(title={"en": "Mug"}, weight_g=350)
LISTED = ProductListed(sku="MUG", details=DETAILS)
PRICED = ProductPriced(sku="MUG", prices={"GBP": 1200})
DELISTED = ProductDelisted(sku="MUG")
LIST = ListProduct(sku="MUG", details=DETAILS, prices={"GBP": 1200})


def test_a_new_product_is_listed_and_priced() -> None:
    given(PRODUCT).when(LIST).then(LISTED, PRICED)


def test_only_the_price_changes() -> None:
    cheaper = replace(LIST, prices={"GBP": 1000, "EUR": 1150})
    given(PRODUCT, LISTED, PRICED).when(cheaper).then(
        ProductPriced(sku="MUG", prices={"GBP": 1000, "EUR": 1150})
    )


def test_only_the_details_change() -> None:
    heavier = replace(DETAILS, weight_g=400)
    given(PRODUCT, LISTED, PRICED).when(replace(LIST, details=heavier)).then(
        ProductRevised(sku="MUG", details=heavier)
    )


def test_details_and_price_change() -> None:
    dated = replace(DETAILS, preorder_until=date(2026, 3, 1))
    given(PRODUCT, LISTED, PRICED).when(replace(LIST, details=dated, prices={"GBP": 0})).then(
        ProductRevised(sku="MUG", details=dated), ProductPriced(sku="MUG", prices={"GBP": 0})
    )


def test_listing_what_is_listed_changes_nothing() -> None:
    given(PRODUCT, LISTED, PRICED).when(LIST).then()


def test_a_delisted_product_is_listed_again_at_its_price() -> None:
    given(PRODUCT, LISTED, PRICED, DELISTED).when(LIST).then(LISTED)


def test_a_product_can_be_known_without_being_sold() -> None:
    unsold = replace(LIST, active=False)
    given(PRODUCT).when(unsold).then(LISTED, PRICED, DELISTED)
    given(PRODUCT, LISTED, PRICED).when(unsold).then(DELISTED)
    heavier = replace(DETAILS, weight_g=400)
    given(PRODUCT, LISTED, PRICED, DELISTED).when(replace(unsold, details=heavier)).then(
        ProductRevised(sku="MUG", details=heavier)
    )


def test_only_the_price_that_it_is_shown_beside_changes() -> None:
    reduced = replace(LIST, compare_at={"GBP": 1500})
    priced = ProductPriced(sku="MUG", prices={"GBP": 1200}, compare_at={"GBP": 1500})
    given(PRODUCT, LISTED, PRICED).when(reduced).then(priced)
    given(PRODUCT, LISTED, priced).when(LIST).then(PRICED)
    assert given(PRODUCT, LISTED, priced, DELISTED, LISTED).state.compare_at == {"GBP": 1500}


def test_attributes_can_be_kept() -> None:
    described = replace(DETAILS, attributes={"Vendor": "Acme"})
    listed = ProductListed(sku="MUG", details=described)
    kept = replace(LIST, keep_attributes=True)
    given(PRODUCT, listed, PRICED).when(kept).then()
    given(PRODUCT, listed, PRICED).when(LIST).then(ProductRevised(sku="MUG", details=DETAILS))
    given(PRODUCT).when(kept).then(LISTED, PRICED)


def test_delisting() -> None:
    given(PRODUCT, LISTED, PRICED).when(DelistProduct(sku="MUG")).then(DELISTED)


def test_delisting_what_was_never_listed() -> None:
    given(PRODUCT).when(DelistProduct(sku="MUG")).rejected("unknown_product")


@pytest.mark.parametrize("sku", ["", " MUG", "MUG ", "M\nUG", "M\x00UG", "M\ud800UG", "M" * 65])
def test_a_sku_is_short_printable_text(sku: str) -> None:
    refusal = given(PRODUCT).when(replace(LIST, sku=sku)).rejected("invalid_product")
    assert refusal.extra == {"fields": ("sku",)}


@pytest.mark.parametrize(
    "prices", [{}, {"GBP": -1}, {"GBP": HIGHEST_PRICE + 1}, {"gbp": 1}, {"POUND": 1}, {"GBP": 1, "": 1}]
)
def test_prices_are_not_negative_and_in_iso_currencies(prices: dict[str, int]) -> None:
    refusal = given(PRODUCT).when(replace(LIST, prices=prices)).rejected("invalid_product")
    assert refusal.extra == {"fields": ("prices",)}


@pytest.mark.parametrize(
    ("details", "fields"),
    [
        (replace(DETAILS, title={}), ("title",)),
        (replace(DETAILS, title={"en": " "}), ("title",)),
        (replace(DETAILS, title={"": "Mug"}), ("title",)),
        (replace(DETAILS, tax_class=""), ("tax_class",)),
        (replace(DETAILS, digital=True, pickup_only=True), ("pickup_only",)),
        (replace(DETAILS, weight_g=-1), ("weight_g",)),
        (replace(DETAILS, image_url=""), ("image_url",)),
        (replace(DETAILS, limit_quantity_per_checkout=0), ("limit_quantity_per_checkout",)),
        (
            replace(DETAILS, limit_quantity_per_checkout=HIGHEST_QUANTITY + 1),
            ("limit_quantity_per_checkout",),
        ),
        (replace(DETAILS, title={}, weight_g=-1), ("title", "weight_g")),
        (replace(DETAILS, handle=""), ("handle",)),
        (replace(DETAILS, position=-1), ("position",)),
        (replace(DETAILS, options=(Option(name="", value="L"),)), ("options",)),
        (replace(DETAILS, options=(Option(name="Size", value="L\n"),)), ("options",)),
        (replace(DETAILS, options=(Option(name="Size", value="L"),) * 2), ("options",)),
        (replace(DETAILS, options=tuple(Option(name=n, value="L") for n in "abcd")), ("options",)),
        (replace(DETAILS, images=(Image(url=""),)), ("images",)),
        (replace(DETAILS, images=(Image(url="https://img.example/1", alt=""),)), ("images",)),
        (replace(DETAILS, images=(Image(url="https://img.example/1"),) * 251), ("images",)),
        (replace(DETAILS, attributes={"": "x"}), ("attributes",)),
        (replace(DETAILS, attributes={"Body": "\0"}), ("attributes",)),
        (replace(DETAILS, attributes={"Body": "\ud800"}), ("attributes",)),
        (replace(DETAILS, attributes={"Body": "x" * MOST_ATTRIBUTES_LENGTH}), ("attributes",)),
    ],
)
def test_details_that_make_no_sense(details: ProductDetails, fields: tuple[str, ...]) -> None:
    refusal = given(PRODUCT).when(replace(LIST, details=details)).rejected("invalid_product")
    assert refusal.extra == {"fields": fields}


def test_the_state_after_its_events() -> None:
    state = given(PRODUCT, LISTED, PRICED, DELISTED).state
    assert state == Product(sku="MUG", details=DETAILS, prices={"GBP": 1200}, active=False)


def test_a_title_falls_back_to_the_language_then_english_then_any() -> None:
    titles = {"de": "Becher", "en": "Mug", "de-AT": "Häferl"}
    mug = product(title=titles)
    assert [mug.title(locale) for locale in ("de-AT", "de-CH", "fr")] == ["Häferl", "Becher", "Mug"]
    assert product(title={"de": "Becher"}).title("fr") == "Becher"


@pytest.mark.parametrize("compare_at", [{"GBP": -1}, {"gbp": 1}, {"GBP": HIGHEST_PRICE + 1}])
def test_what_it_cost_before_is_a_price_too(compare_at: dict[str, int]) -> None:
    refusal = given(PRODUCT).when(replace(LIST, compare_at=compare_at)).rejected("invalid_product")
    assert refusal.extra == {"fields": ("compare_at",)}


def test_a_variant_is_called_by_its_options() -> None:
    options = (Option(name="Size", value="L"), Option(name="Color", value="Red"))
    assert product(title={"en": "Mug", "de": "Becher"}, options=options).title("de-AT") == "Becher - L / Red"


def test_how_a_product_is_delivered() -> None:
    kinds = [product().delivery, product(digital=True).delivery, product(pickup_only=True).delivery]
    assert kinds == [DeliveryKind.SHIP, DeliveryKind.DIGITAL, DeliveryKind.PICKUP]


def test_private_events_survive_their_json() -> None:
    registry = Registry.of(product_module, pricing)
    dated = replace(DETAILS, preorder_until=date(2026, 3, 1))
    revised = ProductRevised(sku="MUG", details=dated)
    variant = replace(
        dated,
        handle="mug",
        position=1,
        options=(Option(name="Size", value="L"),),
        images=(Image(url="https://img.example/1", alt="Mug"), Image(url="https://img.example/2")),
        attributes={"Body (HTML)": "<p>\n</p>"},
    )
    whole = ProductRevised(sku="MUG", details=variant)
    reduced = ProductPriced(sku="MUG", prices={"GBP": 1}, compare_at={"GBP": 2})
    for event in (LISTED, revised, whole, PRICED, reduced, DELISTED, POLICY):
        name = type(event).__name__
        again = registry.decode(name, registry.schema_version(name), registry.encode(event))
        assert again == event
    assert registry.types["PolicyAdopted"] is PolicyAdopted


def test_events_of_before_variants_are_still_read() -> None:
    registry = Registry.of(product_module, pricing)
    listed = b'{"sku":"MUG","details":{"title":{"en":"Mug"},"weight_g":350}}'
    assert registry.decode("ProductListed", 1, listed) == LISTED
    assert registry.decode("ProductPriced", 1, b'{"sku":"MUG","prices":{"GBP":1200}}') == PRICED
