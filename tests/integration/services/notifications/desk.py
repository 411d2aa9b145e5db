"""The notifications service on a real database and mail server, and the events of one made-up order."""

import base64
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson

from services.notifications.app import SERVICE, define, wire
from services.notifications.readmodels.mail_occasions import HEARD
from services.notifications.settings import NotificationsSettings
from shared.domain.ids import order_number
from shared.events.common import (
    Breakdown,
    CancelReason,
    Charge,
    Contact,
    Destination,
    Line,
    Qty,
    RefundMethod,
    Totals,
)
from shared.events.envelope import SYSTEM, Actor, ActorKind, Recorded, event_id
from shared.events.orders import (
    CaptureFailed,
    Delivered,
    DeliveryProof,
    EditCause,
    IntentPurpose,
    LatePaymentCause,
    LatePaymentKind,
    LatePaymentReceived,
    NextStep,
    OrderCancelled,
    OrderConfirmed,
    OrderEdited,
    OrderPlaced,
    OrderSource,
    PaymentAuthorized,
    PaymentBasis,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRequested,
    ProcessingMode,
    RefundCause,
    RefundFailed,
    RefundFailureCode,
    RefundIssued,
    ShipmentMethod,
    Shipped,
    ShippedLine,
    SourceKind,
)
from shared.events.orders import DeclineCode as PaymentDeclineCode
from shared.events.returns import (
    DeclineReason,
    Disposition,
    PolicyText,
    ReceivedLine,
    RefundShipping,
    ReturnApproved,
    ReturnDeclined,
    ReturnPolicyAdopted,
    ReturnReceived,
)
from shared.messaging.cloudevents import to_headers
from shared.messaging.consumer import Consumer
from shared.messaging.topics import partition_of, topic_of
from shared.service.auth import issue
from shared.service.http import create_app
from shared.service.run import subscription_of
from shared.service.vault import Vault
from shared.store.connection import open_pool
from shared.store.marks import StoredRecord
from shared.store.postgres import Postgres
from shared.store.store import Store
from shared.store.worker import Worker
from tests.conftest import Database
from tests.integration.bank.services import Clock
from tests.integration.sandbox.test_mail import Mail

KEY = b"k" * 32
JWT_KEY = "j" * 32
MERCHANT = "merchant@shop.example"
NAME, EMAIL, STREET, NOTE = "Ada Lovelace", "ada@example.com", "12 St James's Square", "Worn, sorry Ada"
PERSONAL = (NAME, EMAIL, STREET, NOTE)
VAULT = Vault(KEY)
MUG, TEAPOT = uuid4(), uuid4()
BREAKDOWN = Breakdown(items_net=1_000, items_tax=200, shipping_net=0, shipping_tax=0, total=1_200)


