"""A shop with an empty catalogue."""

from collections.abc import AsyncIterator

import pytest

from services.cart.app import SERVICE
from tests.conftest import Database, MakeDatabase
from tests.integration.services.cart.shop import Shop, open_shop


@pytest.fixture
async def database(make_database: MakeDatabase) -> Database:
    return await make_database(SERVICE.migrations, "cart")


@pytest.fixture
async def shop(database: Database) -> AsyncIterator[Shop]:
    async with open_shop(database) as shop:
        yield shop
