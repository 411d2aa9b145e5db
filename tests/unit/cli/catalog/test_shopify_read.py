"""Shopify's product CSV, read: what a file gives, and what is said of its bad lines."""

import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from cli.catalog import shopify
from cli.catalog.entries import BadLine, Entry, Unreadable
from cli.catalog.json_lines import read_json_lines
from cli.catalog.shopify_read import MOST_ROWS, read_shopify
from services.cart.catalog_imports import command_of
from services.cart.domain.product import PRODUCT

HEADER = (
    "Handle,Title,Body (HTML),Vendor,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,"
    "Variant SKU,Variant Grams,Variant Inventory Tracker,Variant Inventory Qty,Variant Inventory Policy,"
    "Variant Price,Variant Compare At Price,Variant Requires Shipping,Variant Taxable,Image Src,"
    "Image Position,Image Alt Text,Variant Image,Status"
)
SHIRT = "\n".join(
    (
        HEADER,
        'shirt,T-Shirt,"<p>Cotton,',
        'soft</p>",Acme,TRUE,Size,S,Color,Red,TS-S-R,180,shopify,7,deny,19.99,25.00,TRUE,TRUE,'
        "https://img.example/1.jpg,1,Front,,active",
        "shirt,,,,,,M,,Red,,190.5,shopify,0,continue,19.99,,TRUE,TRUE,https://img.example/2.jpg,2,Back,"
        "https://img.example/m.jpg,",
        "shirt,,,,,,,,,,,,,,,,,,https://img.example/3.jpg,3,,,",
        "card,Gift card,,Acme,FALSE,Title,Default Title,,,CARD,0,,,deny,10,,FALSE,FALSE,,,,,draft",
    )
)


def read(text: str | bytes, **options: Any) -> list[Entry | BadLine]:
    data = text if isinstance(text, bytes) else text.encode()
    return list(read_shopify(data.splitlines(keepends=True), **{"currency": "GBP", **options}))


def rows(*cells: dict[str, str]) -> str:
    """A file with one row of these columns each, every one a good row but for what they say."""
    usual = {"Handle": "mug", "Title": "Mug", "Variant SKU": "MUG", "Variant Price": "12.00"}
    columns = list(dict.fromkeys([*usual, *(column for row in cells for column in row)]))
    lines = [",".join(f'"{({**usual, **row}).get(column, "")}"' for column in columns) for row in cells]
    return "\n".join([",".join(columns), *lines])


def faults(found: Iterable[Entry | BadLine]) -> list[tuple[int, str]]:
    return [(each.line, each.reason) for each in found if isinstance(each, BadLine)]


def entries(found: Iterable[Entry | BadLine]) -> list[Entry]:
    assert not faults(found)
    return [each for each in found if isinstance(each, Entry)]


def test_variants_images_and_a_virtual_article() -> None:
    small, medium, card = entries(read(SHIRT))
    assert (small.line, small.stock, medium.line, medium.stock, card.line, card.stock) == (
        2,
        7,
        4,
        0,
        6,
        None,
    )
    assert small.product == {
        "sku": "TS-S-R",
        "titles": {"en": "T-Shirt"},
        "prices": {"GBP": 1999},
        "compare_at": {"GBP": 2500},
        "active": True,
        "tax_class": "standard",
        "digital": False,
        "preorder_until": None,
        "pickup_only": False,
        "custom": False,
        "stock_tracked": True,
        "final_sale": False,
        "supplier_id": None,
        "weight_g": 180,
        "image_url": "https://img.example/1.jpg",
        "limit_quantity_per_checkout": None,
        "handle": "shirt",
        "position": 1,
        "options": [{"name": "Size", "value": "S"}, {"name": "Color", "value": "Red"}],
        "images": [
            {"url": "https://img.example/1.jpg", "alt": "Front"},
            {"url": "https://img.example/2.jpg", "alt": "Back"},
            {"url": "https://img.example/3.jpg", "alt": None},
        ],
        "attributes": {"Body (HTML)": "<p>Cotton,\nsoft</p>", "Vendor": "Acme"},
    }
    expected = {
        "titles": {"en": "T-Shirt"},
        "compare_at": {},
        "weight_g": 191,
        "image_url": "https://img.example/m.jpg",
        "position": 2,
        "options": [{"name": "Size", "value": "M"}, {"name": "Color", "value": "Red"}],
        "images": [],
        "attributes": {"Variant Inventory Policy": "continue"},
    }
    assert {name: medium.product[name] for name in expected} == expected
    expected = {
        "active": False,
        "tax_class": "zero",
        "digital": True,
        "stock_tracked": False,
        "options": [],
        "image_url": None,
    }
    assert {name: card.product[name] for name in expected} == expected


