"""Proofs over five real stores, their topics, a provider's ledger and a mail server that tell one day."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from cli.evidence import Book, open_books
from cli.platform import SERVICES, Platform, ServiceAddress, service_of
from cli.proofs import Proof, Proofs
from cli.prove import prove
from cli.quiet import wait_until_quiet
from sandbox.broker import BrokerProcess
from sandbox.command import free_ports, running
from sandbox.mail import Mailbox
from sandbox.provider.store import Store as Ledger
from shared.domain import category_of, key_of
from shared.events.notifications import MessageSent
from shared.events.orders import OrderPlaced
from shared.messaging.relay import Relay, RelaySettings
from shared.messaging.topic_writer import open_topic
from shared.messaging.topics import ensure_topics, topic_of
from shared.store import streams
from shared.store.connection import connect
from shared.store.outbox import open_outbox
from tests.conftest import Database, MakeDatabase
from tests.integration.sandbox.shop import open_shop
from tests.integration.sandbox.test_mail import mail_running
from tests.integration.sandbox.test_provider import provider_running
from tests.unit.laws.world import LEDGER, World, order, the_day
from tests.waiting import in_background, until

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Day:
    """A platform that holds the events of `world`, and a way to reach into a service's store."""

    platform: Platform
    world: World

    async def tamper(self, service: str, statement: str, *arguments: object) -> None:
        """What no service could do: its role may not, the tables' owner may."""
        owner = await asyncpg.connect(self.platform.services[service].owner_database_url)
        try:
            assert await owner.execute(statement, *arguments) not in {"UPDATE 0", "DELETE 0"}
        finally:
            await owner.close()

    async def proved(self, *, quiescent: bool = True, rebuild: bool = True) -> Proofs:
        return await prove(self.platform, quiescent=quiescent, rebuild=rebuild)


OpenDay = Callable[[World], Awaitable[Day]]


@pytest.fixture
async def open_day(make_database: MakeDatabase, tmp_path: Path) -> AsyncIterator[OpenDay]:
    """Brings a platform's servers up, without its services, and tells them a day."""
    async with AsyncExitStack() as stack:

        async def open_(world: World) -> Day:
            platform = await stack.enter_async_context(servers(make_database, tmp_path, world))
            async with open_books(platform) as opened:
                books = {book.name: book for book in opened}
            for name in SERVICES:
                await write(platform, books, name, world)
            await publish(platform, books)
            return Day(platform, world)

        yield open_


@asynccontextmanager
async def servers(make_database: MakeDatabase, folder: Path, world: World) -> AsyncIterator[Platform]:
    """Databases, an empty broker, and the provider and the mail server as they are after the day."""
    broker = BrokerProcess(*free_ports(1))
    databases = {name: await make_database(service_of(name).migrations, name) for name in SERVICES}
    keep_ledger(folder)
    keep_mails(folder, world)
    with open_shop() as shop:
        async with (
            running(broker.command(), ready=broker.ready, log=folder / "broker.log"),
            provider_running(folder, shop) as provider,
            mail_running(folder) as mail,
        ):
            yield Platform(
                services={name: address(database) for name, database in databases.items()},
                kafka_bootstrap_servers=broker.bootstrap_servers(),
                kafka_idempotence=False,
                provider_url=str(provider.http.base_url).rstrip("/"),
                mail_url=str(mail.http.base_url).rstrip("/"),
                smtp_host="127.0.0.1",
                smtp_port=mail.smtp_port,
                webhook_secret="webhook-secret",
                jwt_key="k" * 32,
                data_key=base64.b64encode(b"d" * 32).decode(),
            )


def address(database: Database) -> ServiceAddress:
    return ServiceAddress(
        url="http://127.0.0.1:1", database_url=database.url, owner_database_url=database.owner_url
    )


def keep_ledger(folder: Path) -> None:
    ledger = Ledger(folder / "ledger.db")
    for kind, reference, amount in LEDGER:
        ledger.insert(
            "ledger",
            kind=kind,
            amount=amount,
            currency="GBP",
            reference=str(reference),
            intent_id=f"pi_{reference}",
            provider_ref="ref",
            at=0.0,
        )
    ledger.close()


def keep_mails(folder: Path, world: World) -> None:
    """Every mail, the first of them twice."""
    mailbox = Mailbox(folder / "mail.db")
    sent = [key_of(event.stream) for event in world.all(MessageSent)]
    for effect in (sent[0], *sent):
        message = EmailMessage()
        message["Message-ID"] = f"<{effect}@shop.example>"
        mailbox.keep("shop@shop.example", ["ada@shop.example"], message.as_bytes())
    mailbox.close()


async def write(platform: Platform, books: Mapping[str, Book], name: str, world: World) -> None:
    """Events, read models and marks of one service, as it would have written them."""
    book = books[name]
    definition, subscription = book.definition, book.subscription
    own = [e for e in world.events if category_of(e.stream) in {d.category for d in definition.deciders}]
    topics = {category: book.topic for book in books.values() for category in book.public}
    connection = await connect(platform.services[name].database_url, name=name)
    try:
        async with connection.transaction():
            await streams.append(connection, definition.registry, own, {}, book.public)
            for model in definition.read_models:
                await model.project(connection, own)
            if subscription is None:
                return
            heard = [e for e in world.events if topics.get(category_of(e.stream)) in subscription.topics]
            for model in subscription.read_models:
                await model.project(connection, [e for e in heard if e.type in subscription.registry])
            await connection.executemany(
                "INSERT INTO marks (consumer, stream_id, epoch, version) VALUES ($1, $2, 1, $3)",
                [(name, *head) for head in {e.stream: e.version for e in heard}.items()],
            )
    finally:
        await connection.close()


