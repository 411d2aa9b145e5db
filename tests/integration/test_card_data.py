"""The search for card data finds it wherever it is put."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from sandbox.provider.cards import CARDS
from services.cart.app import SERVICE as CART
from tests.card_data import in_files, in_tables, says_card
from tests.conftest import MakeDatabase

NUMBER = next(iter(CARDS))
SPACED = " ".join(NUMBER[at : at + 4] for at in range(0, 16, 4))
pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("text", "card"),
    [
        (NUMBER, True),
        (SPACED, True),
        (f'{{"event":"request","body":"{{\\"number\\":\\"{NUMBER}\\"}}"}}', True),
        ('"cvc": "737"', True),
        ("{'exp_month': 12}", True),
        ("exp_year=2087&x=1", True),
        (f"Visa ending in {NUMBER[-4:]}", False),
        ("the card's expiry is the provider's business", False),
        ("4242-4242", False),
    ],
)
def test_what_is_card_data(text: str, card: bool) -> None:
    assert says_card(text.encode()) is card
    assert says_card((text + " " * 9_000_000).encode()) is (card and NUMBER in text)


def in_a_log(folder: Path) -> str:
    (folder / "logs").mkdir()
    (folder / "logs" / "orders.log").write_text(f'{{"event":"paid","with":"{NUMBER}"}}\n')
    return "logs/orders.log"


def in_a_ledger(folder: Path) -> str:
    with sqlite3.connect(folder / "provider.db") as books:
        books.execute("CREATE TABLE intents (card TEXT)")
        books.execute("INSERT INTO intents VALUES (?)", (NUMBER,))
    books.close()
    return "provider.db"


@pytest.mark.parametrize("leak", [in_a_log, in_a_ledger])
def test_a_file_that_holds_a_number_is_named(leak: Callable[[Path], str], tmp_path: Path) -> None:
    (tmp_path / "fine.log").write_text(f"Visa ending in {NUMBER[-4:]}\n")
    assert list(in_files(tmp_path)) == []
    name = leak(tmp_path)
    assert list(in_files(tmp_path)) == [name]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", SPACED),
        ("jsonb", f'{{"card": {{"number": "{NUMBER}"}}}}'),
        ("bytea", b"\x00" + NUMBER.encode()),
        ("text[]", ["fine", NUMBER]),
        ("bigint", int(NUMBER)),
    ],
)
async def test_a_table_that_holds_a_number_is_named(
    make_database: MakeDatabase, kind: str, value: Any
) -> None:
    database = await make_database(CART.migrations, "cards")
    connection = await asyncpg.connect(database.owner_url)
    try:
        await connection.execute(f"CREATE TABLE leak (id int, x {kind})")
        assert [table async for table in in_tables(connection)] == []
        await connection.execute("INSERT INTO leak VALUES (1, NULL), (2, $1)", value)
        assert [table async for table in in_tables(connection)] == ["public.leak"]
    finally:
        await connection.close()