def test_a_row_without_sku_gets_one_from_handle_and_options_wherever_it_stands() -> None:
    _, medium, _ = entries(read(SHIRT))
    lines = SHIRT.splitlines()
    alone = "\n".join(
        [HEADER, lines[3].replace("shirt,,,,,,", "shirt,Shirt!,,,,Size,").replace("M,,", "M,Color,")]
    )
    (again,) = entries(read(alone))
    assert again.sku == medium.sku
    assert again.sku.startswith("shirt-m-red-")
    spelled = [row.sku for row in entries(read(rows(
        {"Handle": "a", "Variant SKU": "", "Option1 Name": "x", "Option1 Value": "Größe 1"},
        {"Handle": "b", "Variant SKU": "", "Option1 Name": "x", "Option1 Value": "日本"},
        {"Handle": "b-", "Variant SKU": "", "Option1 Name": "x", "Option1 Value": "日本"},
        {"Handle": "日本" * 100, "Variant SKU": "", "Option1 Name": "x", "Option1 Value": "y" * 100},
    )))]  # fmt: skip
    assert len(set(spelled)) == 4
    assert all(0 < len(sku) <= 64 and sku.isascii() and " " not in sku for sku in spelled)


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + SHIRT.encode(),
        SHIRT.replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + SHIRT.replace("\n", "\r\n").encode() + b"\r\n\r\n",
    ],
)
def test_a_byte_order_mark_and_other_line_ends(data: bytes) -> None:
    plain, same = entries(read(SHIRT)), entries(read(data))
    assert [entry.line for entry in plain] == [entry.line for entry in same]
    kept = [{**entry.product, "attributes": None} for entry in same]
    assert kept == [{**entry.product, "attributes": None} for entry in plain]


def test_an_older_spreadsheets_bytes_are_told_and_read_when_asked_for() -> None:
    data = rows({}, {"Handle": "cup", "Title": "Café", "Variant SKU": "CUP"}).encode("cp1252")
    good, bad = read(data)
    assert isinstance(good, Entry)
    reason = "the byte 0xE9 is not utf-8; --encoding cp1252 reads files of older spreadsheets"
    assert bad == BadLine(line=3, reason=reason)
    assert entries(read(data, encoding="cp1252"))[1].product["titles"] == {"en": "Café"}


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (
            {"Variant Price": "12,50"},
            "Variant Price '12,50' is not an amount with a decimal point, as in 1234.50",
        ),
        ({"Variant Price": "1,234.50"}, "Variant Price '1,234.50' is not an amount with a decimal"),
        ({"Variant Price": "£12"}, "Variant Price '£12' is not an amount with a decimal point"),
        ({"Variant Price": "1e9"}, "Variant Price '1e9' is not an amount with a decimal point"),
        ({"Variant Price": "-0.01"}, "Variant Price '-0.01' is negative"),
        ({"Variant Price": "0.001"}, "Variant Price '0.001' has more decimals than GBP has"),
        ({"Variant Price": "100000000.01"}, "Variant Price '100000000.01' is more than 100000000.00"),
        ({"Variant Price": ""}, "Variant Price is empty"),
        ({"Variant Compare At Price": "much"}, "Variant Compare At Price 'much' is not an amount"),
        ({"Variant Price / EUR": "1.234"}, "Variant Price / EUR '1.234' has more decimals than EUR has"),
        ({"Title": ""}, "Title is empty in the first row of the handle"),
        ({"Handle": ""}, "Handle is empty"),
        ({"Variant Grams": "-1"}, "Variant Grams '-1' is not a weight"),
        ({"Variant Grams": "1kg"}, "Variant Grams '1kg' is not a weight"),
        ({"Variant Inventory Qty": "1.5"}, "Variant Inventory Qty '1.5' is not a whole number"),
        ({"Variant Inventory Qty": "9" * 12}, "Variant Inventory Qty '999999999999' is not a whole number"),
        ({"Variant Inventory Policy": "maybe"}, "Variant Inventory Policy 'maybe' is neither deny nor"),
        ({"Variant Taxable": "yes"}, "Variant Taxable 'yes' is neither TRUE nor FALSE"),
        ({"Published": "1"}, "Published '1' is neither TRUE nor FALSE"),
        ({"Status": "gone"}, "Status 'gone' is none of active, draft, archived and unlisted"),
        ({"Option1 Value": "Red"}, "an option has a value but no name"),
        ({"Image Src": "x", "Image Position": "first"}, "Image Position 'first' is not a whole number"),
        ({"Orderflow Pre-order Until": "soon"}, "Orderflow Pre-order Until 'soon' is not a date"),
        ({"Orderflow Supplier": "Acme"}, "Orderflow Supplier 'Acme' is not a UUID"),
        ({"Orderflow Limit": "0"}, "Orderflow Limit '0' is not a whole number from 1 to 100000"),
    ],
)
def test_a_bad_row_is_told_by_its_line_and_the_others_are_read(cells: dict[str, str], reason: str) -> None:
    found = read(
        rows({}, {"Handle": "bad", "Variant SKU": "BAD", **cells}, {"Handle": "c", "Variant SKU": "C"})
    )
    ((line, said),) = faults(found)
    assert line == 3
    assert said.startswith(reason)
    assert [each.sku for each in found if isinstance(each, Entry)] == ["MUG", "C"]


