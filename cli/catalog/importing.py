"""`orderflow catalog import`: reads a file once, has each part of it checked, then has all of them taken."""

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import IO, Final
from uuid import UUID, uuid4

import httpx

from cli.catalog.entries import BadLine, Entry, Unreadable
from cli.catalog.files import CatalogError, Encoding, Format, format_of, read
from cli.catalog.telling import Teller, teller
from cli.demo.client import Person
from cli.platform import Platform
from shared.domain.ids import derive
from shared.events.envelope import ActorKind

PRODUCTS_A_PART: Final = 200
"""Few enough for the service to answer others in between."""
BYTES_A_PART: Final = 1_000_000
LINES_A_RECEIPT: Final = 500
TIMEOUT_S: Final = 900.0
"""For one request: taking all parts is one transaction."""

OPENING_STOCK: Final = derive("receipt", "opening stock of the catalogue")
"""The receipt that counts a file's quantities in: of one receipt, inventory counts a sku once."""

OUTCOMES: Final = ("listed", "changed", "unchanged")
BAD_FILE: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What an import is asked to do; `format` None: as the file is called; `currency` None: the only one that
    the shop sells in."""

    file: Path
    format: Format | None = None
    encoding: Encoding = Encoding.UTF_8
    currency: str | None = None
    locale: str = "en"
    dry_run: bool = False
    skip_bad: bool = False
    stock: bool = True


async def import_catalog(platform: Platform, options: ImportOptions) -> int:
    """Import a file; 0, or 2 if something is wrong with it and nothing was taken.

    Raises CatalogError, Refused or GaveUp with one line for a person.
    """
    kind = options.format or format_of(options.file)
    cart = platform.services["cart"].url
    with _open(options.file) as file, tempfile.TemporaryFile() as stock_file, teller(options.file) as tell:
        async with clerk_of(platform) as clerk:
            currency = await currency_of(clerk, cart, options.currency)
            work = _Import(options=options, clerk=clerk, cart=cart, stock_file=stock_file, tell=tell)
            lines = tell.reading(file)
            entries = read(lines, kind, encoding=options.encoding, currency=currency, locale=options.locale)
            if not await work.check(entries):
                await work.give_up()
                return BAD_FILE
            if not options.dry_run:
                await work.take(platform.services["inventory"].url)
    print(work.summary())
    return 0


@dataclass(slots=True, kw_only=True)
class _Import:
    """One import on its way: what was found so far, and where its quantities wait."""

    options: ImportOptions
    clerk: Person
    cart: str
    stock_file: IO[bytes]
    tell: Teller
    import_id: UUID = field(default_factory=uuid4)
    numbers: Iterator[int] = field(default_factory=count)
    aside: int = 0
    bad: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    lines: dict[str, int] = field(default_factory=dict)

    async def check(self, entries: Iterable[Entry | BadLine]) -> bool:
        """Have everything checked and set aside; whether it may be taken."""
        try:
            await self._send_all(_parts(self._good(entries)))
        except Unreadable as error:
            self._bad_line(error.line, error.reason)
            return False
        return not self.bad or self.options.skip_bad

    async def _send_all(self, parts: Iterator[list[Entry]]) -> None:
        """Send part by part; while one is answered, the next is read."""
        part = next(parts, None)
        while part:
            sending = asyncio.create_task(self._send(part))
            try:
                part = await asyncio.to_thread(next, parts, None)
            finally:
                await sending

    def _good(self, entries: Iterable[Entry | BadLine]) -> Iterator[tuple[Entry, int]]:
        """The entries that can be sent, each sku once, with their sizes in bytes."""
        for entry in entries:
            if isinstance(entry, BadLine):
                self._bad_line(entry.line, entry.reason)
                continue
            try:
                size = len(json.dumps(entry.product, allow_nan=False, ensure_ascii=False).encode())
            except ValueError as error:
                self._bad_line(entry.line, f"it holds what JSON cannot say: {error}")
                continue
            if size > BYTES_A_PART:
                self._bad_line(entry.line, f"it has {size} bytes; a product has at most {BYTES_A_PART}")
            elif entry.sku in self.lines:
                self._bad_line(entry.line, f"SKU {entry.sku} is in line {self.lines[entry.sku]} already")
            else:
                self.lines[entry.sku] = entry.line
                yield entry, size

    async def _send(self, entries: list[Entry]) -> None:
        keep = not self.options.dry_run and (self.options.skip_bad or not self.bad)
        number = next(self.numbers)
        url = f"{self._url}/parts/{number}" + ("" if keep else "?check_only=true")
        checked = await self.clerk.call("PUT", url, {"products": [entry.product for entry in entries]})
        self.aside += keep
        self.counts.update({name: checked[name] for name in OUTCOMES})
        faults = {fault["index"]: fault["reason"] for fault in checked["faults"]}
        for index, entry in enumerate(entries):
            if index in faults:
                self._bad_line(entry.line, faults[index])
            elif entry.stock is not None and entry.stock > 0:
                self.stock_file.write(
                    json.dumps({"sku": entry.sku, "quantity": entry.stock}).encode() + b"\n"
                )
        self.tell.checked(len(entries))

    async def take(self, inventory: str) -> None:
        """Have all that was set aside taken, and count the quantities in."""
        if self.aside:
            body = {"parts": self.aside, "skip_bad": self.options.skip_bad}
            done = await self.clerk.call("POST", self._url, body)
            self.counts = Counter({name: done[name] for name in OUTCOMES})
        if self.options.stock:
            self.stock_file.seek(0)
            lines = map(json.loads, self.stock_file)
            while batch := list(islice(lines, LINES_A_RECEIPT)):
                receipt = {"receipt_id": str(OPENING_STOCK), "lines": batch}
                await self.clerk.call("POST", f"{inventory}/receipts", receipt)

    async def give_up(self) -> None:
        """Have what was set aside forgotten."""
        if self.aside:
            await self.clerk.call("DELETE", self._url)

    def summary(self) -> str:
        """What came of it, in one line."""
        listed, changed, unchanged = (self.counts[name] for name in OUTCOMES)
        would = "would be " if self.options.dry_run else ""
        left_out = f"; {self.bad} bad lines left out" if self.bad else ""
        return (
            f"{self.options.file}: {self.counts.total()} products, {would}{listed} new, {changed} changed, "
            f"{unchanged} unchanged{left_out}"
        )

    @property
    def _url(self) -> str:
        return f"{self.cart}/catalog-imports/{self.import_id}"

    def _bad_line(self, line: int, reason: str) -> None:
        self.bad += 1
        self.tell.say(f"{self.options.file}:{line}: {' '.join(reason.split())}")


def _open(file: Path) -> IO[bytes]:
    try:
        return file.open("rb")
    except OSError as error:
        raise CatalogError(f"{file}: {error.strerror}") from None


def _parts(entries: Iterable[tuple[Entry, int]]) -> Iterator[list[Entry]]:
    part: list[Entry] = []
    total = 0
    for entry, size in entries:
        if part and (len(part) == PRODUCTS_A_PART or total + size > BYTES_A_PART):
            yield part
            part, total = [], 0
        part.append(entry)
        total += size
    if part:
        yield part


async def currency_of(clerk: Person, cart: str, wanted: str | None) -> str:
    """The currency of prices that name none. Raises CatalogError."""
    sold: list[str] = (await clerk.call("GET", f"{cart}/pricing-policy"))["currencies"]
    if wanted is None and len(sold) > 1:
        raise CatalogError(f"the shop sells in {', '.join(sold)}: say which one with --currency")
    if wanted is not None and wanted not in sold:
        raise CatalogError(f"the shop does not sell in {wanted}; it sells in {', '.join(sold)}")
    return wanted or sold[0]


@asynccontextmanager
async def clerk_of(platform: Platform) -> AsyncIterator[Person]:
    """Somebody of the staff, who waits long for an answer."""
    async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as http:
        yield Person(http, platform.token(ActorKind.OPERATOR, "catalog"))
