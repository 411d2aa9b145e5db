"""(e) Everybody wants the same sku: 64 buyers, 10,000 units, 12,000 orders of one unit each; 10,000 get one.

Orderflow's inventory decides a batch of orders at once over its real aggregates, ledger and read models; the
usual way locks the row of the sku for each order.
"""

import asyncio
import base64
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
from aiokafka import AIOKafkaProducer

from benchmarks.harness import Bench, Benchmark, Database, Measured, stopwatch
from benchmarks.hearing import Countdown, Watched
from benchmarks.report import Result
from services.inventory.app import SERVICE
from services.inventory.commands import execute
from services.inventory.domain.stock import STOCK_ITEM, ReceiveStock
from shared.domain import Sealed
from shared.domain.ids import MAIN_LOCATION, derive
from shared.events import orders
from shared.events.common import Charge, Contact, Destination, Line, Totals
from shared.events.envelope import Actor, ActorKind, Cause, Recorded, event_id
from shared.events.orders import OrderPlaced, OrderSource, SourceKind
from shared.events.registry import Registry
from shared.messaging.cloudevents import to_headers
from shared.messaging.consumer import Consumer
from shared.messaging.subscriber import Subscriber
from shared.messaging.topics import ensure_topics, partition_of
from shared.service.clock import utc_now
from shared.service.collector import calm_collector
from shared.service.settings import Settings
from shared.store.connection import Pool, open_pool
from shared.store.marks import StoredRecord
from shared.store.postgres import Postgres
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork

UNITS = 10_000
ORDERS = 12_000
BUYERS = 64
LOCKING_CONNECTIONS = 16
LOCKED = 0.25
"""The part of the work that the row locks get, with as much less stock: they are much slower."""
BATCH = 1_000
TOPIC = "orders.events"
SKU = "console"

_REGISTRY = Registry.of(orders)
_START = datetime(2026, 1, 1, tzinfo=UTC)


def _placed(n: int) -> OrderPlaced:
    """The n-th order: one console, for the buyer whose turn it is."""
    buyer, cart = derive("bench-buyer", n % BUYERS), derive("bench-cart", n)
    line = Line(
        line_id=derive("bench-line", n),
        sku=SKU,
        title="Game console",
        quantity=1,
        unit_price=49_900,
        net=41_933,
        tax=7_967,
        gross=49_900,
        tax_class="standard",
        tax_rate_bp=1900,
        stock_tracked=True,
    )
    return OrderPlaced(
        order_number=f"B-{n:06}",
        source=OrderSource(kind=SourceKind.CART, ref_id=cart),
        cart_id=cart,
        customer_id=buyer,
        contact=Contact(subject_id=buyer, name=Sealed("v1.k.n.name"), email=Sealed("v1.k.n.mail")),
        destination=Destination(country="DE", complete=True, address=Sealed("v1.k.n.address")),
        lines=(line,),
        shipping=Charge(method_id="standard", title="Standard", net=0, tax=0, gross=0),
        totals=Totals(
            items_net=41_933, items_tax=7_967, shipping_net=0, shipping_tax=0, discount=0, total=49_900
        ),
        currency="EUR",
        locale="de",
        pricing_version=1,
        stock_answer_by=_START + timedelta(minutes=5),
    )


def _records(count: int) -> list[StoredRecord]:
    """Orders as they come from the topic, in the order in which the buyers' clicks came."""
    found = []
    for n in range(count):
        order = derive("bench-order", n)
        stream = f"order-{order}"
        event = Recorded(
            stream=stream,
            version=1,
            event_id=event_id(1, stream, 1),
            type="OrderPlaced",
            schema_version=1,
            occurred_at=_START + timedelta(milliseconds=n),
            correlation_id=order,
            causation_id=None,
            actor=Actor(ActorKind.CUSTOMER, str(derive("bench-buyer", n % BUYERS))),
            epoch=1,
            data=b"",
        )
        key = stream.encode()
        found.append(
            StoredRecord(
                TOPIC,
                partition_of(key),
                n,
                key,
                _REGISTRY.encode(_placed(n)),
                tuple(to_headers(event, "orders")),
            )
        )
    return found


class Depot:
    """Inventory as the service defines it, on a fresh database; `pages`: with its three read models."""

    def __init__(self, database: Database, pool: Pool, bench: Bench, *, pages: bool = True) -> None:
        settings = Settings(
            database_url=database.url,
            kafka_bootstrap_servers=bench.bootstrap,
            jwt_key=secrets.token_hex(32),
            data_key=base64.b64encode(bytes(32)).decode(),
            port=0,
        )
        definition, subscription = SERVICE.define(settings), SERVICE.subscription(settings)
        assert subscription is not None
        self._pages = pages
        if not pages:
            definition, subscription = (
                replace(definition, read_models=()),
                replace(subscription, read_models=()),
            )
        self.store = Store(Postgres(pool), definition, epoch=1, clock=utc_now)
        self.subscription = subscription

    async def receive(self, units: int) -> None:
        """Fill the shelf."""
        command = ReceiveStock(sku=SKU, location_id=MAIN_LOCATION, receipt_id=UUID(int=1), quantity=units)

        async def work(uow: UnitOfWork) -> None:
            await execute(uow, command)

        await self.store.transact(Cause(), work)

    async def check(self, units: int, asked: int) -> None:
        """Every unit went to one order and no unit to two, by the ledger, its read model and the answers."""
        item = await self.store.read(STOCK_ITEM, f"{SKU}@{MAIN_LOCATION}")
        assert item is not None
        assert (item.held, item.available, len(item.entries)) == (units, 0, units)
        told = {
            row["type"]: row["n"]
            for row in await self.store.pool.fetch(
                "SELECT type, count(*) AS n FROM events WHERE stream_id LIKE 'reservation-%' GROUP BY 1"
            )
        }
        assert told == {"StockReserved": units, "StockReservationRejected": asked - units}
        if self._pages:
            assert await self.store.pool.fetchval("SELECT held FROM stock_levels") == units
        assert await self.store.pool.fetchval("SELECT count(*) FROM parked") == 0


