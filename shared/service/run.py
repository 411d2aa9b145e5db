"""Runs one process of a service in the roles that it was started with, until it is asked to stop."""

import argparse
import asyncio
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import asyncpg
import structlog
import uvicorn
import uvloop
from fastapi import APIRouter

from shared.messaging.consumer import Consumer
from shared.messaging.relay import Relay, RelaySettings
from shared.messaging.subscriber import Subscriber
from shared.messaging.subscription import Subscription
from shared.messaging.topic_writer import open_topic
from shared.service import logs, metrics
from shared.service.clock import Clock, utc_now
from shared.service.collector import calm_collector
from shared.service.http import Check, create_app
from shared.service.metrics import Sample
from shared.service.settings import Role, Settings, SettingsError, load
from shared.store.connection import Connection, Pool, open_pool
from shared.store.errors import CONNECTION_LOST
from shared.store.migrate import all_migrations, missing_migrations
from shared.store.outbox import open_outbox
from shared.store.postgres import Postgres
from shared.store.store import Definition, Store
from shared.store.worker import Duties, Worker

log = structlog.get_logger(__name__)

S = TypeVar("S", bound=Settings)

SAMPLE_EVERY_S = 2.0
CANNOT_START = 2


class CannotStart(Exception):  # noqa: N818
    """Something that a person must mend; the message is one line."""


async def _nothing() -> None:
    """For a service with nothing to do before it starts."""


@dataclass(frozen=True, kw_only=True)
class Wired:
    """The parts of a service, wired to its store.

    `prepare` runs in every process before its tasks start, such as to adopt a first policy: it must bear
    being repeated, and being run by several processes at once.
    """

    duties: Duties
    router: APIRouter
    samples: tuple[Sample, ...] = ()
    prepare: Callable[[], Awaitable[None]] = _nothing
    resources: AsyncExitStack = field(default_factory=AsyncExitStack)


@dataclass(frozen=True, kw_only=True)
class Service(Generic[S]):
    """A service: its name, its settings, what it keeps, what it hears and how its parts are wired.

    `introduced` reads the instant from which it reacts to what it hears, where its settings name none.
    """

    name: str
    folder: Path
    settings: type[S]
    define: Callable[[S], Definition]
    subscription: Callable[[S], Subscription | None]
    wire: Callable[[S, Store], Wired]
    introduced: Callable[[Connection], Awaitable[datetime]] | None = None

    @property
    def migrations(self) -> Path:
        """The folder of this service's own SQL files."""
        return self.folder / "migrations"


def main(service: Service[S]) -> None:
    """Run a process as the command line and the environment say; exit code 2 if it cannot start."""
    parser = argparse.ArgumentParser(prog=f"python -m services.{service.name}")
    parser.add_argument("--role", type=Role, choices=list(Role), default=Role.ALL)
    role: Role = parser.parse_args().role
    try:
        settings = load(service.settings)
        logs.configure(service.name, settings.log_level)
        calm_collector()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(service, settings, role))
    except (CannotStart, SettingsError) as error:
        print(f"{service.name}: {error}", file=sys.stderr)  # noqa: T201 - for the person who started it
        sys.exit(CANNOT_START)


async def run(service: Service[S], settings: S, role: Role, clock: Clock = utc_now) -> None:
    """Run until SIGTERM or SIGINT: work in hand is finished, offsets are committed, the group is left.

    Raises CannotStart if a port, the database, the broker or a migration is missing at the start.
    """
    listener = _listen(settings.host, settings.port)
    pool = await _open_database(service, settings)
    try:
        await _reach_broker(settings.kafka_bootstrap_servers)
        async with pool.acquire() as connection:
            epoch: int = await connection.fetchval("SELECT epoch FROM epoch")
        store = Store(
            Postgres(pool),
            service.define(settings),
            epoch=epoch,
            clock=clock,
            together=settings.commands_together,
        )
        wired = service.wire(settings, store)
        async with wired.resources:
            await wired.prepare()
            await _run_tasks(service, settings, role, store, wired, listener)
    finally:
        await asyncio.wait_for(pool.close(), 10)


