"""Append: load, decide, append and outbox in one transaction, against a bare insert and `eventsourcing`.

Every command loads its tab (none to four events) and adds one event. The ceiling is the row of such an event
inserted into the same table and committed, by asyncpg, with nothing read and nothing decided. orderflow runs
as its services do, so commands of the same moment share a transaction; it is also shown without.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any
from uuid import uuid4

import asyncpg

from benchmarks import tab
from benchmarks.harness import Bench, Benchmark, Contestant, Database, Measured, stopwatch
from benchmarks.report import Result, Table
from benchmarks.tab import COMMANDS_A_TAB, TAB, ItemServed, OpenTab, ServeAll, evening
from services.inventory.app import SERVICE as INVENTORY
from services.inventory.commands import execute as execute_inventory
from services.inventory.domain import ledger
from services.inventory.domain.reservation import RESERVATION
from services.inventory.domain.stock import STOCK_ITEM, ReceiveStock
from services.inventory.readmodels.stock_levels import STOCK_LEVELS
from services.inventory.readmodels.stock_movements import STOCK_MOVEMENTS
from shared.domain.ids import MAIN_LOCATION
from shared.events import inventory
from shared.events.envelope import Cause
from shared.events.registry import Registry
from shared.service.clock import utc_now
from shared.service.settings import Settings
from shared.store.connection import open_pool
from shared.store.postgres import Postgres
from shared.store.store import Definition, Store
from shared.store.unit_of_work import UnitOfWork

AT_ONCE = 1_000
RAW = "bare INSERT"
ALONE = "orderflow, each in a transaction of its own"
TOGETHER: int = Settings.model_fields["commands_together"].default

TABS = Definition(registry=Registry(tab.EVENTS), deciders=[TAB])
STOCK = Definition(
    registry=Registry.of(inventory, ledger),
    deciders=[STOCK_ITEM, RESERVATION],
    read_models=[STOCK_LEVELS, STOCK_MOVEMENTS],
)

_INSERT = """
INSERT INTO events (stream_id, version, event_id, type, schema_version, occurred_at, data, meta)
VALUES ($1, $2, $3, $4, 1, $5, $6, $7)
"""
_DATA = b'{"item":"Espresso no. 1","quantity":2,"price":250}'
_META = (
    '{"correlation_id":"41b6ef8e-ae17-4b25-ab0f-c7fd9ba8ec32","causation_id":null,'
    '"actor":{"kind":"system","id":"orderflow"},"epoch":1,"traceparent":null}'
)

Execute = Callable[[UnitOfWork, Any], Awaitable[None]]


@dataclass(frozen=True)
class Work:
    """Commands, and how a service executes them."""

    definition: Definition
    execute: Execute
    commands: Callable[[], Iterable[Any]]
    stream: Callable[[Any], str]


async def run(bench: Bench) -> list[Result]:
    """One writer, 16 writers, 1,000 events in one transaction."""
    return [await _single(bench, 1), await _single(bench, 16), await _many(bench)]


async def _single(bench: Bench, writers: int) -> Table:
    from benchmarks.peers import eventsourcing_tab as peer  # noqa: PLC0415 - not installed everywhere

    ceiling, tabs = await bench.database("ceiling"), await bench.database("tabs")
    stock = await bench.database("stock", INVENTORY.migrations)
    bar = await bench.database("bar")
    theirs = peer.Settings("postgres", bar.service, str(bench.postgres.socket_dir), functions=writers > 1)
    count = bench.scaled(3_000 if writers == 1 else 9_600, least=160)
    tabs_each = count // 3 // writers // COMMANDS_A_TAB

    async def threads(_round: int) -> Measured:
        seconds = await asyncio.to_thread(peer.in_threads, theirs, writers, tabs_each)
        return Measured(tabs_each * COMMANDS_A_TAB * writers, seconds)

    async def processes(_round: int) -> Measured:
        seconds = await asyncio.to_thread(peer.in_processes, theirs, 4, writers // 4, tabs_each)
        return Measured(tabs_each * COMMANDS_A_TAB * writers, seconds)

    contestants: dict[str, Contestant] = {
        RAW: lambda _: _insert(ceiling, writers, 2 * count),
        "orderflow": lambda _: _transact(tabs, TAB_WORK, writers, count, TOGETHER),
        "eventsourcing": threads,
    }
    if writers > 1:
        contestants["eventsourcing, 4 processes"] = processes
        contestants[ALONE] = lambda _: _transact(tabs, TAB_WORK, writers, count, 1)
    contestants["orderflow: receive stock, 2 read models"] = lambda _: _transact(
        stock, STOCK_WORK, writers, count // 2, TOGETHER
    )
    title = f"Load, decide, append an event: {writers} {'writer' if writers == 1 else 'writers'}"
    table = await bench.contest(title, "commands/s", contestants, base=RAW)
    table.want("orderflow", of=RAW, at_least=0.5)
    for name in contestants:
        if name.startswith("eventsourcing"):
            table.want("orderflow", of=name, at_least=3)
    return table


async def _many(bench: Bench) -> Table:
    from benchmarks.peers import eventsourcing_tab as peer  # noqa: PLC0415 - not installed everywhere

    ceiling, tabs, bar = [await bench.database(name) for name in ("ceiling", "tabs", "bar")]
    theirs = peer.Settings("postgres", bar.service, str(bench.postgres.socket_dir), functions=False)
    transactions = bench.scaled(20, least=2)

    async def ours(_round: int) -> Measured:
        async with _store(tabs, TABS, 1, TOGETHER) as store:
            await store.transact(Cause(), serve_at_once)
            with stopwatch() as watch:
                for _ in range(transactions):
                    await store.transact(Cause(), serve_at_once)
            return watch.measured(transactions * AT_ONCE)

    async def peers(_round: int) -> Measured:
        seconds = await asyncio.to_thread(peer.at_once, theirs, transactions, AT_ONCE)
        return Measured(transactions * AT_ONCE, seconds)

    contestants: dict[str, Contestant] = {
        RAW: lambda _: _insert(ceiling, 1, bench.scaled(5_000)),
        "orderflow": ours,
        "eventsourcing": peers,
    }
    title = f"Decide and append {AT_ONCE:,} events in one transaction (bare INSERT: one in each)"
    table = await bench.contest(title, "events/s", contestants, base=RAW)
    table.want("orderflow", of=RAW, at_least=15)
    return table


async def execute_tab(uow: UnitOfWork, command: Any) -> None:
    """Decide a tab's command."""
    await uow.decide(TAB, command.tab, command)


