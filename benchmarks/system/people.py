"""Buyers and staff of the measured shop. They come by a schedule and use nothing but the public HTTP APIs."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from time import time
from typing import Any, Self
from uuid import UUID, uuid4

import orjson

from cli.platform import SERVICES, Platform
from shared.events.envelope import ActorKind
from shared.service.http_client import HttpClient

SKUS = 400
LINES = 2
UNITS = 1_000_000
"""In stock of every sku: nobody is to be refused."""
TYPING_S = 1.0
"""A buyer needs this long between the checkout and the card number."""
ASK_AGAIN_S, LONGEST_PAUSE_S = 0.5, 4.0
QUEUE_EVERY_S = 0.25
QUEUE_PAGE = 500
GOOD_CARD = "4242424242424242"
AT_ONCE = 16
"""Carts that are filled side by side before the measurement."""
PATIENCE_S = 90.0
"""A call that takes longer ends the benchmark."""


class Failed(Exception):  # noqa: N818
    """A service gave no success; the message says what was asked and what came."""


@dataclass(slots=True)
class Purchase:
    """One buyer's way; instants are Unix time, 0 before they came. `due` is when the buyer means to buy."""

    cart_id: UUID
    token: str
    total: int
    due: float = 0.0
    order_id: str = ""
    checked_out: float = 0.0
    paid: float = 0.0
    delivered: float = 0.0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Shop:
    """The platform's addresses, and who works there."""

    platform: Platform
    clients: dict[str, HttpClient]
    admin: str
    clerk: str
    bought: dict[str, Purchase]
    filled: int = 0

    @classmethod
    async def open(cls, platform: Platform, resources: AsyncExitStack) -> Self:
        """Connect, list the products and count the goods in."""
        urls = {name: platform.services[name].url for name in SERVICES} | {"provider": platform.provider_url}
        clients = {name: HttpClient(url, timeout_s=PATIENCE_S) for name, url in urls.items()}
        for client in clients.values():
            resources.push_async_callback(client.close)
        admin = platform.token(ActorKind.ADMIN, "bench-admin")
        clerk = platform.token(ActorKind.OPERATOR, "bench-clerk")
        shop = cls(platform, clients, admin, clerk, {})
        await shop.done("cart", "PUT", "/pricing-policy", admin, _PRICING)
        for start in range(0, SKUS, 200):
            listing = [_listing(number) for number in range(start, start + 200)]
            await shop.done("cart", "POST", "/products", clerk, {"products": listing})
        goods = [{"sku": sku_of(number), "quantity": UNITS} for number in range(SKUS)]
        await shop.done("inventory", "POST", "/receipts", clerk, {"lines": goods})
        return shop

    async def call(
        self, service: str, method: str, path: str, token: str = "", body: Any = None, key: str = ""
    ) -> tuple[int, Any]:
        """The status and the answer's JSON (None for an empty one). `key` becomes the Idempotency-Key."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if key:
            headers["Idempotency-Key"] = key
        content = b"" if body is None else orjson.dumps(body)
        answer = await self.clients[service].request(method, path, headers=headers, body=content)
        return answer.status, orjson.loads(answer.body) if answer.body else None

    async def done(
        self, service: str, method: str, path: str, token: str = "", body: Any = None, key: str = ""
    ) -> Any:
        """The JSON of a success. Raises Failed for any other answer."""
        status, answer = await self.call(service, method, path, token, body, key)
        if status >= 300:
            raise Failed(f"{method} {path}: {status} {answer}")
        return answer

    async def carts(self, count: int) -> list[Purchase]:
        """So many carts, filled and ready to be bought."""
        ready: list[Purchase] = []

        async def fill(number: int) -> None:
            ready.append(await self._fill(number))

        await side_by_side(AT_ONCE, (self.filled + number for number in range(count)), fill)
        self.filled += count
        return ready

    async def _fill(self, number: int) -> Purchase:
        cart, token = uuid4(), self.platform.token(ActorKind.CUSTOMER, str(uuid4()))
        here, start = f"/carts/{cart}", {"cart_id": cart, "currency": "EUR", "locale": "en"}
        await self.done("cart", "POST", "/carts", token, start)
        for line in range(LINES):
            wish = {"sku": sku_of((number * LINES + line) % SKUS), "quantity": 1 + line}
            await self.done("cart", "POST", f"{here}/lines", token, wish)
        answer = await self.done("cart", "PUT", f"{here}/delivery", token, DELIVERY)
        return Purchase(cart, token, answer["totals"]["total"])

    async def buy(self, purchase: Purchase) -> None:
        """Check out at the purchase's instant, type a card number and pay."""
        await asyncio.sleep(max(0.0, purchase.due - time()))
        wish = {"expected_total": purchase.total, "terms_version": "2026-01"}
        path = f"/carts/{purchase.cart_id}/checkout"
        answer = await self.done("cart", "POST", path, purchase.token, wish, str(purchase.cart_id))
        purchase.order_id, purchase.checked_out = answer["order_id"], time()
        self.bought[purchase.order_id] = purchase
        await asyncio.sleep(TYPING_S)
        payment = await self._payment(purchase)
        path = payment["confirm_url"].removeprefix(self.platform.provider_url)
        card = {"client_secret": payment["client_secret"], "card": {"number": GOOD_CARD}}
        await self.done("provider", "POST", path, body=card)
        purchase.paid = time()

    async def _payment(self, purchase: Purchase) -> Any:
        pause = ASK_AGAIN_S
        while True:
            status, answer = await self.call(
                "orders", "GET", f"/orders/{purchase.order_id}/payment", purchase.token
            )
            if status == 200:
                return answer
            if status not in (404, 409):
                raise Failed(f"no payment for {purchase.order_id}: {status} {answer}")
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def work_off_the_queue(self, closed: asyncio.Event) -> None:
        """What staff do: look at the list of confirmed orders, process, ship and deliver each."""
        seen: set[str] = set()
        async with asyncio.TaskGroup() as group:
            while not closed.is_set():
                path = f"/processing-queue?limit={QUEUE_PAGE}"
                queue = await self.done("orders", "GET", path, self.clerk)
                for order_id in {entry["order_id"] for entry in queue} - seen:
                    seen.add(order_id)
                    group.create_task(self._fulfil(order_id))
                await asyncio.sleep(QUEUE_EVERY_S)

    async def _fulfil(self, order_id: str) -> None:
        here = f"/orders/{order_id}"
        started = await self.done("orders", "POST", f"{here}/processing", self.clerk)
        fulfillment = started["fulfillments"][0]
        parcel = {
            "fulfillment_id": fulfillment["fulfillment_id"],
            "parcel_no": 1,
            "lines": fulfillment["lines"],
            "carrier": "Post",
            "tracking_number": order_id[:12],
        }
        shipped = await self.done("orders", "POST", f"{here}/shipments", self.clerk, parcel)
        arrival = f"{here}/shipments/{shipped['shipment_id']}/delivery"
        await self.done("orders", "POST", arrival, self.clerk, {"proof": "CARRIER"})
        self.bought[order_id].delivered = time()
        self.bought[order_id].arrived.set()

    async def open_loop(self, purchases: Sequence[Purchase], rate: float, patience_s: float) -> None:
        """Let a buyer come every 1/`rate` s, whatever became of the ones before, until all is delivered.

        What is not delivered within `patience_s` stays so.
        """
        start = time() + 0.2
        for number, purchase in enumerate(purchases):
            purchase.due = start + number / rate

        async def everybody() -> None:
            async with asyncio.TaskGroup() as group:
                for purchase in purchases:
                    group.create_task(self.buy(purchase))

        await self._trade(everybody, purchases, patience_s)

    async def closed_loop(
        self, purchases: Sequence[Purchase], under_way: int, until_s: float, patience_s: float
    ) -> list[Purchase]:
        """Keep so many orders under way for `until_s`; gives those that were bought.

        What is not delivered within `patience_s` stays so.
        """
        end, begun = time() + until_s, list[Purchase]()

        async def one(purchase: Purchase) -> None:
            if time() >= end:
                return
            purchase.due = time()
            begun.append(purchase)
            await self.buy(purchase)
            await purchase.arrived.wait()

        await self._trade(lambda: side_by_side(under_way, purchases, one), begun, patience_s)
        return begun

    async def _trade(
        self, buyers: Callable[[], Awaitable[None]], purchases: Sequence[Purchase], patience_s: float
    ) -> None:
        closed = asyncio.Event()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s), asyncio.TaskGroup() as group:
                group.create_task(self.work_off_the_queue(closed))
                await buyers()
                for purchase in purchases:
                    await purchase.arrived.wait()
                closed.set()


async def side_by_side(count: int, items: Iterable[Any], work: Callable[[Any], Awaitable[None]]) -> None:
    """Do `work` for every item, `count` at a time."""
    waiting = iter(items)

    async def one_after_another() -> None:
        for item in waiting:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(one_after_another())


def sku_of(number: int) -> str:
    """The sku of an article of the shop."""
    return f"BENCH-{number:04}"


def _listing(number: int) -> dict[str, Any]:
    return {"sku": sku_of(number), "titles": {"en": f"Article {number}"}, "prices": {"EUR": 500 + number}}


_PRICING: dict[str, Any] = {
    "currencies": ["EUR"],
    "home_country": "DE",
    "prices_include_tax": True,
    "tax_rules": [{"country": "DE", "tax_class": "standard", "rate_bp": 1900}],
    "shipping_methods": [
        {
            "id": "post",
            "title": "Post",
            "countries": ["*"],
            "currency": "EUR",
            "bands": [{"price": 490}],
            "eta_days": 3,
        }
    ],
}
DELIVERY = {
    "contact": {"name": "A. Buyer", "email": "buyer@example.com"},
    "destination": {"country": "DE", "postal_code": "10115", "line1": "Street 1", "city": "Berlin"},
    "method_id": "post",
}
