"""The returns service in this process, on its own database, hearing of orders that a test tells it of."""

import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx

from services.returns.app import SERVICE
from services.returns.settings import ReturnsSettings
from shared.domain import category_of
from shared.events import orders
from shared.events.envelope import Actor, ActorKind, Recorded
from shared.events.registry import Registry
from shared.messaging.cloudevents import to_headers
from shared.messaging.consumer import Consumer
from shared.messaging.topics import partition_of, topic_of
from shared.service.auth import issue
from shared.service.http import create_app
from shared.store.connection import Connection, open_pool
from shared.store.marks import StoredRecord
from shared.store.postgres import Postgres
from shared.store.readmodel import ReadModel
from shared.store.rebuild import Rebuilt, rebuild
from shared.store.store import Store
from shared.store.worker import Worker
from tests.conftest import Database
from tests.integration.services.returns.orders import Order

TOKEN_KEY = "a key that signs the tokens of these tests"
DATA_KEY = base64.b64encode(bytes(range(32))).decode()
ORDERS = Registry.of(orders)
PROBLEM = "urn:orderflow:problem:"


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
        response = await self.http.request(method, path, headers=sent, json=body)
        assert response.status_code == status, (response.status_code, response.text)
        return response

    async def get(self, path: str) -> Any:
        return (await self.call("GET", path)).json()

    async def post(self, path: str, body: Any = None, *, status: int = 200, **headers: str) -> Any:
        return (await self.call("POST", path, body, status=status, **headers)).json()

    async def refused(
        self, method: str, path: str, body: Any = None, *, status: int, **headers: str
    ) -> dict[str, Any]:
        """The problem, with its bare code as `code`."""
        response = await self.call(method, path, body, status=status, **headers)
        assert response.headers["content-type"] == "application/problem+json"
        problem: dict[str, Any] = response.json()
        return {**problem, "code": problem["type"].removeprefix(PROBLEM)}


class Told:
    """The events of orders that were told, for a rebuild."""

    missing = 0

    def __init__(self, events: Sequence[Recorded[Any]]) -> None:
        self._left = list(events)

    async def applied(self, _connection: Connection) -> AsyncIterator[Sequence[Recorded[Any]]]:
        given, self._left = self._left, []
        yield given


class Desk:
    """A running returns service and the people who use it."""

    def __init__(
        self,
        database: Database,
        store: Store,
        clock: Clock,
        http: httpx.AsyncClient,
        settings: ReturnsSettings,
    ) -> None:
        self.database, self.store, self.clock, self.http = database, store, clock, http
        self.settings = settings
        self.stranger = Caller(http, None)
        self.clerk = self.caller(ActorKind.OPERATOR, "clerk")
        self.colleague = self.caller(ActorKind.OPERATOR, str(uuid4()))
        self.admin = self.caller(ActorKind.ADMIN, "owner")
        subscription = SERVICE.subscription(settings)
        assert subscription is not None
        self.subscription = subscription
        self.consumer = Consumer(store, subscription)
        self.wired = SERVICE.wire(settings, store)
        self.worker = Worker(store, self.wired.duties)
        self._told: dict[str, Recorded[Any]] = {}

    def caller(self, kind: ActorKind, actor_id: str) -> Caller:
        token = issue(TOKEN_KEY, Actor(kind, actor_id), datetime.now(UTC), timedelta(days=400))
        return Caller(self.http, token)

    def customer_of(self, order: Order) -> Caller:
        return self.caller(ActorKind.CUSTOMER, str(order.customer_id or order.subject_id))

    async def hear(self, order: Order) -> Order:
        """The order's events arrive, all of them, however often they came before."""
        self._told |= {f"{event.stream}/{event.version}": event for event in order.events}
        await self.consumer.handle_batch(
            [
                StoredRecord(
                    topic_of("orders"),
                    partition_of(event.stream.encode()),
                    offset,
                    event.stream.encode(),
                    ORDERS.encode(event.data),
                    tuple(to_headers(event, "orders")),
                )
                for offset, event in enumerate(order.events)
            ]
        )
        assert await self.store.pool.fetchval("SELECT count(*) FROM parked") == 0
        return order

    async def work(self) -> int:
        """Own reactions and due timers run."""
        return await self.worker.run_due()

    async def ask(self, order: Order, quantity: int = 2, **line: Any) -> dict[str, Any]:
        """The customer asks to send mugs back."""
        wanted = {"line_id": str(order.mugs), "quantity": quantity, "reason": "UNWANTED", **line}
        body = {"order_id": str(order.order_id), "lines": [wanted]}
        answer: dict[str, Any] = await self.customer_of(order).post("/returns", body, status=201)
        return answer

    async def receive(
        self, asked: dict[str, Any], quantity: int = 2, disposition: str = "RESTOCKED", **scan: Any
    ) -> dict[str, Any]:
        """The warehouse counts mugs in, and what follows is done."""
        line = {
            "line_id": asked["lines"][0]["line_id"],
            "quantity": quantity,
            "disposition": disposition,
        }
        path = f"/returns/{asked['return_id']}/receipts"
        answer: dict[str, Any] = await self.clerk.post(path, {"lines": [line], **scan}, status=201)
        await self.work()
        return answer

    async def refund_of(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The only refund of a return."""
        (found,) = await self.clerk.get(f"/refunds?source_id={asked['return_id']}")
        refund: dict[str, Any] = found
        return refund

    async def events(self, *categories: str) -> list[Recorded[Any]]:
        """The events of streams of these categories, by position."""
        async with self.store.pool.acquire() as connection:
            places = await connection.fetch("SELECT stream_id, version FROM events ORDER BY position")
        loaded = await self.store.load(list({row["stream_id"] for row in places}))
        found = [loaded[row["stream_id"]][row["version"] - 1] for row in places]
        return [event for event in found if category_of(event.stream) in categories]

    async def types(self, *categories: str) -> list[str]:
        return [event.type for event in await self.events(*categories)]

    async def rebuilt(self) -> dict[str, Rebuilt]:
        """Every read model, folded anew and compared."""
        pool = await asyncpg.create_pool(self.database.owner_url, min_size=1, max_size=3)
        foreign: dict[str, ReadModel[Any]] = {model.name: model for model in self.subscription.read_models}
        try:
            return {
                model.name: await rebuild(
                    pool,
                    self.store.registry,
                    model,
                    foreign=Told(list(self._told.values())) if model.name in foreign else None,
                )
                for model in self.store.read_models
            }
        finally:
            await pool.close()


@asynccontextmanager
async def open_desk(database: Database, **changes: Any) -> AsyncIterator[Desk]:
    settings = ReturnsSettings(
        database_url=database.url,
        kafka_bootstrap_servers="127.0.0.1:9",
        jwt_key=TOKEN_KEY,
        data_key=DATA_KEY,
        port=0,
        **changes,
    )
    pool = await open_pool(database.url, name="returns", size=5)
    try:
        clock = Clock()
        store = Store(Postgres(pool), SERVICE.define(settings), epoch=1, clock=clock)
        wired = SERVICE.wire(settings, store)
        await wired.prepare()
        app = create_app("returns", wired.router, {}, _fine)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://returns.test"
        ) as http:
            yield Desk(database, store, clock, http, settings)
    finally:
        await pool.close()


async def _fine() -> None:
    """Alive."""