async def publish(platform: Platform, books: Mapping[str, Book]) -> None:
    """Let the services' relays empty their outboxes."""
    await ensure_topics(platform.kafka_bootstrap_servers, [topic_of(name) for name in SERVICES])
    async with AsyncExitStack() as stack:
        for name in SERVICES:
            relay = Relay(
                RelaySettings(service=name, public=books[name].public, poll_s=0.05),
                outbox=partial(open_outbox, platform.services[name].database_url, name),
                topic=partial(open_topic, platform.kafka_bootstrap_servers, name, idempotent=False),
                wake=asyncio.Event(),
            )
            await stack.enter_async_context(in_background(relay.run))
        for name in SERVICES:
            await until(partial(is_empty, platform.services[name].database_url), what="an empty outbox")


async def is_empty(url: str) -> bool:
    connection = await asyncpg.connect(url)
    try:
        return not await connection.fetchval("SELECT count(*) FROM outbox")
    finally:
        await connection.close()


def told(proof: Proof) -> list[str]:
    return [f"{violation.subject}: {violation.detail}" for violation in proof.violations]


def of(proofs: Proofs, law: str, words: str = "") -> Proof:
    return next(proof for proof in proofs.proofs if proof.law == law and words in proof.name)


async def test_a_good_day_is_proved(open_day: OpenDay) -> None:
    day = await open_day(the_day())
    assert await wait_until_quiet(day.platform, 20) == ()

    proofs = await day.proved()

    assert {proof.name: told(proof) for proof in proofs.proofs if not proof.ok} == {}
    assert proofs.ok
    assert proofs.first_violation is None
    assert proofs.orders_by_state == {"COMPLETED": 1, "CANCELLED": 2}
    assert proofs.counters["events"] == len(day.world.events)
    assert (proofs.counters["emails"], proofs.counters["resent_emails"]) == (
        len(day.world.all(MessageSent)),
        1,
    )
    for counter in ("oversold", "lost", "duplicated", "mismatched_read_models", "topic_duplicates"):
        assert proofs.counters[counter] == 0, counter
    assert of(proofs, "L10").compared["captured by orders"] == 1200
    assert of(proofs, "L18", "topic").compared["events"] == sum(proofs.events_by_topic.values())
    assert json.loads(json.dumps(proofs.as_json()))["ok"] is True


async def test_every_tampering_is_named(open_day: OpenDay) -> None:
    day = await open_day(the_day())
    placed = day.world.one(OrderPlaced, order("good"))
    await day.tamper("inventory", "UPDATE stock_levels SET on_hand = on_hand + 1 WHERE sku = 'mug'")
    await day.tamper(
        "orders",
        "UPDATE events SET data = convert_to(replace(convert_from(data, 'UTF8'), '\"locale\":\"en\"', "
        "'\"locale\":\"it\"'), 'UTF8') WHERE stream_id = $1 AND version = 1",
        placed.stream,
    )
    await day.tamper("returns", "UPDATE marks SET version = 1 WHERE stream_id = $1", placed.stream)
    last = day.world.all(MessageSent)[-1]
    await day.tamper("notifications", "DELETE FROM events WHERE stream_id = $1", last.stream)

    proofs = await day.proved()

    assert not proofs.ok
    assert proofs.counters["mismatched_read_models"] >= 2
    assert "8 shown on hand" not in told(of(proofs, "L1"))[0]
    assert [v.subject.split("@")[0] for v in of(proofs, "L1").violations] == ["sku mug"]
    (differs,) = of(proofs, "L18", "topic").violations[:1]
    assert (differs.event_id, differs.detail) == (placed.event_id, "version 1 differs from the store")
    assert f"returns, {placed.stream}" in [v.subject for v in of(proofs, "L18", "mark").violations]
    assert told(of(proofs, "L17", "Message-IDs")) == [
        f"message {key_of(last.stream)}: the mail server has it, the ledger does not"
    ]
    assert proofs.first_violation is not None
    assert proofs.first_violation.event_id == placed.event_id
    assert proofs.as_json()["first_violation"]["stream"] == placed.stream
    open_ = await wait_until_quiet(day.platform, 0)
    assert any(text.startswith("returns: ") and "orders not heard" in text for text in open_)


async def test_while_it_runs_only_what_one_store_shows_is_judged(open_day: OpenDay) -> None:
    """A platform with half of its stores behind: fair as long as each stream is right."""
    world = the_day()
    day = await open_day(world)
    await day.tamper("notifications", "DELETE FROM events")
    await day.tamper("inventory", "DELETE FROM marks")

    assert (await day.proved(quiescent=False, rebuild=False)).ok

    placed = world.one(OrderPlaced, order("good"))
    await day.tamper("orders", "DELETE FROM events WHERE stream_id = $1 AND version = 2", placed.stream)
    proofs = await day.proved(quiescent=False, rebuild=False)
    assert proofs.first_violation is not None
    assert (proofs.first_violation.stream, proofs.first_violation.version) == (placed.stream, 3)
