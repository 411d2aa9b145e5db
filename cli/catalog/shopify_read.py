"""Reads Shopify's product CSV: rows of one handle, one after another, are its variants and images."""

import re
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final
from uuid import UUID

from cli.catalog import shopify
from cli.catalog.amounts import minor_units
from cli.catalog.entries import BadLine, Entry, Unreadable
from cli.catalog.shopify_rows import Row, rows_of

MOST_ROWS: Final = 5_000
"""Rows of one handle: they are held in memory together."""
MOST_STOCK: Final = 1_000_000

_NUMBER = re.compile(r"-?\d{1,12}(\.\d{1,12})?", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,12}", re.ASCII)


def read_shopify(
    lines: Iterable[bytes], *, currency: str, locale: str = "en", encoding: str = "utf-8"
) -> Iterator[Entry | BadLine]:
    """The products of a file, prices in `currency` and titles in `locale`, and its bad lines.

    Holds one article at a time, and which handles there were. Raises Unreadable as `rows_of` does, and for a
    handle of more than MOST_ROWS rows.
    """
    ended: set[str] = set()
    article: list[Row] = []
    for row in rows_of(lines, encoding):
        if article and row["Handle"] != article[0]["Handle"]:
            yield from _entries(article, ended, currency, locale)
            article = []
        article.append(row)
        if len(article) > MOST_ROWS:
            raise Unreadable(row.line, f"handle {row['Handle']!r} has more than {MOST_ROWS} rows")
    if article:
        yield from _entries(article, ended, currency, locale)


def _entries(rows: list[Row], ended: set[str], currency: str, locale: str) -> Iterator[Entry | BadLine]:
    first, handle = rows[0], rows[0]["Handle"]
    if handle in ended:
        yield BadLine(line=first.line, reason=f"the rows of handle {handle!r} must follow one another")
        return
    ended.add(handle)
    try:
        if first.fault or not handle:
            raise ValueError(first.fault or "Handle is empty")
        article = _Article(rows, currency, locale)
        yield article.entry(first, 1)
    except ValueError as error:
        rest = f"; the other rows of {handle!r} are left out with it" if len(rows) > 1 else ""
        yield BadLine(line=first.line, reason=f"{error}{rest}")
        return
    for position, row in enumerate((row for row in rows[1:] if row.fault or row.is_variant), start=2):
        try:
            yield article.entry(row, position)
        except ValueError as error:
            yield BadLine(line=row.line, reason=str(error))


