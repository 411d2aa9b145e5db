"""A teller and an auditor on fresh databases."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from tests.backends import OwnBroker, OwnPostgres
from tests.conftest import MakeDatabase
from tests.integration.bank.services import MIGRATIONS, Auditor, Teller, open_auditor, open_teller


@pytest.fixture
async def teller(make_database: MakeDatabase) -> AsyncIterator[Teller]:
    async with open_teller(await make_database(MIGRATIONS, "teller")) as teller:
        yield teller


@pytest.fixture
async def auditor(make_database: MakeDatabase, teller: Teller) -> AsyncIterator[Auditor]:
    async with open_auditor(await make_database(MIGRATIONS, "auditor"), [teller.topic]) as auditor:
        yield auditor


@pytest.fixture
async def admin(postgres: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A superuser's connection, to do to others what only it can."""
    connection = await asyncpg.connect(postgres)
    yield connection
    await connection.close()


@pytest.fixture
async def own_broker(tmp_path: Path) -> AsyncIterator[OwnBroker]:
    """An embedded broker that this test may kill."""
    broker = OwnBroker(tmp_path)
    await broker.start()
    yield broker
    await broker.kill()


@pytest.fixture
async def own_postgres() -> AsyncIterator[OwnPostgres]:
    """An embedded Postgres that this test may stop."""
    with tempfile.TemporaryDirectory(prefix="orderflow-test-") as folder:
        server = OwnPostgres(Path(folder))
        await server.start()
        yield server
        await server.stop()
