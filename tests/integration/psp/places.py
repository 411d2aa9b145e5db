"""The two providers behind the payment port, each with what a test must do to it from outside."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import httpx
import stripe

from sandbox.provider.http import Provider, create_app
from sandbox.provider.payments import Delays
from sandbox.provider.store import Store as Ledger
from sandbox.provider.webhooks import signature
from services.orders.app import define
from services.orders.psp import NoticeReader, PaymentProvider, ProviderIntent
from services.orders.sandbox_provider import SandboxProvider, SandboxWebhooks
from services.orders.settings import OrdersSettings
from services.orders.stripe_intents import StripeIntents
from services.orders.stripe_provider import TIMEOUT_S, StripeProvider, stripe_client
from services.orders.stripe_webhooks import StripeWebhooks
from shared.service.http_client import HttpClient
from shared.store.store import Store
from shared.testing.memory.database import Database, quiet
from shared.testing.memory.session import Memory
from tests.integration.psp.fake_stripe import KEY, FakeStripe

GOOD = "4242424242424242"
ONE_CAPTURE = "4000000000001109"
DECLINED = "4000000000000002"
FRAUD = "4100000000000019"
RISKY = "4000000000009235"
NEEDS_THE_BUYER = "4000000000001307"
CAPTURES_REFUSED = "4000000000000804"
REFUNDS_REFUSED = "4000000000001000"
OLD, NEW = "whsec_the_old_secret", "whsec_the_new_secret"
SECRETS = (OLD, NEW)

SETTINGS = OrdersSettings.model_validate(
    {
        "database_url": "memory:",
        "kafka_bootstrap_servers": "memory:0",
        "jwt_key": "k" * 32,
        "data_key": "ZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGQ=",
        "port": 0,
        "payment_provider": "stripe",
        "stripe_secret_key": KEY,
        "webhook_secrets": ",".join(SECRETS),
    }
)


@dataclass(frozen=True, slots=True)
class Books:
    """What a provider itself says that it did for one intent, in minor units."""

    authorized: int
    captured: int
    refunded: int


class Place(Protocol):
    """A provider. `lose`: the answer to the next change is lost; `away`: the next call meets nobody."""

    port: PaymentProvider
    reader: NoticeReader

    @property
    def now(self) -> datetime: ...

    async def pays(self, intent: ProviderIntent, card: str) -> None:
        """The buyer confirms the payment with this card."""
        ...

    def told(self) -> list[bytes]:
        """The webhooks until now, oldest first."""
        ...

    def signed(self, body: bytes, secret: str, at: datetime) -> str:
        """The header that a webhook would have."""
        ...

    def lose(self) -> None: ...

    def away(self) -> None: ...

    def wait(self, by: timedelta) -> None:
        """Time goes by, as far as the provider lets a test do that."""
        ...

    async def books(self, intent: ProviderIntent) -> Books: ...

    def intents(self) -> int:
        """How many the provider has."""
        ...


class _Line(SandboxProvider):
    """The sandbox's own HTTP application without sockets."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        super().__init__(HttpClient("http://pay.example", timeout_s=1), "http://pay.example")
        self._http = http
        self.lose = self.away = 0

    async def send(
        self,
        method: str,
        path: str,
        key: str | None,
        *,
        params: Mapping[str, str] | None = None,
        json: object = None,
    ) -> tuple[int, Any]:
        if self.away:
            self.away -= 1
            raise ConnectionRefusedError("nobody there")
        headers = {"Idempotency-Key": key} if key else {}
        answer = await self._http.request(method, path, headers=headers, params=params, json=json)
        if self.lose and method == "POST":
            self.lose -= 1
            raise ConnectionResetError("the answer was lost")
        return answer.status_code, answer.json()


class SandboxPlace:
    def __init__(self, folder: Path) -> None:
        self._ledger = Ledger(folder / "ledger.db")
        app = create_app(Provider(self._ledger, Delays(), "", ""))
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://pay.example")
        self.line = _Line(self.http)
        self.port: PaymentProvider = self.line
        self.reader: NoticeReader = SandboxWebhooks(SECRETS)

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time(), UTC)

    async def pays(self, intent: ProviderIntent, card: str) -> None:
        wish = {"client_secret": intent.client_secret, "card": {"number": card}}
        answer = await self.http.post(intent.confirm_url, json=wish)
        assert answer.status_code == 200, answer.text

    def told(self) -> list[bytes]:
        rows = self._ledger.all("SELECT body FROM webhooks ORDER BY seq")
        return [row["body"].encode() for row in rows]

    def signed(self, body: bytes, secret: str, at: datetime) -> str:
        return signature(secret, body, int(at.timestamp()))

    def lose(self) -> None:
        self.line.lose = 1

    def away(self) -> None:
        self.line.away = 1

    def wait(self, by: timedelta) -> None:
        """It never forgets a key, so there is nothing to wait for."""

    async def books(self, intent: ProviderIntent) -> Books:
        found = self._ledger.one("SELECT * FROM intents WHERE id = ?", intent.ref)
        assert found
        return Books(found["amount_authorized"], found["amount_captured"], found["amount_refunded"])

    def intents(self) -> int:
        return len(self._ledger.all("SELECT id FROM intents"))

    async def close(self) -> None:
        await self.http.aclose()
        self._ledger.close()


def stripe_signature(body: bytes, secret: str, at: datetime) -> str:
    """The header of a webhook as Stripe signs it."""
    header = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, int(at.timestamp()))
    return str(header)


class StripePlace:
    """The adapter over the SDK and httpx, whose transport ends at a fake instead of the network."""

    def __init__(self, *, multicapture: bool = True) -> None:
        self._now = datetime(2026, 11, 22, 12, tzinfo=UTC)
        self.fake = FakeStripe(lambda: self._now, allows_multicapture=multicapture)
        self.http = httpx.AsyncClient(transport=httpx.MockTransport(self.fake.answers), timeout=TIMEOUT_S)
        store = Store(
            Memory(Database(lambda: self._now), quiet), define(SETTINGS), epoch=1, clock=lambda: self._now
        )
        self.known = StripeIntents(store)
        self.port: PaymentProvider = StripeProvider(
            stripe_client(KEY, "https://stripe.example", self.http),
            self.known,
            lambda: self._now,
            multicapture=multicapture,
        )
        self.reader: NoticeReader = StripeWebhooks(SECRETS)

    @property
    def now(self) -> datetime:
        return self._now

    async def pays(self, intent: ProviderIntent, card: str) -> None:
        self.fake.pays(intent.client_secret, card)

    def told(self) -> list[bytes]:
        return list(self.fake.events)

    def signed(self, body: bytes, secret: str, at: datetime) -> str:
        return stripe_signature(body, secret, at)

    def lose(self) -> None:
        self.fake.lose = 1

    def away(self) -> None:
        self.fake.away = 1

    def wait(self, by: timedelta) -> None:
        self._now += by

    async def books(self, intent: ProviderIntent) -> Books:
        found = self.fake.intents[intent.ref]
        charge = self.fake.charges.get(found["latest_charge"] or "")
        refunds = [r for r in self.fake.refunds.values() if r["payment_intent"] == intent.ref]
        return Books(
            charge["amount"] if charge else 0,
            found["amount_received"],
            sum(r["amount"] for r in refunds if r["status"] != "failed"),
        )

    def intents(self) -> int:
        return len(self.fake.intents)

    async def close(self) -> None:
        await self.http.aclose()
