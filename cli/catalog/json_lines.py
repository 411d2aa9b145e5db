"""Products as JSON Lines: each line is a product as the catalogue takes it, the usual being left out."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from cli.catalog.amounts import CURRENCIES
from cli.catalog.entries import BadLine, Entry
from cli.catalog.shopify_read import MOST_STOCK

STOCK: Final = "inventory_quantity"
"""The one member that is not the catalogue's."""

USUAL: Final[Mapping[str, Any]] = {
    "compare_at": {},
    "active": True,
    "tax_class": "standard",
    "digital": False,
    "preorder_until": None,
    "pickup_only": False,
    "custom": False,
    "stock_tracked": True,
    "final_sale": False,
    "supplier_id": None,
    "weight_g": 0,
    "image_url": None,
    "limit_quantity_per_checkout": None,
    "handle": None,
    "position": 0,
    "options": [],
    "images": [],
    "attributes": {},
}
"""What a member is that a line leaves out."""


def read_json_lines(lines: Iterable[bytes]) -> Iterator[Entry | BadLine]:
    """The products of a file, and its bad lines; empty lines are passed over."""
    for number, raw in enumerate(lines, start=1):
        line = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
        if line.strip():
            try:
                yield _entry(number, line)
            except ValueError as error:
                yield BadLine(line=number, reason=str(error))


def _entry(number: int, line: bytes) -> Entry:
    try:
        product = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"the byte 0x{line[error.start]:02X} is not utf-8") from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {error}") from None
    if not isinstance(product, dict):
        raise ValueError("it is not a JSON object")
    if not isinstance(product.get("sku"), str) or not product["sku"]:
        raise ValueError("sku is missing")
    for prices in (product.get("prices"), product.get("compare_at")):
        for currency in prices if isinstance(prices, dict) else ():
            if currency not in CURRENCIES:
                raise ValueError(f"there is no currency {currency!r}")
    stock = product.pop(STOCK, None)
    if stock is not None and (type(stock) is not int or not -MOST_STOCK <= stock <= MOST_STOCK):
        raise ValueError(f"{STOCK} is not a whole number up to {MOST_STOCK}")
    return Entry(line=number, product=product, stock=stock)


def json_line(product: Mapping[str, Any], stock: int | None) -> str:
    """The line of a product; what is as usual is left out."""
    told = {name: value for name, value in product.items() if name not in USUAL or value != USUAL[name]}
    if stock is not None:
        told[STOCK] = stock
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")) + "\n"
