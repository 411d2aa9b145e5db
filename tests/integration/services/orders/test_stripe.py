"""Orders that Stripe takes the money of, whole, and that nothing of a card is stored or logged with either
provider. Stripe is a fake at the network's edge: all between it and HTTP is the real thing."""

import json
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import structlog

from services.orders.app import SERVICE, assemble, wire
from services.orders.settings import OrdersSettings
from services.orders.stripe_intents import StripeIntents
from services.orders.stripe_provider import TIMEOUT_S, StripeProvider, stripe_client
from services.orders.stripe_webhooks import StripeWebhooks
from shared.events.orders import (
    DeclineCode,
    IntentPurpose,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRequested,
    PaymentVoided,
    RefundIssued,
)
from shared.messaging.consumer import Consumer
from shared.service.http import create_app
from shared.service.http_client import HttpClient
from shared.service.vault import Vault
from shared.store.connection import open_pool
from shared.store.postgres import Postgres
from shared.store.store import Store
from shared.store.worker import Worker
from tests.conftest import Database, MakeDatabase
from tests.integration.psp.fake_stripe import KEY, FakeStripe
from tests.integration.psp.places import DECLINED, GOOD, NEW, ONE_CAPTURE, SECRETS, SETTINGS, stripe_signature
from tests.integration.sandbox.shop import open_shop as open_letterbox
from tests.integration.services.orders.shop import DATA_KEY, JWT_KEY, REFUND, Clock, Shop, granted
from tests.integration.services.orders.test_payments import CHECKOUT, waiting_for_payment
from tests.integration.services.orders.test_renewals import REST, reauthorize, ship
from tests.unit.orders.samples import CART_ID, DUE_1, INTENT, ORDER_ID, TOTAL

pytestmark = pytest.mark.integration

CARDS = (GOOD, DECLINED, ONE_CAPTURE)
LONG_NUMBER = re.compile(r"(?<![\w.-])[2-6]\d{12,18}(?![\w-])")


@dataclass
class StripeShop:
    """`shop` with Stripe behind it, whose webhooks are handed over by `forward`."""

    shop: Shop
    fake: FakeStripe
    told: int = 0

    async def pay(self, card: str = GOOD) -> None:
        """The buyer's browser confirms with what the payment page gave it."""
        page = (await self.shop.call("GET", f"/orders/{ORDER_ID}/payment")).json()
        self.fake.pays(page["client_secret"], card)

    async def forward(self) -> list[int]:
        new = self.fake.events[self.told :]
        self.told += len(new)
        return [await self.deliver(body, NEW) for body in new]

    async def deliver(self, body: bytes, secret: str) -> int:
        signature = stripe_signature(body, secret, self.shop.clock())
        answer = await self.shop.http.post(
            "/webhooks/payments", content=body, headers={"Stripe-Signature": signature}
        )
        return answer.status_code

    @property
    def taken(self) -> int:
        """What Stripe took and did not give back."""
        given = sum(each["amount"] for each in self.fake.refunds.values())
        taken = sum(each["amount_received"] for each in self.fake.intents.values())
        return int(taken - given)


@asynccontextmanager
async def open_stripe_shop(database: Database, *, multicapture: bool) -> AsyncIterator[StripeShop]:
    """Orders over a database, beside a Stripe of its own, inside the block."""
    clock = Clock()
    fake = FakeStripe(clock, allows_multicapture=multicapture)
    pool = await open_pool(database.url, name="orders", size=8)
    try:
        store = Store(Postgres(pool), SERVICE.define(SETTINGS), epoch=1, clock=clock)
        to_stripe = httpx.AsyncClient(transport=httpx.MockTransport(fake.answers), timeout=TIMEOUT_S)
        port = StripeProvider(
            stripe_client(KEY, "https://stripe.example", to_stripe),
            StripeIntents(store),
            clock,
            multicapture=multicapture,
        )
        settings = SETTINGS.model_copy(update={"jwt_key": type(SETTINGS.jwt_key)(JWT_KEY)})
        wired = assemble(settings, store, port, StripeWebhooks(SECRETS))
        subscription = SERVICE.subscription(SETTINGS)
        assert subscription
        app = create_app("orders", wired.router, {}, _alive)
        with open_letterbox() as letterbox:
            async with (
                to_stripe,
                wired.resources,
                httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://orders") as http,
            ):
                shop = Shop(
                    store=store,
                    clock=clock,
                    consumer=Consumer(store, subscription),
                    worker=Worker(store, wired.duties),
                    http=http,
                    provider=to_stripe,
                    calls=HttpClient("http://unused", timeout_s=1),
                    letterbox=letterbox,
                    owner_url=database.owner_url,
                    vault=Vault(DATA_KEY),
                    duties=wired.duties,
                    samples=wired.samples,
                    start_provider=_alive,
                    stop_provider=_alive,
                )
                yield StripeShop(shop, fake)
    finally:
        await pool.close()


