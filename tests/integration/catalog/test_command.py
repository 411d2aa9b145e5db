"""`orderflow catalog` as people type it, with a real cart and inventory: files in, files out, bad files."""

import json
from typing import Any

import pytest

from tests.integration.catalog.conftest import Desk

pytestmark = pytest.mark.integration

SHOPIFY = """\
Handle,Title,Body (HTML),Vendor,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Option3 Name,\
Option3 Value,Variant SKU,Variant Grams,Variant Inventory Tracker,Variant Inventory Qty,\
Variant Inventory Policy,Variant Price,Variant Compare At Price,Variant Requires Shipping,Variant Taxable,\
Image Src,Image Position,Image Alt Text,Variant Image,Status
card,Gift card,,,FALSE,Title,Default Title,,,,,CARD,0,,,deny,10.00,,FALSE,FALSE,,,,,draft
shirt,T-Shirt,"<p>Cotton,
soft</p>",Acme,TRUE,Size,S,Color,Red,,,TS-S,180,shopify,7,deny,19.99,25.00,TRUE,TRUE,\
https://img.example/1.jpg,1,Front,,active
shirt,,,,,,M,,Red,,,TS-M,190,shopify,0,continue,19.99,,TRUE,TRUE,https://img.example/2.jpg,2,Back,\
https://img.example/m.jpg,
shirt,,,,,,,,,,,,,,,,,,,,https://img.example/3.jpg,3,,,
"""


async def test_shopifys_csv_goes_in_once_and_comes_out_as_it_was(desk: Desk) -> None:
    await desk.put("shop.csv", SHOPIFY)
    checked = await desk.type("catalog", "import", "shop.csv", "--dry-run")
    assert (checked.code, checked.err) == (0, "")
    assert checked.out == "shop.csv: 3 products, would be 3 new, 0 changed, 0 unchanged\n"
    assert (await desk.events("cart"), await desk.events("inventory")) == (1, 0)

    taken = await desk.type("catalog", "import", "shop.csv")
    assert (taken.code, taken.out) == (0, "shop.csv: 3 products, 3 new, 0 changed, 0 unchanged\n")
    events = (await desk.events("cart"), await desk.events("inventory"))
    again = await desk.type("catalog", "import", "shop.csv")
    assert (again.code, again.out) == (0, "shop.csv: 3 products, 0 new, 0 changed, 3 unchanged\n")
    assert (await desk.events("cart"), await desk.events("inventory")) == events

    assert (await desk.type("catalog", "export", "out.csv")).code == 0
    exported = await desk.get("out.csv")
    assert exported.replace("\r\n", "\n") == SHOPIFY  # an export's lines end as RFC 4180 has it


async def test_json_lines_go_in_and_come_out_as_they_were(desk: Desk) -> None:
    lines: list[dict[str, Any]] = [
        {"sku": "BOOK", "titles": {"en": "Book"}, "prices": {"GBP": 900}, "preorder_until": "2027-01-31"},
        {"sku": "MUG", "titles": {"en": "Mug", "de": "Becher"}, "prices": {"GBP": 1200, "JPY": 2000}},
        {
            "sku": "SOFA",
            "titles": {"en": "Sofa"},
            "prices": {"GBP": 90000},
            "pickup_only": True,
            "custom": True,
        },
    ]
    text = "".join(
        json.dumps(line, separators=(",", ":"))[:-1] + f',"inventory_quantity":{n}}}\n'
        for n, line in enumerate(lines, start=3)
    )
    await desk.put("shop.jsonl", text)
    taken = await desk.type("catalog", "import", "shop.jsonl")
    assert (taken.code, taken.err, taken.out.split(": ")[1][:10]) == (0, "", "3 products")
    exported = await desk.type("catalog", "export")
    assert [json.loads(line) for line in exported.out.splitlines()] == [
        {**line, "inventory_quantity": n} for n, line in enumerate(lines, start=3)
    ]