async def serve_at_once(uow: UnitOfWork) -> None:
    """A new tab with AT_ONCE events."""
    name = uuid4()
    items = tuple(ItemServed(item=f"Espresso no. {n}", quantity=1, price=250) for n in range(AT_ONCE - 1))
    await uow.decide(TAB, name, OpenTab(tab=name, guest="Ada Lovelace", currency="EUR"))
    await uow.decide(TAB, name, ServeAll(tab=name, items=items))


async def _insert(database: Database, writers: int, count: int) -> Measured:
    """The ceiling: `writers` connections, each with a prepared statement and a transaction a row."""

    async def write(connection: "asyncpg.Connection[asyncpg.Record]", rows: int) -> None:
        statement = await connection.prepare(_INSERT)
        now = datetime.now(UTC)
        for _ in range(rows):
            name = uuid4()
            await statement.fetch(f"tab-{name}", 1, name, "ItemServed", now, _DATA, _META)

    connections = [await asyncpg.connect(database.url) for _ in range(writers)]
    try:
        await asyncio.gather(*(write(connection, 20) for connection in connections))
        with stopwatch() as watch:
            await asyncio.gather(*(write(connection, count // writers) for connection in connections))
        return watch.measured(count // writers * writers)
    finally:
        for connection in connections:
            await connection.close()


async def _transact(database: Database, work: Work, writers: int, count: int, together: int) -> Measured:
    """`writers` tasks share `count` commands; at most `together` of them share a transaction."""
    async with _store(database, work.definition, writers, together) as store:

        async def write(mine: Sequence[Any]) -> None:
            for command in mine:
                decision = partial(_run, work.execute, command)
                await store.transact(Cause(), decision, streams=[work.stream(command)])

        await asyncio.gather(*(write(list(islice(work.commands(), 20))) for _ in range(writers)))
        shares = [list(islice(work.commands(), count // writers)) for _ in range(writers)]
        with stopwatch() as watch:
            await asyncio.gather(*map(write, shares))
        return watch.measured(sum(map(len, shares)))


async def _run(execute: Execute, command: Any, uow: UnitOfWork) -> None:
    await execute(uow, command)


@asynccontextmanager
async def _store(
    database: Database, definition: Definition, connections: int, together: int
) -> AsyncIterator[Store]:
    pool = await open_pool(database.url, name="bench", size=connections)
    try:
        yield Store(Postgres(pool), definition, epoch=1, clock=utc_now, together=together)
    finally:
        await pool.close()


def _evenings() -> Iterable[Any]:
    """A guest after the other."""
    while True:
        yield from evening(1)


def _deliveries() -> Iterable[Any]:
    """A sku after the other, each received COMMANDS_A_TAB times."""
    while True:
        sku = f"SKU-{uuid4()}"
        for n in range(COMMANDS_A_TAB):
            yield ReceiveStock(sku=sku, location_id=MAIN_LOCATION, receipt_id=uuid4(), quantity=1 + n)


TAB_WORK = Work(TABS, execute_tab, _evenings, lambda command: TAB.stream(command.tab))
STOCK_WORK = Work(
    STOCK,
    execute_inventory,
    _deliveries,
    lambda command: STOCK_ITEM.stream(f"{command.sku}@{command.location_id}"),
)
BENCHMARK = Benchmark(letter="a", name="append", title="Append", run=run, limit_s=40)
