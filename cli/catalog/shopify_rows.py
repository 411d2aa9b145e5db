"""Rows of a CSV file with Shopify's columns, each with the line that it begins on, read one by one."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from cli.catalog import shopify
from cli.catalog.amounts import CURRENCIES
from cli.catalog.entries import Unreadable

LONGEST_CELL: Final = 1_000_000

_BOM = b"\xef\xbb\xbf"
_UNDECODED = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True, slots=True)
class Row:
    """One record and the line that it begins on; a column that the file does not have is empty.

    `fault`: why it is not to be trusted, None if it is.
    """

    line: int
    cells: Mapping[str, str]
    fault: str | None = None

    def __getitem__(self, column: str) -> str:
        return " ".join(self.cells.get(column, "").split())

    def flag(self, column: str, default: bool) -> bool:
        """TRUE or FALSE, the default if empty. Raises ValueError."""
        text = self[column].upper()
        if text not in ("", "TRUE", "FALSE"):
            raise ValueError(f"{column} {self[column]!r} is neither TRUE nor FALSE")
        return text == "TRUE" if text else default

    @property
    def is_variant(self) -> bool:
        """Whether it is a variant, and not only one more image of its article."""
        return any(self[column] for column in ("Option1 Value", "Variant SKU", shopify.PRICE))


def rows_of(lines: Iterable[bytes], encoding: str) -> Iterator[Row]:
    """The rows of a file; empty ones are passed over.

    `encoding` is one in which a line ends with the byte 10. Raises Unreadable if the columns are wrong or a
    quotation mark is missing.
    """
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(_decoded(lines, encoding), strict=True)
    with _csv_errors(reader):
        columns = [" ".join(column.split()) for column in next(reader, [])]
    _demand_columns(columns, encoding)
    while True:
        line = reader.line_num + 1
        with _csv_errors(reader):
            cells = next(reader, None)
        if cells is None:
            return
        if not any(cells):
            continue
        fault = None
        if len(cells) != len(columns):
            fault = f"it has {len(cells)} fields, the first line has {len(columns)}"
        elif found := next(filter(None, map(_UNDECODED.search, cells)), None):
            fault = _undecoded(found[0], encoding)
        yield Row(line, dict(zip(columns, cells, strict=False)), fault)


def _decoded(lines: Iterable[bytes], encoding: str) -> Iterator[str]:
    for number, line in enumerate(lines):
        whole = line.removeprefix(_BOM) if number == 0 and encoding == "utf-8" else line
        yield whole.decode(encoding, "surrogateescape")


@contextmanager
def _csv_errors(reader: Any) -> Iterator[None]:
    try:
        yield
    except csv.Error as error:
        raise Unreadable(max(reader.line_num, 1), f"it is not CSV: {error}") from None


def _undecoded(character: str, encoding: str) -> str:
    hint = "; --encoding cp1252 reads files of older spreadsheets" if encoding == "utf-8" else ""
    return f"the byte 0x{ord(character) - 0xDC00:02X} is not {encoding}{hint}"


def _demand_columns(columns: Sequence[str], encoding: str) -> None:
    if found := next(filter(None, map(_UNDECODED.search, columns)), None):
        raise Unreadable(1, _undecoded(found[0], encoding))
    if missing := [column for column in shopify.REQUIRED if column not in columns]:
        separated = "; separate columns by commas" if len(columns) == 1 and ";" in columns[0] else ""
        raise Unreadable(1, f"these columns are missing: {', '.join(missing)}{separated}")
    if twice := sorted({column for column in columns if column and columns.count(column) > 1}):
        raise Unreadable(1, f"these columns are there more than once: {', '.join(map(repr, twice))}")
    for column in columns:
        if (further := shopify.price_in(column)) and further[1] not in CURRENCIES:
            raise Unreadable(1, f"{column}: there is no currency {further[1]}")
