"""(f) Cart to delivered through the whole system: orders a second, where the CPU goes, how long it takes.

Everything runs here: five services as processes, Postgres, the Tansu broker, the sandboxes of payment
provider and mail, and the buyers and staff who cause the load. Carts are filled before the measurement.
"""

import asyncio
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import asyncpg
import orjson

from benchmarks.harness import Bench, Benchmark
from benchmarks.report import Facts, Result, Target
from benchmarks.system.accounts import LOAD, OTHERS, Reading
from benchmarks.system.people import TYPING_S, Failed, Purchase, Shop
from cli.platform import SERVICES
from cli.up import Running, running_platform
from sandbox.postgres import PostgresProcess

UNDER_WAY, UNDER_WAY_BY_ONE = 200, 16
TOP_S, STEADY_S, BY_ONE_S, WARM_UP_S = 20.0, 20.0, 15.0, 3.0
GUESS, LEAST = 60, 4.0
"""Carts that are filled for every second in which the top rate is sought; an arrival rate is never lower."""
PATIENCE_S = 60.0
ONE_BY_ONE = {"CONSUMER_BATCH": "1", "RELAY_CHUNK": "1", "COMMANDS_TOGETHER": "1", "TODO_CONCURRENCY": "1"}


@dataclass(frozen=True, slots=True)
class System:
    """A running platform with a shop in it."""

    running: Running
    folder: Path
    shop: Shop


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One stretch of trade. Latencies are in seconds, from the instant at which the buyer meant to buy."""

    what: str
    asked: float | None
    rate: float
    orders: int
    cpu_ms: Mapping[str, float]
    reserved: Sequence[float]
    mailed: Sequence[float]

    @property
    def system_ms(self) -> float:
        """CPU of the whole system an order, the load's own and that of strangers left out."""
        return sum(ms for name, ms in self.cpu_ms.items() if name not in (LOAD, OTHERS))


@asynccontextmanager
async def system(settings: Mapping[str, str]) -> AsyncIterator[System]:
    """A platform whose Postgres notes when each transaction was committed."""
    with tempfile.TemporaryDirectory(prefix="orderflow-system-") as name:
        folder = Path(name)
        postgres = PostgresProcess(folder / "postgres")
        postgres.prepare()
        with (folder / "postgres" / "postgresql.conf").open("a") as configuration:
            configuration.write("\ntrack_commit_timestamp = on\n")
        everywhere = dict.fromkeys(SERVICES, settings)
        async with AsyncExitStack() as resources:
            running = await resources.enter_async_context(running_platform(folder, settings=everywhere))
            yield System(running, folder, await Shop.open(running.platform, resources))


async def run(bench: Bench) -> list[Result]:
    """The system as it is, then with every batch of size 1."""
    top_s, steady_s = max(5.0, TOP_S * bench.scale), max(5.0, STEADY_S * bench.scale)
    async with system({}) as batched:
        top = await at_top(batched, top_s, UNDER_WAY)
        stretches = [top]
        for what, rate in (("open loop, 9/10 of the top", 0.9), ("open loop, half of the top", 0.5)):
            stretches.append(await at_rate(batched, what, max(LEAST, rate * top.rate), steady_s))
    async with system(ONE_BY_ONE) as by_one:
        single = await at_top(by_one, max(5.0, BY_ONE_S * bench.scale), UNDER_WAY_BY_ONE, "batches of one")
    return [rates([*stretches, single]), accounts([top, stretches[-1], single])]


async def at_top(on: System, seconds: float, under_way: int, what: str = "as fast as it can") -> Measured:
    """A closed loop: the next buyer comes when an order is delivered."""
    purchases = await on.shop.carts(int(min(GUESS * seconds, 4 * under_way + 20 * seconds)))
    before = Reading.take(on.running.supervisor)
    bought = await on.shop.closed_loop(purchases, under_way, seconds, PATIENCE_S)
    return await _measured(on, what, None, before, bought)


async def at_rate(on: System, what: str, rate: float, seconds: float) -> Measured:
    """An open loop: buyers come by a schedule."""
    purchases = await on.shop.carts(int(rate * seconds))
    before = Reading.take(on.running.supervisor)
    await on.shop.open_loop(purchases, rate, seconds + PATIENCE_S)
    return await _measured(on, what, rate, before, purchases)


