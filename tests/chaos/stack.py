"""The whole platform on this machine, cut into more processes than usual so that each can die by itself.

Orders and inventory run role by role. Inventory has a Postgres of its own, on a small disk where one can be
mounted. The provider is reached over a wire that can fail.
"""

import base64
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
import httpx

from cli.demo.command import PROVIDER_OPTIONS, SHORT_WAITS
from cli.platform import FILE_NAME, SERVICES, Platform, ServiceAddress
from cli.up import BROKER, POSTGRES, mail_program, prepare_databases, provider_program, service_program
from sandbox.broker import BrokerProcess
from sandbox.command import free_ports, running
from sandbox.postgres import PostgresProcess
from sandbox.supervisor import Program, Supervisor
from shared.messaging.topics import ensure_topics, topic_of
from shared.service.settings import Role
from tests.chaos.disk import CannotMount, Disk
from tests.chaos.proxy import Proxy, Wire

DISK_POSTGRES, ON_DISK = "postgres-inventory", "inventory"
BY_ROLE = ("orders", "inventory")
ROLES = (Role.API, Role.CONSUMER, Role.RELAY, Role.WORKER)
START_WITHIN_S = 120
SERVERS = ("broker", "provider", "smtp", "mail", "wire")
SETTINGS = {
    "orders": {
        "TODO_LEASE_S": "6",
        "ORDER_POLICY": (
            '{"stock_answer_within": 900, "payment_window": 120, "capture_retry_after": 1,'
            ' "refund_answer_within": 10, "refund_retry_after": 1, "max_refund_attempts": 50}'
        ),
    },
    "notifications": dict(SHORT_WAITS["notifications"]),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A platform that is up. `no_disk` says why there is no small disk, where there is none."""

    platform: Platform
    supervisor: Supervisor
    probes: httpx.AsyncClient
    wire: Proxy
    disk: Disk
    no_disk: str | None
    postgres: dict[str, PostgresProcess]

    @property
    def services(self) -> tuple[str, ...]:
        """The names of all service processes."""
        return tuple(f"{name}-{role}" for name in BY_ROLE for role in ROLES) + tuple(
            name for name in SERVICES if name not in BY_ROLE
        )

    @asynccontextmanager
    async def another(self, name: str, role: Role) -> AsyncIterator[None]:
        """A second process of a role, ready inside the block and gone after it."""
        (port,) = free_ports(1)
        program = service_program(self.platform, name, self.probes, role=role, port=port, instance=2)
        log = self.supervisor.log_of(program.name)
        async with running(program.command, ready=program.ready, log=log, seconds=START_WITHIN_S):
            yield


@asynccontextmanager
async def running_stack(state_dir: Path, *, no_disk: str | None) -> AsyncIterator[Stack]:
    """A stack inside the block, all of it gone after it. `no_disk`: why nothing can be mounted."""
    disk = Disk(state_dir / "disk")
    if no_disk is None:
        try:
            disk.mount()
        except CannotMount as error:
            no_disk = str(error)
    try:
        async with _on(state_dir, disk, no_disk) as stack:
            yield stack
    finally:
        if no_disk is None:
            disk.unmount()


@asynccontextmanager
async def _on(state_dir: Path, disk: Disk, no_disk: str | None) -> AsyncIterator[Stack]:
    ports = dict(zip((*SERVICES, *SERVERS), free_ports(len(SERVICES) + len(SERVERS)), strict=True))
    common = PostgresProcess(state_dir / "postgres")
    small = PostgresProcess((state_dir if no_disk else disk.path) / "postgres-inventory")
    postgres = {POSTGRES: common, DISK_POSTGRES: small}
    for each in postgres.values():
        each.prepare()
    broker = BrokerProcess(ports["broker"])
    platform = _platform(ports, postgres, broker)
    wire = Proxy(ports["wire"], ports["provider"])
    await wire.set(Wire.GOOD)
    try:
        async with (
            httpx.AsyncClient(timeout=2, trust_env=False) as probes,
            Supervisor(state_dir) as supervisor,
        ):
            await supervisor.start(
                *(
                    Program(
                        name=name,
                        command=each.command(),
                        ready=each.ready,
                        start_seconds=START_WITHIN_S,
                    )
                    for name, each in postgres.items()
                ),
                Program(name=BROKER, command=broker.command(), ready=broker.ready),
                provider_program(state_dir, platform, PROVIDER_OPTIONS, probes),
                mail_program(state_dir, platform, probes),
            )
            await _keep_small(small)
            elsewhere = [name for name in SERVICES if name != ON_DISK]
            await prepare_databases(common.admin_url(), platform, elsewhere)
            await prepare_databases(small.admin_url(), platform, [ON_DISK])
            await ensure_topics(platform.kafka_bootstrap_servers, [topic_of(name) for name in SERVICES])
            platform.save(state_dir / FILE_NAME)
            services = _services(platform, probes)
            await supervisor.start(*(replace(each, start_seconds=START_WITHIN_S) for each in services))
            yield Stack(
                platform=platform,
                supervisor=supervisor,
                probes=probes,
                wire=wire,
                disk=disk,
                no_disk=no_disk,
                postgres=postgres,
            )
    finally:
        await wire.close()


def _services(platform: Platform, probes: httpx.AsyncClient) -> list[Program]:
    programs = []
    for name in SERVICES:
        after = (DISK_POSTGRES if name == ON_DISK else POSTGRES, BROKER)
        if name not in BY_ROLE:
            programs.append(service_program(platform, name, probes, after=after))
            continue
        ports = (None, *free_ports(len(ROLES) - 1))
        programs += [
            service_program(platform, name, probes, role=role, port=port, after=after)
            for role, port in zip(ROLES, ports, strict=True)
        ]
    return programs


def _platform(ports: dict[str, int], postgres: dict[str, PostgresProcess], broker: BrokerProcess) -> Platform:
    provider = f"http://127.0.0.1:{ports['provider']}"
    over_wire = {"PROVIDER_URL": f"http://127.0.0.1:{ports['wire']}", "PROVIDER_PUBLIC_URL": provider}
    settings = {**SETTINGS, "orders": {**SETTINGS["orders"], **over_wire}}

    def address(name: str) -> ServiceAddress:
        server = postgres[DISK_POSTGRES if name == ON_DISK else POSTGRES]
        return ServiceAddress(
            url=f"http://127.0.0.1:{ports[name]}",
            database_url=server.url(name, name),
            owner_database_url=server.url("postgres", name),
            settings=settings.get(name, {}),
        )

    return Platform(
        services={name: address(name) for name in SERVICES},
        kafka_bootstrap_servers=broker.bootstrap_servers(),
        kafka_idempotence=False,
        provider_url=provider,
        mail_url=f"http://127.0.0.1:{ports['mail']}",
        smtp_host="127.0.0.1",
        smtp_port=ports["smtp"],
        webhook_secret=secrets.token_urlsafe(32),
        jwt_key=secrets.token_urlsafe(48),
        data_key=base64.b64encode(os.urandom(32)).decode(),
    )


async def _keep_small(postgres: PostgresProcess) -> None:
    """Let a server keep little log, so that the small disk is enough for long."""
    connection = await asyncpg.connect(postgres.admin_url())
    try:
        for name, value in (("max_wal_size", "64MB"), ("min_wal_size", "32MB")):
            await connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()