class Order:
    """Tells the events of one order and of its returns, in order, as its services would."""

    def __init__(self, *, email: str = EMAIL, locale: str = "en", at: datetime | None = None) -> None:
        self.order_id = uuid4()
        self.intent_id = uuid4()
        self.number = order_number(self.order_id)
        self.at = at or datetime.now(UTC) + timedelta(seconds=1)
        self.told: list[Recorded[Any]] = []
        self._versions: dict[str, int] = {}
        self._email, self._locale = email, locale

    def tell(self, *events: Any, stream: str | None = None) -> list[Recorded[Any]]:
        """Take events down as the next ones of the order's stream, or of another."""
        stream = stream or f"order-{self.order_id}"
        told = []
        for data in events:
            version = self._versions[stream] = self._versions.get(stream, 0) + 1
            told.append(
                Recorded(
                    stream=stream,
                    version=version,
                    event_id=event_id(1, stream, version),
                    type=type(data).__name__,
                    schema_version=HEARD.schema_version(type(data).__name__),
                    occurred_at=self.at,
                    correlation_id=self.order_id,
                    causation_id=None,
                    actor=SYSTEM,
                    epoch=1,
                    data=data,
                )
            )
        self.told += told
        return told

    def placed(self) -> list[Recorded[Any]]:
        """The order, and a payment that is authorized."""
        asked = PaymentRequested(
            intent_id=self.intent_id,
            purpose=IntentPurpose.ORDER,
            amount=4_680,
            capture=self._placed().capture,
            provider="sandbox",
            expires_at=self.at + timedelta(minutes=30),
        )
        authorized = PaymentAuthorized(
            intent_id=self.intent_id,
            amount=4_680,
            provider_ref="pi_1",
            method_label="Visa 4242",
            multicapture=True,
            expires_at=self.at + timedelta(days=7),
        )
        return self.tell(self._placed(), asked, authorized)

    def confirmed(self) -> list[Recorded[Any]]:
        """The order up to its confirmation."""
        confirmed = OrderConfirmed(
            payment=PaymentBasis.AUTHORIZED,
            mode=ProcessingMode.MANUAL,
            mode_reason="default",
            next=NextStep.MANUAL,
            process_by=self.at + timedelta(days=2),
        )
        return [*self.placed(), *self.tell(confirmed)]

    def everything_else(self) -> list[Recorded[Any]]:
        """All other occasions at once; no real order goes through so much."""
        shipment = uuid4()
        parcel = (ShippedLine(line_id=MUG, sku="MUG", quantity=1, stock_tracked=True),)
        refund: dict[str, Any] = {"refund_id": uuid4(), "amount": 1_200}
        placed = self._placed()
        self.tell(
            OrderEdited(
                edit_id=uuid4(),
                revision=1,
                cause=EditCause.STAFF,
                lines=(_line(MUG, "MUG", "Mug & saucer", 4, 1_200), placed.lines[1]),
                shipping=placed.shipping,
                total_before=placed.totals.total,
                totals=replace(placed.totals, items_net=5_500, items_tax=1_100, total=7_080),
                raises_stock=True,
            ),
            PaymentRequested(
                intent_id=uuid4(),
                purpose=IntentPurpose.BALANCE,
                amount=2_400,
                capture=placed.capture,
                provider="sandbox",
                expires_at=self.at + timedelta(days=7),
            ),
            PaymentDeclined(
                intent_id=self.intent_id, code=PaymentDeclineCode.DECLINED, attempt=1, final=False
            ),
            LatePaymentReceived(
                intent_id=self.intent_id,
                kind=LatePaymentKind.CAPTURED,
                amount=4_680,
                provider_ref="pi_1",
                cause=LatePaymentCause.INTENT_CLOSED,
            ),
            PaymentCaptured(capture_id=uuid4(), intent_id=self.intent_id, amount=4_680),
            CaptureFailed(capture_id=uuid4(), amount=1_200, code="expired_card", final=True),
            Shipped(
                shipment_id=shipment,
                fulfillment_id=uuid4(),
                method=ShipmentMethod.CARRIER,
                lines=parcel,
                carrier="Royal Mail",
                tracking_number="AB123",
                estimated_delivery=date(2026, 1, 9),
                last=False,
            ),
            Delivered(
                shipment_id=shipment,
                lines=(Qty(line_id=MUG, quantity=1),),
                delivered_at=self.at,
                proof=DeliveryProof.CARRIER,
            ),
            RefundIssued(
                **refund,
                breakdown=BREAKDOWN,
                cause=RefundCause.GOODWILL,
                ref_id=uuid4(),
                method=RefundMethod.ORIGINAL,
                allocations=(),
            ),
            RefundFailed(**refund, code=RefundFailureCode.PROVIDER_REFUSED, retryable=False, attempt=5),
            OrderCancelled(reason=CancelReason.STAFF, stock_tracked=True, revision=0),
        )
        self.returned()
        return self.told

    def returned(self) -> list[Recorded[Any]]:
        """A return that was approved and came, and one that was declined."""
        subject = uuid4()
        came, declined = f"return-{uuid4()}", f"return-{uuid4()}"
        approved = ReturnApproved(
            order_id=self.order_id,
            lines=(Qty(line_id=TEAPOT, quantity=1),),
            instructions_ref="return-policy/1",
            ship_by=self.at + timedelta(days=14),
            receive_by=self.at + timedelta(days=30),
        )
        received = ReturnReceived(
            order_id=self.order_id,
            receipt_id=uuid4(),
            location_id=uuid4(),
            lines=(
                ReceivedLine(line_id=TEAPOT, sku="POT", quantity=1, disposition=Disposition.RESTOCKED),
                ReceivedLine(line_id=MUG, sku="MUG", quantity=1, disposition=Disposition.MISSING),
            ),
            complete=True,
        )
        note = VAULT.seal(subject, "note", NOTE)
        refusal = ReturnDeclined(order_id=self.order_id, reason=DeclineReason.OTHER, note=note)
        return [*self.tell(approved, received, stream=came), *self.tell(refusal, stream=declined)]

    def _placed(self) -> OrderPlaced:
        subject = self.order_id
        fields = {"country": "GB", "region": None, "postal_code": "SW1Y 4JH", "line1": STREET}
        address = orjson.dumps({**fields, "line2": None, "city": "London"}).decode()
        return OrderPlaced(
            order_number=self.number,
            source=OrderSource(kind=SourceKind.CART, ref_id=subject),
            contact=Contact(
                subject_id=subject,
                name=VAULT.seal(subject, "name", NAME),
                email=VAULT.seal(subject, "email", self._email),
            ),
            destination=Destination(
                country="GB", complete=True, address=VAULT.seal(subject, "address", address)
            ),
            lines=(
                _line(MUG, "MUG", "Mug & saucer", 2, 1_200),
                _line(TEAPOT, "POT", "Teapot", 1, 1_800),
            ),
            shipping=Charge(method_id="rm48", title="Royal Mail 48", net=400, tax=80, gross=480),
            totals=Totals(
                items_net=3_500, items_tax=700, shipping_net=400, shipping_tax=80, discount=0, total=4_680
            ),
            currency="GBP",
            locale=self._locale,
            pricing_version=1,
            stock_answer_by=self.at + timedelta(minutes=5),
        )


def _line(line_id: UUID, sku: str, title: str, quantity: int, unit_price: int) -> Line:
    gross = quantity * unit_price
    return Line(
        line_id=line_id,
        sku=sku,
        title=title,
        quantity=quantity,
        unit_price=unit_price,
        net=gross * 5 // 6,
        tax=gross // 6,
        gross=gross,
        tax_class="STANDARD",
        tax_rate_bp=2_000,
    )


