"""Buyers and staff of the measured shop. They come by a schedule and use nothing but the public HTTP APIs."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from time import time
from typing import Any, Self
from uuid import UUID, uuid4

from benchmarks.system.client import Client, Failed
from cli.platform import SERVICES, Platform
from shared.events.envelope import ActorKind

SKUS = 400
LINES = 2
UNITS = 1_000_000
"""In stock of every sku: nobody is to be refused."""
TYPING_S = 1.0
"""A buyer needs this long between the checkout and the card number."""
ASK_AGAIN_S = 0.5
QUEUE_EVERY_S = 0.25
QUEUE_PAGE = 500
GOOD_CARD = "4242424242424242"
AT_ONCE = 32
"""Carts that are filled side by side before the measurement."""


@dataclass(slots=True)
class Purchase:
    """One buyer's way; instants are Unix time, 0 before they came."""

    cart_id: UUID
    token: str
    total: int
    due: float = 0.0
    order_id: str = ""
    checked_out: float = 0.0
    paid: float = 0.0
    delivered: float = 0.0


@dataclass(slots=True)
class Shop:
    """The platform's addresses, and who works there."""

    platform: Platform
    clients: dict[str, Client]
    admin: str
    clerk: str
    bought: dict[str, Purchase] = field(default_factory=dict)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    async def open(cls, platform: Platform, resources: AsyncExitStack) -> Self:
        """Connect, list the products and count the goods in."""
        urls = {name: platform.services[name].url for name in SERVICES} | {"provider": platform.provider_url}
        clients = {name: await resources.enter_async_context(Client(url)) for name, url in urls.items()}
        admin = platform.token(ActorKind.ADMIN, "bench-admin")
        clerk = platform.token(ActorKind.OPERATOR, "bench-clerk")
        shop = cls(platform, clients, admin, clerk)
        await clients["cart"].done("PUT", "/pricing-policy", token=admin, body=_PRICING)
        for start in range(0, SKUS, 200):
            listing = [_listing(number) for number in range(start, start + 200)]
            await clients["cart"].done("POST", "/products", token=clerk, body={"products": listing})
        goods = [{"sku": _sku(number), "quantity": UNITS} for number in range(SKUS)]
        await clients["inventory"].done("POST", "/receipts", token=clerk, body={"lines": goods})
        return shop

    async def carts(self, count: int) -> list[Purchase]:
        """So many carts, filled and ready to be bought."""
        numbers = iter(range(count))
        ready: list[Purchase] = []

        async def buyer() -> None:
            for number in numbers:
                ready.append(await self._fill(number))

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(buyer())
        return ready

    async def _fill(self, number: int) -> Purchase:
        cart, buyer = uuid4(), uuid4()
        token = self.platform.token(ActorKind.CUSTOMER, str(buyer))
        client, here = self.clients["cart"], f"/carts/{cart}"
        start = {"cart_id": cart, "currency": "EUR", "locale": "en"}
        await client.done("POST", "/carts", token=token, body=start)
        for line in range(LINES):
            wish = {"sku": _sku((number * LINES + line) % SKUS), "quantity": 1 + line}
            await client.done("POST", f"{here}/lines", token=token, body=wish)
        answer = await client.done("PUT", f"{here}/delivery", token=token, body=_DELIVERY)
        return Purchase(cart, token, answer["totals"]["total"])

    async def buy(self, purchase: Purchase) -> None:
        """Check out at the purchase's instant, type a card number and pay."""
        await asyncio.sleep(max(0.0, purchase.due - time()))
        wish = {"expected_total": purchase.total, "terms_version": "2026-01"}
        answer = await self.clients["cart"].done(
            "POST",
            f"/carts/{purchase.cart_id}/checkout",
            token=purchase.token,
            body=wish,
            key=str(purchase.cart_id),
        )
        purchase.order_id, purchase.checked_out = answer["order_id"], time()
        self.bought[purchase.order_id] = purchase
        await asyncio.sleep(TYPING_S)
        payment = await self._payment(purchase)
        path = payment["confirm_url"].removeprefix(self.platform.provider_url)
        card = {"client_secret": payment["client_secret"], "card": {"number": GOOD_CARD}}
        await self.clients["provider"].done("POST", path, body=card)
        purchase.paid = time()

    async def _payment(self, purchase: Purchase) -> Any:
        while True:
            status, answer = await self.clients["orders"].call(
                "GET", f"/orders/{purchase.order_id}/payment", token=purchase.token
            )
            if status == 200:
                return answer
            if status not in (404, 409):
                raise Failed(f"no payment for {purchase.order_id}: {status} {answer}")
            await asyncio.sleep(ASK_AGAIN_S)

    async def work_off_the_queue(self) -> None:
        """What staff do: look at the list of confirmed orders, process, ship and deliver each."""
        seen: set[str] = set()
        async with asyncio.TaskGroup() as group:
            while not self.done.is_set():
                queue = await self.clients["orders"].done(
                    "GET", f"/processing-queue?limit={QUEUE_PAGE}", token=self.clerk
                )
                for order_id in {entry["order_id"] for entry in queue} - seen:
                    seen.add(order_id)
                    group.create_task(self._fulfil(order_id))
                await asyncio.sleep(QUEUE_EVERY_S)

    async def _fulfil(self, order_id: str) -> None:
        client, here = self.clients["orders"], f"/orders/{order_id}"
        started = await client.done("POST", f"{here}/processing", token=self.clerk)
        fulfillment = started["fulfillments"][0]
        parcel = {
            "fulfillment_id": fulfillment["fulfillment_id"],
            "parcel_no": 1,
            "lines": fulfillment["lines"],
            "carrier": "Post",
            "tracking_number": order_id[:12],
        }
        shipped = await client.done("POST", f"{here}/shipments", token=self.clerk, body=parcel)
        arrival = f"{here}/shipments/{shipped['shipment_id']}/delivery"
        await client.done("POST", arrival, token=self.clerk, body={"proof": "CARRIER"})
        self.bought[order_id].delivered = time()

    async def trade(self, purchases: Sequence[Purchase], patience_s: float) -> None:
        """Let everybody buy at their instant and wait until all is delivered, or for `patience_s`."""
        self.done.clear()
        async with asyncio.timeout(patience_s), asyncio.TaskGroup() as group:
            staff = group.create_task(self.work_off_the_queue())
            buyers = [group.create_task(self.buy(purchase)) for purchase in purchases]
            await asyncio.wait(buyers)
            while not all(purchase.delivered for purchase in purchases):
                await asyncio.sleep(0.05)
                if staff.done():
                    break
            self.done.set()


def _sku(number: int) -> str:
    return f"BENCH-{number:04}"


def _listing(number: int) -> dict[str, Any]:
    return {"sku": _sku(number), "titles": {"en": f"Article {number}"}, "prices": {"EUR": 500 + number}}


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
_DELIVERY = {
    "contact": {"name": "A. Buyer", "email": "buyer@example.com"},
    "destination": {"country": "DE", "postal_code": "10115", "line1": "Street 1", "city": "Berlin"},
    "method_id": "post",
}
