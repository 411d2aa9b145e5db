"""The services, all of which hear others, on databases of their own, and stories that they can be told."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from services.cart.domain.coupon_use import COUPON_USE, TakeCouponUse
from services.inventory.commands import execute
from services.inventory.domain.stock import ReceiveStock
from shared.domain import ids
from shared.domain.ids import MAIN_LOCATION, derive
from shared.events import cart, inventory, orders, returns
from shared.events.cart import CartItemRemoved, CartStarted
from shared.events.common import CancelReason, PlacedQty
from shared.events.envelope import SYSTEM, Cause, Recorded, event_id
from shared.events.inventory import Scarcity, StockRanLow, StockReplenished, StockReserved
from shared.events.orders import OrderCancelled
from shared.events.registry import Registry
from shared.events.returns import Disposition
from shared.messaging.cloudevents import to_headers
from shared.messaging.consumer import Consumer
from shared.messaging.topics import partition_of, topic_of
from shared.service.run import subscription_of
from shared.store import marks
from shared.store.connection import open_pool
from shared.store.marks import StoredRecord
from shared.store.postgres import Postgres
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork
from tests.conftest import MakeDatabase
from tests.integration.bank.services import Clock
from tests.integration.fuzz.platform import SERVICES, settings_of
from tests.integration.services.inventory import others
from tests.integration.services.notifications import desk
from tests.integration.services.returns.orders import Order as ReturnedOrder
from tests.unit.orders.samples import MUGS, PLACED, checkout

ALL = Registry.of(cart, inventory, orders, returns)
OWNERS = {"cart": "cart", "reservation": "inventory", "skuavailability": "inventory", "order": "orders"}


@dataclass(frozen=True)
class Story:
    """What one order's life sounds like to a service: records in the order in which they were told."""

    correlation_id: UUID
    records: tuple[StoredRecord, ...]

    @property
    def heads(self) -> dict[str, int]:
        """The last version of each stream."""
        heads: dict[str, int] = {}
        for record in self.records:
            stream = (record.key or b"").decode()
            heads[stream] = heads.get(stream, 0) + 1
        return heads


class Listener:
    """A service's consumer and what it has made of its records."""

    def __init__(self, name: str, store: Store, consumer: Consumer, clock: Clock) -> None:
        self.name, self.store, self.consumer, self.clock = name, store, consumer, clock
        self._told = 0

    async def story(self) -> Story:
        """The same life again, with new ids."""
        self._told += 1
        story = _story(self.name, self._told)
        if self.name == "cart":
            await self.store.transact(Cause(), partial(_buy_with_a_coupon, story.correlation_id))
        return story

    async def marks(self, story: Story) -> dict[str, int]:
        """The versions up to which a story's streams are applied."""
        rows = await self.store.pool.fetch(
            "SELECT stream_id, version FROM marks WHERE stream_id = ANY($1) AND version > 0", [*story.heads]
        )
        return {row["stream_id"]: row["version"] for row in rows}

    async def parked(self) -> list[Any]:
        """Everything that waits."""
        return list(await self.store.pool.fetch("SELECT * FROM parked ORDER BY stream_id, version"))

    async def consequences(self, story: Story) -> list[str]:
        """What came of a story: own events and things to do, by their kinds."""
        rows = await self.store.pool.fetch(
            "SELECT type AS name FROM events WHERE meta->>'correlation_id' = $1::text UNION ALL "
            "SELECT split_part(name, ':', 1) FROM todo WHERE correlation_id = $1::text::uuid ORDER BY 1",
            str(story.correlation_id),
        )
        return [row["name"] for row in rows]

    async def retry(self) -> None:
        """Everything whose turn has come, however long it should wait, until nothing changes any more."""
        for _ in range(20):
            self.clock.advance(timedelta(minutes=10))
            if not await self.consumer.retry_parked():
                return

    async def skip(self, row: Any) -> bool:
        """An operator gives a parked record up."""
        async with self.store.pool.acquire() as connection, connection.transaction():
            return await marks.skip(connection, self.name, row["stream_id"], row["version"], "operator")


def _story(name: str, number: int) -> Story:
    correlation = derive("fuzz-story", name, number)
    events = _TELLERS[name](correlation)
    told = [event._replace(correlation_id=correlation) for event in events]
    return Story(correlation, tuple(_record(event, number * 1000 + n) for n, event in enumerate(told)))


def _record(event: Recorded[Any], offset: int) -> StoredRecord:
    owner = OWNERS.get(event.stream.partition("-")[0], "returns")
    key = event.stream.encode()
    return StoredRecord(
        topic_of(owner),
        partition_of(key),
        offset,
        key,
        ALL.encode(event.data),
        tuple(to_headers(event, owner)),
    )


