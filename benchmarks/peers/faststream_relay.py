"""An outbox of `faststream-outbox` and its relay to Kafka: a subscriber that publishes what it gets."""

from collections.abc import Iterable
from time import perf_counter
from typing import Any

from faststream.kafka import KafkaBroker, KafkaResponse
from faststream_outbox import OutboxBroker, make_outbox_table
from sqlalchemy import MetaData, insert
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks.harness import until

WORKERS = 32
FETCH = 2_000
DELETE = 200
QUEUE = "events"

Row = tuple[bytes, bytes, dict[str, str]]
"""Key, value and headers of one message."""


async def relay(url: str, bootstrap: str, topic: str, warm_up: list[Row], rows: list[Row]) -> float:
    """Move `rows`, which are in the outbox already, to the topic; gives the seconds that it took."""
    engine = create_async_engine(url, pool_size=WORKERS + 2)
    kafka = KafkaBroker(bootstrap, acks="all", max_batch_size=131_072, logger=None)
    metadata = MetaData()
    table = make_outbox_table(metadata)
    acked = 0

    def count(event: str, _tags: Any) -> None:
        nonlocal acked
        acked += event == "acked"

    outbox = OutboxBroker(engine, outbox_table=table, metrics_recorder=count, apply_types=False, logger=None)

    @kafka.publisher(topic)
    @outbox.subscriber(
        QUEUE,
        max_workers=WORKERS,
        fetch_batch_size=FETCH,
        terminal_flush_batch_size=DELETE,
        min_fetch_interval=0.01,
        max_fetch_interval=0.05,
        decoder=_as_it_is,
    )
    async def send(body: Any) -> KafkaResponse:
        key, value, headers = body
        return KafkaResponse(value, key=key, headers=headers)

    try:
        async with engine.begin() as connection:
            await connection.run_sync(metadata.drop_all)
            await connection.run_sync(metadata.create_all)
        async with kafka, outbox:
            await _fill(engine, table, warm_up)
            await until(lambda: acked >= len(warm_up))
            await _fill(engine, table, rows)
            start = perf_counter()
            await until(lambda: acked >= len(warm_up) + len(rows))
            return perf_counter() - start
    finally:
        await engine.dispose()


async def _as_it_is(message: Any) -> Any:
    return message.headers["key"].encode(), message.body, message.headers


async def _fill(engine: AsyncEngine, table: Any, rows: Iterable[Row]) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            insert(table),
            [{"queue": QUEUE, "payload": value, "headers": headers} for key, value, headers in rows],
        )
