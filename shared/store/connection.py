"""Connections to one service's Postgres database."""

from typing import TypeAlias
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy

Record: TypeAlias = asyncpg.Record
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

CONNECT_TIMEOUT_S = 10.0
COMMAND_TIMEOUT_S = 60.0


async def open_pool(url: str, *, name: str, size: int) -> Pool:
    """A pool of at most `size` connections, each announced to Postgres as `orderflow <name>`.

    Raises the driver's errors if the database cannot be reached within CONNECT_TIMEOUT_S seconds.
    """
    return await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=size,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=COMMAND_TIMEOUT_S,
        init=_plain_uuids,
        reset=_as_it_is,
        server_settings={"application_name": f"orderflow {name}", "timezone": "UTC"},
    )


async def connect(url: str, *, name: str, plain_uuids: bool = True) -> "asyncpg.Connection[asyncpg.Record]":
    """One connection outside any pool, for a session that holds a lock."""
    connection = await asyncpg.connect(
        url,
        timeout=CONNECT_TIMEOUT_S,
        server_settings={"application_name": f"orderflow {name}", "timezone": "UTC"},
    )
    if plain_uuids:
        await _plain_uuids(connection)
    return connection


async def _as_it_is(_connection: Connection) -> None:
    """Spare a round trip: who takes a connection from the pool leaves no lock, setting or cursor behind.

    The driver itself rolls back a transaction that is still open.
    """


async def _plain_uuids(connection: Connection) -> None:
    """Read uuid columns as `uuid.UUID` itself: the driver's own subclass is no UUID to JSON encoders."""
    await connection.set_type_codec(
        "uuid",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: (value if isinstance(value, UUID) else UUID(value)).bytes,
        decoder=lambda data: UUID(bytes=data),
    )
