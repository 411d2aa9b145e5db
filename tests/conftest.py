"""Servers for the whole run, and a fresh database for every service of a test."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import pytest

from shared.store.migrate import migrate, provision
from tests.backends import Broker, broker_server, postgres_server


@dataclass(frozen=True, slots=True)
class Database:
    """One service's own database: the tables' owner and the service's role reach it at these addresses."""

    service: str
    owner_url: str
    url: str


MakeDatabase = Callable[..., Awaitable[Database]]

_TEMPLATES: dict[tuple[str, Path], str] = {}
"""Per server and folder of migrations, a database that has them and that nobody uses: to be copied."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--only-broker`: what never asks for the broker is the same on every one."""
    parser.addoption("--only-broker", action="store_true", help="only the tests that ask for the broker")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what `--only-broker` does."""
    if config.getoption("--only-broker"):
        others = [item for item in items if "broker" not in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


@pytest.fixture(scope="session")
async def postgres() -> AsyncIterator[str]:
    """A superuser's URL of a Postgres server."""
    async with postgres_server() as url:
        yield url
        await _drop(url, [_TEMPLATES.pop(made_from) for made_from in list(_TEMPLATES) if made_from[0] == url])


@pytest.fixture(scope="session")
async def broker() -> AsyncIterator[Broker]:
    """A broker that all tests share; a topic belongs to a test by its random service name."""
    async with broker_server() as address:
        yield address


@pytest.fixture
async def make_database(postgres: str) -> AsyncIterator[MakeDatabase]:
    """Makes migrated databases, `await make_database(migrations, prefix)`, and drops them after the test."""
    async with databases(postgres) as make:
        yield make


@asynccontextmanager
async def databases(postgres: str) -> AsyncIterator[MakeDatabase]:
    """Makes migrated databases on the server of this superuser's URL, and drops them after the block."""
    made: list[str] = []

    async def make(migrations: Path, prefix: str = "service", *, admin_url: str = postgres) -> Database:
        service = f"{prefix}_{secrets.token_hex(4)}"
        template = await _template(admin_url, migrations)
        admin = await asyncpg.connect(admin_url)
        try:
            await admin.execute(f"CREATE DATABASE {service} TEMPLATE {template}")
            await provision(admin, service, service)
        finally:
            await admin.close()
        if admin_url == postgres:
            made.append(service)
        return Database(
            service, _at(admin_url, service), _at(admin_url, service, user=service, password=service)
        )

    try:
        yield make
    finally:
        await _drop(postgres, made)


async def _template(admin_url: str, migrations: Path) -> str:
    if (admin_url, migrations) not in _TEMPLATES:
        name = f"template_{secrets.token_hex(4)}"
        admin = await asyncpg.connect(admin_url)
        try:
            await provision(admin, name, name)
        finally:
            await admin.close()
        owner = await asyncpg.connect(_at(admin_url, name))
        try:
            await migrate(owner, migrations)
        finally:
            await owner.close()
        _TEMPLATES[admin_url, migrations] = name
    return _TEMPLATES[admin_url, migrations]


async def _drop(admin_url: str, names: Sequence[str]) -> None:
    admin = await asyncpg.connect(admin_url)
    try:
        for name in names:
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
            await admin.execute(f"DROP ROLE {name}")
    finally:
        await admin.close()


def _at(url: str, database: str, *, user: str = "", password: str = "") -> str:
    """The same server's address for another database and, if given, another role."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    who = f"{user}:{quote(password)}" if user else parts.netloc.rpartition("@")[0]
    return urlunsplit((parts.scheme, f"{who}@{place}", f"/{database}", parts.query, ""))
