"""An empty depot, and what it is told."""

from collections.abc import AsyncIterator

import pytest

from services.inventory.app import SERVICE
from tests.conftest import Database, MakeDatabase
from tests.integration.services.inventory.depot import Depot, open_depot
from tests.integration.services.inventory.others import Told


@pytest.fixture
async def database(make_database: MakeDatabase) -> Database:
    return await make_database(SERVICE.migrations, "inventory")


@pytest.fixture
async def depot(database: Database) -> AsyncIterator[Depot]:
    async with open_depot(database) as depot:
        yield depot


@pytest.fixture
def told() -> Told:
    return Told()
