"""Orders are edited before they leave, over all services: what stock refuses is taken back, money follows."""

import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
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
from cli.up import running_platform
from shared.events.envelope import ActorKind
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.integration]

CUP, BAG = "CUP-1", "BAG-1"
PRICES = {CUP: 6_000, BAG: 7_500}
"""Goods for so much are delivered free."""


@pytest.fixture
async def shop() -> AsyncIterator[tuple[Platform, httpx.AsyncClient]]:
    """All services, taking the money when an order is placed."""
    state = Path(tempfile.mkdtemp(prefix="orderflow-edits-"))
    policy = json.loads(SHORT_WAITS["orders"]["ORDER_POLICY"]) | {"capture": "NOW"}
    orders = {**SHORT_WAITS["orders"], "ORDER_POLICY": json.dumps(policy)}
    settings = {**SHORT_WAITS, "orders": orders}
    try:
        async with (
            httpx.AsyncClient(timeout=30, trust_env=False) as http,
            running_platform(state, settings=settings, provider_options=PROVIDER_OPTIONS) as running,
        ):
            yield running.platform, http
    finally:
        shutil.rmtree(state, ignore_errors=True)


@dataclass(slots=True)
class Bought:
    """An order that was paid, its buyer and the clerk who looks after it."""

    platform: Platform
    http: httpx.AsyncClient
    buyer: Person
    clerk: Person
    order_id: str = ""

    def url(self, service: str, path: str) -> str:
        return f"{self.platform.services[service].url}{path}"

    def here(self, path: str = "") -> str:
        return self.url("orders", f"/orders/{self.order_id}{path}")

    async def wait(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The order as soon as it is so."""
        seen: dict[str, Any] = {}

        async def look() -> bool:
            with suppress(Refused):
                seen.update(await self.clerk.call("GET", self.here()))
            return bool(seen) and wanted(seen)

        await until(look, seconds=120, poll=0.1)
        return seen

    async def pay(self) -> None:
        """What is asked for now."""
        payment: dict[str, Any] = {}

        async def look() -> bool:
            with suppress(Refused):
                payment.update(await self.buyer.call("GET", self.here("/payment")))
            return payment.get("confirm_url") is not None

        await until(look, seconds=120, poll=0.1)
        form = {"client_secret": payment["client_secret"], "card": {"number": Card.GOOD}}
        await Person(self.http, None).call("POST", payment["confirm_url"], form)

    async def edit(self, who: Person, *units: tuple[str, int]) -> None:
        """From now on the order is so many units of each sku, its lines kept where it has some."""
        order = await self.clerk.call("GET", self.here())
        known = {line["sku"]: line["line_id"] for line in order["lines"]}
        lines = [
            {"line_id": known.get(sku, str(uuid4())), "sku": sku, "quantity": quantity}
            for sku, quantity in units
        ]
        wish = {"currency": "GBP", "lines": lines, "country": "GB", "method_id": "standard"}
        quote = await who.call("POST", self.url("cart", "/quotes"), {"of": wish})
        await who.call("POST", self.here("/edits"), {"quote": quote})

    async def ship(self) -> dict[str, Any]:
        """All of it, to its door; the order at its end."""
        packed = (await self.clerk.call("POST", self.here("/processing")))["fulfillments"]
        parcel = {
            "fulfillment_id": packed[-1]["fulfillment_id"],
            "parcel_no": 1,
            "lines": packed[-1]["lines"],
            "carrier": "DHL",
            "tracking_number": "1",
        }
        shipped = await self.clerk.call("POST", self.here("/shipments"), parcel)
        await self.clerk.call("POST", self.here(f"/shipments/{shipped['shipment_id']}/delivery"), {})
        return await self.wait(lambda o: bool(o["order_status"] == "COMPLETED"))


async def buy(shop: tuple[Platform, httpx.AsyncClient], sku: str, quantity: int) -> Bought:
    """A cart, checked out and paid."""
    platform, http = shop
    clerk = Person(http, platform.token(ActorKind.OPERATOR, "clerk"))
    bought = Bought(platform, http, Person(http, platform.token(ActorKind.CUSTOMER, str(uuid4()))), clerk)
    cart = await bought.buyer.call("POST", bought.url("cart", "/carts"), {"currency": "GBP"})
    path = bought.url("cart", f"/carts/{cart['cart_id']}")
    await bought.buyer.call("POST", f"{path}/lines", {"sku": sku, "quantity": quantity})
    delivery = {
        "contact": {"name": "A Buyer", "email": "buyer@example.com"},
        "destination": {"country": "GB", "postal_code": "N1 1AA", "line1": "1 Street", "city": "London"},
        "method_id": "standard",
    }
    await bought.buyer.call("PUT", f"{path}/delivery", delivery)
    wish = {"expected_total": PRICES[sku] * quantity, "terms_version": "1"}
    bought.order_id = (await bought.buyer.call("POST", f"{path}/checkout", wish))["order_id"]
    await bought.pay()
    await bought.wait(lambda o: bool(o["order_status"] == "CONFIRMED"))
    return bought


def money(order: dict[str, Any]) -> tuple[int, int]:
    """Taken and paid back."""
    return order["money"]["captured"], order["money"]["refunded"]


def units(order: dict[str, Any]) -> dict[str, int]:
    return {line["sku"]: line["quantity"] for line in order["lines"]}


@pytest.mark.timeout(400)
async def test_orders_are_edited_before_they_leave(shop: tuple[Platform, httpx.AsyncClient]) -> None:
    platform, http = shop
    clerk = Person(http, platform.token(ActorKind.OPERATOR, "clerk"))
    cart, inventory = (platform.services[name].url for name in ("cart", "inventory"))
    for sku, price in PRICES.items():
        await clerk.call("PUT", f"{cart}/products/{sku}", {"titles": {"en": sku}, "prices": {"GBP": price}})
    goods = [{"sku": CUP, "quantity": 7}, {"sku": BAG, "quantity": 1}]
    await clerk.call("POST", f"{inventory}/receipts", {"lines": goods})

    dearer, vain, cheaper = [await buy(shop, CUP, quantity) for quantity in (1, 1, 3)]

    await dearer.edit(dearer.buyer, (CUP, 2), (BAG, 1))
    with pytest.raises(Refused, match="on_hold"):
        await clerk.call("POST", dearer.here("/processing"))
    await dearer.pay()
    await dearer.wait(lambda o: bool(o["fulfillment_status"] != "ON_HOLD"))

    await vain.edit(clerk, (CUP, 1), (BAG, 1))
    seen = await vain.wait(lambda o: units(o) == {CUP: 1})
    assert seen["fulfillment_status"] != "ON_HOLD"

    await cheaper.edit(clerk, (CUP, 2))
    await cheaper.wait(lambda o: money(o) == (18_000, 6_000))

    ended = [await order.ship() for order in (dearer, vain, cheaper)]

    assert [units(order) for order in ended] == [{CUP: 2, BAG: 1}, {CUP: 1}, {CUP: 2}]
    assert [money(order) for order in ended] == [(19_500, 0), (6_000, 0), (18_000, 6_000)]
    assert not await wait_until_quiet(platform, QUIET_WITHIN_S)
    for sku, left in ((CUP, 2), (BAG, 0)):
        level = await clerk.call("GET", f"{inventory}/stock/{sku}")
        assert (level["on_hand"], level["held"]) == (left, 0)
    proofs = await prove(platform, quiescent=True, rebuild=True)
    assert proofs.ok, str(proofs.first_violation)
    assert proofs.counters["edits"] == 3
    assert (proofs.counters["edits_taken_back"], proofs.counters["balances_asked"]) == (1, 1)
