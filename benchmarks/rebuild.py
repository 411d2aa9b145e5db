"""(d) Rebuild a read model from a million events, equal by hash, against projections that take a transaction
an event: the `eventsourcing` library's own and ours.

`python -m benchmarks.rebuild DATABASE_URL` is what a round runs in a process of its own: one rebuild, and
what it took.
"""

import asyncio
import json
import sys
from resource import RUSAGE_SELF, getrusage
from typing import Any

import asyncpg
import uvloop

from benchmarks.harness import Bench, Benchmark, Database, Measured, stopwatch
from benchmarks.payments import MIGRATIONS, MODEL, REGISTRY, payments, store
from benchmarks.report import Facts, Result, Target
from shared.store import streams
from shared.store.connection import open_pool
from shared.store.rebuild import rebuild

EVENTS = 1_000_000
FEWER = 100_000
ONE_BY_ONE = 3_000
MORE_MEMORY = 1.25
"""How much more memory ten times the events may take and still count as constant."""

# The same rows as the fold makes, said in SQL: the last event of each entry tells.
_IN_SQL = """
INSERT INTO payments_ledger (kind, id, order_id, intent_id, amount, status, late, provider_ref, at)
SELECT DISTINCT ON (kind, id) kind, id, substr(stream_id, 7)::uuid, (data->>'intent_id')::uuid,
       (data->>'amount')::bigint, status, false, data->>'provider_ref', occurred_at
FROM (
    SELECT stream_id, version, occurred_at, parsed.data, said.kind, said.status,
           (parsed.data->>said.id)::uuid AS id
    FROM events, LATERAL (SELECT convert_from(events.data, 'UTF8')::jsonb AS data) AS parsed,
         (VALUES ('PaymentRequested', 'INTENT', 'intent_id', 'OPEN'),
                 ('PaymentAuthorized', 'INTENT', 'intent_id', 'AUTHORIZED'),
                 ('CaptureRequested', 'CAPTURE', 'capture_id', 'REQUESTED'),
                 ('PaymentCaptured', 'CAPTURE', 'capture_id', 'DONE')) AS said(type, kind, id, status)
    WHERE said.type = events.type
) AS entries
ORDER BY kind, id, version DESC
"""


async def _history(bench: Bench, count: int) -> Database:
    """A database with so many events and the rows of their read model."""
    database = await bench.database("rebuild", MIGRATIONS)
    owner = await asyncpg.connect(database.owner_url, command_timeout=600)
    try:
        await store(owner, payments(count))
        await owner.execute(_IN_SQL)
        await owner.execute("CHECKPOINT")
    finally:
        await owner.close()
    return database


async def _alone(database: Database) -> dict[str, Any]:
    """A rebuild in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.rebuild", database.owner_url, stdout=asyncio.subprocess.PIPE
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"the rebuild ended with code {process.returncode}")
    found: dict[str, Any] = json.loads(output)
    assert found["equal"], "the rebuilt rows differ from those that SQL found"
    return found


async def _rebuild_once(url: str) -> dict[str, Any]:
    pool = await open_pool(url, name="rebuild", size=2)
    try:
        with stopwatch() as watch:
            result = await rebuild(pool, REGISTRY, MODEL)
    finally:
        await pool.close()
    return {
        "equal": result.equal,
        "rows": result.rows,
        "seconds": watch.seconds,
        "cpu_s": watch.cpu_s,
        "peak_mib": getrusage(RUSAGE_SELF).ru_maxrss / 1024,
    }


async def _transaction_an_event(database: Database, count: int) -> Measured:
    """Our own fold, as if every event were projected when it comes: read the row, fold, write it, commit."""
    pool = await open_pool(database.owner_url, name="one by one", size=2)
    done = 0
    try:
        await pool.execute("DROP TABLE IF EXISTS one_by_one")
        await pool.execute("CREATE TABLE one_by_one (LIKE payments_ledger INCLUDING ALL)")
        async with pool.acquire() as reader, reader.transaction(), pool.acquire() as writer:
            reading = streams.read_on(reader, REGISTRY, "position <= $1", count)
            with stopwatch() as watch:
                async for events in reading:
                    for event in events:
                        async with writer.transaction():
                            await MODEL.project(writer, [event], "one_by_one")
                        done += 1
    finally:
        await pool.close()
    return watch.measured(done)


async def run(bench: Bench) -> list[Result]:
    """Rates of all, and the memory of ours at 100k and at a million events."""
    from benchmarks.peers import eventsourcing_payments as peer  # noqa: PLC0415 - not installed everywhere

    count, fewer = bench.scaled(EVENTS), bench.scaled(FEWER)
    few = bench.scaled(ONE_BY_ONE)
    small, large = await _history(bench, fewer), await _history(bench, count)
    theirs = await bench.database("payments")
    settings = peer.Settings("postgres", theirs.service, str(bench.postgres.socket_dir))
    await asyncio.to_thread(peer.fill, settings, few)
    memory = {name: (await _alone(database))["peak_mib"] for name, database in (("few", small),)}

    async def ours(_round: int) -> Measured:
        found = await _alone(large)
        memory["many"] = max(memory.get("many", 0.0), found["peak_mib"])
        return Measured(count, found["seconds"], found["cpu_s"])

    async def one_by_one(_round: int) -> Measured:
        return await _transaction_an_event(small, few)

    async def projection(_round: int) -> Measured:
        return Measured(few, await asyncio.to_thread(peer.project, settings, few))

    table = await bench.contest(
        f"Rebuild of payments_ledger from {count:,} events",
        "events/s",
        {
            "orderflow rebuild": ours,
            "orderflow, a transaction an event": one_by_one,
            "eventsourcing, ProjectionRunner": projection,
        },
        base="eventsourcing, ProjectionRunner",
    )
    for base in ("eventsourcing, ProjectionRunner", "orderflow, a transaction an event"):
        table.want("orderflow rebuild", of=base, at_least=20)
    ratio = memory["many"] / memory["few"]
    facts = Facts(
        title="Peak memory of the process that rebuilds",
        columns=("events", "MiB"),
        lines=[(f"{fewer:,}", f"{memory['few']:.0f}"), (f"{count:,}", f"{memory['many']:.0f}")],
        targets=[Target(what="memory at ten times the events", value=ratio, at_most=MORE_MEMORY)],
    )
    return [table, facts]


BENCHMARK = Benchmark(
    letter="d", name="rebuild", title=f"Rebuild a read model from {EVENTS:,} events", run=run, limit_s=90.0
)

if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(_rebuild_once(sys.argv[1]))))
