"""Orders in one process, as its neighbours and people meet it: foreign events in, HTTP, a real provider."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import UUID, uuid4

import httpx
import uvicorn

from sandbox.command import free_ports, tcp_open, wait_ready
from sandbox.provider.http import Provider
from sandbox.provider.http import create_app as create_provider
from sandbox.provider.payments import Delays
from sandbox.provider.store import Store as Ledger
from services.orders.app import SERVICE
from services.orders.domain import OrderPolicy, order_decider
from services.orders.effects import ProviderCalls
from services.orders.psp import PaymentProvider, ProviderIntent
from services.orders.sandbox_provider import SandboxProvider
from services.orders.settings import OrdersSettings
from shared.events import cart, inventory, returns
from shared.events.cart import CartCheckedOut
from shared.events.common import Breakdown, CaptureMode, PlacedQty, RefundSource
from shared.events.envelope import SYSTEM, Actor, ActorKind, Recorded, event_id
from shared.events.inventory import StockReserved
from shared.events.registry import Registry
from shared.events.returns import RefundApproved
from shared.messaging.cloudevents import to_headers
from shared.messaging.consumer import Consumer
from shared.service.auth import issue
from shared.service.http import create_app
from shared.service.http_client import HttpClient
from shared.service.metrics import Sample
from shared.service.vault import Vault
from shared.store.connection import open_pool
from shared.store.marks import StoredRecord
from shared.store.postgres import Postgres
from shared.store.rebuild import Rebuilt, rebuild
from shared.store.store import Store
from shared.store.worker import Duties, Unavailable, Worker
from tests.conftest import Database
from tests.integration.sandbox.shop import Shop as Letterbox
from tests.unit.orders.samples import ORDER_ID
from tests.waiting import in_background

E = TypeVar("E")

SECRET = "webhook-secret"
GOOD_CARD = "4242424242424242"
JWT_KEY = "k" * 32
DATA_KEY = b"d" * 32
OPERATOR = Actor(ActorKind.OPERATOR, str(UUID(int=7)))
REFUND = UUID(int=500)
FOREIGN = Registry.of(cart, inventory, returns)
DELAYS = Delays(slow=0.2, late=0.6, hang=0.4, soon=60, away=1)


class Clock:
    """Starts now and stands still, but for a millisecond a look, until a test moves it on."""

    def __init__(self) -> None:
        self._now = datetime.now(UTC)

    def __call__(self) -> datetime:
        self._now += timedelta(milliseconds=1)
        return self._now

    def advance(self, by: timedelta) -> None:
        self._now += by


@dataclass
class Shop:
    """The service and what surrounds it. `letterbox` gets the provider's webhooks, to be forwarded."""

    store: Store
    clock: Clock
    consumer: Consumer
    worker: Worker
    http: httpx.AsyncClient
    provider: httpx.AsyncClient
    calls: HttpClient
    letterbox: Letterbox
    owner_url: str
    vault: Vault
    duties: Duties
    samples: Sequence[Sample]
    start_provider: Callable[[], Awaitable[None]]
    stop_provider: Callable[[], Awaitable[None]]
    forwarded: int = 0

    async def hear(self, stream: str, data: object, version: int = 1) -> None:
        """A foreign event arrives from its topic."""
        event = Recorded(
            stream=stream,
            version=version,
            event_id=event_id(1, stream, version),
            type=type(data).__name__,
            schema_version=1,
            occurred_at=self.clock(),
            correlation_id=uuid4(),
            causation_id=None,
            actor=SYSTEM,
            epoch=1,
            data=data,
        )
        await self.consumer.handle_batch([record_of(event)])

    async def place(self, checkout: CartCheckedOut, cart_id: UUID) -> UUID:
        """An order from a checkout."""
        await self.hear(f"cart-{cart_id}", checkout)
        return checkout.order_id

    async def secure_stock(self, order_id: UUID, checkout: CartCheckedOut, *, work: bool = True) -> None:
        """Inventory holds everything, and with `work` the provider is asked for the money."""
        place = UUID(int=20)
        held = tuple(
            PlacedQty(line_id=line.line_id, sku=line.sku, location_id=place, quantity=line.quantity)
            for line in checkout.lines
        )
        await self.hear(f"reservation-{order_id}", StockReserved(order_id=order_id, placed=held))
        if work:
            await self.work()

    async def work(self) -> int:
        """Do everything that is due now."""
        return await self.worker.run_due()

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        actor: Actor = OPERATOR,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """A request with the token of `actor`."""
        token = issue(JWT_KEY, actor, self.clock())
        return await self.http.request(
            method, path, json=body, headers={"Authorization": f"Bearer {token}", **(headers or {})}
        )

    async def get(self, order_id: UUID, actor: Actor = OPERATOR) -> Any:
        """The order page."""
        answer = await self.call("GET", f"/orders/{order_id}", actor=actor)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def statuses(self, order_id: UUID) -> tuple[str, str, str]:
        """The three axes."""
        page = await self.get(order_id)
        return page["order_status"], page["payment_status"], page["fulfillment_status"]

    async def pay(self, order_id: UUID, card: str = GOOD_CARD) -> Any:
        """The buyer's browser confirms the payment; gives the provider's intent."""
        payment = (await self.call("GET", f"/orders/{order_id}/payment")).json()
        answer = await self.provider.post(
            payment["confirm_url"],
            json={"client_secret": payment["client_secret"], "card": {"number": card}},
            timeout=60,
        )
        return answer.json()

    async def forward(self, expected: int = 0) -> list[int]:
        """Hand over the webhooks that came since the last time; at least `expected` are awaited."""
        assert await wait_ready(lambda: self._told(self.forwarded + expected), 20)
        new = self.letterbox.deliveries[self.forwarded :]
        self.forwarded += len(new)
        return [await self.deliver(headers, body) for headers, body in new]

    async def _told(self, count: int) -> bool:
        health = (await self.provider.get("/v1/health")).json()
        return len(self.letterbox.deliveries) >= count and health["undelivered_webhooks"] == 0

    async def until_provider_says(self, intent: str, status: str) -> None:
        """The provider decides in its own time."""

        async def said() -> bool:
            found = (await self.provider.get(f"/v1/payment_intents/{intent}")).json()
            return bool(found["status"] == status)

        assert await wait_ready(said, 20)

    async def until_provider_knows(self, intent_id: UUID) -> None:
        """The payment can be reached again."""

        async def known() -> bool:
            about = {"reference": str(intent_id)}
            return (await self.provider.get("/v1/payment_intents", params=about)).status_code == 200

        assert await wait_ready(known, 20)

    async def webhooks_kept(self) -> tuple[int, int]:
        """How many webhooks are kept, and how many of them still wait."""
        row = await self.store.pool.fetchrow(
            "SELECT count(*), count(*) FILTER (WHERE processed_at IS NULL) FROM received_webhooks"
        )
        assert row is not None
        return row[0], row[1]

    async def deliver(self, headers: Mapping[str, str], body: bytes) -> int:
        """One webhook."""
        signature = {"Provider-Signature": headers["Provider-Signature"]}
        return (await self.http.post("/webhooks/payments", content=body, headers=signature)).status_code

    async def event_types(self, order_id: UUID) -> list[str]:
        """The order's stream by type."""
        stream = f"order-{order_id}"
        return [event.type for event in (await self.store.load([stream]))[stream]]

    async def events(self, order_id: UUID, kind: type[E]) -> list[E]:
        """The events of one type in the order's stream."""
        stream = f"order-{order_id}"
        return [e.data for e in (await self.store.load([stream]))[stream] if isinstance(e.data, kind)]

    def worker_with(self, provider: PaymentProvider) -> Worker:
        """A worker that calls this provider instead."""
        calls = ProviderCalls(self.store, order_decider(OrderPolicy()), provider)
        return Worker(self.store, replace(self.duties, effects=calls.effects()))

    async def ledger(self, *kinds: str) -> list[tuple[str, int]]:
        """The provider's own books."""
        entries = (await self.provider.get("/v1/ledger")).json()["data"]
        return [(e["kind"], e["amount"]) for e in entries if not kinds or e["kind"] in kinds]

    async def rebuilt(self) -> list[Rebuilt]:
        """Every read model folded anew beside the live one."""
        pool = await open_pool(self.owner_url, name="owner", size=4)
        try:
            return [
                await rebuild(pool, self.store.registry, model, swap=False)
                for model in self.store.read_models
            ]
        finally:
            await pool.close()

    async def stranger_pays(
        self, reference: object, order: object, amount: int, *, method: str = "manual"
    ) -> str:
        """Somebody pays an intent that orders never asked for; gives its id at the provider."""
        wish = {
            "amount": amount,
            "currency": "GBP",
            "reference": str(reference),
            "capture_method": method,
            "metadata": {"order_id": str(order)},
        }
        made = (await self.provider.post("/v1/payment_intents", json=wish)).json()
        paid = {"client_secret": made["client_secret"], "card": {"number": GOOD_CARD}}
        await self.provider.post(f"/v1/payment_intents/{made['id']}/confirm", json=paid)
        return str(made["id"])

    async def orphans(self) -> list[dict[str, Any]]:
        """The operator's page of payments that fit no order."""
        answer = await self.call("GET", "/orphan-payments")
        assert answer.status_code == 200, answer.text
        return list(answer.json())


