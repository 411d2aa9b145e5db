"""One shop for a test: orders on a fresh database, and a provider with an empty ledger."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.orders.app import SERVICE
from tests.conftest import MakeDatabase
from tests.integration.sandbox.shop import open_shop as open_letterbox
from tests.integration.services.orders.shop import Shop, open_shop


@pytest.fixture
async def shop(make_database: MakeDatabase, tmp_path: Path) -> AsyncIterator[Shop]:
    database = await make_database(SERVICE.migrations, "orders")
    with open_letterbox() as letterbox:
        async with open_shop(database, letterbox, tmp_path) as shop:
            yield shop
