"""The two services put together: each has its own store; the teller has a relay, the auditor a consumer."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from shared.domain import category_of
from shared.events.envelope import Cause, Recorded
from shared.events.registry import Registry
from shared.messaging.cloudevents import to_headers
from shared.messaging.consumer import Consumer
from shared.messaging.relay import Relay, RelaySettings
from shared.messaging.subscriber import Subscriber
from shared.messaging.subscription import Subscription
from shared.messaging.topic_reader import AppliedEvents, read_topics
from shared.messaging.topic_writer import KafkaTopicWriter, open_topic
from shared.messaging.topics import partition_of, topic_of
from shared.store.connection import Pool, open_pool
from shared.store.marks import StoredRecord
from shared.store.outbox import PostgresOutbox, open_outbox
from shared.store.postgres import Postgres
from shared.store.store import Definition, Store
from shared.store.unit_of_work import UnitOfWork
from shared.store.worker import Duties, Worker
from tests.backends import Broker
from tests.conftest import Database
from tests.integration.bank import accounts, tallies
from tests.integration.bank.accounts import ACCOUNT, ACCOUNT_ROWS, HOLDINGS, Account
from tests.integration.bank.tallies import FOREIGN, OVERVIEW, TALLY

MIGRATIONS = Path(__file__).with_name("migrations")


class Clock:
    """The present, which a test can move on."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def advance(self, by: timedelta) -> None:
        self._ahead += by


class Teller:
    """Keeps accounts and tells about them."""

    def __init__(self, database: Database, pool: Pool) -> None:
        self.database = database
        self.clock = Clock()
        self.topic = topic_of(database.service)
        self.registry = Registry(accounts.EVENTS)
        self.store = Store(
            Postgres(pool),
            Definition(
                registry=self.registry,
                deciders=[ACCOUNT],
                read_models=[ACCOUNT_ROWS, HOLDINGS],
                react=accounts.react,
            ),
            epoch=1,
            clock=self.clock,
        )

    async def do(self, *commands: Any) -> None:
        """Run commands in one unit of work, again on conflict."""

        async def work(uow: UnitOfWork) -> None:
            for command in commands:
                await execute_account(uow, command)

        await self.store.transact(Cause(), work)

    async def account(self, key: str) -> Account | None:
        return await self.store.read(ACCOUNT, key)

    async def events(self) -> list[Recorded[Any]]:
        """Everything in the store, by position."""
        async with self.store.pool.acquire() as connection:
            streams = await connection.fetch("SELECT DISTINCT stream_id FROM events")
            order = await connection.fetch("SELECT stream_id, version FROM events ORDER BY position")
        loaded = await self.store.load([row["stream_id"] for row in streams])
        return [loaded[row["stream_id"]][row["version"] - 1] for row in order]

    async def outbox(self) -> int:
        depth: int = await self.store.pool.fetchval("SELECT count(*) FROM outbox")
        return depth

    def relay(self, broker: Broker, **settings: Any) -> Relay:
        fast: dict[str, Any] = {"poll_s": 0.05, "retry_s": 0.2, "check_every_s": 0.5}
        return Relay(
            RelaySettings(service=self.database.service, public=self.store.public, **{**fast, **settings}),
            outbox=self.open_outbox,
            topic=lambda: self.open_topic(broker),
            wake=self.store.outbox_written,
        )

    def open_outbox(self) -> AbstractAsyncContextManager[PostgresOutbox]:
        return open_outbox(self.database.url, self.database.service)

    def open_topic(self, broker: Broker) -> AbstractAsyncContextManager[KafkaTopicWriter]:
        return open_topic(broker.bootstrap, self.database.service, idempotent=broker.idempotent)

    def worker(self, duties: Duties, **settings: Any) -> Worker:
        return Worker(self.store, duties, **{"poll_s": 0.02, **settings})

    def records(self, events: Iterable[Recorded[Any]]) -> list[StoredRecord]:
        """The events as they would come from the topic, at made-up offsets."""
        return [
            StoredRecord(
                self.topic,
                partition_of(event.stream.encode()),
                offset,
                event.stream.encode(),
                self.registry.encode(event.data),
                tuple(to_headers(event, self.database.service)),
            )
            for offset, event in enumerate(events)
        ]


