"""Each test of the contract runs once for every kind of memory."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import asyncpg
import pytest

from shared.store.connection import open_pool
from shared.store.errors import CONNECTION_LOST
from tests.conftest import databases
from tests.integration.bank.services import MIGRATIONS, close
from tests.integration.contract.places import MemoryPlace, Place, PostgresPlace, Transaction

Begin = Callable[[], Awaitable[Transaction]]


@pytest.fixture(scope="module")
async def postgres_place(postgres: str) -> AsyncIterator[PostgresPlace]:
    """A database for all tests of a module; it finds deadlocks at once."""
    async with databases(postgres) as make:
        database = await make(MIGRATIONS, "contract")
        admin = await asyncpg.connect(database.owner_url)
        await admin.execute(f"ALTER DATABASE {database.service} SET deadlock_timeout = '10ms'")
        pool = await open_pool(database.url, name="contract", size=6)
        yield PostgresPlace(database, pool, admin)
        await close(pool)
        await admin.close()


@pytest.fixture(params=["postgres", "memory"])
async def place(request: pytest.FixtureRequest, postgres_place: PostgresPlace) -> Place:
    """An empty memory."""
    if request.param == "memory":
        return MemoryPlace()
    await postgres_place.clear()
    return postgres_place


@pytest.fixture
async def begin(place: Place) -> AsyncIterator[Begin]:
    """Begins transactions; those that are still open at the end are rolled back."""
    begun: list[Transaction] = []

    async def begin() -> Transaction:
        begun.append(await Transaction(place).begin())
        return begun[-1]

    yield begin
    for transaction in begun:
        if transaction.open:
            with suppress(asyncpg.PostgresError, *CONNECTION_LOST):
                await transaction.rollback()
