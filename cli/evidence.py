"""What proofs read: every service's store in one mixture, marks, the provider's ledger, the mail server."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from cli.platform import SERVICES, Platform, service_of
from shared.domain import category_of
from shared.events.envelope import Recorded
from shared.messaging.subscription import Subscription
from shared.messaging.topics import topic_of
from shared.store import streams
from shared.store.connection import Connection, connect
from shared.store.readmodel import ReadModel
from shared.store.store import Definition

CHUNK = 500
PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """One service's store: what it keeps, what it hears, since when it reacts, and a connection as owner."""

    name: str
    definition: Definition
    subscription: Subscription | None
    react_since: datetime | None
    connection: Connection

    @property
    def topic(self) -> str:
        """Where its public events go."""
        return topic_of(self.name)

    @property
    def public(self) -> frozenset[str]:
        """The categories of its public streams."""
        return frozenset(decider.category for decider in self.definition.deciders if decider.public)

    @property
    def read_models(self) -> dict[str, tuple[ReadModel[Any], bool]]:
        """Its read models by name, and whether each hears other services."""
        heard = {model.name for model in self.subscription.read_models} if self.subscription else set()
        models = [*self.definition.read_models, *(self.subscription.read_models if self.subscription else ())]
        return {model.name: (model, model.name in heard) for model in models}

    def is_public(self, event: Recorded[Any]) -> bool:
        """Whether an event belongs on the topic."""
        return category_of(event.stream) in self.public


@asynccontextmanager
async def open_books(platform: Platform, names: Sequence[str] = SERVICES) -> AsyncIterator[list[Book]]:
    """The stores of these services, each as one unchanging snapshot while the block lasts."""
    async with AsyncExitStack() as stack:
        books = [await _open(platform, name, stack) for name in names]
        for book in books:
            snapshot = book.connection.transaction(isolation="repeatable_read", readonly=True)
            await stack.enter_async_context(snapshot)
        yield books


async def _open(platform: Platform, name: str, stack: AsyncExitStack) -> Book:
    connection = await connect(platform.services[name].owner_database_url, name=f"{name} proofs")
    stack.push_async_callback(connection.close)
    service, settings = service_of(name), platform.settings_for(name)
    since: datetime | None = settings.react_since
    if since is None and service.introduced is not None:
        since = await service.introduced(connection)
    return Book(
        name=name,
        definition=service.define(settings),
        subscription=service.subscription(settings),
        react_since=since,
        connection=connection,
    )


async def all_events(books: Sequence[Book]) -> AsyncIterator[tuple[Book, Recorded[Any], bytes]]:
    """Every event of all stores with its JSON as stored: each stream in order, and roughly by time, so that
    what belongs together comes close together."""
    sources = {book.name: streams.rows_on(book.connection, "true", chunk=CHUNK) for book in books}
    heads = {book.name: await anext(sources[book.name], None) for book in books}
    while waiting := [book for book in books if heads[book.name]]:
        book = min(waiting, key=lambda book: _first_time(heads[book.name]))
        for row in heads[book.name] or ():
            yield book, streams.recorded(book.definition.registry, row), row["data"]
        heads[book.name] = await anext(sources[book.name], None)


def _first_time(rows: Any) -> datetime:
    at: datetime = rows[0]["occurred_at"]
    return at


async def marks(book: Book) -> AsyncIterator[tuple[str, int]]:
    """Where a service's consumer stands: stream and version."""
    if book.subscription is None:
        return
    cursor = await book.connection.cursor(
        "SELECT stream_id, version FROM marks WHERE consumer = $1", book.subscription.consumer
    )
    while rows := await cursor.fetch(PAGE):
        for row in rows:
            yield row["stream_id"], row["version"]


async def ledger(url: str) -> AsyncIterator[dict[str, Any]]:
    """Every line of the provider's ledger. Raises httpx.HTTPError."""
    async for line in _pages(f"{url}/v1/ledger"):
        yield line


async def mails(url: str) -> AsyncIterator[dict[str, Any]]:
    """Every mail that the mail server accepted, without its text. Raises httpx.HTTPError."""
    async for mail in _pages(f"{url}/api/messages"):
        yield mail


async def _pages(address: str) -> AsyncIterator[dict[str, Any]]:
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        after: int | None = 0
        while after is not None:
            answer = await client.get(address, params={"after": after, "limit": PAGE})
            page = answer.raise_for_status().json()
            for item in page["data"]:
                yield item
            after = page["next"]
