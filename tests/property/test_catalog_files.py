"""Product files of both kinds give back what went in: written, read and written again they are the same."""

import io
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cli.catalog.amounts import decimals, minor_units, written
from cli.catalog.entries import BadLine, Entry
from cli.catalog.exporting import Collected, write_csv
from cli.catalog.json_lines import USUAL, json_line, read_json_lines
from cli.catalog.shopify import derived_sku
from cli.catalog.shopify_read import read_shopify
from tests.property.profiles import PROFILE

Found = tuple[dict[str, Any], int | None]

words = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=12)
texts = st.lists(words, min_size=1, max_size=3).map(" ".join)
cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30).filter(
    str.strip
)
amounts = st.integers(0, 10_000_000_000)
currencies = st.sampled_from(["GBP", "EUR", "JPY", "KWD"])
prices = st.dictionaries(currencies, amounts, max_size=3)
columns = st.sampled_from(["Body (HTML)", "Vendor", "Tags", "Variant Barcode", "Cost per item", "SEO Title"])


@st.composite
def catalogs(draw: st.DrawFn) -> list[Found]:
    """Products as a file gives them: articles with variants, of which the first carries what they share."""
    handles = draw(st.lists(texts, min_size=1, max_size=4, unique=True))
    return [found for handle in handles for found in draw(articles(handle))]


@st.composite
def articles(draw: st.DrawFn, handle: str) -> list[Found]:
    names = draw(st.lists(texts, max_size=3, unique=True))
    values = draw(
        st.lists(st.tuples(*(texts for _ in names)), min_size=1, max_size=3 if names else 1, unique=True)
    )
    images = draw(st.lists(st.fixed_dictionaries({"url": texts, "alt": st.none() | texts}), max_size=4))
    titles = draw(st.dictionaries(st.sampled_from(["en", "de", "pt-BR"]), texts, min_size=1))
    active = draw(st.booleans())
    found: list[Found] = []
    for position, chosen in enumerate(values, start=1):
        options = list(zip(names, chosen, strict=True))
        if options == [("Title", "Default Title")]:
            options = []
        pickup_only, tracked = draw(st.booleans()), draw(st.booleans())
        stock = draw(st.none() | st.integers(0, 1_000_000))
        product = {
            "sku": derived_sku(handle, options),
            "titles": titles,
            "prices": draw(prices.filter(bool)),
            "compare_at": draw(prices),
            "active": active if position == 1 else draw(st.booleans()),
            "tax_class": draw(st.sampled_from(["standard", "zero", "books"])),
            "digital": draw(st.booleans()) and not pickup_only,
            "preorder_until": draw(st.none() | st.dates().map(str)),
            "pickup_only": pickup_only,
            "custom": draw(st.booleans()),
            "stock_tracked": tracked,
            "final_sale": draw(st.booleans()),
            "supplier_id": draw(st.none() | st.uuids().map(str)),
            "weight_g": draw(st.integers(0, 100_000_000)),
            "image_url": draw(texts) if draw(st.booleans()) else images[0]["url"] if images else None,
            "limit_quantity_per_checkout": draw(st.none() | st.integers(1, 100_000)),
            "handle": handle,
            "position": position,
            "options": [{"name": name, "value": value} for name, value in options],
            "images": images if position == 1 else [],
            "attributes": draw(st.dictionaries(columns, cells, max_size=3)),
        }
        found.append((product, stock if tracked else None))
    return found


def good(entries: Sequence[Entry | BadLine]) -> list[Found]:
    assert [each for each in entries if isinstance(each, BadLine)] == []
    return [(each.product, each.stock) for each in entries if isinstance(each, Entry)]


def as_csv(catalog: Sequence[Found]) -> bytes:
    collected, out = Collected(), io.StringIO(newline="")
    for product, stock in catalog:
        collected.add(product)
        if stock is not None:
            collected.add_stock(product["sku"], stock)
    write_csv(out, collected, currency="GBP", locale="en")
    collected.close()
    return out.getvalue().encode()


def from_csv(data: bytes) -> list[Found]:
    return good(list(read_shopify(io.BytesIO(data), currency="GBP", locale="en")))


def counted(catalog: Sequence[Found]) -> list[str]:
    """In one order, as comparable texts; of what is tracked and was never counted there are none."""
    return sorted(
        json.dumps([product, (stock or 0) if product["stock_tracked"] else None], sort_keys=True)
        for product, stock in catalog
    )


@PROFILE
@given(catalogs())
def test_shopify_csv(catalog: list[Found]) -> None:
    file = as_csv(catalog)
    again = from_csv(file)
    assert counted(again) == counted(catalog)
    assert as_csv(again) == file


def test_a_carriage_return_alone_stays_in_its_cell() -> None:
    named = {"sku": "MUG", "handle": "mug", "titles": {"en": "Mug"}, "prices": {"GBP": 900}}
    product = {**USUAL, **named, "attributes": {"Vendor": "Acme\r& Sons"}}
    ((again, _),) = from_csv(as_csv([(product, None)]))
    assert again["attributes"] == {"Vendor": "Acme\r& Sons"}


@PROFILE
@given(catalogs())
def test_json_lines(catalog: list[Found]) -> None:
    file = "".join(json_line(product, stock) for product, stock in catalog)
    again = good(list(read_json_lines(io.BytesIO(file.encode()))))
    assert [({**USUAL, **product}, stock) for product, stock in again] == catalog
    assert "".join(json_line(product, stock) for product, stock in again) == file


@PROFILE
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_are_more_than_a_bad_line(data: bytes) -> None:
    for each in read_json_lines(io.BytesIO(data)):
        assert isinstance(each, BadLine)


@PROFILE
@given(st.lists(st.lists(cells | st.sampled_from(["1", "TRUE", "mug"]), min_size=8, max_size=8), max_size=6))
def test_no_cells_are_more_than_bad_lines(rows: list[list[str]]) -> None:
    header = (
        '"Handle","Title","Variant Price","Variant Grams","Published","Image Src","Option1 Value","Tags"\n'
    )
    lines = [",".join(f'"{cell}"' for cell in (text.replace('"', '""') for text in row)) for row in rows]
    for each in read_shopify(io.BytesIO((header + "\n".join(lines)).encode()), currency="GBP"):
        assert each.line >= 2


@PROFILE
@given(currencies, amounts)
def test_amounts(currency: str, amount: int) -> None:
    text = written(amount, currency)
    assert minor_units(text, currency) == amount
    assert len(text.partition(".")[2]) == decimals(currency)