async def test_bad_lines_are_told_one_by_one_and_nothing_is_taken(desk: Desk) -> None:
    bad = (
        "Handle,Title,Variant SKU,Variant Price\n"
        "a,A,A,1.00\n"
        'b,"B\nof two lines",B,"1,00"\n'
        "c,C,A,2.00\n"
        "d,D,has space,2.00\n"
        "e,E,E,3.00\n"
    )
    await desk.put("bad.csv", bad)
    refused = await desk.type("catalog", "import", "bad.csv")
    assert (refused.code, refused.out) == (2, "")
    assert sorted(line[:60] for line in refused.lines) == [
        "bad.csv:3: Variant Price '1,00' is not an amount with a deci",
        "bad.csv:5: SKU A is in line 2 already",
        "bad.csv:6: sku: it has a space, a slash or a control charact",
    ]
    assert await desk.events("cart") == 1

    skipped = await desk.type("catalog", "import", "bad.csv", "--skip-bad")
    assert (skipped.code, len(skipped.lines)) == (0, 3)
    assert skipped.out == "bad.csv: 2 products, 2 new, 0 changed, 0 unchanged; 3 bad lines left out\n"


BAD: list[tuple[str, str | bytes | None, tuple[str, ...], str]] = [
    ("gone.csv", None, (), "orderflow: gone.csv: No such file or directory"),
    ("shop.txt", "", (), "orderflow: shop.txt: name it .csv or .jsonl, or say --format"),
    (
        "shop.csv",
        SHOPIFY,
        ("--currency", "EUR"),
        "orderflow: the shop does not sell in EUR; it sells in GBP",
    ),
    (
        "shop.csv",
        "Handle;Title\n",
        (),
        "shop.csv:1: these columns are missing: Handle, Title, Variant Price;",
    ),
    (
        "shop.csv",
        SHOPIFY.replace('soft</p>"', "soft"),
        (),
        "shop.csv:6: it is not CSV: unexpected end",
    ),
    (
        "shop.csv",
        SHOPIFY.replace("7,deny", "7,d\xe9ny").encode("cp1252"),
        (),
        "shop.csv:3: the byte 0xE9",
    ),
    ("shop.jsonl", '{"sku": "A", "titles": {}', (), "shop.jsonl:1: it is not JSON"),
    (
        "shop.jsonl",
        '{"sku": "A", "titles": {"en": "A"}, "prices": {"GPB": 1}}',
        (),
        "shop.jsonl:1: there is no",
    ),
    (
        "shop.jsonl",
        '{"sku": "A", "titles": {"en": "A"}, "prices": {"GBP": NaN}}',
        (),
        "shop.jsonl:1: it holds",
    ),
    ("shop.jsonl", '\n{"sku": "A", "titles": {"en": "A"}}', (), "shop.jsonl:2: prices: Field required"),
]


async def test_a_file_that_cannot_be_taken_is_one_line_and_exit_code_2(desk: Desk) -> None:
    for name, content, words, says in BAD:
        if content is not None:
            await desk.put(name, content)
        refused = await desk.type("catalog", "import", name, *words)
        assert (refused.code, refused.out) == (2, ""), says
        (line,) = refused.lines
        assert line.startswith(says)
    assert await desk.events("cart") == 1


async def test_a_file_larger_than_a_request_is_taken_whole(desk: Desk) -> None:
    body = "x" * 3_000
    rows = [f"h{n},Title {n},{body},SKU-{n},{n}.00,shopify,1" for n in range(1_200)]
    header = (
        "Handle,Title,Body (HTML),Variant SKU,Variant Price,Variant Inventory Tracker,Variant Inventory Qty"
    )
    await desk.put("large.csv", "\n".join([header, *rows, "last,Last,,LAST,-1,,"]))
    refused = await desk.type("catalog", "import", "large.csv")
    assert (refused.code, refused.lines) == (2, ["large.csv:1202: Variant Price '-1' is negative"])
    assert await desk.events("cart") == 1
    await desk.put("large.csv", "\n".join([header, *rows]))
    taken = await desk.type("catalog", "import", "large.csv")
    assert (taken.code, taken.out) == (0, "large.csv: 1200 products, 1200 new, 0 changed, 0 unchanged\n")
    assert (await desk.events("cart"), await desk.events("inventory")) == (2_401, 1_200)
