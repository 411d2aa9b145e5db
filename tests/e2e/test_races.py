"""Everybody clicks twice, each click at another process: one order, one capture each, money to the cent.

Two processes of cart and two of orders share their databases and hear the same webhooks; what one of them
decides the other does not know until it looks.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from cli.demo.client import Person, Refused
from cli.demo.command import PROVIDER_OPTIONS, QUIET_WITHIN_S, SHORT_WAITS
from cli.demo.scenario import Card
from cli.platform import Platform
from cli.prove import prove
from cli.quiet import wait_until_quiet
from cli.up import running_platform, service_program
from sandbox.command import free_ports
from shared.events.envelope import ActorKind
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.integration]

TWICE = ("cart", "orders")
PRICE, UNITS, BUYERS = 6_000, 2, 5
TOTAL = PRICE * UNITS
"""Goods for so much are delivered free."""


@dataclass(frozen=True, slots=True)
class Counter:
    """Where the shop is reached: each service of TWICE at two addresses."""

    platform: Platform
    http: httpx.AsyncClient
    urls: Mapping[str, tuple[str, ...]]

    def person(self, kind: ActorKind, name: str) -> Person:
        return Person(self.http, self.platform.token(kind, name))

    async def twice(self, who: Person, service: str, path: str, body: Any = None) -> list[Any]:
        """The same click at every process at once: what each answers, a refusal as its code."""

        async def click(url: str) -> Any:
            try:
                return await who.call("POST", f"{url}{path}", body)
            except Refused as refusal:
                return refusal.code

        return await asyncio.gather(*(click(url) for url in self.urls[service] for _ in range(2)))


@pytest.fixture
async def counter() -> AsyncIterator[Counter]:
    state = Path(tempfile.mkdtemp(prefix="orderflow-races-"))
    limits = httpx.Limits(max_connections=200)
    try:
        async with (
            httpx.AsyncClient(timeout=30, limits=limits, trust_env=False) as http,
            running_platform(state, settings=SHORT_WAITS, provider_options=PROVIDER_OPTIONS) as running,
        ):
            others = dict(zip(TWICE, free_ports(len(TWICE)), strict=True))
            await running.supervisor.start(
                *(
                    service_program(running.platform, name, http, port=port, instance=2)
                    for name, port in others.items()
                )
            )
            urls = {
                name: (running.platform.services[name].url, f"http://127.0.0.1:{port}")
                for name, port in others.items()
            }
            yield Counter(running.platform, http, urls)
    finally:
        shutil.rmtree(state, ignore_errors=True)


@dataclass(slots=True)
class Bought:
    """An order, its buyer and the clerk who looks after it."""

    counter: Counter
    buyer: Person
    clerk: Person
    order_id: str

    @property
    def url(self) -> str:
        return f"{self.counter.platform.services['orders'].url}/orders/{self.order_id}"

    async def wait(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The order as soon as it is so."""
        seen: dict[str, Any] = {}

        async def look() -> bool:
            with suppress(Refused):
                seen.update(await self.clerk.call("GET", self.url))
            return bool(seen) and wanted(seen)

        await until(look, seconds=120, poll=0.1)
        return seen

    async def pay(self, card: Card, *, beside: str | None = None) -> None:
        """The provider's form, clicked twice, while the buyer clicks on something else."""
        order = await self.wait(lambda o: bool(o["intents"]))
        assert order["payment_status"] == "PENDING"
        payment: dict[str, Any] = {}

        async def look() -> bool:
            with suppress(Refused):
                payment.update(await self.buyer.call("GET", f"{self.url}/payment"))
            return bool(payment)

        await until(look, seconds=120, poll=0.1)
        form = {"client_secret": payment["client_secret"], "card": {"number": card}}
        nobody = Person(self.counter.http, None)

        async def confirm() -> None:
            with suppress(Refused):
                await nobody.call("POST", payment["confirm_url"], form)

        clicks: list[Awaitable[Any]] = [confirm(), confirm()]
        if beside is not None:
            clicks.append(self.twice(self.buyer, beside, {}))
        await asyncio.gather(*clicks)

    async def twice(self, who: Person, path: str, body: Any = None) -> list[Any]:
        return await self.counter.twice(who, "orders", f"/orders/{self.order_id}{path}", body)


