"""Connections to one service's Postgres database."""

from typing import TypeAlias

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
        server_settings={"application_name": f"orderflow {name}", "timezone": "UTC"},
    )


async def connect(url: str, *, name: str) -> "asyncpg.Connection[asyncpg.Record]":
    """One connection outside any pool, for a session that holds a lock."""
    return await asyncpg.connect(
        url,
        timeout=CONNECT_TIMEOUT_S,
        server_settings={"application_name": f"orderflow {name}", "timezone": "UTC"},
    )
