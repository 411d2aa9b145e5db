"""The cart service in this process, on its own database: who calls it, and what they send."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx

from services.cart.app import SERVICE
from services.cart.settings import CartSettings
from shared.domain import category_of
from shared.events import inventory, orders
from shared.events.envelope import Actor, ActorKind, Recorded
from shared.events.registry import Registry
from shared.messaging.cloudevents import to_headers
from shared.messaging.consumer import Consumer
from shared.service.auth import issue
from shared.service.http import create_app
from shared.store.connection import open_pool
from shared.store.marks import StoredRecord
from shared.store.postgres import Postgres
from shared.store.rebuild import Rebuilt, rebuild
from shared.store.store import Store
from shared.store.worker import Worker
from tests.conftest import Database
from tests.property.folds import recorded

TOKEN_KEY = "a key that signs the tokens of these tests"
HEARD = Registry.of(inventory, orders)
DATA_KEY = base64.b64encode(bytes(range(32))).decode()

CONTACT = {"name": "Ann Smith", "email": "ann@example.com", "phone": "+44 20 7946 0000"}
LONDON = {"country": "GB", "postal_code": "SW1A 1AA", "line1": "1 The Mall", "city": "London"}
MUG = {"titles": {"en": "Mug", "de": "Becher"}, "prices": {"GBP": 1200}, "weight_g": 350}


class Clock:
    """The present, which a test can move on."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def advance(self, by: timedelta) -> None:
        self._ahead += by


@dataclass(frozen=True)
class Caller:
    """Somebody who sends requests; `token` None is a stranger."""

    http: httpx.AsyncClient
    token: str | None

    async def call(
        self, method: str, path: str, body: Any = None, *, status: int = 200, **headers: str
    ) -> httpx.Response:
        """The answer, which must have this status."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        if content is not None:
            sent["Content-Type"] = "application/json"
        response = await self.http.request(method, path, headers=sent, content=content)
        assert response.status_code == status, (response.status_code, response.text)
        return response

    async def json(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """The answer's JSON."""
        return (await self.call(method, path, body, **more)).json()

    async def refused(self, method: str, path: str, body: Any = None, *, status: int, **headers: str) -> Any:
        """The problem's JSON with its bare code as `code`."""
        response = await self.call(method, path, body, status=status, **headers)
        assert response.headers["content-type"] == "application/problem+json"
        problem = response.json()
        return {**problem, "code": problem["type"].removeprefix("urn:orderflow:problem:")}

    async def start(self, **fields: Any) -> "Basket":
        """A new cart of this caller; a stranger goes on as the guest that they became."""
        body = {"currency": "GBP", "locale": "en", **fields}
        cart = await self.json("POST", "/carts", body, status=201)
        return Basket(replace(self, token=self.token or cart["token"]), UUID(cart["cart_id"]))


@dataclass(frozen=True)
class Basket:
    """A cart and its buyer."""

    buyer: Caller
    cart_id: UUID

    @property
    def path(self) -> str:
        return f"/carts/{self.cart_id}"

    async def read(self) -> Any:
        return await self.buyer.json("GET", self.path)

    async def add(self, sku: str, quantity: int = 1, **fields: Any) -> Any:
        return await self.buyer.json(
            "POST", f"{self.path}/lines", {"sku": sku, "quantity": quantity, **fields}
        )

    async def deliver(self, **fields: Any) -> Any:
        body = {"contact": CONTACT, "destination": LONDON, "method_id": "standard", **fields}
        return await self.buyer.json("PUT", f"{self.path}/delivery", body)

    async def check_out(self, total: int, **fields: Any) -> Any:
        body = {"expected_total": total, "terms_version": "2026-01", **fields}
        return await self.buyer.json("POST", f"{self.path}/checkout", body, status=201)

    async def refused(
        self, method: str, path: str = "", body: Any = None, *, status: int, **more: Any
    ) -> Any:
        return await self.buyer.refused(method, self.path + path, body, status=status, **more)


class Shop:
    """A running cart service."""

    def __init__(
        self,
        database: Database,
        store: Store,
        clock: Clock,
        http: httpx.AsyncClient,
        *,
        consumer: Consumer,
        worker: Worker,
    ) -> None:
        self.consumer = consumer
        self.worker = worker
        self.database = database
        self.store = store
        self.clock = clock
        self.http = http
        self.stranger = Caller(http, None)
        self.clerk = self.caller(ActorKind.OPERATOR, "clerk")
        self.admin = self.caller(ActorKind.ADMIN, "owner")

    def caller(self, kind: ActorKind, actor_id: str) -> Caller:
        token = issue(TOKEN_KEY, Actor(kind, actor_id), datetime.now(UTC), timedelta(days=400))
        return Caller(self.http, token)

    def customer(self, customer_id: UUID | None = None) -> Caller:
        return self.caller(ActorKind.CUSTOMER, str(customer_id or uuid4()))

    async def sell(self, sku: str = "MUG", **fields: Any) -> Any:
        return await self.clerk.json("PUT", f"/products/{sku}", {**MUG, **fields})

    async def events(self, category: str) -> list[Recorded[Any]]:
        """Everything stored of one kind of stream, stream by stream."""
        rows = await self.store.pool.fetch("SELECT DISTINCT stream_id FROM events ORDER BY stream_id")
        streams = [row["stream_id"] for row in rows if category_of(row["stream_id"]) == category]
        loaded = await self.store.load(streams)
        return [event for stream in streams for event in loaded[stream]]

    async def hear(self, topic: str, stream: str, *told: Any) -> None:
        """Events of another service, from the first of their stream on; none of them may be parked."""
        records = [
            StoredRecord(
                f"{topic}.events",
                0,
                event.version,
                stream.encode(),
                HEARD.encode(event.data),
                tuple(to_headers(event, topic)),
            )
            for event in recorded([(stream, data, self.clock()) for data in told])
        ]
        await self.consumer.handle_batch(records)
        assert await self.store.pool.fetchval("SELECT count(*) FROM parked") == 0

    async def types(self, category: str = "cart") -> list[str]:
        return [event.type for event in await self.events(category)]

    async def rebuilt(self) -> list[Rebuilt]:
        """What a rebuild of every read model finds."""
        async with asyncpg.create_pool(self.database.owner_url, min_size=1, max_size=3) as owner:
            return [
                await rebuild(owner, self.store.registry, model, swap=False)
                for model in self.store.read_models
            ]


@asynccontextmanager
async def open_shop(database: Database) -> AsyncIterator[Shop]:
    """The service with its own store, ready as after a start of its process."""
    settings = CartSettings(
        database_url=database.url,
        kafka_bootstrap_servers="127.0.0.1:1",
        jwt_key=TOKEN_KEY,
        data_key=DATA_KEY,
        port=0,
    )
    pool = await open_pool(database.url, name=database.service, size=8)
    try:
        clock = Clock()
        store = Store(Postgres(pool), SERVICE.define(settings), epoch=1, clock=clock)
        wired = SERVICE.wire(settings, store)
        subscription = SERVICE.subscription(settings)
        assert subscription is not None
        consumer = Consumer(store, subscription)
        await wired.prepare()

        async def fine() -> None:
            return

        app = create_app("cart", wired.router, {}, fine)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://cart") as http:
            worker = Worker(store, wired.duties)
            yield Shop(database, store, clock, http, consumer=consumer, worker=worker)
    finally:
        await pool.close()