async def check_out(counter: Counter, sku: str) -> Bought:
    """Fill a cart and click twice on buy, at both processes."""
    clerk = counter.person(ActorKind.OPERATOR, "clerk")
    buyer = counter.person(ActorKind.CUSTOMER, str(uuid4()))
    here = counter.urls["cart"][0]
    cart = await buyer.call("POST", f"{here}/carts", {"currency": "GBP"})
    path = f"/carts/{cart['cart_id']}"
    await buyer.call("POST", f"{here}{path}/lines", {"sku": sku, "quantity": UNITS})
    delivery = {
        "contact": {"name": "A Buyer", "email": "buyer@example.com"},
        "destination": {"country": "GB", "postal_code": "N1 1AA", "line1": "1 Street", "city": "London"},
        "method_id": "standard",
    }
    await buyer.call("PUT", f"{here}{path}/delivery", delivery)
    wish = {"expected_total": TOTAL, "terms_version": "1"}

    clicks = await counter.twice(buyer, "cart", f"{path}/checkout", wish)

    assert {click["status"] for click in clicks} == {"CHECKED_OUT"}
    (order_id,) = {click["order_id"] for click in clicks}
    return Bought(counter, buyer, clerk, order_id)


async def is_delivered(order: Bought) -> None:
    """Two webhooks of each kind meet a buyer who asks for another payment; then a parcel leaves twice."""
    await order.pay(Card.WEBHOOKS_TWICE, beside="/payment-attempts")
    await order.wait(lambda o: bool(o["order_status"] == "CONFIRMED"))
    await order.twice(order.clerk, "/processing")
    packed = (await order.wait(lambda o: bool(o["fulfillments"])))["fulfillments"]
    assert len(packed) == 1
    parcel = {
        "fulfillment_id": packed[0]["fulfillment_id"],
        "parcel_no": 1,
        "lines": packed[0]["lines"],
        "carrier": "DHL",
        "tracking_number": "1",
    }
    shipped = await order.twice(order.clerk, "/shipments", parcel)
    (shipment,) = {each["shipment_id"] for each in shipped}
    await order.twice(order.buyer, f"/shipments/{shipment}/delivery", {})
    ended = await order.wait(lambda o: bool(o["order_status"] == "COMPLETED"))
    assert ended["money"] == {"authorized": 0, "captured": TOTAL, "refunded": 0, "balance": TOTAL}
    ledger = await order.clerk.call("GET", f"{order.url}/ledger")
    assert [(line["amount"], line["status"]) for line in ledger if line["kind"] == "CAPTURE"] == [
        (TOTAL, "DONE")
    ]


async def is_cancelled_while_it_is_paid(order: Bought) -> None:
    """The money is taken while the buyer gives up, so it has to go back by itself."""
    await order.pay(Card.LATE_CAPTURE, beside="/cancel")
    await gives_everything_back(order)


async def is_cancelled_while_it_is_captured(order: Bought) -> None:
    """One clerk takes a part of the money, another lets all of it go."""
    await order.pay(Card.GOOD)
    await order.wait(lambda o: bool(o["order_status"] == "CONFIRMED"))
    await asyncio.gather(
        order.twice(order.clerk, "/captures", {"request_id": str(uuid4()), "amount": 700}),
        order.twice(order.clerk, "/cancel", {"reason": "STAFF"}),
    )
    await gives_everything_back(order)


async def gives_everything_back(order: Bought) -> None:
    def square(seen: dict[str, Any]) -> bool:
        money = seen["money"]
        return bool(seen["order_status"] == "CANCELLED" and not money["authorized"] and not money["balance"])

    await order.wait(square)


FATES: tuple[Callable[[Bought], Awaitable[None]], ...] = (
    is_delivered,
    is_cancelled_while_it_is_paid,
    is_cancelled_while_it_is_captured,
)


@pytest.mark.timeout(400)
async def test_everything_is_clicked_twice_at_two_processes(counter: Counter) -> None:
    clerk, sku = counter.person(ActorKind.OPERATOR, "clerk"), "TWICE-1"
    listing = {"titles": {"en": "A good"}, "prices": {"GBP": PRICE}}
    await clerk.call("PUT", f"{counter.urls['cart'][0]}/products/{sku}", listing)
    goods = {"lines": [{"sku": sku, "quantity": BUYERS * len(FATES) * UNITS}]}
    await clerk.call("POST", f"{counter.platform.services['inventory'].url}/receipts", goods)

    async def live(fate: Callable[[Bought], Awaitable[None]]) -> str:
        order = await check_out(counter, sku)
        await fate(order)
        return order.order_id

    orders = await asyncio.gather(*(live(fate) for _ in range(BUYERS) for fate in FATES))

    assert len(set(orders)) == BUYERS * len(FATES)
    assert not await wait_until_quiet(counter.platform, QUIET_WITHIN_S)
    proofs = await prove(counter.platform, quiescent=True, rebuild=False)
    assert proofs.ok, str(proofs.first_violation)
    assert proofs.orders_by_state == {"COMPLETED": BUYERS, "CANCELLED": BUYERS * (len(FATES) - 1)}
    assert proofs.counters["orders"] == proofs.counters["checkouts"] == len(orders)