def policy_adopted(at: datetime) -> Recorded[Any]:
    """The shop's first return policy."""
    data = ReturnPolicyAdopted(
        policy_version=1,
        effective_from=at,
        window_days=30,
        exclusions=(),
        restocking_fee_bp=0,
        return_shipping_fee=(),
        refund_shipping=RefundShipping.FULL_RETURN,
        answer_days=3,
        ship_days=14,
        receive_days=30,
        refund_days=10,
        dual_control_above=(),
        auto_refund=True,
        text=PolicyText(it="Trenta giorni.", en="Thirty days."),
    )
    stream = "returnpolicy-shop"
    return Recorded(
        stream=stream,
        version=1,
        event_id=event_id(1, stream, 1),
        type="ReturnPolicyAdopted",
        schema_version=1,
        occurred_at=at,
        correlation_id=uuid4(),
        causation_id=None,
        actor=SYSTEM,
        epoch=1,
        data=data,
    )


def records(events: Sequence[Recorded[Any]]) -> list[StoredRecord]:
    """The events as they come from the topics, at made-up offsets."""
    return [
        StoredRecord(
            topic_of(owner),
            partition_of(event.stream.encode()),
            offset,
            event.stream.encode(),
            HEARD.encode(event.data),
            tuple(to_headers(event, owner)),
        )
        for offset, event in enumerate(events)
        for owner in ("orders" if event.stream.startswith("order-") else "returns",)
    ]


def environment(database: Database, smtp_port: int) -> dict[str, str]:
    """The settings as environment variables, but for the broker and the port."""
    return {
        "DATABASE_URL": database.url,
        "JWT_KEY": JWT_KEY,
        "DATA_KEY": base64.b64encode(KEY).decode(),
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(smtp_port),
        "MERCHANT_EMAIL": MERCHANT,
        "SHOP_URL": "https://shop.example/",
    }


class Desk:
    """The service in this process: it hears what it is told, and works when it is asked to."""

    def __init__(self, database: Database, store: Store, settings: NotificationsSettings, clock: Clock):
        wired = wire(settings, store)
        self.database = database
        self.settings = settings
        self.store = store
        self.clock = clock
        self.duties = wired.duties
        self.samples = wired.samples
        self.worker = Worker(store, wired.duties)
        self._app = create_app("notifications", wired.router, {}, _alive)

    async def hear(self, events: Sequence[Recorded[Any]]) -> None:
        """Apply events as a batch of the consumer."""
        subscription = await subscription_of(SERVICE, self.settings, self.store)
        assert subscription is not None
        await Consumer(self.store, subscription).handle_batch(records(events))

    async def outcomes(self) -> list[Any]:
        """Every event of every message, by position."""
        rows = await self.store.pool.fetch("SELECT stream_id FROM events ORDER BY position")
        streams = await self.store.load(list({row["stream_id"] for row in rows}))
        heads = dict.fromkeys(row["stream_id"] for row in rows)
        return [event.data for stream in heads for event in streams[stream]]

    async def waiting(self) -> list[Any]:
        """The rows of mails that are not sent."""
        return list(await self.store.pool.fetch("SELECT * FROM todo ORDER BY created_at"))

    def client(self, kind: ActorKind | None = ActorKind.OPERATOR) -> httpx.AsyncClient:
        """A client with the token of such an actor."""
        headers = {}
        if kind is not None:
            token = issue(JWT_KEY, Actor(kind, str(uuid4())), datetime.now(UTC))
            headers["Authorization"] = f"Bearer {token}"
        transport = httpx.ASGITransport(self._app)
        return httpx.AsyncClient(transport=transport, base_url="http://desk", headers=headers)


async def _alive() -> None:
    return


@asynccontextmanager
async def open_desk(database: Database, smtp_port: int, **changes: str) -> AsyncIterator[Desk]:
    values = {"kafka_bootstrap_servers": "127.0.0.1:1", "port": "0"}
    values |= {name.lower(): value for name, value in environment(database, smtp_port).items()}
    settings = NotificationsSettings.model_validate_strings({**values, **changes})
    pool = await open_pool(database.url, name=database.service, size=4)
    try:
        clock = Clock()
        store = Store(Postgres(pool), define(settings), epoch=1, clock=clock)
        yield Desk(database, store, settings, clock)
    finally:
        await pool.close()


def letters(folder: Path) -> list[EmailMessage]:
    """Every mail that the server over `folder` has taken, in order."""
    connection = sqlite3.connect(folder / "mail.db")
    try:
        rows = connection.execute("SELECT raw FROM messages ORDER BY id").fetchall()
    finally:
        connection.close()
    parsed = [message_from_bytes(raw, policy=policy.default) for (raw,) in rows]
    assert all(isinstance(each, EmailMessage) for each in parsed)
    return parsed


async def summary(mail: Mail) -> dict[str, int]:
    found: dict[str, int] = (await mail.http.get("/api/summary")).json()
    return found