class _Article:
    """What the rows of one handle have in common. Raises ValueError if its first row does not say it."""

    def __init__(self, rows: list[Row], currency: str, locale: str) -> None:
        self._first = rows[0]
        self._currency = currency
        self._locale = locale
        if not self._titles(self._first):
            raise ValueError("Title is empty in the first row of the handle")
        if not self._first.is_variant:
            raise ValueError(
                "the first row of the handle is no variant: it has neither options, SKU nor price"
            )
        self._images = _images(rows)

    def entry(self, row: Row, position: int) -> Entry:
        """The variant of this row. Raises ValueError with the reason."""
        if row.fault:
            raise ValueError(row.fault)
        is_first = row is self._first
        options = self._options(row)
        active, attributes = self._published(row)
        pickup_only = row.flag("Orderflow Pick-up Only", False)
        product: dict[str, Any] = {
            "sku": row["Variant SKU"] or shopify.derived_sku(self._first["Handle"], options),
            "titles": self._titles(row) or self._titles(self._first),
            "prices": self._amounts(row, shopify.PRICE),
            "compare_at": self._amounts(row, shopify.COMPARE_AT),
            "active": active,
            "tax_class": row[shopify.TAX_CLASS]
            or ("standard" if row.flag("Variant Taxable", True) else "zero"),
            "digital": not row.flag("Variant Requires Shipping", True) and not pickup_only,
            "preorder_until": _date(row, shopify.PREORDER_UNTIL),
            "stock_tracked": "Variant Inventory Tracker" not in row.cells
            or bool(row["Variant Inventory Tracker"]),
            "supplier_id": _uuid(row, shopify.SUPPLIER),
            "weight_g": _grams(row),
            "image_url": row["Variant Image"] or (self._images[0]["url"] if self._images else None),
            "limit_quantity_per_checkout": _whole(row, shopify.LIMIT, 1, 100_000),
            "handle": self._first["Handle"],
            "position": position,
            "options": [{"name": name, "value": value} for name, value in options],
            "images": self._images if is_first else [],
            "attributes": {**_attributes(row), **attributes},
            **{field: row.flag(column, False) for column, field in shopify.FLAGS.items()},
        }
        if not product["prices"]:
            raise ValueError(f"{shopify.PRICE} is empty")
        stock = _whole(row, "Variant Inventory Qty", -MOST_STOCK, MOST_STOCK)
        return Entry(line=row.line, product=product, stock=stock if product["stock_tracked"] else None)

    def _titles(self, row: Row) -> dict[str, str]:
        titles = {self._locale: row["Title"]}
        for column in row.cells:
            if further := shopify.title_in(column):
                titles[further] = row[column]
        return {locale: title for locale, title in titles.items() if title}

    def _options(self, row: Row) -> list[tuple[str, str]]:
        named = row if any(row[column] for column in shopify.OPTION_NAMES) else self._first
        options = [
            (named[name], row[value])
            for name, value in zip(shopify.OPTION_NAMES, shopify.OPTION_VALUES, strict=True)
            if row[value]
        ]
        if options == [shopify.NO_OPTION]:
            return []
        if any(not name for name, _ in options):
            raise ValueError("an option has a value but no name")
        return options

    def _published(self, row: Row) -> tuple[bool, dict[str, str]]:
        """Whether it is sold, and what the columns said if that is not the usual."""
        said = row if row["Published"] or row["Status"] else self._first
        published, status = said.flag("Published", True), said["Status"].lower() or "active"
        if status not in ("active", "unlisted", "draft", "archived"):
            raise ValueError(f"Status {said['Status']!r} is none of active, draft, archived and unlisted")
        active = published and status in ("active", "unlisted")
        kept = {
            "Published": "" if published == active else str(published).upper(),
            "Status": "" if status == ("active" if active else "draft") else status,
        }
        return active, {name: text for name, text in kept.items() if text}

    def _amounts(self, row: Row, column: str) -> dict[str, int]:
        texts = {self._currency: row[column]}
        for name in row.cells:
            if (further := shopify.price_in(name)) and further[0] == column:
                texts[further[1]] = row[name]
        amounts: dict[str, int] = {}
        for currency, text in texts.items():
            try:
                amounts |= {currency: minor_units(text, currency)} if text else {}
            except ValueError as error:
                name = column if currency == self._currency else f"{column} / {currency}"
                raise ValueError(f"{name} {text!r} {error}") from None
        return amounts


def _images(rows: list[Row]) -> list[dict[str, str | None]]:
    """The article's images in the order of their positions. Raises ValueError."""
    placed = [
        (_whole(row, "Image Position", 0, 1_000_000) or 1_000_001, row) for row in rows if row["Image Src"]
    ]
    ordered = sorted(placed, key=lambda each: each[0])
    return [{"url": row["Image Src"], "alt": row["Image Alt Text"] or None} for _, row in ordered]


def _attributes(row: Row) -> dict[str, str]:
    """The columns that mean nothing here, as they are, and unusual values of those that do."""
    kept = {c: text for c, text in row.cells.items() if text.strip() and c and not shopify.is_mapped(c)}
    tracker, policy = row["Variant Inventory Tracker"], row["Variant Inventory Policy"].lower()
    if tracker not in ("", "shopify"):
        kept["Variant Inventory Tracker"] = tracker
    if policy not in ("", "deny", "continue"):
        raise ValueError(f"Variant Inventory Policy {policy!r} is neither deny nor continue")
    if policy == "continue":
        kept["Variant Inventory Policy"] = policy
    return kept


def _grams(row: Row) -> int:
    text = row["Variant Grams"] or "0"
    if not _NUMBER.fullmatch(text) or text.startswith("-"):
        raise ValueError(f"Variant Grams {text!r} is not a weight")
    return int(Decimal(text).to_integral_value(ROUND_HALF_UP))


def _whole(row: Row, column: str, least: int, most: int) -> int | None:
    text = row[column]
    if not text:
        return None
    if not _WHOLE.fullmatch(text) or not least <= int(text) <= most:
        raise ValueError(f"{column} {text!r} is not a whole number from {least} to {most}")
    return int(text)


def _date(row: Row, column: str) -> str | None:
    text = row[column]
    try:
        return date.fromisoformat(text).isoformat() if text else None
    except ValueError:
        raise ValueError(f"{column} {text!r} is not a date as in 2026-12-31") from None


def _uuid(row: Row, column: str) -> str | None:
    text = row[column]
    try:
        return str(UUID(text)) if text else None
    except ValueError:
        raise ValueError(f"{column} {text!r} is not a UUID") from None
