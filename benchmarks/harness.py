"""Measures contestants in turn, round by round, on one Postgres with fsync on and one broker.

How to add a benchmark: a module of this package with a `BENCHMARK`; `python -m benchmarks NAME` finds it.

    async def run(bench: Bench) -> list[Result]:
        database = await bench.database("hearing", MIGRATIONS)    # migrated, with a role of its own
        count = bench.scaled(100_000)                             # fewer with --quick

        async def ours(round_no: int) -> Measured:
            ...                                                   # set up and warm up: not measured
            with stopwatch() as watch:
                ...
            return watch.measured(count)

        async def theirs(round_no: int) -> Measured: ...

        contestants = {"orderflow": ours, "one at a time": theirs}
        table = await bench.contest("Consume and project", "events/s", contestants, base="one at a time")
        table.want("orderflow", of="one at a time", at_least=20)
        return [table]

    BENCHMARK = Benchmark(letter="c", name="hearing", title="Consume and project 100k events", run=run)

What imports a peer's library lives in `benchmarks/peers/` (only `make bench-peers` installs those). Code that
would block the event loop goes through `asyncio.to_thread`. The part of docs/benchmarks.md between
`<!-- hearing -->` and `<!-- /hearing -->` is written by `python -m benchmarks hearing --write-docs`; the
prose around it is yours. A latency or any other number is a `Facts` table with `Target`s of its own.
"""

import asyncio
import gc
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

import asyncpg

from benchmarks.report import Result, Table
from sandbox.broker import BrokerProcess
from sandbox.command import free_ports, running
from sandbox.postgres import PostgresProcess
from shared.store.migrate import migrate, provision

ROUNDS = 5
RUN_LIMIT_S = 120.0
"""The longest that one run of one contestant may take."""


@dataclass(frozen=True, slots=True)
class Measured:
    """How many units of work a contestant did in how long, and how much of that its process computed."""

    count: int
    seconds: float
    cpu_s: float = 0.0

    @property
    def rate(self) -> float:
        """Units a second."""
        return self.count / self.seconds


class Stopwatch:
    """Runs inside the block of `stopwatch()`."""

    def __init__(self) -> None:
        self._start, self._cpu_start = perf_counter(), process_time()
        self.seconds = self.cpu_s = 0.0

    def stop(self) -> None:
        """Take the time; the last call counts."""
        self.seconds, self.cpu_s = perf_counter() - self._start, process_time() - self._cpu_start

    def measured(self, count: int) -> Measured:
        """`count` units in the time taken."""
        return Measured(count, self.seconds, self.cpu_s)


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Takes the time of its block."""
    watch = Stopwatch()
    yield watch
    watch.stop()


@dataclass(frozen=True, slots=True)
class Database:
    """A service's own database: the tables' owner and the service's role reach it at these addresses."""

    service: str
    owner_url: str
    url: str


Contestant = Callable[[int], Awaitable[Measured]]
"""Does its work once; the argument is the round, from 0."""


@dataclass(frozen=True, slots=True)
class Bench:
    """The servers, and how much is to be done on them."""

    postgres: PostgresProcess
    bootstrap: str
    idempotent: bool
    """Whether the broker has the idempotent producer."""
    rounds: int
    scale: float
    limit_s: float
    """No contest starts another round when this much time is over; the first round is always run."""

    def scaled(self, count: int, *, least: int = 100) -> int:
        """`count`, or less of it in a quick run."""
        return max(least, int(count * self.scale))

    async def database(self, name: str, migrations: Path | None = None) -> Database:
        """A new database with the shared tables, those of `migrations` and a role of its own."""
        service = f"{name}_{secrets.token_hex(3)}"
        admin = await asyncpg.connect(self.postgres.admin_url())
        try:
            await provision(admin, service, service)
        finally:
            await admin.close()
        database = Database(
            service, self.postgres.url("postgres", service), self.postgres.url(service, service)
        )
        owner = await asyncpg.connect(database.owner_url)
        try:
            await migrate(owner, migrations or Path("no service", "migrations"))
        finally:
            await owner.close()
        return database

    async def contest(
        self,
        title: str,
        unit: str,
        contestants: Mapping[str, Contestant],
        *,
        base: str,
        rounds: int | None = None,
    ) -> Table:
        """Run the contestants A B C, A B C … and give all rates; `base` is what ratios are of.

        Raises TimeoutError if one of them takes longer than RUN_LIMIT_S.
        """
        rates: dict[str, list[float]] = {name: [] for name in contestants}
        start = perf_counter()
        for round_no in range(rounds or self.rounds):
            if round_no > 0 and (perf_counter() - start) * (round_no + 1) / round_no > self.limit_s:
                break
            for name, contestant in contestants.items():
                gc.collect()
                async with asyncio.timeout(RUN_LIMIT_S):
                    measured = await contestant(round_no)
                rates[name].append(measured.rate)
                _progress(f"{title}, round {round_no + 1}: {name} {measured.rate:,.0f} {unit}")
        return Table(title=title, unit=unit, base=base, rates=rates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One section of docs/benchmarks.md: `letter` gives its place, `name` is its module's."""

    letter: str
    name: str
    title: str
    run: Callable[[Bench], Awaitable[list[Result]]]
    limit_s: float = 120.0
    """The time after which a contest of this benchmark starts no further round."""


@asynccontextmanager
async def servers(benchmark: Benchmark, *, rounds: int, scale: float) -> AsyncIterator[Bench]:
    """A fresh Postgres and broker for one benchmark, both gone after the block."""
    with tempfile.TemporaryDirectory(prefix="orderflow-bench-") as folder:
        postgres = PostgresProcess(Path(folder) / "pg")
        broker = BrokerProcess(*free_ports(1))
        postgres.prepare()
        async with (
            running(postgres.command(), ready=postgres.ready, log=Path(folder) / "pg.log"),
            running(broker.command(), ready=broker.ready, log=Path(folder) / "broker.log"),
        ):
            yield Bench(
                postgres=postgres,
                bootstrap=broker.bootstrap_servers(),
                idempotent=False,
                rounds=rounds,
                scale=scale,
                limit_s=benchmark.limit_s,
            )


async def until(done: Callable[[], bool]) -> None:
    """Look every 2 ms; a contest ends the wait when the run takes too long."""
    while not done():  # noqa: ASYNC110 - what is watched knows nothing of events
        await asyncio.sleep(0.002)


def _progress(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)
