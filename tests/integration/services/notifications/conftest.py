"""A mail server and the service beside it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.notifications.app import SERVICE
from tests.conftest import MakeDatabase
from tests.integration.sandbox.test_mail import Mail, mail_running
from tests.integration.services.notifications.desk import Desk, open_desk


@pytest.fixture
async def mail(tmp_path: Path) -> AsyncIterator[Mail]:
    async with mail_running(tmp_path) as mail:
        yield mail


@pytest.fixture
async def desk(make_database: MakeDatabase, mail: Mail) -> AsyncIterator[Desk]:
    async with open_desk(await make_database(SERVICE.migrations, "notifications"), mail.smtp_port) as desk:
        yield desk