class SlowToCreate(SandboxProvider):
    """The provider, slow: while it makes an intent, something else happens."""

    def __init__(self, client: HttpClient, meanwhile: Callable[[], Awaitable[None]]) -> None:
        super().__init__(client, client.base_url)
        self._meanwhile = meanwhile

    async def create(
        self,
        intent_id: UUID,
        order_id: UUID,
        amount: int,
        currency: str,
        capture: CaptureMode,
        key: str,
        *,
        paid_like: str | None = None,
    ) -> ProviderIntent:
        made = await super().create(intent_id, order_id, amount, currency, capture, key, paid_like=paid_like)
        await self._meanwhile()
        return made


class AnswersLost(SandboxProvider):
    """The provider over a bad line: it takes and gives back money, but nobody hears that it did."""

    def __init__(self, client: HttpClient) -> None:
        super().__init__(client, client.base_url)
        self.asked: list[str] = []

    async def capture(self, intent: ProviderIntent, capture_id: UUID, amount: int, key: str) -> str:
        self.asked.append("capture")
        await super().capture(intent, capture_id, amount, key)
        raise Unavailable("the answer was lost")

    async def refund(self, intent: ProviderIntent, refund_id: UUID, amount: int, key: str) -> str:
        self.asked.append("refund")
        await super().refund(intent, refund_id, amount, key)
        raise Unavailable("the answer was lost")