class Auditor:
    """Hears of the accounts of one or several tellers."""

    def __init__(self, database: Database, pool: Pool, topics: Sequence[str]) -> None:
        self.database = database
        self.clock = Clock()
        self.topics = topics
        self.auditing = tallies.Auditing()
        self.registry = Registry([tallies.Tallied])
        self.foreign = Registry(FOREIGN)
        self.name = database.service
        self.store = Store(
            Postgres(pool),
            Definition(registry=self.registry, deciders=[TALLY], read_models=[OVERVIEW]),
            epoch=1,
            clock=self.clock,
        )
        self.subscription = Subscription(
            consumer=self.name,
            topics=topics,
            registry=self.foreign,
            execute=execute_tally,
            react=self.auditing.react,
            streams=lambda command: [TALLY.stream(command.owner)],
            read_models=[ACCOUNT_ROWS, HOLDINGS, OVERVIEW],
        )
        self.consumer = Consumer(self.store, self.subscription)

    def subscriber(self, broker: Broker, *, instance: str | None = None) -> Subscriber:
        return Subscriber(
            self.consumer,
            group=self.name,
            topics=self.topics,
            bootstrap=broker.bootstrap,
            instance=instance,
        )

    def applied_events(self, broker: Broker) -> AppliedEvents:
        return AppliedEvents(broker.bootstrap, self.topics, self.name, self.foreign)

    async def marks(self) -> dict[str, int]:
        """The last applied version of every stream."""
        rows = await self.store.pool.fetch("SELECT stream_id, version FROM marks WHERE version > 0")
        return {row["stream_id"]: row["version"] for row in rows}

    async def parked(self) -> list[tuple[str, int, str]]:
        """What waits: stream, version and reason."""
        rows = await self.store.pool.fetch(
            "SELECT stream_id, version, reason FROM parked ORDER BY stream_id, version"
        )
        return [(row["stream_id"], row["version"], row["reason"]) for row in rows]

    async def has_applied(self, teller: Teller) -> bool:
        """Whether every stream's mark is its head and nothing waits."""
        heads = await teller.store.pool.fetch("SELECT stream_id, max(version) AS v FROM events GROUP BY 1")
        return await self.marks() == {row["stream_id"]: row["v"] for row in heads} and not await self.parked()

    async def tallied(self, owner: str) -> tuple[int, int]:
        """How many deposits of an owner were tallied, and their sum."""
        state = await self.store.read(TALLY, owner)
        return (state.count, state.total) if state else (0, 0)


async def execute_account(uow: UnitOfWork, command: Any) -> None:
    """Decide an account command in a unit of work."""
    await uow.decide(ACCOUNT, command.account, command)


async def execute_tally(uow: UnitOfWork, command: Any) -> None:
    """Decide a tally command in a unit of work."""
    await uow.decide(TALLY, command.owner, command)


@asynccontextmanager
async def open_teller(database: Database, *, size: int = 8) -> AsyncIterator[Teller]:
    pool = await open_pool(database.url, name=database.service, size=size)
    try:
        yield Teller(database, pool)
    finally:
        await close(pool)


@asynccontextmanager
async def open_auditor(database: Database, topics: Sequence[str], *, size: int = 8) -> AsyncIterator[Auditor]:
    pool = await open_pool(database.url, name=database.service, size=size)
    try:
        yield Auditor(database, pool, topics)
    finally:
        await close(pool)


async def close(pool: Pool) -> None:
    """Close a pool, by force if a failed test still holds one of its connections."""
    with suppress(TimeoutError):
        await asyncio.wait_for(pool.close(), 10)


async def topic_events(broker: Broker, topic: str) -> list[tuple[str, int]]:
    """Stream and version of every record of a topic, each partition in order."""
    found = []
    async for records in read_topics(broker.bootstrap, [topic]):
        for record in records:
            headers = dict(record.headers)
            found.append(((headers["ce_subject"] or b"").decode(), int(headers["ce_sequence"] or b"0")))
    return found


def first_occurrences(seen: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    """The versions of each stream in the order in which they came first."""
    firsts: dict[str, list[int]] = {}
    for stream, version in dict.fromkeys(seen):
        firsts.setdefault(stream, []).append(version)
    return firsts


def versions_of(events: Iterable[Recorded[Any]]) -> dict[str, list[int]]:
    """The versions of each public stream, in the order of `events`."""
    found: dict[str, list[int]] = {}
    for event in events:
        assert category_of(event.stream) == ACCOUNT.category
        found.setdefault(event.stream, []).append(event.version)
    return found
