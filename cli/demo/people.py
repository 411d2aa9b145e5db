"""What customers and staff do, through the public HTTP APIs only."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import httpx

from cli.demo.client import FIRST_PAUSE_S, LONGEST_PAUSE_S, PATIENCE_S, GaveUp, Person, Refused
from cli.demo.invoices import InvoiceLine
from cli.demo.scenario import COUPON_BP, Card, Fate, GiveBack, Purchase, products, stock_needed
from cli.platform import Platform
from shared.domain.ids import derive
from shared.events.envelope import ActorKind

CARRIERS = ("Royal Mail", "DHL", "UPS")
ENDED = ("COMPLETED", "CANCELLED")
RECEIPT_LINES, PRODUCT_LINES = 500, 200
REST_OF_CARD = {"exp_month": 12, "exp_year": 2087, "cvc": "737"}
STRANGERS_MONEY = 4321
"""What somebody pays in pence who has no order."""


@dataclass(frozen=True, slots=True)
class Shop:
    """The platform's addresses and the people who work with it."""

    platform: Platform
    http: httpx.AsyncClient
    admin: Person
    clerk: Person
    manager: Person
    coupon: str

    @classmethod
    def of(cls, platform: Platform, http: httpx.AsyncClient, run: str) -> "Shop":
        """The shop of a platform, with an admin and two operators (two for refunds above the threshold)."""
        return cls(
            platform,
            http,
            Person(http, platform.token(ActorKind.ADMIN, "demo-admin")),
            Person(http, platform.token(ActorKind.OPERATOR, "demo-clerk")),
            Person(http, platform.token(ActorKind.OPERATOR, "demo-manager")),
            f"ADVENT-{run[:8].upper()}",
        )

    def url(self, service: str, path: str) -> str:
        """The address of a resource."""
        return f"{self.platform.services[service].url}{path}"

    async def open(self, purchases: list[Purchase], run: str) -> None:
        """Set prices, shipping and a coupon for so many, list every product and count the goods in."""
        rules = _pricing(
            {purchase.postage for purchase in purchases}, self.coupon, sum(p.coupon for p in purchases)
        )
        await self.admin.call("PUT", self.url("cart", "/pricing-policy"), rules)
        listing = [_listing(line) for line in products(purchases).values()]
        for start in range(0, len(listing), PRODUCT_LINES):
            batch = {"products": listing[start : start + PRODUCT_LINES]}
            await self.clerk.call("POST", self.url("cart", "/products"), batch)
        stock = sorted(stock_needed(purchases).items())
        for start in range(0, len(stock), RECEIPT_LINES):
            lines = [{"sku": sku, "quantity": units} for sku, units in stock[start : start + RECEIPT_LINES]]
            receipt = {"receipt_id": str(derive("demo receipt", run, start)), "lines": lines}
            await self.clerk.call("POST", self.url("inventory", "/receipts"), receipt)

    async def play(self, purchase: Purchase) -> str:
        """One purchase from the cart to its end; gives the order's final status. Raises GaveUp."""
        buyer, order_id = await self._buy(purchase)
        cards = list(purchase.cards)
        paying: set[str] = set()
        while True:
            order = await self._order(order_id, lambda o: o["order_status"] != "PLACED" or _asks(o, paying))
            if order["order_status"] != "PLACED":
                break
            paying.add(_open_intent(order))
            await self._pay(buyer, order_id, cards.pop(0) if cards else Card.GOOD, more=bool(cards))
            if purchase.fate is Fate.CANCELLED_WHILE_PAYING:
                await buyer.call("POST", self._order_url(order_id, "/cancel"), {"reason": "CUSTOMER"})
        if order["order_status"] == "CONFIRMED":
            order = await self._fulfil(purchase, order_id)
            await self._after_sale(purchase, buyer, order)
        ended = await self._order(order_id, lambda o: o["order_status"] in ENDED)
        return str(ended["order_status"])

    async def _buy(self, purchase: Purchase) -> tuple[Person, str]:
        """Fill a cart and check it out with the total that it showed."""
        customer = derive("demo customer", purchase.customer) if purchase.customer else None
        token = self.platform.token(ActorKind.CUSTOMER, str(customer)) if customer else None
        buyer, here = await self._start(token, purchase.cart_id)
        if purchase.signs_in_late:
            await self._merge(purchase, buyer, here)
        else:
            await self._fill(purchase, buyer, here)
        cart = await buyer.call("PUT", f"{here}/delivery", _delivery(purchase))
        if purchase.coupon:
            cart = await buyer.call("PUT", f"{here}/coupons", {"codes": [self.coupon.lower()]})
        total = purchase.total
        if cart["totals"]["total"] != total:
            raise GaveUp(f"{purchase.name} costs {cart['totals']['total']}, its invoice says {total}")
        checkout = {"expected_total": total, "terms_version": "2026-01"}
        order = await buyer.call("POST", f"{here}/checkout", checkout)
        return buyer, order["order_id"]

    async def _start(self, token: str | None, cart_id: UUID) -> tuple[Person, str]:
        """Begin a cart; without a token as a guest, who gets one."""
        start = {"cart_id": str(cart_id), "currency": "GBP", "locale": "en"}
        cart = await Person(self.http, token).call("POST", self.url("cart", "/carts"), start)
        return Person(self.http, token or cart["token"]), self.url("cart", f"/carts/{cart_id}")

    async def _fill(self, purchase: Purchase, buyer: Person, here: str) -> None:
        for line in purchase.lines:
            await self._until(partial(self._put_in, buyer, here, line), f"{line.sku} in the shop")

    async def _merge(self, purchase: Purchase, buyer: Person, here: str) -> None:
        """Fill a cart as a guest, then sign in and wait until all of it has arrived in the customer's."""
        guests_cart = derive("demo guest's cart", purchase.cart_id)
        guest, there = await self._start(None, guests_cart)
        await self._fill(purchase, guest, there)
        await buyer.call("POST", f"{here}/merge", {"cart_id": str(guests_cart), "token": guest.token})
        units = purchase.quantities.total()

        async def look() -> dict[str, Any] | None:
            cart: dict[str, Any] = await buyer.call("GET", here)
            return cart if cart["item_count"] == units else None

        await self._until(look, f"{purchase.name} in its customer's cart")

    async def _put_in(self, buyer: Person, here: str, line: InvoiceLine) -> dict[str, Any] | None:
        """The cart with the line, or None while it is sold out: the goods of an earlier run may be gone."""
        try:
            cart: dict[str, Any] = await buyer.call(
                "POST", f"{here}/lines", {"sku": line.sku, "quantity": line.quantity}
            )
        except Refused as refusal:
            if refusal.code == "sold_out":
                return None
            raise
        return cart

    async def _pay(self, buyer: Person, order_id: str, card: Card, *, more: bool) -> None:
        """Type a card number into the provider's form, and after a decline ask for another try."""
        payment = await self._until(lambda: self._payment(buyer, order_id), "the provider's payment form")
        confirm = {"client_secret": payment["client_secret"], "card": {"number": card, **REST_OF_CARD}}
        try:
            await Person(self.http, None).call("POST", payment["confirm_url"], confirm)
        except (Refused, GaveUp, httpx.HTTPError):
            return  # what became of the money, the shop hears from the provider
        if card is Card.DECLINED and more:
            await self._order(order_id, lambda o: not _open_intent(o))
            await buyer.call("POST", self._order_url(order_id, "/payment-attempts"))

    async def _payment(self, buyer: Person, order_id: str) -> dict[str, Any] | None:
        try:
            payment: dict[str, Any] = await buyer.call("GET", self._order_url(order_id, "/payment"))
        except Refused as refusal:
            if refusal.status == httpx.codes.CONFLICT:
                return None
            raise
        return payment

    async def _fulfil(self, purchase: Purchase, order_id: str) -> dict[str, Any]:
        """Pack, ship in one or two parcels, deliver."""
        await self.clerk.call("POST", self._order_url(order_id, "/processing"))
        order = await self._order(order_id, lambda o: bool(o["fulfillments"]))
        fulfillment = order["fulfillments"][0]
        for parcel_no, lines in enumerate(_parcels(fulfillment["lines"], purchase.parcels), start=1):
            carrier = CARRIERS[order_id.encode()[0] % len(CARRIERS)]
            parcel = {
                "fulfillment_id": fulfillment["fulfillment_id"],
                "parcel_no": parcel_no,
                "lines": lines,
                "carrier": carrier,
                "tracking_number": f"{order_id[:8].upper()}{parcel_no}",
                "estimated_delivery": (datetime.now(UTC) + timedelta(days=2)).date().isoformat(),
            }
            shipped = await self._ship(order_id, parcel)
            delivery = self._order_url(order_id, f"/shipments/{shipped['shipment_id']}/delivery")
            await self.clerk.call("POST", delivery, {"proof": "CARRIER"})
        return await self._order(order_id, lambda o: o["order_status"] in ENDED)

    async def _ship(self, order_id: str, parcel: dict[str, Any]) -> dict[str, Any]:
        """Hand a parcel over; where its money is not secured any more, have that done first."""
        if shipped := await self._shipped(order_id, parcel):
            return shipped
        await self.clerk.call("POST", self._order_url(order_id, "/reauthorizations"))
        return await self._until(lambda: self._shipped(order_id, parcel), "the money for the next parcel")

    async def _shipped(self, order_id: str, parcel: dict[str, Any]) -> dict[str, Any] | None:
        """The parcel, or None while its money is not secured."""
        try:
            shipped: dict[str, Any] = await self.clerk.call(
                "POST", self._order_url(order_id, "/shipments"), parcel
            )
        except Refused as refusal:
            if refusal.code == "payment_not_secured":
                return None
            raise
        return shipped

    async def be_paid_by_a_stranger(self, name: str) -> None:
        """Somebody pays for an order of another shop to our account: that has to go back."""
        reference = str(derive("demo stranger", name))
        wish = {
            "amount": STRANGERS_MONEY,
            "currency": "GBP",
            "reference": reference,
            "capture_method": "automatic",
            "metadata": {"order_id": "another shop's"},
        }
        stranger, here = Person(self.http, None), f"{self.platform.provider_url}/v1/payment_intents"
        made = await stranger.call("POST", here, wish)
        paid = {"client_secret": made["client_secret"], "card": {"number": Card.GOOD}}
        await stranger.call("POST", f"{here}/{made['id']}/confirm", paid)

    async def _after_sale(self, purchase: Purchase, buyer: Person, order: dict[str, Any]) -> None:
        """Send goods back, give goodwill, and wait for the money."""
        refunds = 0
        if purchase.give_back:
            await self._give_back(purchase.give_back, buyer, order)
            refunds += 1
        if purchase.goodwill:
            wish = {"order_id": order["order_id"], "amount": purchase.goodwill, "note": "Discount"}
            await self._until(lambda: self._goodwill(wish), "the order's money at returns")
            refunds += 1
        await self._order(
            order["order_id"], lambda o: sum(r["status"] == "ISSUED" for r in o["refunds"]) >= refunds
        )

    async def _goodwill(self, wish: dict[str, Any]) -> dict[str, Any] | None:
        """The refund, or None while returns has not heard of the payment yet."""
        try:
            granted: dict[str, Any] = await self.clerk.call("POST", self.url("returns", "/refunds"), wish)
        except Refused as refusal:
            if refusal.code in ("exceeds_refundable", "unknown_order"):
                return None
            raise
        return granted

    async def _give_back(self, back: GiveBack, buyer: Person, order: dict[str, Any]) -> None:
        line_ids = {line["sku"]: line["line_id"] for line in order["lines"]}
        units = [{"line_id": line_ids[sku], "quantity": quantity} for sku, quantity in back.lines]
        wish = {
            "order_id": order["order_id"],
            "lines": [{**unit, "reason": back.reason} for unit in units],
        }
        requested = await self._until(lambda: self._request_return(buyer, wish), "the right to send back")
        here = self.url("returns", f"/returns/{requested['return_id']}")
        if requested["status"] == "REQUESTED":
            await self.clerk.call("POST", f"{here}/approve")
        receipt = {"lines": [{**unit, "disposition": back.disposition} for unit in units]}
        await self.clerk.call("POST", f"{here}/receipts", receipt)
        await self._until(lambda: self._approve_twice(here), "the refund's approval")
        await self._until(lambda: self._closed(here), "the return's end")

    async def _request_return(self, buyer: Person, wish: dict[str, Any]) -> dict[str, Any] | None:
        """The return, or None while returns has not heard of the delivery yet."""
        try:
            requested: dict[str, Any] = await buyer.call("POST", self.url("returns", "/returns"), wish)
        except Refused as refusal:
            if refusal.code in ("not_delivered", "unknown_order"):
                return None
            raise
        return requested

    async def _approve_twice(self, here: str) -> dict[str, Any] | None:
        """Approve the return's refund by as many people as it needs; None until it is granted."""
        back: dict[str, Any] = await self.clerk.call("GET", here)
        proposed = [refund for refund in back["refunds"] if refund["status"] == "PROPOSED"]
        for refund in proposed:
            for person in (self.clerk, self.manager):
                await self._grant(person, f"/refunds/{refund['refund_id']}/approve", None)
        return back if back["refunds"] and not proposed else None

    async def _grant(self, person: Person, path: str, wish: dict[str, Any] | None) -> None:
        try:
            await person.call("POST", self.url("returns", path), wish)
        except Refused as refusal:
            if refusal.code != "not_proposed":
                raise

    async def _closed(self, url: str) -> dict[str, Any] | None:
        back: dict[str, Any] = await self.clerk.call("GET", url)
        return back if back["status"] == "CLOSED" else None

    async def _order(self, order_id: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The order as soon as it is as wanted. It may not exist yet: orders hears of carts by events."""

        async def look() -> dict[str, Any] | None:
            try:
                order: dict[str, Any] = await self.clerk.call("GET", self._order_url(order_id))
            except Refused as refusal:
                if refusal.status == httpx.codes.NOT_FOUND:
                    return None
                raise
            return order if wanted(order) else None

        return await self._until(look, f"order {order_id}")

    async def _until(self, look: Callable[[], Awaitable[dict[str, Any] | None]], what: str) -> dict[str, Any]:
        give_up = asyncio.get_running_loop().time() + PATIENCE_S
        pause = FIRST_PAUSE_S
        while (found := await look()) is None:
            if asyncio.get_running_loop().time() > give_up:
                raise GaveUp(f"waited {PATIENCE_S:g} s in vain for {what}")
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, LONGEST_PAUSE_S)
        return found

    def _order_url(self, order_id: str, path: str = "") -> str:
        return self.url("orders", f"/orders/{order_id}{path}")


def _open_intent(order: dict[str, Any]) -> str:
    """The id of the payment intent that waits for the buyer, empty if there is none."""
    return next((intent["intent_id"] for intent in order["intents"] if intent["status"] == "OPEN"), "")


def _asks(order: dict[str, Any], paying: set[str]) -> bool:
    """Whether the order asks for money in a way that the buyer has not answered yet."""
    intent = _open_intent(order)
    return bool(intent) and intent not in paying


def _pricing(postages: set[int], coupon: str, uses: int) -> dict[str, Any]:
    """Prices include VAT; postage is what the invoices say, everything else is delivered free."""
    vat = {"GB": 2000, "FR": 2000, "NL": 2100, "DE": 1900, "IE": 2300, "ES": 2100, "IT": 2200, "BE": 2100}
    return {
        "currencies": ["GBP"],
        "home_country": "GB",
        "prices_include_tax": True,
        "tax_rules": [
            {"country": country, "tax_class": "standard", "rate_bp": rate} for country, rate in vat.items()
        ],
        "shipping_methods": [
            {
                "id": f"post-{postage}",
                "title": "Postage" if postage else "Free delivery",
                "countries": ["*"],
                "currency": "GBP",
                "bands": [{"price": postage}],
                "eta_days": 3,
            }
            for postage in sorted(postages)
        ],
        "coupons": [{"code": coupon, "percent_bp": COUPON_BP, "max_uses": uses}] if uses else [],
    }


def _listing(line: InvoiceLine) -> dict[str, Any]:
    return {"sku": line.sku, "titles": {"en": line.title}, "prices": {"GBP": line.unit_price}}


def _delivery(purchase: Purchase) -> dict[str, Any]:
    person = purchase.customer or f"guest-{str(purchase.cart_id)[:8]}"
    return {
        "contact": {"name": f"Customer {person}", "email": f"customer-{person}@example.com"},
        "destination": {
            "country": purchase.country,
            "postal_code": "EC1A 1BB",
            "line1": f"{person[-2:]} High Street",
            "city": "London",
        },
        "method_id": f"post-{purchase.postage}",
    }


def _parcels(lines: list[dict[str, Any]], parcels: int) -> list[list[dict[str, Any]]]:
    """The lines divided over so many parcels, none empty."""
    units = [{"line_id": line["line_id"], "quantity": line["quantity"]} for line in lines]
    return [part for part in (units[n::parcels] for n in range(parcels)) if part]
