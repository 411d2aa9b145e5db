"""Looks for card data in everything that a platform on this machine keeps: files, databases, topics.

The card's brand and its last four digits may be anywhere; its number, expiry and verification code nowhere.
"""

import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import asyncpg

from cli.platform import SERVICES, Platform
from sandbox.provider.cards import CARDS
from shared.messaging.topic_reader import read_topics
from shared.messaging.topics import topic_of

NUMBERS: Final = re.compile("|".join("[ -]?".join(number) for number in CARDS).encode())
"""A card's number, also as people space it."""
OTHERS: Final = re.compile(
    rb"""\b(?:cvc|cvv|cvn|security_code|expiry|exp_?(?:month|year))["']?\s*[:=]\s*["']?\d""", re.IGNORECASE
)
"""What else is on a card, as anything that writes a request down would write it."""
LARGE: Final = 8 * 2**20
"""Of larger files (Postgres's own, which SQL shows too) only the plain numbers are looked for."""


def says_card(content: bytes) -> bool:
    """Whether a text holds what is on a card."""
    if len(content) > LARGE:
        return any(number.encode() in content for number in CARDS)
    return bool(NUMBERS.search(content) or OTHERS.search(content))


async def card_data(state: Path, platform: Platform) -> list[str]:
    """The places under `state`, in the services' databases and on their topics that hold any."""
    found = list(in_files(state))
    for name in SERVICES:
        connection = await asyncpg.connect(platform.services[name].owner_database_url)
        try:
            found += [f"{name}.{table}" async for table in in_tables(connection)]
        finally:
            await connection.close()
    topics = [topic_of(name) for name in SERVICES]
    async for records in read_topics(platform.kafka_bootstrap_servers, topics):
        for record in records:
            parts = [record.key, record.value, *(value for _, value in record.headers)]
            if any(says_card(part) for part in parts if part):
                found.append(f"{record.topic}/{record.partition} offset {record.offset}")
    return found


def in_files(folder: Path) -> Iterator[str]:
    """The files that hold card data: logs, SQLite's, the database server's own."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and says_card(path.read_bytes()):
            yield str(path.relative_to(folder))


async def in_tables(connection: "asyncpg.Connection[asyncpg.Record]") -> AsyncIterator[str]:
    """The tables of a database that hold card data, whatever the type of the column."""
    tables = await connection.fetch(
        "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) AS name FROM pg_tables "
        "WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
    )
    for table in tables:
        async with connection.transaction():
            async for row in connection.cursor(f"SELECT * FROM {table['name']}"):
                if any(says_card(text) for text in _texts(row.values())):
                    yield table["name"]
                    break


def _texts(values: Iterable[Any]) -> Iterator[bytes]:
    for value in values:
        match value:
            case bytes():
                yield value
            case Mapping():
                yield from _texts([*value.keys(), *value.values()])
            case list() | tuple():
                yield from _texts(value)
            case None:
                pass
            case _:
                yield str(value).encode()
