"""A returns desk with the default policy."""

from collections.abc import AsyncIterator

import pytest

from services.returns.app import SERVICE
from tests.conftest import Database, MakeDatabase
from tests.integration.services.returns.desk import Desk, open_desk


@pytest.fixture
async def database(make_database: MakeDatabase) -> Database:
    return await make_database(SERVICE.migrations, "returns")


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    async with open_desk(database) as desk:
        yield desk