async def _run_tasks(
    service: Service[S], settings: S, role: Role, store: Store, wired: Wired, listener: socket.socket
) -> None:
    subscription = await subscription_of(service, settings, store)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    tasks: dict[str, asyncio.Task[None]] = {}

    async def alive() -> None:
        if dead := [name for name, task in tasks.items() if task.done()]:
            raise RuntimeError(f"stopped: {', '.join(dead)}")

    ready: dict[str, Check] = {
        "database": lambda: _database_is_there(service, store.pool),
        "broker": lambda: _reach_broker(settings.kafka_bootstrap_servers),
    }
    router = wired.router if role in (Role.ALL, Role.API) else None
    server = _Server(
        uvicorn.Config(
            create_app(service.name, router, ready, alive),
            log_config=None,
            access_log=False,
            proxy_headers=False,
            lifespan="off",
            timeout_graceful_shutdown=10,
        )
    )
    tasks["http"] = asyncio.create_task(server.serve([listener]))
    tasks["metrics"] = asyncio.create_task(
        metrics.run(store, service.name, wired.samples, stop, SAMPLE_EVERY_S)
    )
    if role in (Role.ALL, Role.RELAY):
        tasks["relay"] = asyncio.create_task(_relay(service, settings, store).run(stop))
    if role in (Role.ALL, Role.WORKER):
        worker = Worker(
            store, wired.duties, concurrency=settings.todo_concurrency, lease_s=settings.todo_lease_s
        )
        tasks["worker"] = asyncio.create_task(worker.run(stop))
    if role in (Role.ALL, Role.CONSUMER) and subscription is not None:
        tasks["consumer"] = asyncio.create_task(_subscriber(settings, store, subscription).run(stop))
    log.info("started", role=role, port=listener.getsockname()[1])
    await asyncio.wait(
        [*tasks.values(), asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED
    )
    died = [] if stop.is_set() else [name for name, task in tasks.items() if task.done()]
    stop.set()
    server.should_exit = True
    results = await asyncio.gather(*tasks.values(), return_exceptions=True)
    for name, result in zip(tasks, results, strict=True):
        if isinstance(result, BaseException):
            log.error("task_failed", task=name, exc_info=result)
    log.info("stopped")
    if died:
        sys.exit(1)


async def subscription_of(service: Service[S], settings: S, store: Store) -> Subscription | None:
    """What the service hears, and since when it reacts to it."""
    subscription = service.subscription(settings)
    if subscription is None or subscription.react_since is not None or service.introduced is None:
        return subscription
    async with store.pool.acquire() as connection:
        return replace(subscription, react_since=await service.introduced(connection))


def _relay(service: Service[S], settings: S, store: Store) -> Relay:
    return Relay(
        RelaySettings(service=service.name, public=store.public, chunk=settings.relay_chunk),
        outbox=partial(open_outbox, settings.database_url, service.name),
        topic=partial(
            open_topic,
            settings.kafka_bootstrap_servers,
            service.name,
            idempotent=settings.kafka_idempotence,
            replication=settings.kafka_replication,
        ),
        wake=store.outbox_written,
    )


def _subscriber(settings: Settings, store: Store, subscription: Subscription) -> Subscriber:
    return Subscriber(
        Consumer(store, subscription, together=settings.consumer_batch),
        group=subscription.consumer,
        topics=subscription.topics,
        bootstrap=settings.kafka_bootstrap_servers,
        instance=settings.instance,
        batch=settings.consumer_batch,
        gather_s=settings.consumer_gather_s,
    )


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # two that start at once can both bind, only one can listen
    except OSError as error:
        listener.close()
        raise CannotStart(
            f"cannot listen on {host}:{port}: {error.strerror}; set PORT to a free one"
        ) from None
    return listener


async def _open_database(service: Service[S], settings: S) -> Pool:
    try:
        pool = await open_pool(settings.database_url, name=service.name, size=settings.pool_size)
    except (asyncpg.PostgresError, *CONNECTION_LOST, ValueError) as error:
        raise CannotStart(f"cannot reach the database of DATABASE_URL: {_one_line(error)}") from None
    try:
        await _database_is_there(service, pool)
    except (asyncpg.PostgresError, *CONNECTION_LOST, RuntimeError) as error:
        await pool.close()
        raise CannotStart(_one_line(error)) from None
    return pool


async def _database_is_there(service: Service[S], pool: Pool) -> None:
    async with pool.acquire() as connection:
        if missing := await missing_migrations(connection, all_migrations(service.migrations)):
            raise RuntimeError(
                f"{len(missing)} migrations are missing; run: orderflow migrate {service.name}"
            )


async def _reach_broker(bootstrap: str) -> None:
    """Raise CannotStart unless one of the bootstrap servers accepts a connection."""
    error: Exception | None = None
    for server in bootstrap.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            async with asyncio.timeout(2):
                _, writer = await asyncio.open_connection(host, int(port))
            writer.close()
        except (OSError, ValueError) as fault:
            error = fault
        else:
            return
    raise CannotStart(f"cannot reach the broker of KAFKA_BOOTSTRAP_SERVERS ({bootstrap}): {_one_line(error)}")


def _one_line(error: Exception | None) -> str:
    return " ".join(str(error).split()) or type(error).__name__


class _Server(uvicorn.Server):
    """uvicorn that leaves signals to us."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
