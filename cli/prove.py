"""Proves on a running platform that nothing was lost, sold twice or refunded twice: all laws, all stores."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition

from cli import evidence
from cli.evidence import Book
from cli.laws import Kind, Law, Laws, Place, Violation
from cli.laws.mail import MailIsLedger, OccasionsAreAnswered
from cli.laws.orphans import OrphansGoBack
from cli.laws.provider import ProviderAgrees
from cli.laws.stock import AccountedFor, OnHand
from cli.laws.streams import MarksAreHeads, TopicIsStore
from cli.laws.tally import Tally
from cli.platform import Platform
from cli.proofs import Proof, Proofs
from cli.quiet import Wiring, standing
from shared.messaging.cloudevents import KafkaRecord, Malformed, parse
from shared.messaging.topic_reader import AppliedEvents, read_topics
from shared.service.clock import utc_now
from shared.store.connection import open_pool
from shared.store.rebuild import Rebuilt, rebuild

LOOKS = 10
"""How often an unfinished topic is looked at: a broker's answer about its end may lag."""
LOOK_AGAIN_S = 0.3


@dataclass(slots=True)
class _Run:
    """What one run of the proofs gathers."""

    platform: Platform
    laws: Laws = field(default_factory=Laws)
    tally: Tally = field(default_factory=Tally)
    topics: dict[str, TopicIsStore] = field(default_factory=lambda: defaultdict(TopicIsStore))
    compared: dict[type[Law], dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    seconds: dict[type[Law], float] = field(default_factory=lambda: defaultdict(float))
    events: int = 0


async def prove(platform: Platform, *, quiescent: bool, rebuild: bool) -> Proofs:
    """Check every law against the stores of `platform`; with `rebuild`, every read model as well.

    `quiescent`: the platform has come to rest, so that what crosses services is judged too: topics, marks,
    the provider's ledger, the mail server, and that every order has ended. Otherwise only what one store
    shows is. Raises the drivers' errors if a server is away.
    """
    run = _Run(platform)
    async with evidence.open_books(platform) as books:
        began = time.monotonic()
        await _read_events(run, books, with_topics=quiescent)
        await _read_stock_levels(run, books)
        passed = time.monotonic() - began
        if quiescent:
            await _read_ledger(run)
            await _read_mails(run)
        run.laws[OrphansGoBack].now = utc_now()
        run.laws.finish(at_rest=quiescent)
        proofs = [_of_law(run, law, passed) for law in run.laws.all]
        if quiescent:
            proofs.append(await _topics(run, books))
            proofs.append(await _marks(run, books))
            proofs.append(await _nothing_waits(run, books))
    if rebuild:
        proofs += await _read_models(platform, books)
    return Proofs(
        proofs=proofs,
        counters=_counters(run, proofs),
        orders_by_state=run.tally.orders_by_state,
        events_by_topic=dict(run.tally.events),
    )


def _counters(run: _Run, proofs: Sequence[Proof]) -> dict[str, int]:
    kinds = [violation.kind for proof in proofs for violation in proof.violations]
    mail = run.laws[MailIsLedger]
    return {
        **run.tally.counters,
        "emails": mail.sent,
        "resent_emails": mail.resent,
        "events": run.events,
        "topic_duplicates": sum(topic.duplicates for topic in run.topics.values()),
        "oversold": kinds.count(Kind.OVERSOLD),
        "lost": kinds.count(Kind.LOST),
        "duplicated": kinds.count(Kind.DUPLICATED),
        "mismatched_read_models": sum(proof.law == READ_MODELS and not proof.ok for proof in proofs),
    }


def _of_law(run: _Run, law: Law, passed: float) -> Proof:
    kind = type(law)
    sums = law.sums() if isinstance(law, ProviderAgrees) else {}
    return Proof(
        law=law.number,
        name=law.claim,
        compared={"events": law.seen, **sums, **run.compared[kind]},
        violations=law.violations,
        seconds=passed + run.seconds[kind],
    )


async def _read_events(run: _Run, books: Sequence[Book], *, with_topics: bool) -> None:
    for book in books:
        if book.name == "notifications":
            run.laws[OccasionsAreAnswered].since = book.react_since
    async for book, event, data in evidence.all_events(books):
        run.laws.see(event)
        run.events += 1
        public = book.is_public(event)
        run.tally.see(book.topic if public else "", event)
        if public and with_topics:
            run.topics[book.topic].stored(event, data)
    run.tally.events.pop("", None)


async def _read_stock_levels(run: _Run, books: Sequence[Book]) -> None:
    """The rows that the shop sees, in the snapshot of the events that made them."""
    inventory = next((book for book in books if book.name == "inventory"), None)
    if inventory is None:
        return
    shown = 0
    async for row in inventory.connection.cursor(
        "SELECT sku, location_id, on_hand, held, damaged, quality_control FROM stock_levels"
    ):
        item = f"{row['sku']}@{row['location_id']}"
        run.laws[OnHand].shown(item, row["on_hand"])
        run.laws[AccountedFor].shown(item, row["held"], row["damaged"], row["quality_control"])
        shown += 1
    run.compared[OnHand]["skus"] = run.compared[AccountedFor]["skus"] = shown


async def _read_ledger(run: _Run) -> None:
    began, law = time.monotonic(), run.laws[ProviderAgrees]
    sums: defaultdict[str, int] = defaultdict(int)
    async for line in evidence.ledger(run.platform.provider_url):
        law.entry(line["kind"], line["reference"], line["amount"], line["currency"], line["provider_ref"])
        sums["ledger_entries"] += 1
        sums[f"{str(line['kind']).lower()} by the provider"] += line["amount"]
    run.compared[ProviderAgrees] = dict(sums)
    run.seconds[ProviderAgrees] = time.monotonic() - began


async def _read_mails(run: _Run) -> None:
    began, law = time.monotonic(), run.laws[MailIsLedger]
    async for mail in evidence.mails(run.platform.mail_url):
        law.mail(mail["message_id"])
    run.compared[MailIsLedger] = {"sent": law.sent, "mails": law.mails, "resent": law.resent}
    run.seconds[MailIsLedger] = time.monotonic() - began


async def _topics(run: _Run, books: Sequence[Book]) -> Proof:
    """Every topic against its store."""
    began = time.monotonic()
    offsets: dict[TopicPartition, int] = {}
    topics = {book.topic: run.topics[book.topic] for book in books}
    for look in range(LOOKS):
        if look:
            await asyncio.sleep(LOOK_AGAIN_S)
        async for records in read_topics(run.platform.kafka_bootstrap_servers, list(topics), offsets):
            for record in records:
                _compare(topics[record.topic], record)
        if not any(topic.unread for topic in topics.values()):
            break
    for topic in topics.values():
        topic.finish()
    return Proof(
        law=TopicIsStore.number,
        name=TopicIsStore.claim,
        compared={
            "records": sum(offsets.values()),
            "events": sum(topic.events for topic in topics.values()),
            "duplicates": sum(topic.duplicates for topic in topics.values()),
        },
        violations=_merged(topics.values()),
        seconds=time.monotonic() - began,
    )


def _compare(topic: TopicIsStore, record: KafkaRecord) -> None:
    try:
        found = parse(record)
    except Malformed as error:
        topic.blame(f"{record.topic}/{record.partition} offset {record.offset}", f"malformed: {error}")
        return
    place = Place(found.occurred_at, found.stream, found.version, found.type, found.event_id)
    topic.published(place, found.epoch, record.key, record.value or b"")


async def _marks(run: _Run, books: Sequence[Book]) -> Proof:
    """Every consumer's marks against the heads of the streams it hears."""
    began, law = time.monotonic(), MarksAreHeads()
    for book in books:
        if book.subscription is None:
            continue
        for topic in book.subscription.topics:
            for stream, version in run.topics[topic].heads:
                law.head(book.name, stream, version)
        async for stream, version in evidence.marks(book):
            law.mark(book.name, stream, version)
    law.finish()
    return Proof(
        law=law.number,
        name=law.claim,
        compared={"marks": law.marks},
        violations=law.violations,
        seconds=time.monotonic() - began,
    )


async def _nothing_waits(run: _Run, books: Sequence[Book]) -> Proof:
    """No work is due, no record is parked, and the provider has nothing more to say."""
    began = time.monotonic()
    wiring = {book.name: Wiring.of(book.definition, book.subscription) for book in books}
    now = await standing(run.platform, wiring, utc_now())
    return Proof(
        law="L18",
        name="nothing waits: outboxes, marks, parked records, due work, webhooks",
        compared={"events": now.events},
        violations=[
            Violation(law="L18", subject=told.partition(":")[0], detail=told, kind=Kind.LOST)
            for told in now.open
        ],
        seconds=time.monotonic() - began,
    )


def _merged(laws: Iterable[Law]) -> list[Violation]:
    return [violation for law in laws for violation in law.violations]


READ_MODELS = "L18 read models"


async def _read_models(platform: Platform, books: Sequence[Book]) -> list[Proof]:
    """Each read model, folded anew from events, against its live table; nothing is changed."""
    proofs = []
    for book in books:
        pool = await open_pool(
            platform.services[book.name].owner_database_url, name=f"{book.name} proofs", size=4
        )
        try:
            for name in book.read_models:
                began = time.monotonic()
                result = await _rebuilt(platform, book, name, pool)
                violation = Violation(
                    law=READ_MODELS,
                    subject=f"{book.name}.{name}",
                    detail=f"the live rows are {result.live_hash}, their events say {result.rebuilt_hash}",
                )
                proofs.append(
                    Proof(
                        law=READ_MODELS,
                        name=f"{book.name}.{name} = fold(events)",
                        compared={"rows": result.rows},
                        violations=() if result.equal else (violation,),
                        seconds=time.monotonic() - began,
                    )
                )
        finally:
            await pool.close()
    return proofs


async def _rebuilt(platform: Platform, book: Book, name: str, pool: Any) -> Rebuilt:
    """A rebuild of one read model, again if a lagging broker may have hidden a topic's end."""
    model, hears = book.read_models[name]
    foreign = None
    for look in range(3):
        if look:
            await asyncio.sleep(LOOK_AGAIN_S)
        if hears and (heard := book.subscription):
            foreign = AppliedEvents(
                platform.kafka_bootstrap_servers, heard.topics, heard.consumer, heard.registry
            )
        result = await rebuild(pool, book.definition.registry, model, foreign=foreign, swap=False)
        if result.equal or foreign is None:
            break
    return result
