"""Gauges that are sampled from the database every few seconds, so that scraping costs nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

import asyncpg
import structlog
from prometheus_client import Gauge

from shared.store.connection import Connection
from shared.store.errors import CONNECTION_LOST
from shared.store.idempotency import forget_old
from shared.store.store import Store

log = structlog.get_logger(__name__)

Sample = Callable[[Connection], Awaitable[None]]

OUTBOX_DEPTH = Gauge("orderflow_outbox_events", "Events not yet on the topic", ["service"])
OUTBOX_AGE = Gauge(
    "orderflow_outbox_age_seconds", "Age of the oldest event not yet on the topic", ["service"]
)
PARKED_KEYS = Gauge("orderflow_parked_keys", "Streams with parked records", ["service"])
PARKED_RECORDS = Gauge("orderflow_parked_records", "Parked records", ["service"])
TODO_ROWS = Gauge("orderflow_todo_rows", "Todo rows", ["service", "kind"])
TODO_OVERDUE = Gauge("orderflow_todo_overdue", "Todo rows due for longer than a minute", ["service", "kind"])
CONSERVATION = Gauge(
    "orderflow_conservation_violations", "Rows that break a conservation law", ["service", "law"]
)
OVERDUE = Gauge("orderflow_overdue", "What waits for longer than was promised", ["service", "state"])

OVERDUE_AFTER = timedelta(minutes=1)
SPARING = 100
"""The pause after a sample is so many times as long as the sample took: long tables are counted seldom."""
FORGET_EVERY = 1800
"""Samples between two clean-ups of old Idempotency-Keys."""


async def sample_store(store: Store, service: str) -> None:
    """Measure what every service has: outbox, parked records and todo rows."""
    async with store.pool.acquire() as connection:
        row = await connection.fetchrow(
            "SELECT (SELECT count(*) FROM outbox) AS depth, "
            "(SELECT coalesce(extract(epoch FROM now() - min(since)), 0) FROM outbox) AS age, "
            "(SELECT count(DISTINCT stream_id) FROM parked) AS keys, (SELECT count(*) FROM parked) AS parked"
        )
        assert row is not None
        OUTBOX_DEPTH.labels(service).set(row["depth"])
        OUTBOX_AGE.labels(service).set(row["age"])
        PARKED_KEYS.labels(service).set(row["keys"])
        PARKED_RECORDS.labels(service).set(row["parked"])
        todo = await connection.fetch(
            "SELECT kind, count(*) AS n, count(*) FILTER (WHERE due < $1) AS overdue FROM todo GROUP BY kind",
            store.clock() - OVERDUE_AFTER,
        )
        by_kind = {row["kind"]: row for row in todo}
        for kind in ("TIMER", "COMMAND", "EFFECT"):
            TODO_ROWS.labels(service, kind).set(by_kind[kind]["n"] if kind in by_kind else 0)
            TODO_OVERDUE.labels(service, kind).set(by_kind[kind]["overdue"] if kind in by_kind else 0)


async def run(
    store: Store, service: str, samples: tuple[Sample, ...], stop: asyncio.Event, every_s: float
) -> None:
    """Sample until `stop` is set; a lost database leaves the gauges as they were."""
    rounds = 0
    clock = asyncio.get_running_loop().time
    while not stop.is_set():
        start = clock()
        try:
            await sample_store(store, service)
            async with store.pool.acquire() as connection:
                for sample in samples:
                    await sample(connection)
                if rounds % FORGET_EVERY == 0:
                    await forget_old(connection)
        except (*CONNECTION_LOST, asyncpg.PostgresError) as error:
            log.warning("sampling_failed", error=repr(error))
        rounds += 1
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), max(every_s, (clock() - start) * SPARING))
