"""A steady stream of orders, each with its own story, that customers and staff carry to an end."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from time import monotonic
from typing import Any
from uuid import UUID

from cli.demo.scenario import Card
from cli.platform import Platform
from shared.events.envelope import ActorKind
from tests.chaos.client import Client, Refused, Unanswered
from tests.chaos.history import Fact
from tests.waiting import pause

SKUS = tuple(f"chaos-{number:02}" for number in range(20))
SOLD_OUT = "chaos-never-in-stock"
PRICE, POSTAGE = 1250, 300
FIRST_STOCK = 20_000
COMPLETED = "COMPLETED"
UNPAID = "CANCELLED DECLINED"


class Story(StrEnum):
    """How an order is meant to go."""

    DELIVERED = "DELIVERED"
    TWO_PARCELS = "TWO_PARCELS"
    SENT_BACK = "SENT_BACK"
    GOODWILL = "GOODWILL"
    SECOND_CARD = "SECOND_CARD"
    CHANGED_MIND = "CHANGED_MIND"
    SOLD_OUT = "SOLD_OUT"


SHARES = {
    Story.DELIVERED: 10,
    Story.TWO_PARCELS: 2,
    Story.SENT_BACK: 3,
    Story.GOODWILL: 2,
    Story.SECOND_CARD: 2,
    Story.CHANGED_MIND: 2,
    Story.SOLD_OUT: 1,
}
CARDS = (Card.GOOD, Card.GOOD, Card.GOOD, Card.WEBHOOKS_TWICE, Card.SLOW, Card.CAPTURE_FAILS_FIRST)


@dataclass(slots=True)
class Market:
    """The people of one run. `surprises` are refusals that no story has, `ended` counts stories."""

    platform: Platform
    client: Client
    chance: random.Random
    ended: Counter[str] = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)
    _admin: str = ""
    _clerk: str = ""
    _manager: str = ""

    def __post_init__(self) -> None:
        self._admin = self.platform.token(ActorKind.ADMIN, "chaos-admin")
        self._clerk = self.platform.token(ActorKind.OPERATOR, str(UUID(int=1, version=4)))
        self._manager = self.platform.token(ActorKind.OPERATOR, str(UUID(int=2, version=4)))

    async def open(self) -> None:
        """Prices, products and the first goods."""
        await self.client.command(self._admin, "PUT", self._url("cart", "/pricing-policy"), _PRICING)
        listing = [
            {"sku": sku, "titles": {"en": sku.title()}, "prices": {"GBP": PRICE}} for sku in (*SKUS, SOLD_OUT)
        ]
        await self.client.command(self._clerk, "POST", self._url("cart", "/products"), {"products": listing})
        await self._receive(dict.fromkeys(SKUS, FIRST_STOCK))

    async def trade(self, stop: asyncio.Event, *, rate: float, most: int) -> None:
        """Begin `rate` orders a second, `most` at once, until `stop`; then carry all to their ends."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._warehouse(stop))
            stories: set[asyncio.Task[None]] = set()
            due = monotonic()
            while not stop.is_set():
                if len(stories) < most:
                    task = group.create_task(self._told(self._story()))
                    stories.add(task)
                    task.add_done_callback(stories.discard)
                due = max(due + 1 / rate, monotonic())
                await pause(due - monotonic())

    async def order_now(self) -> str:
        """An order of a careful buyer from the cart to its confirmation, its mail and the right to return it.

        It takes events through every service and back. Gives the order's id. Raises Refused, Unanswered.
        """
        token, order_id = await self._buy({self._any_sku(): 1}, Story.DELIVERED)
        await self._pay(token, order_id, Card.GOOD, set())
        await self._order(order_id, lambda order: order["order_status"] != "PLACED")
        messages = self._url("notifications", f"/messages?order_id={order_id}")

        async def mailed() -> Any:
            return await self.client.look(self._clerk, messages) or None

        await self.client.until(mailed, f"a mail about {order_id}")
        returnable = self._url("returns", f"/orders/{order_id}/returnable")
        await self.client.until(lambda: self.client.look(self._clerk, returnable), f"returns of {order_id}")
        return order_id

    async def finish(self, order_id: str) -> None:
        """Carry such an order to its end. Raises Refused, Unanswered."""
        await self._ship(order_id, parcels=1)

    def _story(self) -> Story:
        return self.chance.choices(list(SHARES), list(SHARES.values()))[0]

    async def _told(self, story: Story) -> None:
        try:
            await self._live(story)
            self.ended[story] += 1
        except Refused as refusal:
            self.surprises.append(f"{story}: {refusal}")
        except Unanswered as error:
            self.surprises.append(f"{story}: {error}")

    async def _live(self, story: Story) -> None:
        basket = {self._any_sku(): self.chance.randint(1, 3) for _ in range(self.chance.randint(1, 3))}
        if story is Story.SOLD_OUT:
            basket[SOLD_OUT] = 1
        token, order_id = await self._buy(basket, story)
        paid: set[str] = set()
        if story is Story.SECOND_CARD and await self._pay(token, order_id, Card.DECLINED, paid):
            await self._order(order_id, lambda order: not _open_intent(order))
            order = await self._order(order_id, lambda order: True)
            if order["order_status"] == "PLACED":
                await self._if_allowed(
                    self.client.command(token, "POST", self._order_url(order_id, "/payment-attempts"))
                )
        if await self._pay(token, order_id, self.chance.choice(CARDS), paid):
            if story is Story.CHANGED_MIND:
                await self._cancel(token, order_id)
            await self._order(order_id, lambda order: order["order_status"] != "PLACED")
        order = await self._order(order_id, lambda order: True)
        if order["order_status"] != "CONFIRMED":
            return
        order = await self._ship(order_id, parcels=2 if story is Story.TWO_PARCELS else 1)
        if story is Story.SENT_BACK:
            await self._send_back(token, order)
        if story is Story.GOODWILL:
            await self._goodwill(order)

    async def _buy(self, basket: dict[str, int], story: Story) -> tuple[str, str]:
        """Fill a cart and check it out; gives the buyer's token and the order."""
        cart_id = UUID(int=self.chance.getrandbits(128), version=4)
        customer = UUID(int=self.chance.getrandbits(128), version=4)
        token = self.platform.token(ActorKind.CUSTOMER, str(customer))
        here = self._url("cart", f"/carts/{cart_id}")
        start = {"cart_id": str(cart_id), "currency": "GBP"}
        await self.client.command(
            token, "POST", self._url("cart", "/carts"), start, Fact("cart", str(cart_id))
        )
        for sku, quantity in basket.items():
            line = {"sku": sku, "quantity": quantity}
            in_cart = Fact("in cart", f"{cart_id} {sku}", quantity)
            await self.client.command(token, "POST", f"{here}/lines", line, in_cart)
        cart = await self.client.command(token, "PUT", f"{here}/delivery", _DELIVERY)
        total = sum(basket.values()) * PRICE + POSTAGE
        checkout = {"expected_total": cart["totals"]["total"], "terms_version": "2026-01"}
        bought = (Fact("checked out", str(cart_id)), Fact("placed", str(cart_id)))
        if self.chance.random() < 0.1:
            wrong = {**checkout, "expected_total": total + 1}
            await self._refused(token, f"{here}/checkout", wrong, *bought)
        answer = await self.client.command(token, "POST", f"{here}/checkout", checkout, *bought)
        order_id = str(answer["order_id"])
        self.client.history.expected(order_id, total, _ENDS[story])
        return token, order_id

    async def _pay(self, token: str, order_id: str, card: Card, paid: set[str]) -> bool:
        """Type a card number into the provider's form once it is there; False if the order ended before."""
        order = await self._order(
            order_id,
            lambda order: order["order_status"] != "PLACED" or _open_intent(order) not in ("", *paid),
        )
        intent = _open_intent(order)
        if order["order_status"] != "PLACED" or not intent:
            return False
        paid.add(intent)
        url = self._order_url(order_id, "/payment")

        async def form() -> Any:
            payment = await self.client.look(token, url)
            ready = payment is not None and (payment["confirm_url"] or payment["status"] != "OPEN")
            return payment if ready else await self._ended(order_id)

        payment = await self.client.until(form, f"a payment form of {order_id}")
        if not payment.get("confirm_url"):
            return False
        amount = payment["amount"]
        facts = () if card is Card.DECLINED else (Fact("authorized", payment["intent_id"], amount),)
        confirm = {"client_secret": payment["client_secret"], "card": {"number": card}}
        try:
            await self.client.command(None, "POST", payment["confirm_url"], confirm, *facts, again=False)
        except Refused as refusal:
            if not refusal.code.startswith("intent_"):
                raise
            return False
        return True

    async def _ended(self, order_id: str) -> Any:
        """The order if nobody has to pay any more."""
        order = await self._order(order_id, lambda order: True)
        return order if order["order_status"] != "PLACED" else None

    async def _cancel(self, token: str, order_id: str) -> None:
        url = self._order_url(order_id, "/cancel")
        wish = self.client.command(token, "POST", url, {"reason": "CUSTOMER"}, Fact("cancelled", order_id))
        await self._if_allowed(wish)

    async def _ship(self, order_id: str, *, parcels: int) -> dict[str, Any]:
        """Pack, ship and deliver; gives the completed order."""
        started = Fact("processing", order_id)
        await self.client.command(
            self._clerk, "POST", self._order_url(order_id, "/processing"), None, started
        )
        order = await self._order(order_id, lambda order: bool(order["fulfillments"]))
        fulfillment = order["fulfillments"][0]
        units = [{"line_id": line["line_id"], "quantity": line["quantity"]} for line in fulfillment["lines"]]
        here = self._order_url(order_id, "/shipments")
        packed = [part for part in (units[number::parcels] for number in range(parcels)) if part]
        for number, lines in enumerate(packed, start=1):
            facts = [Fact("shipped", f"{order_id} {line['line_id']}", line["quantity"]) for line in lines]
            parcel = {
                "fulfillment_id": fulfillment["fulfillment_id"],
                "parcel_no": number,
                "lines": lines,
                "carrier": "DHL",
                "tracking_number": f"{order_id[:8].upper()}{number}",
                "estimated_delivery": (datetime.now(UTC) + timedelta(days=2)).date().isoformat(),
            }
            shipped = await self.client.command(self._clerk, "POST", here, parcel, *facts)
            if self.chance.random() < 0.05:
                await self._refused(self._clerk, here, {**parcel, "parcel_no": number + 10}, *facts)
            arrived, delivered = f"{here}/{shipped['shipment_id']}/delivery", shipped["shipment_id"]
            await self.client.command(
                self._clerk, "POST", arrived, {"proof": "CARRIER"}, Fact("delivered", delivered)
            )
        return await self._order(order_id, lambda order: order["order_status"] == COMPLETED)

    async def _send_back(self, token: str, order: dict[str, Any]) -> None:
        """Ask to return a unit of the first line, send it, and wait for the money."""
        order_id, line = order["order_id"], order["lines"][0]["line_id"]
        returnable = self._url("returns", f"/orders/{order_id}/returnable")

        async def heard() -> Any:
            found = await self.client.look(token, returnable)
            return found if found and _arrived(found) else None

        await self.client.until(heard, f"the right to send {order_id} back")
        unit = {"line_id": line, "quantity": 1}
        wish = {"order_id": order_id, "lines": [{**unit, "reason": "DEFECTIVE"}]}
        asked = await self.client.command(
            token, "POST", self._url("returns", "/returns"), wish, Fact("to return", f"{order_id} {line}")
        )
        return_id = asked["return_id"]
        here = self._url("returns", f"/returns/{return_id}")
        if asked["status"] == "REQUESTED":
            await self._if_allowed(self.client.command(self._clerk, "POST", f"{here}/approve"))
        scan = {"lines": [{**unit, "disposition": "RESTOCKED"}]}
        got = Fact("returned", f"{return_id} {line}")
        await self.client.command(self._clerk, "POST", f"{here}/receipts", scan, got)

        async def granted() -> Any:
            back = await self.client.look(self._clerk, here)
            refunds = back["refunds"]
            for refund in refunds:
                if refund["status"] == "PROPOSED":
                    for person in (self._clerk, self._manager):
                        url = self._url("returns", f"/refunds/{refund['refund_id']}/approve")
                        await self._if_allowed(self.client.command(person, "POST", url))
            return back if back["status"] == "CLOSED" else None

        await self.client.until(granted, f"the end of return {return_id}")
        await self._paid_back(order_id)

    async def _goodwill(self, order: dict[str, Any]) -> None:
        order_id, amount = order["order_id"], self.chance.randint(1, 200)
        wish = {"order_id": order_id, "amount": amount}
        url = self._url("returns", "/refunds")
        known = self._url("returns", f"/orders/{order_id}/returnable")

        async def heard() -> Any:
            found = await self.client.look(self._clerk, known)
            return found if found and _arrived(found) else None

        await self.client.until(heard, f"the payment of {order_id} at returns")
        await self.client.command(self._clerk, "POST", url, wish, Fact("goodwill", order_id, amount))
        await self._paid_back(order_id)

    async def _paid_back(self, order_id: str) -> None:
        """Wait until the refund is issued, and note that it was seen so."""

        def issued(order: dict[str, Any]) -> bool:
            return any(refund["status"] == "ISSUED" for refund in order["refunds"])

        order = await self._order(order_id, issued)
        self.client.history.seen(
            [
                Fact("refunded", refund["refund_id"], refund["amount"])
                for refund in order["refunds"]
                if refund["status"] == "ISSUED"
            ]
        )

    async def _warehouse(self, stop: asyncio.Event) -> None:
        """Goods come in and are counted, all the time; sometimes nobody asks again what became of it."""
        while not stop.is_set():
            sku, patience = self._any_sku(), 0.0 if self.chance.random() < 0.3 else 20.0
            try:
                match self.chance.randrange(4):
                    case 0 | 1:
                        await self._receive({sku: self.chance.randint(1, 9)}, patience)
                    case 2:
                        await self._adjust(sku, self.chance.choice((-2, -1, 1, 2)), patience)
                    case _:
                        impossible = {"delta": -(10**8), "reason": "SHRINKAGE"}
                        url = self._url("inventory", f"/stock/{sku}/adjustments")
                        await self._refused(self._clerk, url, impossible, Fact("adjusted", sku, -(10**8)))
            except Unanswered:
                pass
            except Refused as refusal:
                self.surprises.append(f"warehouse: {refusal}")
            await pause(1.0)

    async def _receive(self, goods: dict[str, int], patience: float = 180.0) -> None:
        lines = [{"sku": sku, "quantity": quantity} for sku, quantity in goods.items()]
        facts = [Fact("received", sku, quantity) for sku, quantity in goods.items()]
        url = self._url("inventory", "/receipts")
        await self.client.command(self._clerk, "POST", url, {"lines": lines}, *facts, patience=patience)

    async def _adjust(self, sku: str, delta: int, patience: float) -> None:
        url = self._url("inventory", f"/stock/{sku}/adjustments")
        wish = {"delta": delta, "reason": "CORRECTION"}
        await self.client.command(
            self._clerk, "POST", url, wish, Fact("adjusted", sku, delta), patience=patience
        )

    async def _refused(self, token: str, url: str, body: Any, *facts: Fact) -> None:
        """A wish that has to be refused, and so must leave nothing behind."""
        try:
            await self.client.command(token, "POST", url, body, *facts)
        except Refused:
            return
        self.surprises.append(f"accepted: {url} {body}")

    async def _if_allowed(self, wish: Any) -> None:
        """A command that may come too late."""
        try:
            await wish
        except Refused as refusal:
            if refusal.status not in (404, 409):
                raise

    async def _order(self, order_id: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        async def look() -> Any:
            order = await self.client.look(self._clerk, self._order_url(order_id))
            return order if order is not None and wanted(order) else None

        found: dict[str, Any] = await self.client.until(look, f"order {order_id}")
        return found

    def _any_sku(self) -> str:
        return self.chance.choice(SKUS)

    def _url(self, service: str, path: str) -> str:
        return f"{self.platform.services[service].url}{path}"

    def _order_url(self, order_id: str, path: str = "") -> str:
        return self._url("orders", f"/orders/{order_id}{path}")


def _arrived(returnable: dict[str, Any]) -> bool:
    return any(line["returnable_quantity"] > 0 for line in returnable["lines"])


def _open_intent(order: dict[str, Any]) -> str:
    """The payment intent that waits for the buyer, empty if there is none."""
    return next((intent["intent_id"] for intent in order["intents"] if intent["status"] == "OPEN"), "")


_ENDS = {
    **dict.fromkeys(Story, (COMPLETED, UNPAID)),
    Story.CHANGED_MIND: (COMPLETED, UNPAID, "CANCELLED CUSTOMER"),
    Story.SOLD_OUT: ("CANCELLED INVENTORY",),
}
_PRICING = {
    "currencies": ["GBP"],
    "home_country": "GB",
    "prices_include_tax": True,
    "tax_rules": [{"country": "GB", "tax_class": "standard", "rate_bp": 2000}],
    "shipping_methods": [
        {
            "id": "post",
            "title": "Post",
            "countries": ["*"],
            "currency": "GBP",
            "bands": [{"price": POSTAGE}],
            "eta_days": 3,
        }
    ],
}
_DELIVERY = {
    "contact": {"name": "Chaos Customer", "email": "chaos@example.com"},
    "destination": {"country": "GB", "postal_code": "EC1A 1BB", "line1": "1 High Street", "city": "London"},
    "method_id": "post",
}
