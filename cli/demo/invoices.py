"""Reads invoice lines in the format of the UCI "Online Retail" data set: one CSV line is one invoice line."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from zoneinfo import ZoneInfo

EXAMPLE = Path(__file__).parents[2] / "examples" / "online-retail" / "online-retail-2010-12-01.csv"
COLUMNS = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)
POSTAGE, DISCOUNT = "POST", "D"
LONDON = ZoneInfo("Europe/London")
COUNTRIES = {
    "Australia": "AU",
    "Austria": "AT",
    "Bahrain": "BH",
    "Belgium": "BE",
    "Brazil": "BR",
    "Canada": "CA",
    "Channel Islands": "JE",
    "Cyprus": "CY",
    "Czech Republic": "CZ",
    "Denmark": "DK",
    "EIRE": "IE",
    "Finland": "FI",
    "France": "FR",
    "Germany": "DE",
    "Greece": "GR",
    "Hong Kong": "HK",
    "Iceland": "IS",
    "Israel": "IL",
    "Italy": "IT",
    "Japan": "JP",
    "Lebanon": "LB",
    "Lithuania": "LT",
    "Malta": "MT",
    "Netherlands": "NL",
    "Norway": "NO",
    "Poland": "PL",
    "Portugal": "PT",
    "RSA": "ZA",
    "Saudi Arabia": "SA",
    "Singapore": "SG",
    "Spain": "ES",
    "Sweden": "SE",
    "Switzerland": "CH",
    "USA": "US",
    "United Arab Emirates": "AE",
    "United Kingdom": "GB",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLine:
    """Units of one stock code at one price; `unit_price` in pence, `quantity` negative on a credit."""

    code: str
    title: str
    quantity: int
    unit_price: int

    @property
    def sku(self) -> str:
        """The product that this is: a code at its price."""
        return f"{self.code}~{self.unit_price}"

    @property
    def amount(self) -> int:
        """Pence, negative on a credit."""
        return self.quantity * self.unit_price


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """All lines of one invoice number; `customer` None is a guest, `country` an ISO code."""

    number: str
    customer: str | None
    country: str
    at: datetime
    lines: tuple[InvoiceLine, ...]

    @property
    def is_credit(self) -> bool:
        """Whether it takes something back."""
        return self.number.startswith("C")

    @property
    def goods(self) -> tuple[InvoiceLine, ...]:
        """The lines that are products."""
        return tuple(line for line in self.lines if line.code not in (POSTAGE, DISCOUNT))

    @property
    def postage(self) -> int:
        """What its `POST` lines come to, in pence."""
        return sum(line.amount for line in self.lines if line.code == POSTAGE)

    @property
    def discount(self) -> int:
        """What its `D` lines give back, in pence."""
        return -sum(line.amount for line in self.lines if line.code == DISCOUNT)


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A line that was left out, and why."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


class NotInvoices(Exception):  # noqa: N818
    """The file cannot be read as invoices at all; the message is one line."""


def read_invoices(path: Path) -> tuple[list[Invoice], list[BadLine]]:
    """The invoices in order of their first line, and the lines that were left out.

    Raises NotInvoices if the file is missing, is no text or has other columns.
    """
    rows: dict[str, list[tuple[dict[str, str], InvoiceLine, datetime]]] = {}
    bad: list[BadLine] = []
    try:
        for number, row in _rows(path):
            try:
                line, at = _line(row)
                rows.setdefault(row["InvoiceNo"].strip(), []).append((row, line, at))
            except ValueError as error:
                bad.append(BadLine(file=path.name, line=number, reason=str(error)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NotInvoices(f"{path}: {error}") from None
    invoices = [
        Invoice(
            number=number,
            customer=lines[0][0]["CustomerID"].strip() or None,
            country=COUNTRIES[lines[0][0]["Country"].strip()],
            at=lines[0][2],
            lines=tuple(line for _, line, _ in lines),
        )
        for number, lines in rows.items()
    ]
    return invoices, bad


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, restkey="extra")
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise NotInvoices(f"{path}: the first line must be {','.join(COLUMNS)}")
        for row in reader:
            yield reader.line_num, row


def _line(row: dict[str, str]) -> tuple[InvoiceLine, datetime]:
    """The line and its instant. Raises ValueError with the reason."""
    if "extra" in row or None in row.values():
        raise ValueError(f"it must have {len(COLUMNS)} fields")
    number, code = row["InvoiceNo"].strip(), row["StockCode"].strip()
    if not number or not code or not code.isascii() or not code.isalnum():
        raise ValueError("InvoiceNo and StockCode must be given, StockCode in letters and digits")
    if row["Country"].strip() not in COUNTRIES:
        raise ValueError(f"unknown Country {row['Country']!r}")
    quantity = _quantity(row["Quantity"])
    if (quantity < 0) != number.startswith("C"):
        raise ValueError("credit invoices (C…) have negative quantities, others positive ones")
    return (
        InvoiceLine(
            code=code.upper(),
            title=" ".join(row["Description"].split()) or code,
            quantity=quantity,
            unit_price=_pence(row["UnitPrice"]),
        ),
        _instant(row["InvoiceDate"]),
    )


def _quantity(text: str) -> int:
    try:
        quantity = int(text)
    except ValueError:
        raise ValueError(f"Quantity {text!r} is not a whole number") from None
    if quantity == 0 or abs(quantity) > 100_000:
        raise ValueError(f"Quantity {text!r} is not between 1 and 100000")
    return quantity


def _pence(text: str) -> int:
    try:
        pence = Decimal(text) * 100
        whole = int(pence)
    except (InvalidOperation, ValueError, OverflowError):
        raise ValueError(f"UnitPrice {text!r} is not an amount in pounds") from None
    if pence != whole or not 0 <= whole <= 100_000_00:
        raise ValueError(f"UnitPrice {text!r} is not between 0.00 and 100000.00 in whole pence")
    return whole


def _instant(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%m/%d/%y %H:%M").replace(tzinfo=LONDON)
    except ValueError:
        raise ValueError(f"InvoiceDate {text!r} is not month/day/year hour:minute") from None
