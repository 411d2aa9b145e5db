"""What buyers and staff of the simulated shop do, from the first cart to the refund of what comes back."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

from cli.simulate.editing import edit
from cli.simulate.outside import Provider
from cli.simulate.people import PATIENCE_S, Acknowledged, Denied, Person
from shared.domain.ids import derive
from shared.events.envelope import ActorKind
from shared.testing.simulation import Simulation

GOOD_CARD = "4242424242424242"
CARDS = {
    GOOD_CARD: 10,
    "4000000000000002": 2,
    "4000000000009235": 1,
    "4000000000000101": 1,
    "4000000000000200": 1,
    "4000000000000309": 1,
    "4000000000000408": 1,
    "4000000000000507": 1,
    "4000000000000606": 1,
    "4000000000000705": 1,
    "4000000000000903": 1,
    "4000000000001000": 1,
    "4000000000001109": 2,
    "4000000000001208": 1,
    "4000000000001406": 1,
    "4000000000001505": 1,
}
"""The sandbox's test cards, by how often a buyer has one.

Not the one whose captures are refused for good, nor the one that lapses and needs the buyer: their orders are
shipped and wait for a person, so never end.
"""
ENDED = ("COMPLETED", "CANCELLED")
LONG_PAUSE_S = 1200.0
"""Longer than a cart waits before it counts as abandoned."""
COUPONS = (
    {"code": "THIRD", "percent_bp": 3333, "combines": True},
    {"code": "FIVER", "amount": {"GBP": 500}, "combines": True},
    {"code": "ONCE", "percent_bp": 5000, "free_shipping": True, "max_uses": 1},
)
CHOICES = ((), (), (), ("THIRD",), ("THIRD", "FIVER"), ("ONCE",), ("ONCE",))
"""What a buyer names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """The people of one run and what they deal with."""

    simulation: Simulation
    provider: Provider
    clerk: Person
    manager: Person
    owner: Person
    skus: tuple[str, ...]
    buyers: list[Person] = field(default_factory=list)

    @classmethod
    def of(cls, simulation: Simulation, provider: Provider) -> "Shop":
        """A shop with two operators and its owner."""
        return cls(
            simulation=simulation,
            provider=provider,
            clerk=Person.of(simulation, ActorKind.OPERATOR, "clerk"),
            manager=Person.of(simulation, ActorKind.OPERATOR, "manager"),
            owner=Person.of(simulation, ActorKind.ADMIN, "owner"),
            skus=tuple(f"SKU-{n}" for n in range(simulation.chance.randint(1, 3))),
        )

    @property
    def acknowledged(self) -> list[Acknowledged]:
        """Everything that anybody was told was done."""
        people = (self.clerk, self.manager, self.owner, *self.buyers)
        return [each for person in people for each in person.acknowledged]

    @property
    def chance(self) -> Random:
        """What decides about people."""
        return self.simulation.chance

    async def open(self) -> None:
        """Offer coupons, list products and count goods in: few enough that some orders find none."""
        policy = await self.owner.call("cart", "GET", "/pricing-policy")
        offered = {**policy, "coupons": COUPONS, "effective_from": None}
        await self.owner.call("cart", "PUT", "/pricing-policy", offered)
        for n, sku in enumerate(self.skus):
            product = {"titles": {"en": f"Thing {n}"}, "prices": {"GBP": 1000 + 1999 * n}}
            await self.clerk.call("cart", "PUT", f"/products/{sku}", product)
            units = self.chance.randint(2, 8)
            receipt = {
                "receipt_id": str(derive("simulated receipt", sku)),
                "lines": [{"sku": sku, "quantity": units}],
            }
            await self.clerk.call("inventory", "POST", "/receipts", receipt)

    async def serve(self, name: str) -> UUID | None:
        """One buyer from the cart to the end; gives the order's id, None if the shop was sold out.

        Raises TimeoutError if what was bought became no order.
        """
        buyer = Person.of(self.simulation, ActorKind.CUSTOMER, name)
        self.buyers.append(buyer)
        await asyncio.sleep(self.chance.uniform(0, 60))
        order_id = await self._buy(buyer)
        if order_id is None:
            return None
        here = f"/orders/{order_id}"
        ways = ("pay", "leave", "cancel", "cancel while paying")
        (way,) = self.chance.choices(ways, weights=(12, 1, 2, 2))
        if way == "cancel":
            await asyncio.sleep(self.chance.uniform(0, 5))
            await self._cancel(buyer, here)
        if way.endswith(("pay", "paying")):
            paying = self.simulation.spawn(self._pay(buyer, here))
            if way == "cancel while paying":
                await asyncio.sleep(self.chance.uniform(0, 8))
                await self._cancel(buyer, here)
            await paying
        order = await buyer.until("orders", here, lambda seen: seen["order_status"] != "PLACED")
        others: list[asyncio.Task[None]] = []
        if order["order_status"] == "CONFIRMED":
            others.append(self.simulation.spawn(self._edit(buyer, here)))
            if self.chance.random() < 0.7:
                await others[0]
            others.append(self.simulation.spawn(self._fulfil(buyer, here)))
        order = await self._until_ended(buyer, here)
        await asyncio.gather(*others)
        if order["order_status"] == "COMPLETED":
            await self._after_sale(buyer, order)
        return UUID(order_id)

    async def be_paid_by_a_stranger(self) -> UUID:
        """Money for an order that nobody here knows; gives its id there."""
        await asyncio.sleep(self.chance.uniform(0, 600))
        reference = derive("simulated stranger", self.chance.random())
        wish = {
            "amount": self.chance.randint(1, 9999),
            "currency": "GBP",
            "reference": str(reference),
            "capture_method": self.chance.choice(("manual", "automatic")),
            "metadata": {"order_id": self.chance.choice((str(reference), "another shop's"))},
        }
        made = await self._insist("/v1/payment_intents", wish)
        paid = {"client_secret": made["client_secret"], "number": GOOD_CARD}
        await self._insist(f"/v1/payment_intents/{made['id']}/confirm", paid)
        return reference

    async def _insist(self, path: str, wish: dict[str, Any]) -> Any:
        """The provider's answer to a stranger; one that was lost may have been a success."""
        while True:
            try:
                status, answer = await self.provider.call("stranger", "POST", path, wish)
            except OSError as error:
                self.simulation.tell("stranger", f"{path}: {error!r}")
                await asyncio.sleep(5)
            else:
                if status == 200 or answer["code"].startswith("intent_"):
                    return answer
                await asyncio.sleep(5)

    async def _buy(self, buyer: Person) -> str | None:
        """Fill a cart, as a guest or not, and buy what of it can be had; None if that is nothing."""
        cart_id = derive("simulated cart", buyer.name)
        here = await self._start(buyer, cart_id)
        if self.chance.random() < 0.3:
            guest = Person.of(self.simulation, ActorKind.CUSTOMER, f"guest of {buyer.name}")
            guest.token = ""
            self.buyers.append(guest)
            await self._fill_and_merge(guest, buyer, here)
        else:
            await self._fill(buyer, here)
        delivery = {
            "contact": {"name": "Ann Buyer", "email": f"{buyer.name}@{self._domain()}"},
            "destination": {"country": "GB", "postal_code": "E1 1AA", "line1": "1 High St", "city": "London"},
        }
        await asyncio.sleep(self.chance.choice((0, 0, 0, LONG_PAUSE_S)))
        seen = await buyer.call("cart", "PUT", f"{here}/delivery", delivery)
        codes = self.chance.choice(CHOICES)
        while seen["lines"]:
            method = {"method_id": seen["shipping_options"][0]["method_id"]}
            seen = await buyer.call("cart", "PUT", f"{here}/delivery", method)
            seen = await self._name_coupons(buyer, here, codes, seen)
            checkout = {"expected_total": seen["totals"]["total"], "terms_version": "2026-01"}
            try:
                done = await buyer.call("cart", "POST", f"{here}/checkout", checkout)
                return str(done["order_id"])
            except Denied as denial:
                if denial.code not in ("sold_out", "total_changed", "coupon_used_up"):
                    raise
                self.simulation.tell(buyer.name, f"cannot buy: {denial.code}")
                codes = () if denial.code == "coupon_used_up" else codes
            seen = await self._take_out_what_is_gone(buyer, here)
        return None

    async def _start(self, buyer: Person, cart_id: UUID) -> str:
        start = {"cart_id": str(cart_id), "currency": "GBP", "locale": "en"}
        answer = await buyer.call("cart", "POST", "/carts", start)
        buyer.token = buyer.token or answer["token"]
        return f"/carts/{cart_id}"

    async def _fill(self, buyer: Person, here: str) -> None:
        for n in range(self.chance.randint(1, 2)):
            line = {
                "line_id": str(derive("simulated line", buyer.name, n)),
                "sku": self.chance.choice(self.skus),
                "quantity": self.chance.randint(1, 3),
            }
            try:
                await buyer.call("cart", "POST", f"{here}/lines", line)
            except Denied as denial:
                if denial.code != "sold_out":
                    raise
                self.simulation.tell(buyer.name, f"cannot add: {denial.code}")

    async def _fill_and_merge(self, guest: Person, buyer: Person, here: str) -> None:
        """Fill a cart as a guest and sign in then; wait until what can be had of it has arrived."""
        guests = derive("simulated cart", guest.name)
        await self._fill(guest, await self._start(guest, guests))
        wish = {"cart_id": str(guests), "token": guest.token}
        merged = await buyer.call("cart", "POST", f"{here}/merge", wish)
        if merged["merged"]["lines"]:
            with suppress(TimeoutError):
                await buyer.until("cart", here, lambda seen: bool(seen["lines"]), within_s=LONG_PAUSE_S)

    async def _take_out_what_is_gone(self, buyer: Person, here: str) -> Any:
        seen = await buyer.call("cart", "GET", here)
        for warning in seen["warnings"]:
            if warning["code"] == "sold_out":
                seen = await buyer.call("cart", "DELETE", f"{here}/lines/{warning['line_id']}")
        return seen

    async def _name_coupons(self, buyer: Person, here: str, codes: Sequence[str], seen: Any) -> Any:
        """The cart with these coupons, or as it was if they are used up."""
        if not codes and not seen["coupons"]:
            return seen
        try:
            return await buyer.call("cart", "PUT", f"{here}/coupons", {"codes": codes})
        except Denied as denial:
            self.simulation.tell(buyer.name, f"no coupon: {denial.code}")
            return seen

    def _domain(self) -> str:
        return "nowhere.example" if self.chance.random() < 0.05 else "example.com"

    async def _cancel(self, buyer: Person, here: str) -> None:
        try:
            await buyer.until("orders", here, lambda _: True)
            await buyer.call("orders", "POST", f"{here}/cancel", {"reason": "CUSTOMER"})
        except Denied as denial:
            self.simulation.tell(buyer.name, f"cannot cancel: {denial.code}")

    async def _pay(self, buyer: Person, here: str) -> None:
        """Try up to three cards; whether it went well the shop learns from the provider."""
        cards, weights = list(CARDS), list(CARDS.values())
        for _ in range(3):
            (card,) = self.chance.choices(cards, weights)
            order = await buyer.until(
                "orders", here, lambda seen: seen["order_status"] != "PLACED" or _open_intent(seen)
            )
            if order["order_status"] != "PLACED":
                return
            intent = _open_intent(order)

            def done(seen: Any, intent: str | None = intent) -> bool:
                return seen["order_status"] != "PLACED" or _open_intent(seen) != intent

            try:
                await self._confirm(buyer, here, card)
            except Denied as denial:
                self.simulation.tell(buyer.name, f"cannot pay: {denial.code}")
            order = await buyer.until("orders", here, done)
            if order["order_status"] != "PLACED" or self.chance.random() < 0.2:
                return
            try:
                await buyer.call("orders", "POST", f"{here}/payment-attempts")
            except Denied as denial:
                self.simulation.tell(buyer.name, f"cannot try again: {denial.code}")

    async def _confirm(self, buyer: Person, here: str, card: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    form = await buyer.call("orders", "GET", f"{here}/payment")
                    break
                except Denied as denial:
                    if denial.code != "payment_not_ready":
                        raise
                    await asyncio.sleep(1)
        if form["confirm_url"] is None:
            return
        path = form["confirm_url"].removeprefix("https://pay.example")
        wish = {"client_secret": form["client_secret"], "number": card}
        for pause in (0.5, 1, 2, 4, 8):
            try:
                await self.provider.call(buyer.name, "POST", path, wish)
                return
            except Exception as error:  # noqa: BLE001 - the provider's answer is lost, or says no
                self.simulation.tell(buyer.name, f"confirmation: {error!r}")
                await asyncio.sleep(pause)

    async def _edit(self, buyer: Person, here: str) -> None:
        """Now and then somebody wants other units; most buyers pay what these cost more, some never do."""
        editor = self.chance.choice((None, None, buyer, self.clerk))
        if editor is None:
            return
        if self.chance.random() < 0.3:
            await self._capture(here)
        if not await edit(editor, here, self.skus):
            return
        if self.chance.random() < 0.8 and await self._owes(buyer, here):
            (card,) = self.chance.choices((GOOD_CARD, *CARDS), (10, *CARDS.values()))
            try:
                await self._confirm(buyer, here, card)
            except Denied as denial:
                self.simulation.tell(buyer.name, f"cannot pay: {denial.code}")
        await buyer.until("orders", here, lambda seen: not seen["edit_pending"])

    async def _capture(self, here: str) -> None:
        """Take the money before anything ships."""
        order = await self.manager.call("orders", "GET", here)
        wish = {"request_id": str(derive("simulated capture", here)), "amount": order["totals"]["total"]}
        try:
            await self.manager.call("orders", "POST", f"{here}/captures", wish)
        except Denied as denial:
            self.simulation.tell("manager", f"cannot capture: {denial.code}")

    async def _owes(self, buyer: Person, here: str) -> bool:
        """Whether the edit has the buyer asked for money, once that is known."""

        def known(seen: Any) -> bool:
            return not seen["edit_pending"] or _open_intent(seen) is not None

        return bool((await buyer.until("orders", here, known))["edit_pending"])

    async def _fulfil(self, buyer: Person, here: str) -> None:
        """Pack, ship in one or two parcels, deliver; or the buyer cancels first."""
        await asyncio.sleep(self.chance.uniform(0, 30))
        if self.chance.random() < 0.15:
            cancelling = self.simulation.spawn(self._cancel(buyer, here))
            await self._ship(here)
            await cancelling
        else:
            await self._ship(here)

    async def _until_ended(self, buyer: Person, here: str) -> Any:
        """The order at its end. Who is still asked for money after a long time, because what was authorized
        lapsed before it was captured, pays once more."""

        def ended(seen: Any) -> bool:
            return seen["order_status"] in ENDED

        for _ in range(round(PATIENCE_S / LONG_PAUSE_S)):
            with suppress(TimeoutError):
                return await buyer.until("orders", here, ended, within_s=LONG_PAUSE_S)
            try:
                await self._confirm(buyer, here, GOOD_CARD)
            except Denied as denial:
                self.simulation.tell(buyer.name, f"cannot pay: {denial.code}")
        return await buyer.until("orders", here, ended)

    async def _ship(self, here: str) -> None:
        """Process and ship what is not held; an edit on the way has the rest packed anew."""

        def ready(seen: Any) -> bool:
            return seen["order_status"] in ENDED or (
                not seen["edit_pending"]
                and not seen["holds"]
                and (seen["order_status"] == "CONFIRMED" or bool(_open_fulfillments(seen)))
            )

        for _ in range(5):
            order = await self.clerk.until("orders", here, ready)
            try:
                if order["order_status"] == "CONFIRMED":
                    await self.clerk.call("orders", "POST", f"{here}/processing")
                elif open_ := _open_fulfillments(order):
                    await self._hand_over(here, open_[0])
                    return
                else:
                    return
            except Denied as denial:
                self.simulation.tell("clerk", f"cannot ship: {denial.code}")
                if denial.code not in ("on_hold", "stock_not_secured", "incomplete", "not_requested"):
                    return

    async def _hand_over(self, here: str, fulfillment: dict[str, Any]) -> None:
        """Ship in one or two parcels and deliver them. Raises Denied."""
        for parcel_no, lines in enumerate(self._parcels(fulfillment["lines"]), start=1):
            parcel = {
                "fulfillment_id": fulfillment["fulfillment_id"],
                "parcel_no": parcel_no,
                "lines": lines,
                "carrier": "DHL",
                "tracking_number": f"T{here[8:16]}{parcel_no}",
            }
            shipped = await self._send(here, parcel)
            await asyncio.sleep(self.chance.uniform(0, 20))
            if self.chance.random() < 0.9:
                delivery = f"{here}/shipments/{shipped['shipment_id']}/delivery"
                await self.clerk.call("orders", "POST", delivery, {"proof": "CARRIER"})

    async def _send(self, here: str, parcel: dict[str, Any]) -> Any:
        """Hand a parcel over; if its money is not secured, have that done first."""
        for pause in (1, 2, 5, 30, 120, 600, 3600):
            try:
                return await self.clerk.call("orders", "POST", f"{here}/shipments", parcel)
            except Denied as denial:
                if denial.code not in ("payment_not_secured", "on_hold"):
                    raise
                self.simulation.tell("clerk", "the rest is not secured")
            with suppress(Denied):
                await self.clerk.call("orders", "POST", f"{here}/reauthorizations")
            await asyncio.sleep(pause)
        return await self.clerk.call("orders", "POST", f"{here}/shipments", parcel)

    def _parcels(self, lines: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
        """All in one, or one unit first and then the rest."""
        whole = [{"line_id": line["line_id"], "quantity": line["quantity"]} for line in lines]
        if sum(line["quantity"] for line in whole) == 1 or self.chance.random() < 0.5:
            return [whole]
        first = [{**whole[0], "quantity": 1}]
        rest = [{**whole[0], "quantity": whole[0]["quantity"] - 1}, *whole[1:]]
        return [first, [line for line in rest if line["quantity"]]]

    async def _after_sale(self, buyer: Person, order: dict[str, Any]) -> None:
        """Some send goods back, some get goodwill."""
        if self.chance.random() < 0.5:
            await self._give_back(buyer, order)
        if self.chance.random() < 0.2:
            wish = {"order_id": order["order_id"], "amount": 100, "note": "Sorry"}
            try:
                await self.clerk.call("returns", "POST", "/refunds", wish)
            except Denied as denial:
                self.simulation.tell("clerk", f"no goodwill: {denial.code}")

    async def _give_back(self, buyer: Person, order: dict[str, Any]) -> None:
        line = self.chance.choice(order["lines"])
        unit = {"line_id": line["line_id"], "quantity": self.chance.randint(1, line["quantity"])}
        wish = {"order_id": order["order_id"], "lines": [{**unit, "reason": "UNWANTED"}]}
        for pause in (1, 2, 5, 10, 30, 60, 300, 900):
            try:
                asked = await buyer.call("returns", "POST", "/returns", wish)
                break
            except Denied as denial:
                self.simulation.tell(buyer.name, f"cannot send back: {denial.code}")
                if denial.code not in ("not_delivered", "unknown_order"):
                    return
                await asyncio.sleep(pause)
        else:
            raise TimeoutError(f"returns never heard of the delivery of {order['order_id']}")
        here = f"/returns/{asked['return_id']}"
        if asked["status"] == "REQUESTED":
            await self.clerk.call("returns", "POST", f"{here}/approve")
        disposition = self.chance.choice(("RESTOCKED", "NOT_RESTOCKED", "PROCESSING_REQUIRED"))
        receipt = {
            "scan_id": str(derive("simulated scan", asked["return_id"])),
            "lines": [{**unit, "disposition": disposition}],
        }
        try:
            seen = await self.clerk.call("returns", "POST", f"{here}/receipts", receipt)
            if disposition == "PROCESSING_REQUIRED":
                inspected = {
                    "scan_id": str(derive("simulated inspection", asked["return_id"])),
                    "lines": [{**unit, "disposition": self.chance.choice(("RESTOCKED", "NOT_RESTOCKED"))}],
                    "resolves": seen["receipts"][0]["receipt_id"],
                }
                await asyncio.sleep(self.chance.uniform(0, 60))
                await self.clerk.call("returns", "POST", f"{here}/receipts", inspected)
        except Denied as denial:
            self.simulation.tell("clerk", f"cannot receive: {denial.code}")
            return
        seen = await buyer.until("returns", here, lambda seen: bool(seen["refunds"]))
        for refund in seen["refunds"]:
            for person in (self.clerk, self.manager):
                try:
                    await person.call("returns", "POST", f"/refunds/{refund['refund_id']}/approve")
                except Denied as denial:
                    self.simulation.tell(person.name, f"cannot approve: {denial.code}")


def _open_intent(order: dict[str, Any]) -> str | None:
    return next((each["intent_id"] for each in order["intents"] if each["status"] == "OPEN"), None)


def _open_fulfillments(order: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in order["fulfillments"] if each["status"] == "OPEN"]