async def _measured(
    on: System, what: str, asked: float | None, before: Reading, bought: Sequence[Purchase]
) -> Measured:
    used = Reading.take(on.running.supervisor).since(before)
    done = [purchase for purchase in bought if purchase.delivered]
    if len(done) < 10:
        raise Failed(f"{what}: {len(done)} of {len(bought)} orders were delivered in time")
    if len(done) < len(bought):
        print(f"  {what}: {len(bought) - len(done)} orders were late and are left out", file=sys.stderr)
    mailed_at, reserved_at = await _confirmations(on, done), await _reservations(on)
    return Measured(
        what=what,
        asked=asked,
        rate=_rate(done),
        orders=len(done),
        cpu_ms={name: 1000 * seconds / len(done) for name, seconds in used.items()},
        reserved=sorted(reserved_at[each.order_id] - each.due for each in done),
        mailed=sorted(mailed_at[each.order_id] - each.due for each in done),
    )


def _rate(done: Sequence[Purchase]) -> float:
    """Orders a second from the first buyer's instant to the last delivery, beginning and end included."""
    return len(done) / (max(each.delivered for each in done) - min(each.due for each in done))


async def _reservations(on: System) -> dict[str, float]:
    """When the reservation of each order was committed."""
    connection = await asyncpg.connect(on.running.platform.services["inventory"].owner_database_url)
    try:
        rows = await connection.fetch(
            "SELECT substr(stream_id, 13) AS order_id, "  # after `reservation-`
            "extract(epoch FROM pg_xact_commit_timestamp(transaction_id::xid))::float8 AS at "
            "FROM events WHERE type = 'StockReserved'"
        )
    finally:
        await connection.close()
    return {row["order_id"]: row["at"] for row in rows}


async def _confirmations(on: System, bought: Sequence[Purchase]) -> dict[str, float]:
    """When the mail server took the confirmation of each order."""
    wanted = {purchase.order_id for purchase in bought}
    end = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        found = await asyncio.to_thread(_mails, on.folder / "mail.db")
        if wanted <= found.keys():
            return found
        if asyncio.get_running_loop().time() > end:
            raise TimeoutError(f"{len(wanted - found.keys())} confirmations did not come")
        await asyncio.sleep(0.5)


def _mails(database: Path) -> dict[str, float]:
    connection = sqlite3.connect(database)
    try:
        rows = connection.execute("SELECT headers, received_at FROM messages").fetchall()
    finally:
        connection.close()
    found: dict[str, float] = {}
    for text, received_at in rows:
        headers = orjson.loads(text)
        if headers.get("X-Orderflow-Template") == "order_confirmation":
            found.setdefault(headers["X-Orderflow-Order"], datetime.fromisoformat(received_at).timestamp())
    return found


def rates(stretches: Sequence[Measured]) -> Facts:
    """Rates and latencies, with the numbers to reach."""
    top, half, single = stretches[0], stretches[-2], stretches[-1]
    return Facts(
        title="Cart to delivered: from checkout, with payment, shipping, delivery and four e-mails an order",
        columns=(
            "",
            "asked/s",
            "delivered/s",
            "CPU ms an order",
            "orders a CPU second",
            "reserved p50, ms",
            "p99, ms",
            "confirmed by mail p50, ms",
            "p99, ms",
        ),
        lines=[
            (
                each.what,
                f"{each.asked:.1f}" if each.asked else "-",
                f"{each.rate:.1f}",
                f"{each.system_ms:.1f}",
                f"{1000 / each.system_ms:.1f}",
                *(f"{1000 * of:,.0f}" for of in (*quantiles(each.reserved), *quantiles(each.mailed))),
            )
            for each in stretches
        ],
        targets=[
            Target(what="orders/s from checkout to delivered", value=top.rate, at_least=100),
            Target(what="top rate / top rate of batches of one", value=top.rate / single.rate, at_least=10),
            Target(
                what="ms from checkout to reserved, p99 at half of the top rate",
                value=1000 * quantiles(half.reserved)[1],
                at_most=500,
            ),
        ],
    )


def accounts(stretches: Sequence[Measured]) -> Facts:
    """Who used how much CPU for an order. The buyer's time to type a card number is part of every mail's."""
    names = dict.fromkeys(name for each in stretches for name in each.cpu_ms)
    return Facts(
        title=f"CPU ms an order by process (a buyer types for {TYPING_S:g} s before paying)",
        columns=("", *(each.what for each in stretches)),
        lines=[
            *((name, *(f"{each.cpu_ms.get(name, 0.0):.2f}" for each in stretches)) for name in names),
            ("orders", *(str(each.orders) for each in stretches)),
        ],
    )


def quantiles(values: Sequence[float]) -> tuple[float, float]:
    """The median and the 99th percentile of sorted values."""
    return values[len(values) // 2], values[min(len(values) - 1, len(values) * 99 // 100)]


BENCHMARK = Benchmark(
    letter="f", name="whole_system", title="Cart to delivered, the whole system", run=run, limit_s=240
)
