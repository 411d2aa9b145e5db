"""The five services as outsiders meet them: in this process, on real databases, with something to find."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import orjson

from services.cart.app import SERVICE as CART
from services.inventory.app import SERVICE as INVENTORY
from services.notifications.app import SERVICE as NOTIFICATIONS
from services.notifications.commands import execute as execute_message
from services.notifications.domain.message import RecordSent
from services.orders.app import SERVICE as ORDERS
from services.returns.app import SERVICE as RETURNS
from shared.domain import ids
from shared.domain.ids import derive
from shared.events.common import Contact
from shared.events.envelope import Actor, ActorKind, Cause
from shared.events.notifications import Locale
from shared.service.auth import issue
from shared.store.unit_of_work import UnitOfWork
from tests.conftest import MakeDatabase
from tests.integration.sandbox.shop import open_shop as open_letterbox
from tests.integration.services.cart import shop as cart
from tests.integration.services.inventory import depot as inventory
from tests.integration.services.inventory.others import Order as HeardByInventory
from tests.integration.services.inventory.others import Told
from tests.integration.services.notifications import desk as notifications
from tests.integration.services.orders import shop as orders
from tests.integration.services.returns import desk as returns
from tests.integration.services.returns.orders import Order as HeardByReturns
from tests.unit.orders.samples import MUGS, PLACED, PLATES, checkout

BUYER = UUID(int=2)
NOBODY = Actor(ActorKind.CUSTOMER, str(UUID(int=3)))
CLERK = Actor(ActorKind.OPERATOR, str(UUID(int=7)))
OWNER = Actor(ActorKind.ADMIN, "Añejo")
SYSTEM = Actor(ActorKind.SYSTEM, "orderflow")


@dataclass
class Face:
    """A running service; `known` are values that exist, by the name of the parameter that takes them."""

    name: str
    http: httpx.AsyncClient
    token_key: str
    buyer: Actor
    known: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def bearers(self) -> dict[str, str | None]:
        """An Authorization header of every kind, good ones first."""
        now = datetime.now(UTC)
        good = {"operator": CLERK, "admin": OWNER, "buyer": self.buyer, "guest": NOBODY, "system": SYSTEM}
        whole = issue(self.token_key, CLERK, now)
        return {
            **{kind: f"Bearer {issue(self.token_key, actor, now)}" for kind, actor in good.items()},
            "nobody": None,
            "expired": f"Bearer {issue(self.token_key, CLERK, now - timedelta(days=2))}",
            "forged": f"Bearer {issue('x' * 32, CLERK, now)}",
            "cut": f"Bearer {whole[: len(whole) // 2]}",
            "without an actor": f"Bearer {issue(self.token_key, Actor(ActorKind.ADMIN, ''), now)}",
            "of another scheme": f"Basic {whole}",
            "garbled": "Bearer \xff\x80 \t..",
        }

    def learn(self, name: str, *values: object) -> None:
        """Something that exists."""
        self.known[name] += [str(value) for value in values]


@asynccontextmanager
async def open_cart(make_database: MakeDatabase, _folder: Path) -> AsyncIterator[Face]:
    """Two mugs for sale, an open cart and one that was bought with a coupon."""
    async with cart.open_shop(await make_database(CART.migrations, "cart")) as shop:
        face = Face("cart", shop.http, cart.TOKEN_KEY, Actor(ActorKind.CUSTOMER, str(BUYER)))
        await shop.sell("MUG")
        await shop.sell("CUP", custom=True)
        policy = await shop.admin.json("GET", "/pricing-policy")
        offered = {**policy, "coupons": [{"code": "TENTH", "percent_bp": 1000}], "effective_from": None}
        await shop.admin.json("PUT", "/pricing-policy", offered)
        buyer = shop.customer(BUYER)
        for bought in (False, True):
            basket = await buyer.start(cart_id=str(derive("fuzz-cart", bought)))
            await basket.add("MUG", 2, line_id=str(derive("fuzz-line", bought)))
            await basket.deliver()
            seen = await buyer.json("PUT", f"{basket.path}/coupons", {"codes": ["TENTH"]})
            if bought:
                await basket.check_out(seen["totals"]["total"])
                face.learn("reorder_of", ids.order_id(basket.cart_id))
            face.learn("cart_id", basket.cart_id)
            face.learn("line_id", derive("fuzz-line", bought))
        guest = await shop.stranger.start(cart_id=str(derive("fuzz-cart", "guest")))
        await guest.add("MUG")
        face.learn("cart_id", guest.cart_id)
        face.learn("token", guest.buyer.token)
        face.learn("sku", "MUG", "CUP")
        face.learn("currency", "GBP")
        face.learn("method_id", "standard")
        for name in ("code", "codes"):
            face.learn(name, "TENTH")
        yield face


@asynccontextmanager
async def open_orders(make_database: MakeDatabase, folder: Path) -> AsyncIterator[Face]:
    """An order at every stage: placed, to be paid, confirmed, in processing, shipped."""
    database = await make_database(ORDERS.migrations, "orders")
    with open_letterbox() as letterbox:
        async with orders.open_shop(database, letterbox, folder) as shop:
            face = Face("orders", shop.http, orders.JWT_KEY, Actor(ActorKind.CUSTOMER, str(BUYER)))
            for stage in range(5):
                await _order(shop, face, stage)
            face.learn("line_id", MUGS, PLATES)
            await shop.stranger_pays("theirs", "theirs", 700)
            await shop.forward(1)
            face.learn("orphan_id", *(orphan["orphan_id"] for orphan in await shop.orphans()))
            yield face


async def _order(shop: orders.Shop, face: Face, stage: int) -> None:
    cart_id = derive("fuzz-cart", stage)
    order_id = ids.order_id(cart_id)
    face.learn("order_id", order_id)
    sold = replace(_sealed_checkout(shop), order_id=order_id)
    await shop.place(sold, cart_id)
    face.learn("intent_id", ids.intent_id(order_id, 1))
    if stage >= 1:
        await shop.secure_stock(order_id, sold)
    if stage >= 2:
        await shop.pay(order_id)
        await shop.forward(1)
    if stage >= 3:
        started = await shop.call("POST", f"/orders/{order_id}/processing")
        fulfillment = started.json()["fulfillments"][0]["fulfillment_id"]
        face.learn("fulfillment_id", fulfillment)
        if stage >= 4:
            lines = [{"line_id": str(MUGS), "quantity": 3}, {"line_id": str(PLATES), "quantity": 2}]
            parcel = {
                "fulfillment_id": fulfillment,
                "parcel_no": 1,
                "lines": lines,
                "carrier": "DHL",
                "tracking_number": "JD01",
            }
            shipped = await shop.call("POST", f"/orders/{order_id}/shipments", parcel)
            face.learn("shipment_id", shipped.json()["shipment_id"])
            await shop.hear(f"refundgrant-{orders.REFUND}", replace(orders.granted(1), order_id=order_id))
            face.learn("refund_id", orders.REFUND)


def _sealed_checkout(shop: orders.Shop) -> Any:
    seal = shop.vault.seal
    contact = Contact(
        subject_id=BUYER, name=seal(BUYER, "name", "Ada"), email=seal(BUYER, "email", "ada@example.org")
    )
    where = {"line1": "1 Quay", "city": "Hull", "postal_code": "HU1 1AA", "country": "GB"}
    address = seal(BUYER, "address", orjson.dumps(where).decode())
    return replace(
        checkout(PLACED), contact=contact, destination=replace(PLACED.destination, address=address)
    )


@asynccontextmanager
async def open_inventory(make_database: MakeDatabase, _folder: Path) -> AsyncIterator[Face]:
    """Stock of two skus and a reservation."""
    async with inventory.open_depot(await make_database(INVENTORY.migrations, "inventory")) as depot:
        face = Face("inventory", depot.http, inventory.TOKEN_KEY, NOBODY)
        await depot.receive(MUG=5, CUP=1)
        order = HeardByInventory(Told(), "an order", (("MUG", 2),))
        await depot.hear(order.placed())
        face.learn("sku", "MUG", "CUP")
        face.learn("order_id", order.order_id)
        yield face


@asynccontextmanager
async def open_returns(make_database: MakeDatabase, _folder: Path) -> AsyncIterator[Face]:
    """Delivered orders, a return that was asked for, one that came, and refunds that wait for a person."""
    async with returns.open_desk(await make_database(RETURNS.migrations, "returns")) as desk:
        orders_told = [
            await desk.hear(HeardByReturns(customer_id=BUYER, order_id=derive("fuzz-order", n)).delivered())
            for n in range(3)
        ]
        face = Face("returns", desk.http, returns.TOKEN_KEY, Actor(ActorKind.CUSTOMER, str(BUYER)))
        asked = await desk.ask(orders_told[0])
        came = await desk.ask(orders_told[1])
        received = await desk.receive(came)
        goodwill = {"order_id": str(orders_told[2].order_id), "amount": 4000}
        refund = await desk.clerk.post("/refunds", goodwill, status=201)
        face.learn("order_id", *(order.order_id for order in orders_told))
        face.learn("line_id", *(order.mugs for order in orders_told), orders_told[2].lamp)
        face.learn("return_id", asked["return_id"], came["return_id"])
        face.learn("refund", refund["refund_id"], (await desk.refund_of(came))["refund_id"])
        face.learn("resolves", received["receipts"][0]["receipt_id"])
        yield face


@asynccontextmanager
async def open_notifications(make_database: MakeDatabase, _folder: Path) -> AsyncIterator[Face]:
    """One message that was sent."""
    database = await make_database(NOTIFICATIONS.migrations, "notifications")
    async with notifications.open_desk(database, smtp_port=1) as desk, desk.client(None) as http:
        face = Face("notifications", http, notifications.JWT_KEY, NOBODY)
        sent = RecordSent(
            message_id=ids.message_id(UUID(int=1), "shipped", "hash", "EMAIL", 0),
            template="shipped",
            cause_event_id=UUID(int=1),
            order_id=UUID(int=2),
            recipient_hash="hash",
            locale=Locale.EN,
            provider_ref="<1@shop>",
        )

        async def work(uow: UnitOfWork) -> None:
            await execute_message(uow, sent)

        await desk.store.transact(Cause(), work)
        face.learn("message_id", sent.message_id)
        face.learn("order_id", sent.order_id)
        yield face


OPENERS: dict[str, Callable[[MakeDatabase, Path], AbstractAsyncContextManager[Face]]] = {
    "cart": open_cart,
    "orders": open_orders,
    "inventory": open_inventory,
    "returns": open_returns,
    "notifications": open_notifications,
}