async def _alive() -> None:
    """Nothing runs beside the test."""


@pytest.fixture(params=[True, False], ids=["multicapture", "one capture"])
async def at_stripe(request: pytest.FixtureRequest, make_database: MakeDatabase) -> AsyncIterator[StripeShop]:
    database = await make_database(SERVICE.migrations, "orders")
    async with open_stripe_shop(database, multicapture=request.param) as opened:
        yield opened


async def test_two_parcels_are_taken_when_they_leave(at_stripe: StripeShop) -> None:
    """From one authorization where it can be captured in parts, else the rest from another one like it."""
    shop, several = at_stripe.shop, at_stripe.fake._allows_multicapture
    await waiting_for_payment(shop)
    await at_stripe.pay()
    assert await at_stripe.forward() == [204]
    (authorized,) = await shop.events(ORDER_ID, PaymentAuthorized)
    assert (authorized.amount, authorized.multicapture) == (TOTAL, several)
    assert (await ship(shop, 1)).status_code == 201
    await shop.work()
    if not several:
        assert (await reauthorize(shop)).status_code == 201
        await shop.work()
    assert (await ship(shop, 2)).status_code == 201
    await shop.work()
    await at_stripe.forward()
    await shop.work()

    captured = await shop.events(ORDER_ID, PaymentCaptured)
    assert [(each.amount, (each.provider_ref or "")[:3]) for each in captured] == [
        (DUE_1, "ch_"),
        (REST, "ch_"),
    ]
    requested = await shop.events(ORDER_ID, PaymentRequested)
    assert {each.provider for each in requested} == {"stripe"}
    purposes = [each.purpose for each in requested]
    assert purposes == [IntentPurpose.ORDER] + [IntentPurpose.REAUTHORIZATION] * (not several)
    assert at_stripe.taken == TOTAL
    assert (await shop.get(ORDER_ID))["money"] == {
        "authorized": 0,
        "captured": TOTAL,
        "refunded": 0,
        "balance": TOTAL,
    }

    await shop.hear(f"refundgrant-{REFUND}", granted(700))
    await shop.work()
    (issued,) = await shop.events(ORDER_ID, RefundIssued)
    assert {part.provider_ref for part in issued.allocations} == set(at_stripe.fake.refunds)
    assert at_stripe.taken == TOTAL - 700
    assert all(found.equal for found in await shop.rebuilt())


async def test_a_declined_card_a_second_one_and_a_cancel(at_stripe: StripeShop) -> None:
    shop = at_stripe.shop
    await waiting_for_payment(shop)
    await at_stripe.pay(DECLINED)
    await at_stripe.forward()
    (declined,) = await shop.events(ORDER_ID, PaymentDeclined)
    assert declined.code is DeclineCode.DECLINED
    again = await shop.call("POST", f"/orders/{ORDER_ID}/payment-attempts", {})
    assert again.status_code == 201
    await shop.work()
    await at_stripe.pay()
    await at_stripe.forward()
    assert await shop.statuses(ORDER_ID) == ("CONFIRMED", "AUTHORIZED", "UNFULFILLED")
    assert (await shop.call("POST", f"/orders/{ORDER_ID}/cancel", {"reason": "STAFF"})).status_code == 200
    await shop.work()
    await at_stripe.forward()
    (voided,) = await shop.events(ORDER_ID, PaymentVoided)
    assert voided.amount == TOTAL
    assert at_stripe.taken == 0
    assert at_stripe.fake.intents[voided.provider_ref or ""]["status"] == "canceled"


