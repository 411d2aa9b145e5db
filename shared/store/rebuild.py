"""Rebuild a read model from zero into a shadow table, while the service goes on, and compare or swap.

Only folds run: nothing is decided, no todo row is written, so no outside effect can fire.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from shared.events.envelope import Recorded
from shared.events.registry import Registry
from shared.store import streams
from shared.store.connection import Connection, Pool
from shared.store.migrate import SERVICE_ROLE
from shared.store.readmodel import ReadModel

Chunk = Sequence[Recorded[Any]]


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
    table stays untouched.
    """
    shadow = f"{model.name}_rebuild"
    async with pool.acquire() as connection:
        await connection.execute(f"DROP TABLE IF EXISTS {shadow}")
        await connection.execute(f"CREATE TABLE {shadow} (LIKE {model.name} INCLUDING ALL)")
    try:
        async with pool.acquire() as reader, reader.transaction(isolation="repeatable_read", readonly=True):
            snapshot: str = await reader.fetchval("SELECT pg_current_snapshot()::text")
            await _fold(pool, model, shadow, streams.read_on(reader, registry, "true"))
            if foreign is not None:
                await _fold(pool, model, shadow, foreign.applied(reader))
        after_first_pass()
        async with _locked(pool, model) as connection:
            unseen = (
                "transaction_id >= pg_snapshot_xmin($1::text::pg_snapshot) "
                "AND NOT pg_visible_in_snapshot(transaction_id, $1::text::pg_snapshot)"
            )
            async for own in streams.read_on(connection, registry, unseen, snapshot):
                await model.project(connection, own, shadow)
            if foreign is not None:
                async for heard in foreign.applied(connection):
                    await model.project(connection, heard, shadow)
            result = Rebuilt(
                read_model=model.name,
                live_hash=await model.content_hash(connection),
                rebuilt_hash=await model.content_hash(connection, shadow),
                rows=await connection.fetchval(f"SELECT count(*) FROM {shadow}"),  # noqa: S608
                swapped=swap and not (foreign and foreign.missing),
            )
            if result.swapped:
                await _swap(connection, model, shadow)
        return result
    finally:
        async with pool.acquire() as connection:
            await connection.execute(f"DROP TABLE IF EXISTS {shadow}")


async def _fold(pool: Pool, model: ReadModel[Any], shadow: str, chunks: AsyncIterator[Chunk]) -> None:
    async for chunk in chunks:
        async with pool.acquire() as connection, connection.transaction():
            await model.project(connection, chunk, shadow)


@asynccontextmanager
async def _locked(pool: Pool, model: ReadModel[Any]) -> AsyncIterator[Connection]:
    """A transaction in which nobody else writes the live table."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(f"LOCK TABLE {model.name} IN ACCESS EXCLUSIVE MODE")
        yield connection


async def _swap(connection: Connection, model: ReadModel[Any], shadow: str) -> None:
    await connection.execute(f"DROP TABLE {model.name}")
    await connection.execute(f"ALTER TABLE {shadow} RENAME TO {model.name}")
    await connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {model.name} TO {SERVICE_ROLE}")
