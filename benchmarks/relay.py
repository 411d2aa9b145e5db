"""Outbox to Kafka: our relay, `faststream-outbox`, and aiokafka's `send()` of the same bytes.

The events are payments as the orders service tells them, already in the outbox when the time starts; it ends
when the outbox is empty. `send()` is given its keys, values and headers ready in memory.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import asyncpg
from aiokafka import AIOKafkaProducer

from benchmarks.harness import Bench, Benchmark, Database, Measured, stopwatch, until
from benchmarks.payments import MIGRATIONS, payments, store
from benchmarks.report import Result
from shared.events.envelope import Recorded
from shared.messaging.cloudevents import Headers, to_headers
from shared.messaging.relay import SENT, Relay, RelaySettings
from shared.messaging.topic_writer import open_topic
from shared.messaging.topics import ensure_topics, topic_of
from shared.store.outbox import open_outbox

EVENTS = 100_000
OF_THE_PEER = 5_000
WARM_UP = 500
PUBLIC = frozenset({"order"})

_FILL = "INSERT INTO outbox (position) SELECT position FROM events WHERE position > $1 AND position <= $2"
_LEFT = "SELECT count(*) FROM outbox"

Message = tuple[bytes, bytes, Headers]


async def run(bench: Bench) -> list[Result]:
    """All three, each to a topic of its own."""
    from benchmarks.peers import faststream_relay as peer  # noqa: PLC0415 - not installed everywhere

    count = bench.scaled(EVENTS, least=5_000)
    events = list(payments(WARM_UP + count))
    messages = [(event.stream.encode(), event.data, to_headers(event, "bare")) for event in events]
    rows = [
        (key, value, {"key": key.decode(), **{name: text.decode() for name, text in headers}})
        for key, value, headers in messages[: WARM_UP + bench.scaled(OF_THE_PEER)]
    ]
    ours = await bench.database("ours", MIGRATIONS)
    theirs = await bench.database("theirs")
    await _store(ours, events)
    await ensure_topics(bench.bootstrap, [topic_of(name) for name in (ours.service, "bare", "peer")])

    async def peers(_round: int) -> Measured:
        url = f"postgresql+asyncpg://postgres@/{theirs.service}?host={bench.postgres.socket_dir}"
        topic, data = topic_of("peer"), rows[WARM_UP:]
        return Measured(len(data), await peer.relay(url, bench.bootstrap, topic, rows[:WARM_UP], data))

    contestants = {
        "bare aiokafka send()": lambda _: _send(bench, messages),
        "orderflow": lambda _: _relay(bench, ours, count),
        "faststream-outbox": peers,
    }
    title = f"Outbox to Kafka, {count:,} events (faststream-outbox: {len(rows) - WARM_UP:,})"
    table = await bench.contest(title, "events/s", contestants, base="bare aiokafka send()")
    table.want("orderflow", of="bare aiokafka send()", at_least=1)
    table.want("orderflow", of="faststream-outbox", at_least=10)
    return [table]


async def _relay(bench: Bench, database: Database, count: int) -> Measured:
    """The relay as a service runs it, leading and idle before `count` rows appear in its outbox."""
    owner = await asyncpg.connect(database.owner_url)
    stop, wake = asyncio.Event(), asyncio.Event()
    relay = Relay(
        RelaySettings(service=database.service, public=PUBLIC),
        partial(open_outbox, database.url, database.service),
        partial(open_topic, bench.bootstrap, database.service, idempotent=bench.idempotent),
        wake,
    )
    sent = SENT.labels(database.service)._value
    running = asyncio.create_task(relay.run(stop))
    try:
        await owner.execute("VACUUM outbox")
        for first, last in ((0, WARM_UP), (WARM_UP, WARM_UP + count)):
            end = sent.get() + last - first
            await owner.execute(_FILL, first, last)
            wake.set()
            with stopwatch() as watch:
                await until(partial(_reached, sent, end, running))
        assert await owner.fetchval(_LEFT) == 0
        return watch.measured(count)
    finally:
        stop.set()
        await running
        await owner.close()


def _reached(sent: Any, end: float, running: asyncio.Task[None]) -> bool:
    return bool(sent.get() >= end) or running.done()


async def _send(bench: Bench, messages: Sequence[Message]) -> Measured:
    """Every message by `send()`, all of them before the first answer is looked at."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bench.bootstrap,
        acks="all",
        enable_idempotence=bench.idempotent,
        max_batch_size=131_072,
        request_timeout_ms=60_000,
    )
    topic = topic_of("bare")
    await producer.start()
    try:
        for part in (messages[:WARM_UP], messages[WARM_UP:]):
            with stopwatch() as watch:
                answers = [
                    await producer.send(topic, value, key=key, headers=headers)
                    for key, value, headers in part
                ]
                await asyncio.gather(*answers)
        return watch.measured(len(messages) - WARM_UP)
    finally:
        await producer.stop()


async def _store(database: Database, events: Sequence[Recorded[bytes]]) -> None:
    owner = await asyncpg.connect(database.owner_url)
    try:
        await store(owner, events)
    finally:
        await owner.close()


BENCHMARK = Benchmark(letter="b", name="relay", title="Outbox to Kafka", run=run)
