"""(c) Hear events and keep a read model of them: in batches with marks, one message at a time, and by the
barest loop there is. All consume the same topic; those that fold leave the same rows.
"""

import asyncio
import logging
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaProducer
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage

from benchmarks.harness import Bench, Benchmark, Database, Measured, Stopwatch
from benchmarks.payments import MIGRATIONS, MODEL, REGISTRY, payments
from benchmarks.report import Result
from shared.events.registry import Registry
from shared.messaging.cloudevents import KafkaRecord, to_headers
from shared.messaging.consumer import Consumer
from shared.messaging.subscriber import Subscriber
from shared.messaging.subscription import Subscription
from shared.messaging.topics import ensure_topics
from shared.service.clock import utc_now
from shared.service.collector import calm_collector
from shared.store.connection import open_pool
from shared.store.postgres import Postgres
from shared.store.store import Definition, Store
from shared.store.unit_of_work import UnitOfWork

EVENTS = 100_000
ONE_BY_ONE = 2_000
TOPIC = "orders.events"

_UPSERT = """
INSERT INTO payments_ledger (kind, id, order_id, intent_id, amount, status, late, provider_ref, at)
VALUES ($1, $2, $3, $4, $5, $6, false, $7, $8)
ON CONFLICT (kind, id) DO UPDATE SET amount = excluded.amount, status = excluded.status, at = excluded.at,
    provider_ref = coalesce(excluded.provider_ref, payments_ledger.provider_ref)
"""
_STATUS = {
    "PaymentRequested": "OPEN",
    "PaymentAuthorized": "AUTHORIZED",
    "CaptureRequested": "REQUESTED",
    "PaymentCaptured": "DONE",
}


class Countdown:
    """Takes the time from the first event that comes to the commit of the last of `count`."""

    def __init__(self, count: int) -> None:
        self._count, self._seen = count, 0
        self._watch: Stopwatch | None = None
        self._over = asyncio.Event()

    def came(self) -> None:
        """Records are here and nothing is done about them yet."""
        self._watch = self._watch or Stopwatch()

    def committed(self, events: int) -> None:
        """So many more events are done."""
        assert self._watch is not None
        self._seen += events
        if self._seen >= self._count and not self._over.is_set():
            self._watch.stop()
            self._over.set()

    async def over(self) -> Measured:
        """Wait for the last."""
        await self._over.wait()
        assert self._watch is not None
        return self._watch.measured(self._seen)


class Watched(Consumer):
    """A consumer that tells a countdown what it does."""

    def __init__(self, store: Store, subscription: Subscription, countdown: Countdown) -> None:
        super().__init__(store, subscription)
        self._countdown = countdown

    async def handle_batch(self, records: Sequence[KafkaRecord]) -> None:
        self._countdown.came()
        await super().handle_batch(records)
        self._countdown.committed(len(records))


async def _in_batches(database: Database, bench: Bench, count: int) -> Measured:
    """As our services hear: Subscriber and Consumer, marks, one transaction a batch."""
    countdown, stop = Countdown(count), asyncio.Event()
    pool = await open_pool(database.url, name="hearing", size=4)
    try:
        store = Store(Postgres(pool), Definition(registry=Registry([]), deciders=[]), epoch=1, clock=utc_now)
        group = f"batches-{secrets.token_hex(4)}"
        subscription = Subscription(
            consumer=group, topics=[TOPIC], registry=REGISTRY, execute=_nothing_to_do, read_models=[MODEL]
        )
        consumer = Watched(store, subscription, countdown)
        subscriber = Subscriber(
            consumer, group=group, topics=[TOPIC], bootstrap=bench.bootstrap, instance=None
        )
        running = asyncio.create_task(subscriber.run(stop))
        try:
            return await countdown.over()
        finally:
            stop.set()
            await running
    finally:
        await pool.close()


async def _nothing_to_do(uow: UnitOfWork, command: Any) -> None:
    raise AssertionError(f"nothing follows from these events: {command}")