def _told_to_orders(seed: UUID) -> Sequence[Recorded[Any]]:
    """A cart, its checkout, and the stock that is held for it."""
    order_id = ids.order_id(seed)
    held = tuple(
        PlacedQty(line_id=line.line_id, sku=line.sku, location_id=MAIN_LOCATION, quantity=line.quantity)
        for line in PLACED.lines
    )
    started = CartStarted(customer_id=None, subject_id=seed, currency="GBP", locale="en")
    removed = CartItemRemoved(line_id=MUGS, sku="MUG", quantity=1)
    return [
        *_stream(f"cart-{seed}", started, removed, replace(checkout(PLACED), order_id=order_id)),
        *_stream(f"reservation-{order_id}", StockReserved(order_id=order_id, placed=held)),
    ]


def _told_to_cart(seed: UUID) -> Sequence[Recorded[Any]]:
    """A sku that runs out and is there again, and an order bought with a coupon that is cancelled."""
    order_id, sku = ids.order_id(seed), f"MUG-{seed}"
    ran_out = StockRanLow(level=Scarcity.OUT, available=0, threshold=0)
    there_again = StockReplenished(was=Scarcity.OUT, available=9)
    cancelled = OrderCancelled(reason=CancelReason.CUSTOMER, stock_tracked=True, revision=1)
    return [
        *_stream(f"skuavailability-{sku}", ran_out, there_again, ran_out),
        *_stream(f"order-{order_id}", PLACED, cancelled),
    ]


async def _buy_with_a_coupon(seed: UUID, uow: UnitOfWork) -> None:
    order_id, code = ids.order_id(seed), f"FUZZ-{seed}"
    await uow.decide(COUPON_USE, code, TakeCouponUse(code=code, order_id=order_id))


def _told_to_inventory(seed: UUID) -> Sequence[Recorded[Any]]:
    """An order that is shipped in two parcels, of which something comes back."""
    told = others.Told()
    order = others.Order(told, str(seed), (("MUG", 2), ("CUP", 1)))
    order.placed()
    order.confirmed()
    order.shipped("1", ("MUG", 2))
    order.shipped("2", ("CUP", 1))
    order.came_back("scan", ("MUG", 1, Disposition.RESTOCKED))
    return told.events


def _told_to_returns(seed: UUID) -> Sequence[Recorded[Any]]:
    """An order that was delivered."""
    return ReturnedOrder(order_id=seed, customer_id=seed, subject_id=seed).delivered().events


def _told_to_notifications(_seed: UUID) -> Sequence[Recorded[Any]]:
    """An order that is confirmed, and two returns of it."""
    order = desk.Order(at=datetime.now(UTC) + timedelta(seconds=5))
    order.confirmed()
    order.returned()
    return order.told


def _stream(stream: str, *told: Any) -> list[Recorded[Any]]:
    return [
        Recorded(
            stream=stream,
            version=version,
            event_id=event_id(1, stream, version),
            type=type(data).__name__,
            schema_version=1,
            occurred_at=datetime.now(UTC),
            correlation_id=derive("any", stream),
            causation_id=None,
            actor=SYSTEM,
            epoch=1,
            data=data,
        )
        for version, data in enumerate(told, start=1)
    ]


_TELLERS: dict[str, Callable[[UUID], Sequence[Recorded[Any]]]] = {
    "cart": _told_to_cart,
    "orders": _told_to_orders,
    "inventory": _told_to_inventory,
    "returns": _told_to_returns,
    "notifications": _told_to_notifications,
}
LISTENERS = tuple(_TELLERS)


@asynccontextmanager
async def open_listener(make_database: MakeDatabase, name: str) -> AsyncIterator[Listener]:
    """The service as after a start of its process, with more stock than any story needs."""
    service = SERVICES[name]
    database = await make_database(service.migrations, name)
    settings = settings_of(name, database.url)
    pool = await open_pool(database.url, name=name, size=4)
    clock = Clock()
    try:
        store = Store(Postgres(pool), service.define(settings), epoch=1, clock=clock)
        await service.wire(settings, store).prepare()
        if name == "inventory":
            await store.transact(Cause(), _fill)
        subscription = await subscription_of(service, settings, store)
        assert subscription is not None
        yield Listener(name, store, Consumer(store, subscription), clock)
    finally:
        await pool.close()


async def _fill(uow: UnitOfWork) -> None:
    for sku in ("MUG", "CUP"):
        receipt = derive("fuzz-receipt", sku)
        command = ReceiveStock(sku=sku, location_id=MAIN_LOCATION, receipt_id=receipt, quantity=1_000_000)
        await execute(uow, command)