async def _in_process(
    bench: Bench, records: Sequence[StoredRecord], units: int, *, pages: bool = True
) -> Measured:
    """handle_batch, a thousand orders at a time."""
    database = await bench.database("hot", SERVICE.migrations)
    pool = await open_pool(database.url, name="hot", size=4)
    try:
        depot = Depot(database, pool, bench, pages=pages)
        await depot.receive(units)
        consumer = Consumer(depot.store, depot.subscription)
        with stopwatch() as watch:
            for start in range(0, len(records), BATCH):
                await consumer.handle_batch(records[start : start + BATCH])
        await depot.check(units, len(records))
    finally:
        await pool.close()
    return watch.measured(len(records))


async def _through_kafka(bench: Bench, asked: int, units: int) -> Measured:
    """From the topic, as the service hears it: Subscriber, Consumer, offsets."""
    database = await bench.database("hot", SERVICE.migrations)
    pool = await open_pool(database.url, name="hot", size=4)
    countdown, stop = Countdown(asked), asyncio.Event()
    try:
        depot = Depot(database, pool, bench)
        await depot.receive(units)
        subscriber = Subscriber(
            Watched(depot.store, depot.subscription, countdown),
            group=f"hot-{secrets.token_hex(4)}",
            topics=[TOPIC],
            bootstrap=bench.bootstrap,
            instance=None,
        )
        running = asyncio.create_task(subscriber.run(stop))
        try:
            measured = await countdown.over()
        finally:
            stop.set()
            await running
        await depot.check(units, asked)
    finally:
        await pool.close()
    return measured


async def _row_locks(bench: Bench, asked: int, units: int) -> Measured:
    """A transaction an order: SELECT … FOR UPDATE, decide, UPDATE, INSERT; two tables and nothing else."""
    database = await bench.database("locks")
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute("CREATE TABLE stock (sku text PRIMARY KEY, available integer NOT NULL)")
    await owner.execute(
        "CREATE TABLE reservations (order_id uuid PRIMARY KEY, buyer uuid NOT NULL, sku text NOT NULL, "
        "reserved boolean NOT NULL)"
    )
    await owner.execute("INSERT INTO stock VALUES ($1, $2)", SKU, units)
    turns = iter([(derive("bench-order", n), derive("bench-buyer", n % BUYERS)) for n in range(asked)])

    async def buy(pool: Pool) -> None:
        for order, buyer in turns:
            async with pool.acquire() as connection, connection.transaction():
                available = await connection.fetchval(
                    "SELECT available FROM stock WHERE sku = $1 FOR UPDATE", SKU
                )
                if available > 0:
                    await connection.execute("UPDATE stock SET available = available - 1 WHERE sku = $1", SKU)
                await connection.execute(
                    "INSERT INTO reservations VALUES ($1, $2, $3, $4)", order, buyer, SKU, available > 0
                )

    pool = await open_pool(database.owner_url, name="locks", size=LOCKING_CONNECTIONS)
    try:
        await asyncio.gather(*(pool.fetchval("SELECT pg_sleep(0.05)") for _ in range(LOCKING_CONNECTIONS)))
        with stopwatch() as watch:
            await asyncio.gather(*(buy(pool) for _ in range(BUYERS)))
        held = await owner.fetchval("SELECT count(*) FROM reservations WHERE reserved")
        assert held == units
    finally:
        await pool.close()
        await owner.close()
    return watch.measured(asked)


async def _fill_topic(bootstrap: str, records: Sequence[StoredRecord]) -> None:
    await ensure_topics(bootstrap, [TOPIC])
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", max_batch_size=131_072) as producer:
        for record in records:
            await producer.send(TOPIC, key=record.key, value=record.value, headers=list(record.headers))
        await producer.flush()


async def run(bench: Bench) -> list[Result]:
    """Measure all contestants; each must give away exactly the units that there are."""
    calm_collector()  # as every service does, and for all contestants
    asked, units = bench.scaled(ORDERS), bench.scaled(UNITS, least=80)
    records = _records(asked)
    await _fill_topic(bench.bootstrap, records)

    async def decided(_round: int) -> Measured:
        return await _in_process(bench, records, units, pages=False)

    async def in_process(_round: int) -> Measured:
        return await _in_process(bench, records, units)

    async def through_kafka(_round: int) -> Measured:
        return await _through_kafka(bench, asked, units)

    async def row_locks(_round: int) -> Measured:
        return await _row_locks(bench, int(asked * LOCKED), int(units * LOCKED))

    table = await bench.contest(
        f"One hot sku, {BUYERS} buyers, {units:,} units",
        "orders/s",
        {
            "orderflow, decision: marks, events, outbox": decided,
            "orderflow, decision and three read models": in_process,
            "orderflow, the same through Kafka": through_kafka,
            f"SELECT FOR UPDATE an order, {LOCKING_CONNECTIONS} connections": row_locks,
        },
        base=f"SELECT FOR UPDATE an order, {LOCKING_CONNECTIONS} connections",
    )
    table.want("orderflow, decision: marks, events, outbox", of=table.base, at_least=10)
    table.want("orderflow, the same through Kafka", of=table.base, at_least=3)
    return [table]


BENCHMARK = Benchmark(
    letter="e",
    name="hot_sku",
    title=f"One hot sku: {BUYERS} buyers, {UNITS:,} units, {ORDERS:,} orders",
    run=run,
)