async def _one_at_a_time(database: Database, bench: Bench, count: int) -> Measured:
    """As FastStream's tutorials do it: a handler a message, its transaction, then its offset."""
    countdown = Countdown(count)
    broker = KafkaBroker(
        bench.bootstrap, logger=logging.getLogger("faststream"), log_level=logging.DEBUG, graceful_timeout=15
    )
    pool = await open_pool(database.url, name="one by one", size=4)

    @broker.subscriber(
        TOPIC,
        group_id=f"one-{secrets.token_hex(4)}",
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.NACK_ON_ERROR,
    )
    async def hear(data: dict[str, Any], message: KafkaMessage) -> None:
        countdown.came()
        headers = message.headers
        kind = "INTENT" if headers["ce_type"] in ("PaymentRequested", "PaymentAuthorized") else "CAPTURE"
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(
                _UPSERT,
                kind,
                data["intent_id"] if kind == "INTENT" else data["capture_id"],
                headers["ce_subject"].removeprefix("order-"),
                data["intent_id"],
                data["amount"],
                _STATUS[headers["ce_type"]],
                data.get("provider_ref"),
                datetime.fromisoformat(headers["ce_time"]),
            )
        countdown.committed(1)

    try:
        await broker.start()
        return await countdown.over()
    finally:
        await broker.stop()
        await pool.close()


async def _fill_topic(bootstrap: str, count: int) -> None:
    """Put the first `count` events of the payments on the topic, as a relay would."""
    await ensure_topics(bootstrap, [TOPIC])
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", max_batch_size=131_072) as producer:
        for event in payments(count):
            await producer.send(
                TOPIC,
                key=event.stream.encode(),
                value=event.data,
                headers=list(to_headers(event, "orders")),
            )
        await producer.flush()


async def run(bench: Bench) -> list[Result]:
    """Measure all contestants; the rows of those that hear everything must be equal."""
    from benchmarks.peers import confluent_copy  # noqa: PLC0415 - not installed everywhere

    calm_collector()  # as every service does, and for all contestants
    count, few = bench.scaled(EVENTS), bench.scaled(ONE_BY_ONE)
    database = await bench.database("hearing", MIGRATIONS)
    await _fill_topic(bench.bootstrap, count)
    owner = await open_pool(database.owner_url, name="hearing owner", size=1)
    await owner.execute("CREATE TABLE payments_heard (LIKE payments_ledger)")
    await owner.execute(f"GRANT ALL ON payments_heard TO {database.service}")
    await owner.execute(f"GRANT TEMPORARY ON DATABASE {database.service} TO {database.service}")
    found: set[str] = set()

    async def clear() -> None:
        await owner.execute("TRUNCATE payments_ledger, payments_heard, marks")

    async def hash_of_all() -> None:
        async with owner.acquire() as connection:
            found.add(await MODEL.content_hash(connection))
        assert len(found) == 1, f"the rows differ: {found}"

    async def ours(_round: int) -> Measured:
        await clear()
        measured = await _in_batches(database, bench, count)
        await hash_of_all()
        return measured

    async def one_at_a_time(_round: int) -> Measured:
        await clear()
        return await _one_at_a_time(database, bench, few)

    async def barely(*, merge: bool) -> Measured:
        await clear()
        seconds, cpu_s = await asyncio.to_thread(
            confluent_copy.hear,
            database.url,
            bench.bootstrap,
            TOPIC,
            f"bare-{secrets.token_hex(4)}",
            count,
            merge=merge,
        )
        if merge:
            await hash_of_all()
        return Measured(count, seconds, cpu_s)

    async def merged(_round: int) -> Measured:
        return await barely(merge=True)

    async def appended(_round: int) -> Measured:
        return await barely(merge=False)

    try:
        table = await bench.contest(
            "Consume and project",
            "events/s",
            {
                "orderflow, batches with marks": ours,
                "FastStream, a message a transaction": one_at_a_time,
                "confluent-kafka + COPY into the same rows": merged,
                "confluent-kafka + COPY, a row an event, no key": appended,
            },
            base="FastStream, a message a transaction",
        )
    finally:
        await owner.close()
    table.want("orderflow, batches with marks", of="FastStream, a message a transaction", at_least=20)
    table.want("orderflow, batches with marks", of="confluent-kafka + COPY into the same rows", at_least=0.5)
    return [table]


BENCHMARK = Benchmark(letter="c", name="hearing", title=f"Consume and project {EVENTS:,} events", run=run)
