"""Writes Shopify's product CSV, so that reading it again gives the same products."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, TextIO

from cli.catalog import shopify
from cli.catalog.amounts import written

Product = Mapping[str, Any]
Cells = dict[str, str]


class ShopifyWriter:
    """Writes articles one after another; `columns` are all that any of them needs (see `columns_of`)."""

    def __init__(self, file: TextIO, columns: Iterable[str], *, currency: str, locale: str = "en") -> None:
        self._csv = csv.DictWriter(file, shopify.in_order(columns), restval="", lineterminator="\r\n")
        self._csv.writeheader()
        self._currency = currency
        self._locale = locale

    def write(self, variants: Sequence[tuple[Product, int | None]]) -> None:
        """One article: its variants in order, each with the units that there are of it."""
        first = variants[0][0]
        images = [image for product, _ in variants for image in product["images"]]
        rows = (self._variant(product, stock, first, images) for product, stock in variants)
        for number, (row, image) in enumerate(zip_longest(rows, images), start=1):
            cells = {"Handle": handle_of(first), **(row or {})}
            if image:
                cells |= {"Image Src": image["url"], "Image Position": str(number)}
                cells |= {"Image Alt Text": image["alt"] or ""}
            self._csv.writerow(cells)

    def _variant(
        self, product: Product, stock: int | None, first: Product, images: Sequence[Mapping[str, Any]]
    ) -> Cells:
        is_first = product is first
        shown = images[0]["url"] if images else None
        return {
            **{name: text for name, text in product["attributes"].items() if not shopify.is_mapped(name)},
            **(self._titles(product) if is_first or product["titles"] != first["titles"] else {}),
            **_published(product, first),
            **_options(product, first),
            **self._amounts(shopify.PRICE, product["prices"]),
            **self._amounts(shopify.COMPARE_AT, product["compare_at"]),
            **_ours(product),
            "Variant SKU": product["sku"],
            "Variant Grams": str(product["weight_g"]),
            "Variant Inventory Tracker": _tracker(product),
            "Variant Inventory Qty": str(stock or 0) if product["stock_tracked"] else "",
            "Variant Inventory Policy": product["attributes"].get("Variant Inventory Policy", "deny"),
            "Variant Requires Shipping": _flag(not product["digital"]),
            "Variant Taxable": _flag(product["tax_class"] != "zero"),
            "Variant Image": product["image_url"] or "" if product["image_url"] != shown else "",
        }

    def _titles(self, product: Product) -> Cells:
        return {
            "Title" if locale == self._locale else f"Title / {locale}": title
            for locale, title in product["titles"].items()
        }

    def _amounts(self, column: str, amounts: Mapping[str, int]) -> Cells:
        return {
            column if currency == self._currency else f"{column} / {currency}": written(amount, currency)
            for currency, amount in amounts.items()
        }


def handle_of(product: Product) -> str:
    """What groups a product's rows; one that has no handle stands alone under its SKU."""
    return str(product["handle"] or product["sku"])


def columns_of(product: Product, *, currency: str, locale: str = "en") -> Iterator[str]:
    """The columns that a product needs beside those that every file has."""
    yield from (name for name in product["attributes"] if not shopify.is_mapped(name))
    yield from (f"Title / {other}" for other in product["titles"] if other != locale)
    for column, amounts in ((shopify.PRICE, product["prices"]), (shopify.COMPARE_AT, product["compare_at"])):
        yield from (f"{column} / {other}" for other in amounts if other != currency)
    yield from _ours(product)


def _published(product: Product, first: Product) -> Cells:
    raw, active = product["attributes"], product["active"]
    kept = {name: raw[name] for name in ("Published", "Status") if name in raw}
    if product is not first and active == first["active"] and not kept:
        return {}
    return {"Published": _flag(active), "Status": "active" if active else "draft", **kept}


def _options(product: Product, first: Product) -> Cells:
    options = shopify.options_of(product) or [shopify.NO_OPTION]
    names = [name for name, _ in options]
    named = product is first or names != [
        name for name, _ in shopify.options_of(first) or [shopify.NO_OPTION]
    ]
    cells = dict(zip(shopify.OPTION_VALUES, (value for _, value in options), strict=False))
    return {**cells, **(dict(zip(shopify.OPTION_NAMES, names, strict=False)) if named else {})}


def _ours(product: Product) -> Cells:
    cells = {column: "TRUE" for column, field in shopify.FLAGS.items() if product[field]}
    if product["tax_class"] not in ("standard", "zero"):
        cells[shopify.TAX_CLASS] = product["tax_class"]
    for column, field in (
        (shopify.PREORDER_UNTIL, "preorder_until"),
        (shopify.SUPPLIER, "supplier_id"),
        (shopify.LIMIT, "limit_quantity_per_checkout"),
    ):
        if product[field] is not None:
            cells[column] = str(product[field])
    return cells


def _tracker(product: Product) -> str:
    kept = product["attributes"].get("Variant Inventory Tracker", "shopify")
    return str(kept) if product["stock_tracked"] else ""


def _flag(value: bool) -> str:
    return str(value).upper()