async def test_captures_whose_answers_are_lost_are_made_once(at_stripe: StripeShop) -> None:
    shop = at_stripe.shop
    await waiting_for_payment(shop)
    await at_stripe.pay()
    await at_stripe.forward()
    assert (await ship(shop, 1)).status_code == 201
    at_stripe.fake.lose = 1
    await shop.work()
    assert not await shop.events(ORDER_ID, PaymentCaptured)
    shop.clock.advance(timedelta(hours=25))
    await shop.work()
    (captured,) = await shop.events(ORDER_ID, PaymentCaptured)
    assert (captured.amount, at_stripe.taken) == (DUE_1, DUE_1)


async def test_what_stripe_cannot_charge_is_declined_at_once(at_stripe: StripeShop) -> None:
    """No buyer waits in vain for a form to pay what cannot be paid."""
    shop = at_stripe.shop
    checkout = replace(CHECKOUT, currency="LYD")
    await shop.place(checkout, CART_ID)
    await shop.secure_stock(ORDER_ID, checkout)
    (declined,) = await shop.events(ORDER_ID, PaymentDeclined)
    assert (declined.intent_id, declined.code) == (INTENT, DeclineCode.ERROR)
    assert not at_stripe.fake.sent


async def test_webhooks_are_believed_only_with_a_live_secret(at_stripe: StripeShop) -> None:
    shop = at_stripe.shop
    await waiting_for_payment(shop)
    await at_stripe.pay()
    (body,) = at_stripe.fake.events
    assert await at_stripe.deliver(body, "whsec_of_somebody") == 400
    assert await at_stripe.deliver(b"not even JSON", "whsec_of_somebody") == 400
    assert await at_stripe.deliver(b"not even JSON", NEW) == 422
    assert await shop.webhooks_kept() == (0, 0)
    for secret in SECRETS:
        assert await at_stripe.deliver(body, secret) == 204
    assert await shop.webhooks_kept() == (1, 0)


async def test_money_of_an_order_that_is_not_here_goes_back_but_not_that_of_others(
    at_stripe: StripeShop,
) -> None:
    shop = at_stripe.shop
    await waiting_for_payment(shop)
    await at_stripe.pay()
    (body,) = at_stripe.fake.events
    event = json.loads(body)
    charge = event["data"]["object"]
    charge["metadata"] = {}
    assert await at_stripe.deliver(json.dumps(event | {"id": "evt_other"}).encode(), NEW) == 204
    assert await shop.orphans() == []
    charge["metadata"] = {"order_id": "an order of yesterday"}
    assert await at_stripe.deliver(json.dumps(event | {"id": "evt_lost"}).encode(), NEW) == 204
    (orphan,) = await shop.orphans()
    assert (orphan["amount"], orphan["claimed_order"]) == (TOTAL, "an order of yesterday")
    shop.clock.advance(timedelta(days=1, seconds=1))
    await shop.work()
    (orphan,) = await shop.orphans()
    assert orphan["status"] == "REFUNDED"
    assert at_stripe.fake.intents[charge["payment_intent"]]["status"] == "canceled"


async def stored(owner_url: str) -> str:
    """Everything in a service's database as text."""
    connection = await asyncpg.connect(owner_url)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        rows: list[str] = []
        for (table,) in tables:
            rows += [row[0] for row in await connection.fetch(f'SELECT t::text FROM "{table}" t')]
            for column in await connection.fetch(
                "SELECT column_name FROM information_schema.columns WHERE table_name = $1 "
                "AND data_type = 'bytea'",
                table,
            ):
                found = await connection.fetch(f'SELECT convert_from("{column[0]}", \'UTF8\') FROM "{table}"')
                rows += [row[0] or "" for row in found]
        return "\n".join(rows)
    finally:
        await connection.close()