def test_a_bad_variant_is_left_out_alone_and_a_bad_first_row_with_its_handle() -> None:
    second = {"Title": "", "Variant SKU": "M2"}
    found = read(rows({}, {**second, "Variant Price": "x"}, {**second, "Variant SKU": "M3"}))
    assert [each.sku for each in found if isinstance(each, Entry)] == ["MUG", "M3"]
    found = read(rows({"Variant Price": "-1"}, second))
    assert faults(found) == [
        (2, "Variant Price '-1' is negative; the other rows of 'mug' are left out with it")
    ]
    assert len(found) == 1


def test_the_rows_of_a_handle_follow_one_another() -> None:
    found = read(rows({}, {"Handle": "cup", "Variant SKU": "CUP"}, {"Variant SKU": "M2"}))
    assert faults(found) == [(4, "the rows of handle 'mug' must follow one another")]


def test_a_row_with_too_few_fields() -> None:
    found = read("Handle,Title,Variant Price\nmug,Mug\ncup,Cup,3\n\n")
    assert faults(found) == [(2, "it has 2 fields, the first line has 3")]
    assert len(found) == 2


@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        ("", 1, "these columns are missing: Handle, Title, Variant Price"),
        ("Handle,Title\nmug,Mug\n", 1, "these columns are missing: Variant Price"),
        (
            "Handle;Title;Variant Price\n",
            1,
            "these columns are missing: Handle, Title, Variant Price; separate",
        ),
        ("Handle,Title,Title,Variant Price\n", 1, "these columns are there more than once: 'Title'"),
        (
            "Handle,Title,Variant Price,Variant Price / EUX\n",
            1,
            "Variant Price / EUX: there is no currency EUX",
        ),
        ('Handle,Title,Variant Price\nmug,"Mug,1\ncup,Cup,2\n', 3, "it is not CSV: unexpected end of data"),
        ('Handle,Title,Variant Price\nmug,"Mu"g,1\n', 2, "it is not CSV: "),
        ("PK\x03\x04", 1, "these columns are missing"),
    ],
)
def test_a_file_that_cannot_be_understood(data: str, line: int, reason: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read(data)
    assert refused.value.line == line
    assert refused.value.reason.startswith(reason)


def test_a_cell_or_a_handle_without_end() -> None:
    with pytest.raises(Unreadable, match="field larger than"):
        read(rows({"Vendor": "x" * 1_000_001}))
    with pytest.raises(Unreadable, match=f"more than {MOST_ROWS} rows"):
        read(rows(*[{}] * (MOST_ROWS + 1)))


def test_currencies_with_other_decimals() -> None:
    columns = {
        "Variant Price / JPY": "1500",
        "Variant Price / KWD": "1.234",
        "Variant Compare At Price / JPY": "1600.0",
    }
    (mug,) = entries(read(rows(columns)))
    assert mug.product["prices"] == {"GBP": 1200, "JPY": 1500, "KWD": 1234}
    assert mug.product["compare_at"] == {"JPY": 1600}
    (bad,) = faults(read(rows({"Variant Price": "1.5"}), currency="JPY"))
    assert bad[1] == "Variant Price '1.5' has more decimals than JPY has"


def test_what_shopify_has_no_column_for() -> None:
    (mug,) = entries(
        read(
            rows(
                {
                    "Title / de": "Becher",
                    "Orderflow Tax Class": "books",
                    "Orderflow Pre-order Until": "2026-12-24",
                    "Orderflow Pick-up Only": "TRUE",
                    "Orderflow Made To Order": "true",
                    "Orderflow Final Sale": "FALSE",
                    "Orderflow Supplier": "8d6f7f0e-94f4-4b7c-9d0e-0a1b2c3d4e5f",
                    "Orderflow Limit": "3",
                }
            )
        )
    )
    expected = {
        "titles": {"en": "Mug", "de": "Becher"},
        "tax_class": "books",
        "preorder_until": "2026-12-24",
        "pickup_only": True,
        "digital": False,
        "custom": True,
        "final_sale": False,
        "supplier_id": "8d6f7f0e-94f4-4b7c-9d0e-0a1b2c3d4e5f",
        "limit_quantity_per_checkout": 3,
        "attributes": {},
    }
    assert {name: mug.product[name] for name in expected} == expected


def test_the_page_about_files_is_true() -> None:
    page = (Path(__file__).parents[4] / "docs" / "catalogue.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    found = list(read_json_lines(io.BytesIO(lines.encode())))
    assert len(found) == 5
    for each in found:
        assert isinstance(each, Entry)
        PRODUCT.decide(None, command_of(each.product))
    told = " ".join(re.findall(r"^\| ([A-Z].*?) \|", page, re.MULTILINE))
    columns = {*shopify.BASE, *shopify.OURS}.difference(shopify.OPTION_NAMES, shopify.OPTION_VALUES)
    assert [column for column in columns if column not in told] == []
