"""The columns of Shopify's product CSV, and those that say what it has no column for."""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import sha256
from typing import Any, Final

OPTION_NAMES: Final = ("Option1 Name", "Option2 Name", "Option3 Name")
OPTION_VALUES: Final = ("Option1 Value", "Option2 Value", "Option3 Value")
NO_OPTION: Final = ("Title", "Default Title")
"""How an article without variants is written: one option of this name and value."""

REQUIRED: Final = ("Handle", "Title", "Variant Price")
BASE: Final = (
    "Handle",
    "Title",
    "Published",
    "Option1 Name",
    "Option1 Value",
    "Option2 Name",
    "Option2 Value",
    "Option3 Name",
    "Option3 Value",
    "Variant SKU",
    "Variant Grams",
    "Variant Inventory Tracker",
    "Variant Inventory Qty",
    "Variant Inventory Policy",
    "Variant Price",
    "Variant Compare At Price",
    "Variant Requires Shipping",
    "Variant Taxable",
    "Image Src",
    "Image Position",
    "Image Alt Text",
    "Variant Image",
    "Status",
)
"""What every file that we write has."""

TAX_CLASS: Final = "Orderflow Tax Class"
PREORDER_UNTIL: Final = "Orderflow Pre-order Until"
SUPPLIER: Final = "Orderflow Supplier"
LIMIT: Final = "Orderflow Limit"
FLAGS: Final[Mapping[str, str]] = {
    "Orderflow Pick-up Only": "pickup_only",
    "Orderflow Made To Order": "custom",
    "Orderflow Final Sale": "final_sale",
}
OURS: Final = (TAX_CLASS, PREORDER_UNTIL, SUPPLIER, LIMIT, *FLAGS)

PRICE: Final = "Variant Price"
COMPARE_AT: Final = "Variant Compare At Price"
_IN_CURRENCY: Final = re.compile(rf"({PRICE}|{COMPARE_AT}) / ([A-Z]{{3}})", re.ASCII)
"""A price in a further currency."""
_IN_LOCALE: Final = re.compile(r"Title / ([a-z]{2,3}(?:-[A-Za-z]{2,8})*)", re.ASCII)
"""A title in a further language."""

RAW: Final = ("Published", "Status", "Variant Inventory Tracker", "Variant Inventory Policy")
"""Columns whose unusual values are kept as attributes, under their own name."""

_USUAL_ORDER = (
    "Handle",
    "Title",
    "Body (HTML)",
    "Vendor",
    "Product Category",
    "Type",
    "Tags",
    *BASE[2:15],
    "Variant Fulfillment Service",
    *BASE[15:],
)


@cache
def price_in(column: str) -> tuple[str, str] | None:
    """Of which price column this is one in a further currency, and in which; None if it is none."""
    further = _IN_CURRENCY.fullmatch(column)
    return (further[1], further[2]) if further else None


@cache
def title_in(column: str) -> str | None:
    """In which further language this is a title; None if it is none."""
    further = _IN_LOCALE.fullmatch(column)
    return further[1] if further else None


@cache
def is_mapped(column: str) -> bool:
    """Whether the column means something to the catalogue; others are kept as attributes."""
    return column in BASE or column in OURS or bool(price_in(column) or title_in(column))


def in_order(columns: Iterable[str]) -> list[str]:
    """These columns and the base ones as Shopify orders them, others behind by name."""
    wanted = {*BASE, *columns}
    usual = [column for column in dict.fromkeys(_USUAL_ORDER) if column in wanted]
    return usual + sorted(wanted.difference(usual))


def derived_sku(handle: str, options: Iterable[tuple[str, str]]) -> str:
    """The SKU of a row without one: readable, and the same for the same handle and options."""
    options = tuple(options)
    exact = "\x1f".join((handle, *(part for option in options for part in option)))
    words = "-".join((handle, *(value for _, value in options)))
    readable = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:48].strip("-")
    return f"{readable}-{sha256(exact.encode()).hexdigest()[:10]}".lstrip("-")


def options_of(product: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A product's options as names and values."""
    return [(option["name"], option["value"]) for option in product.get("options", ())]