def card_data_in(text: str) -> list[str]:
    """Card numbers, what else a card has, and what only the provider and the buyer may know."""
    numbers = [number for number in LONG_NUMBER.findall(text) if _luhn(number)]
    words = ("fingerprint", "exp_month", "exp_year", "cvc", "billing_details", "buyer.example", "_secret_")
    return numbers + [word for word in (*words, *CARDS, KEY) if word in text]


def books_of(folder: Path) -> bytes:
    """The sandbox provider's ledger as it lies there."""
    return b"".join(path.read_bytes() for path in folder.glob("ledger.db*"))


def _luhn(number: str) -> bool:
    digits = [int(digit) for digit in reversed(number)]
    return sum(d if n % 2 == 0 else d * 2 - 9 * (d > 4) for n, d in enumerate(digits)) % 10 == 0


def test_card_data_is_recognized() -> None:
    assert card_data_in(f"card {GOOD} was used") == [GOOD, GOOD]
    assert card_data_in('{"exp_month": 11}') == ["exp_month"]
    assert card_data_in(f"Visa ending in 4242, at 1764000000000, order {ORDER_ID}") == []


async def test_no_card_data_is_stored_or_logged_with_stripe(
    at_stripe: StripeShop, caplog: pytest.LogCaptureFixture
) -> None:
    shop = at_stripe.shop
    with caplog.at_level(logging.DEBUG), structlog.testing.capture_logs() as logs:
        await waiting_for_payment(shop)
        await at_stripe.pay(DECLINED)
        await at_stripe.forward()
        await shop.call("POST", f"/orders/{ORDER_ID}/payment-attempts", {})
        at_stripe.fake.fails = 401
        await shop.work()
        shop.clock.advance(timedelta(minutes=1))
        await shop.work()
        await at_stripe.pay()
        await at_stripe.forward()
        await ship(shop, 1)
        await shop.work()
        await shop.hear(f"refundgrant-{REFUND}", granted(100))
        await shop.work()
    kept = await stored(shop.owner_url)
    assert "Visa ending in 4242" in kept
    assert "charge.succeeded" in kept
    assert any(each["event"] == "stripe_settings" for each in logs)
    assert card_data_in(kept) == []
    assert card_data_in(f"{caplog.text} {logs}") == []


async def test_no_card_data_is_stored_or_logged_with_the_sandbox(
    shop: Shop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), structlog.testing.capture_logs() as logs:
        await waiting_for_payment(shop)
        await shop.pay(ORDER_ID, DECLINED)
        await shop.forward(1)
        await shop.call("POST", f"/orders/{ORDER_ID}/payment-attempts", {})
        await shop.work()
        await shop.pay(ORDER_ID)
        await shop.forward(1)
        await ship(shop, 1)
        await shop.work()
        await shop.hear(f"refundgrant-{REFUND}", granted(100))
        await shop.work()
    kept = await stored(shop.owner_url)
    assert "Visa ending in 4242" in kept
    assert card_data_in(kept) == []
    assert card_data_in(f"{caplog.text} {logs}") == []
    books = books_of(tmp_path)
    assert books
    assert not [number for number in CARDS if number.encode() in books]


async def test_the_settings_wire_stripe(make_database: MakeDatabase) -> None:
    database = await make_database(SERVICE.migrations, "orders")
    pool = await open_pool(database.url, name="orders", size=2)
    try:
        settings = OrdersSettings.model_validate(SETTINGS.model_dump() | {"stripe_url": "http://127.0.0.1:1"})
        store = Store(Postgres(pool), SERVICE.define(settings), epoch=1, clock=Clock())
        wired = wire(settings, store)
        app = create_app("orders", wired.router, {}, _alive)
        async with (
            wired.resources,
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://orders") as http,
        ):
            body = b'{"id": "evt_1", "type": "customer.created"}'
            headers: dict[str, Any] = {"Stripe-Signature": stripe_signature(body, NEW, store.clock())}
            answer = await http.post("/webhooks/payments", content=body, headers=headers)
            assert answer.status_code == 204
    finally:
        await pool.close()
