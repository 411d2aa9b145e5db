"""Whether a platform has come to rest: nothing to send, to hear, to do or to be told."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import httpx

from cli.platform import Platform, service_of
from shared.messaging.subscription import Subscription
from shared.messaging.topics import topic_of
from shared.service.clock import utc_now
from shared.store.connection import Connection, connect
from shared.store.errors import CONNECTION_LOST
from shared.store.store import Definition

POLL_S = 0.25

_STANDING = """
SELECT (SELECT count(*) FROM events) AS events,
       (SELECT count(*) FROM events WHERE split_part(stream_id, '-', 1) = ANY($1::text[])) AS public,
       (SELECT count(*) FROM outbox) AS outbox,
       (SELECT count(*) FROM parked) AS parked,
       (SELECT count(*) FROM todo WHERE kind <> 'TIMER' OR due <= $2) AS todo
"""
_HEARD = """
SELECT split_part(stream_id, '-', 1) AS category, sum(version)::bigint AS heard
FROM marks WHERE consumer = $1 GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Wiring:
    """What a service tells and hears: its public categories, its consumer and the topics it listens to."""

    public: frozenset[str]
    consumer: str | None
    topics: frozenset[str]

    @classmethod
    def of(cls, definition: Definition, subscription: Subscription | None) -> "Wiring":
        """What a service's composition says."""
        public = frozenset(decider.category for decider in definition.deciders if decider.public)
        if subscription is None:
            return cls(public, None, frozenset())
        return cls(public, subscription.consumer, frozenset(subscription.topics))


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the platform is: events written, and in words what still moves."""

    events: int
    open: tuple[str, ...]


async def wait_until_quiet(platform: Platform, timeout: float) -> tuple[str, ...]:
    """Wait until nothing moves, at most `timeout` seconds; gives what still moves then, nothing if all rests.

    Outboxes are empty, every mark is at its stream's head, nothing is parked, the provider has decided and
    told everything, and no todo row is due, nor any timer before the time is over. Two looks in a row have to
    agree, since things move between the places looked at. Servers that are away count as moving.
    """
    deadline, until = time.monotonic() + timeout, utc_now() + timedelta(seconds=timeout)
    wiring = {name: _wiring(platform, name) for name in platform.services}
    before: Standing | None = None
    while True:
        now = await _look(platform, wiring, until)
        if not now.open and now == before:
            return ()
        if time.monotonic() > deadline:
            return now.open
        before = now
        await asyncio.sleep(POLL_S)


def _wiring(platform: Platform, name: str) -> Wiring:
    service, settings = service_of(name), platform.settings_for(name)
    return Wiring.of(service.define(settings), service.subscription(settings))


async def _look(platform: Platform, wiring: Mapping[str, Wiring], until: datetime) -> Standing:
    try:
        return await standing(platform, wiring, until)
    except (*CONNECTION_LOST, asyncpg.PostgresError, httpx.HTTPError) as error:
        return Standing(-1, (f"a server does not answer: {type(error).__name__}",))


async def standing(platform: Platform, wiring: Mapping[str, Wiring], until: datetime) -> Standing:
    """What moves now, or will by itself before `until`. Raises the drivers' errors."""
    found: list[str] = []
    told: dict[str, int] = {}
    events = 0
    async with AsyncExitStack() as stack:
        connections = {
            name: await _connected(stack, address.owner_database_url, name)
            for name, address in platform.services.items()
        }
        for name, connection in connections.items():
            row = await connection.fetchrow(_STANDING, sorted(wiring[name].public), until)
            assert row is not None
            events += row["events"]
            told[name] = row["public"]
            found += [f"{name}: {row[what]} in {what}" for what in ("outbox", "parked", "todo") if row[what]]
        for name, connection in connections.items():
            found += await _unheard(name, connection, wiring, told)
    found += await _undecided(platform.provider_url)
    return Standing(events, tuple(found))


async def _connected(stack: AsyncExitStack, url: str, name: str) -> Connection:
    connection = await connect(url, name=f"{name} quiet")
    stack.push_async_callback(connection.close)
    return connection


async def _unheard(
    name: str, connection: Connection, wiring: Mapping[str, Wiring], told: Mapping[str, int]
) -> list[str]:
    """Events that a consumer has not applied yet: marks never pass heads, so equal sums are equal marks."""
    heard: dict[str, int] = {
        row["category"]: row["heard"] for row in await connection.fetch(_HEARD, wiring[name].consumer)
    }
    behind = {
        owner: count - sum(heard.get(category, 0) for category in wiring[owner].public)
        for owner, count in told.items()
        if topic_of(owner) in wiring[name].topics
    }
    return [f"{name}: {events} events of {owner} not heard" for owner, events in behind.items() if events]


async def _undecided(url: str) -> list[str]:
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
        answer = await client.get(f"{url}/v1/health")
        health: dict[str, Any] = answer.raise_for_status().json()
    return [
        f"provider: {health[what]} {what}" for what in ("processing", "undelivered_webhooks") if health[what]
    ]