def granted(amount: int) -> RefundApproved:
    """A goodwill refund of the order."""
    return RefundApproved(
        order_id=ORDER_ID,
        source=RefundSource.GOODWILL,
        source_id=UUID(int=501),
        amount=amount,
        currency="GBP",
        breakdown=Breakdown(items_net=amount, items_tax=0, shipping_net=0, shipping_tax=0, total=amount),
        lines=(),
        approved_by=(),
    )


def record_of(event: Recorded[Any]) -> StoredRecord:
    """The event as it comes from its topic."""
    headers = tuple(to_headers(event, "other"))
    return StoredRecord("other.events", 0, 0, event.stream.encode(), FOREIGN.encode(event.data), headers)


@asynccontextmanager
async def open_shop(
    database: Database, letterbox: Letterbox, folder: Path, **policy: Any
) -> AsyncIterator[Shop]:
    """Orders over a database, beside a provider of its own, inside the block."""
    (port,) = free_ports(1)
    provider = f"http://127.0.0.1:{port}"
    settings = OrdersSettings.model_validate(
        {
            "database_url": database.url,
            "kafka_bootstrap_servers": "unused:1",
            "jwt_key": JWT_KEY,
            "data_key": base64.b64encode(DATA_KEY).decode(),
            "port": 0,
            "provider_url": provider,
            "webhook_secrets": f"old-secret, {SECRET}",
            "order_policy": policy,
        }
    )
    clock = Clock()
    pool = await open_pool(database.url, name="orders", size=8)
    try:
        store = Store(Postgres(pool), SERVICE.define(settings), epoch=1, clock=clock)
        wired = SERVICE.wire(settings, store)
        calls = HttpClient(provider, timeout_s=5)
        wired.resources.push_async_callback(calls.close)
        subscription = SERVICE.subscription(settings)
        assert subscription is not None
        app = create_app("orders", wired.router, {}, _alive)
        async with (
            wired.resources,
            _Provider(port, letterbox, folder) as process,
            httpx.AsyncClient(base_url=provider, trust_env=False) as to_provider,
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://orders") as http,
        ):
            yield Shop(
                store=store,
                clock=clock,
                consumer=Consumer(store, subscription),
                worker=Worker(store, wired.duties),
                http=http,
                provider=to_provider,
                calls=calls,
                letterbox=letterbox,
                owner_url=database.owner_url,
                vault=Vault(DATA_KEY),
                duties=wired.duties,
                samples=wired.samples,
                start_provider=process.start,
                stop_provider=process.stop,
            )
    finally:
        await pool.close()


class _Provider:
    """The sandbox provider, over HTTP and a ledger that outlives it; as a process it has tests of its own."""

    def __init__(self, port: int, letterbox: Letterbox, folder: Path) -> None:
        self._port, self._url, self._ledger = port, letterbox.url, folder / "ledger.db"
        self._running = AsyncExitStack()

    async def start(self) -> None:
        provider = Provider(Ledger(self._ledger), DELAYS, self._url, SECRET)
        server = _Server(uvicorn.Config(create_provider(provider), port=self._port, log_level="warning"))

        async def serve(stop: asyncio.Event) -> None:
            serving = asyncio.create_task(server.serve())
            await stop.wait()
            server.should_exit = True
            await serving

        await self._running.enter_async_context(in_background(serve))
        assert await wait_ready(lambda: tcp_open(self._port), 20)

    async def stop(self) -> None:
        await self._running.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


class _Server(uvicorn.Server):
    """uvicorn that leaves signals to pytest."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _alive() -> None:
    """The in-process app has no background tasks that could die."""
