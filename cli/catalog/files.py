"""Product files by their kind: Shopify's CSV or JSON Lines."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path

from cli.catalog.entries import BadLine, Entry
from cli.catalog.json_lines import read_json_lines
from cli.catalog.shopify_read import read_shopify


class CatalogError(Exception):
    """A file cannot be imported or exported; the message is one line for a person."""


class Format(StrEnum):
    """What a product file is."""

    SHOPIFY = "shopify"
    JSON_LINES = "jsonl"


class Encoding(StrEnum):
    """How the text of a CSV file is made of bytes."""

    UTF_8 = "utf-8"
    CP1252 = "cp1252"


def format_of(file: Path) -> Format:
    """The kind that the file's name tells. Raises CatalogError."""
    match file.suffix.lower():
        case ".csv":
            return Format.SHOPIFY
        case ".jsonl" | ".ndjson":
            return Format.JSON_LINES
        case _:
            raise CatalogError(f"{file}: name it .csv or .jsonl, or say --format")


def read(
    lines: Iterable[bytes], kind: Format, *, encoding: Encoding, currency: str, locale: str
) -> Iterator[Entry | BadLine]:
    """What is in the file; `currency` and `locale` are those of a CSV file's prices and titles."""
    if kind is Format.JSON_LINES:
        return read_json_lines(lines)
    return read_shopify(lines, currency=currency, locale=locale, encoding=encoding)
