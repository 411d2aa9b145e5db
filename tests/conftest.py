"""Servers for the whole run, and a fresh database for every service of a test."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
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


@pytest.fixture(scope="session")
async def postgres() -> AsyncIterator[str]:
    """A superuser's URL of a Postgres server."""
    async with postgres_server() as url:
        yield url


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
        admin = await asyncpg.connect(admin_url)
        try:
            await provision(admin, service, service)
        finally:
            await admin.close()
        if admin_url == postgres:
            made.append(service)
        database = Database(
            service, _at(admin_url, service), _at(admin_url, service, user=service, password=service)
        )
        owner = await asyncpg.connect(database.owner_url)
        try:
            await migrate(owner, migrations)
        finally:
            await owner.close()
        return database

    try:
        yield make
    finally:
        admin = await asyncpg.connect(postgres)
        try:
            for service in made:
                await admin.execute(f"DROP DATABASE {service} WITH (FORCE)")
                await admin.execute(f"DROP ROLE {service}")
        finally:
            await admin.close()


def _at(url: str, database: str, *, user: str = "", password: str = "") -> str:
    """The same server's address for another database and, if given, another role."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    who = f"{user}:{quote(password)}" if user else parts.netloc.rpartition("@")[0]
    return urlunsplit((parts.scheme, f"{who}@{place}", f"/{database}", parts.query, ""))
