"""`orderflow catalog export`: writes the whole catalogue, and the units that there are, as a product file."""

import json
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final, TextIO
from urllib.parse import quote

from cli.catalog.files import CatalogError, Format, format_of
from cli.catalog.importing import clerk_of, currency_of
from cli.catalog.json_lines import json_line
from cli.catalog.shopify_write import ShopifyWriter, columns_of, handle_of
from cli.demo.client import Person
from cli.platform import Platform

PRODUCTS_A_PAGE: Final = 200
LEVELS_A_PAGE: Final = 1000

Found = tuple[dict[str, Any], int | None]
"""A product, and the units on hand if stock of it was ever kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What to write where; `file` None: standard output, as JSON Lines. The others as for an import."""

    file: Path | None = None
    format: Format | None = None
    currency: str | None = None
    locale: str = "en"


async def export_catalog(platform: Platform, options: ExportOptions) -> int:
    """Write every product. Raises CatalogError, Refused or GaveUp with one line for a person."""
    kind = options.format or (format_of(options.file) if options.file else Format.JSON_LINES)
    cart, inventory = (platform.services[name].url for name in ("cart", "inventory"))
    async with clerk_of(platform) as clerk:
        with closing(Collected()) as collected, _written(options.file) as out:
            async for level in _paged(clerk, f"{inventory}/stock", LEVELS_A_PAGE):
                collected.add_stock(level["sku"], level["on_hand"])
            async for product in _paged(clerk, f"{cart}/catalog", PRODUCTS_A_PAGE):
                collected.add(product)
            if kind is Format.JSON_LINES:
                out.writelines(json_line(product, stock) for product, stock in collected.by_sku())
            else:
                currency = await currency_of(clerk, cart, options.currency)
                write_csv(out, collected, currency=currency, locale=options.locale)
    return 0


class Collected:
    """What goes into the file, in a temporary database: it is sorted there, whatever the size."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("")
        self._database.execute("CREATE TABLE stock (sku TEXT PRIMARY KEY, on_hand INTEGER)")
        self._database.execute(
            "CREATE TABLE products (sku TEXT PRIMARY KEY, handle TEXT, position INTEGER, product TEXT)"
        )

    def add_stock(self, sku: str, on_hand: int) -> None:
        """Units of one sku."""
        self._database.execute("INSERT OR REPLACE INTO stock VALUES (?, ?)", (sku, on_hand))

    def add(self, product: dict[str, Any]) -> None:
        """One product."""
        row = (product["sku"], handle_of(product), product["position"], json.dumps(product))
        self._database.execute("INSERT OR REPLACE INTO products VALUES (?, ?, ?, ?)", row)

    def by_sku(self) -> Iterator[Found]:
        """All products in order of sku."""
        return self._in_order("sku")

    def articles(self) -> Iterator[list[Found]]:
        """The variants of each article in their order, articles in order of their handles."""
        found = self._in_order("handle, position, sku")
        return (list(variants) for _, variants in groupby(found, key=lambda each: handle_of(each[0])))

    def _in_order(self, order: str) -> Iterator[Found]:
        rows = self._database.execute(
            f"SELECT product, on_hand FROM products LEFT JOIN stock USING (sku) ORDER BY {order}"  # noqa: S608
        )
        return ((json.loads(product), on_hand) for product, on_hand in rows)

    def close(self) -> None:
        """Forget everything."""
        self._database.close()


def write_csv(out: TextIO, collected: Collected, *, currency: str, locale: str) -> None:
    """Write Shopify's product CSV, with all columns that any product needs."""
    columns = {
        column
        for product, _ in collected.by_sku()
        for column in columns_of(product, currency=currency, locale=locale)
    }
    writer = ShopifyWriter(out, columns, currency=currency, locale=locale)
    for article in collected.articles():
        writer.write(article)


async def _paged(clerk: Person, url: str, size: int) -> AsyncIterator[dict[str, Any]]:
    after = ""
    while page := await clerk.call("GET", f"{url}?limit={size}&after={quote(after, safe='')}"):
        for item in page:
            yield item
        after = page[-1]["sku"]


@contextmanager
def _written(file: Path | None) -> Iterator[TextIO]:
    """Where to write; a file appears when it is complete."""
    if file is None:
        yield sys.stdout
        return
    new = file.with_name(f"{file.name}.new")
    try:
        with new.open("w", encoding="utf-8", newline="") as out:
            yield out
        new.replace(file)
    except OSError as error:
        raise CatalogError(f"{file}: {error.strerror}") from None
    finally:
        new.unlink(missing_ok=True)
