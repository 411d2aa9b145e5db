"""Plain-SQL migrations, forward only: each file once, in its own transaction, in the order of its name."""

from collections.abc import Sequence
from pathlib import Path

from shared.store.connection import Connection

SHARED = Path(__file__).with_name("migrations")
SERVICE_ROLE = "orderflow_service"
"""The group role that migrations grant rights to; each service's login role is a member of it."""

_BY_CODE_POINT = "TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"

_LEDGER = """
CREATE TABLE IF NOT EXISTS migrations (
    name       text        PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT ON migrations TO orderflow_service
"""


def all_migrations(service_folder: Path) -> list[tuple[str, Path]]:
    """Names and files of everything a service's database needs: the shared ones first, then its own."""
    return [
        (f"{label}/{path.stem}", path)
        for label, folder in (("shared", SHARED), (service_folder.parent.name, service_folder))
        for path in sorted(folder.glob("[0-9]*.sql"))
    ]


async def migrate(connection: Connection, service_folder: Path) -> list[str]:
    """Apply what is missing and give its names; waits for another migration of the same database.

    `connection` belongs to the owner of the tables, not to the service's role.
    """
    await connection.execute("SELECT pg_advisory_lock(hashtext('orderflow migrations'))")
    try:
        await connection.execute(_LEDGER)
        missing = await missing_migrations(connection, all_migrations(service_folder))
        for name, path in missing:
            async with connection.transaction():
                await connection.execute(path.read_text())
                await connection.execute("INSERT INTO migrations (name) VALUES ($1)", name)
        return [name for name, _ in missing]
    finally:
        await connection.execute("SELECT pg_advisory_unlock(hashtext('orderflow migrations'))")


async def missing_migrations(
    connection: Connection, wanted: Sequence[tuple[str, Path]]
) -> list[tuple[str, Path]]:
    """Those of `wanted` that this database does not have yet."""
    if await connection.fetchval("SELECT to_regclass('migrations') IS NULL"):
        return list(wanted)
    applied = {row["name"] for row in await connection.fetch("SELECT name FROM migrations")}
    return [(name, path) for name, path in wanted if name not in applied]


async def provision(admin: Connection, service: str, password: str) -> None:
    """Make a service's database and login role if they are missing; `admin` is a superuser's connection.

    Nobody but the role and superusers may connect to the database afterwards. `service` is a plain name.
    Text sorts by code point whatever the server's own locale is, so that pages come in the same order
    everywhere and no upgrade of a C library breaks an index. Needs Postgres 17 or later.
    """
    if not service.isidentifier():
        raise ValueError(f"not a service name: {service}")
    roles = {row["rolname"] for row in await admin.fetch("SELECT rolname FROM pg_roles")}
    if SERVICE_ROLE not in roles:
        await admin.execute(f"CREATE ROLE {SERVICE_ROLE} NOLOGIN")
    if service not in roles:
        await admin.execute(f"CREATE ROLE {service} LOGIN IN ROLE {SERVICE_ROLE}")
    secret = await admin.fetchval("SELECT quote_literal($1::text)", password)
    await admin.execute(f"ALTER ROLE {service} PASSWORD {secret}")
    if not await admin.fetchval("SELECT true FROM pg_database WHERE datname = $1", service):
        await admin.execute(f"CREATE DATABASE {service} {_BY_CODE_POINT}")
    await admin.execute(f"REVOKE ALL ON DATABASE {service} FROM PUBLIC")
    await admin.execute(f"GRANT CONNECT ON DATABASE {service} TO {service}")
