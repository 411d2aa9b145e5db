"""Rebuild a read model from zero into a shadow table, while the service goes on, and compare or swap.

Only folds run: nothing is decided, no todo row is written, so no outside effect can fire.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from shared.events.envelope import Recorded
from shared.events.registry import Registry
from shared.store import streams
from shared.store.connection import Connection, Pool, Record
from shared.store.migrate import SERVICE_ROLE
from shared.store.readmodel import ReadModel
from shared.store.shadow import Shadow

T = TypeVar("T")
CHUNK = 5000

Chunk = Sequence[Recorded[Any]]


class RebuildRunning(Exception):  # noqa: N818 - what is the matter
    """Another rebuild of the same read model is under way; wait for its end."""


class Foreign(Protocol):
    """The events of other services that a consumer has applied, in per-stream order."""

    missing: int
    """How many streams could not be read up to what was applied."""

    def applied(self, connection: Connection) -> AsyncIterator[Chunk]:
        """Those applied by now according to the marks that `connection` sees, less the ones given before."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What a rebuild found: the content hash of the live table and of the rebuilt one, and the row counts."""

    read_model: str
    live_hash: str
    rebuilt_hash: str
    rows: int
    swapped: bool

    @property
    def equal(self) -> bool:
        """Whether the live rows were exactly what their events say."""
        return self.live_hash == self.rebuilt_hash


async def rebuild(
    pool: Pool,
    registry: Registry,
    model: ReadModel[Any],
    *,
    foreign: Foreign | None = None,
    swap: bool = True,
    after_first_pass: Callable[[], None] = lambda: None,
) -> Rebuilt:
    """Fold `model` anew; `pool` belongs to the owner of the tables.

    First pass: what one snapshot sees, beside the running service. Then the live table is locked for a
    moment, the rest is folded, hashes are compared and, if `swap`, the tables change places in the same
    transaction. Without `swap`, on any failure or interruption, or if foreign events are missing, the live
    table stays untouched. Raises RebuildRunning if another rebuild of this model is under way.
    """
    table = f"{model.name}_rebuild"
    async with pool.acquire() as writer, _alone(writer, model), _empty(writer, model, table):
        shadow = Shadow(model, table, writer)
        async with pool.acquire() as reader, reader.transaction(isolation="repeatable_read", readonly=True):
            snapshot: str = await reader.fetchval("SELECT pg_current_snapshot()::text")
            async for rows in _ahead(_own(reader, registry, model, "true")):
                await shadow.fold(streams.recorded(registry, row) for row in rows)
            if foreign is not None:
                async for heard in foreign.applied(reader):
                    await shadow.fold(heard)
            await shadow.flush()
        after_first_pass()
        async with writer.transaction():
            await writer.execute(f"LOCK TABLE {model.name} IN ACCESS EXCLUSIVE MODE")
            async for rows in _own(writer, registry, model, _UNSEEN, snapshot):
                await shadow.fold(streams.recorded(registry, row) for row in rows)
            if foreign is not None:
                async for heard in foreign.applied(writer):
                    await shadow.fold(heard)
            await shadow.flush()
            result = Rebuilt(
                read_model=model.name,
                live_hash=await model.content_hash(writer),
                rebuilt_hash=await model.content_hash(writer, table),
                rows=await writer.fetchval(f"SELECT count(*) FROM {table}"),  # noqa: S608
                swapped=swap and not (foreign and foreign.missing),
            )
            if result.swapped:
                await _swap(writer, model, table)
    return result


_UNSEEN = """
transaction_id >= pg_snapshot_xmin($2::text::pg_snapshot)
AND NOT pg_visible_in_snapshot(transaction_id, $2::text::pg_snapshot)
"""


@asynccontextmanager
async def _alone(connection: Connection, model: ReadModel[Any]) -> AsyncIterator[None]:
    """Nobody else rebuilds this model inside the block: both would write the same shadow table."""
    lock = "pg_try_advisory_lock(hashtext('orderflow rebuild'), hashtext($1))"
    if not await connection.fetchval(f"SELECT {lock}", model.name):
        raise RebuildRunning(f"another rebuild of {model.name} is under way")
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.execute(
                "SELECT pg_advisory_unlock(hashtext('orderflow rebuild'), hashtext($1))", model.name
            )


@asynccontextmanager
async def _empty(connection: Connection, model: ReadModel[Any], table: str) -> AsyncIterator[None]:
    """A table like the model's that is gone after the block, unless it has another name by then."""
    await connection.execute(f"DROP TABLE IF EXISTS {table}")
    await connection.execute(f"CREATE TABLE {table} (LIKE {model.name} INCLUDING ALL)")
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.execute(f"DROP TABLE IF EXISTS {table}")


def _own(
    connection: Connection, registry: Registry, model: ReadModel[Any], where: str, *arguments: object
) -> AsyncIterator[list[Record]]:
    """The service's own events that the model listens to, of those that `where` (from $2 on) selects."""
    heard = [name for name, kind in registry.types.items() if kind in model.events]
    return streams.rows_on(connection, f"type = ANY($1::text[]) AND {where}", heard, *arguments, chunk=CHUNK)


async def _ahead(chunks: AsyncIterator[T]) -> AsyncIterator[T]:
    """The same chunks; the next one is on its way while one is worked on."""

    async def following() -> T | None:
        return await anext(chunks, None)

    coming = asyncio.create_task(following())
    try:
        while (chunk := await coming) is not None:
            coming = asyncio.create_task(following())
            await asyncio.sleep(0)
            yield chunk
    finally:
        coming.cancel()
        with suppress(asyncio.CancelledError):
            await coming


async def _swap(connection: Connection, model: ReadModel[Any], shadow: str) -> None:
    await connection.execute(f"DROP TABLE {model.name}")
    await connection.execute(f"ALTER TABLE {shadow} RENAME TO {model.name}")
    await connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {model.name} TO {SERVICE_ROLE}")
