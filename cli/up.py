"""Starts a whole platform on this machine: servers, databases, topics, sandbox and the five services."""

import asyncio
import base64
import os
import secrets
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx

from cli.platform import FILE_NAME, SERVICES, Platform, PlatformError, ServiceAddress, attach, service_of
from sandbox.broker import BrokerProcess
from sandbox.command import Command, Probe, claim_port, free_ports
from sandbox.postgres import PostgresProcess
from sandbox.supervisor import Program, Supervisor
from shared.events.envelope import ActorKind
from shared.messaging.topics import ensure_topics, topic_of
from shared.service.settings import Role
from shared.store.migrate import migrate, provision

SERVERS = ("broker", "provider", "smtp", "mail")
POSTGRES, BROKER = "postgres", "broker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A platform that is up, and the supervisor that keeps it so."""

    platform: Platform
    supervisor: Supervisor


@asynccontextmanager
async def running_platform(
    state_dir: Path,
    *,
    base_port: int | None = None,
    settings: Mapping[str, Mapping[str, str]] | None = None,
    provider_options: tuple[str, ...] = (),
) -> AsyncIterator[Running]:
    """A platform inside the block, all of it stopped after it.

    `base_port`: services listen on fixed ports from there on, else on free ones. `settings` are extra
    environment variables by service. What `state_dir` holds of an earlier run is gone on with. Raises
    StartError with one line for a person.
    """
    ports = _ports(base_port)
    postgres = PostgresProcess(state_dir / "postgres")
    postgres.prepare()
    broker = BrokerProcess(ports["broker"])
    platform = _describe(state_dir, ports, postgres, broker, settings or {})
    async with (
        httpx.AsyncClient(timeout=2, trust_env=False) as probes,
        Supervisor(state_dir) as supervisor,
    ):
        await supervisor.start(
            Program(name=POSTGRES, command=postgres.command(), ready=postgres.ready),
            Program(name=BROKER, command=broker.command(), ready=broker.ready),
            provider_program(state_dir, platform, provider_options, probes),
            mail_program(state_dir, platform, probes),
        )
        await prepare_databases(postgres.admin_url(), platform)
        await ensure_topics(platform.kafka_bootstrap_servers, [topic_of(name) for name in SERVICES])
        platform.save(state_dir / FILE_NAME)
        await supervisor.start(*(service_program(platform, name, probes) for name in SERVICES))
        yield Running(platform=platform, supervisor=supervisor)


async def prepare_databases(admin_url: str, platform: Platform, services: Sequence[str] = SERVICES) -> None:
    """A database, a role and all migrations for each of these services; safe to repeat."""
    admin = await asyncpg.connect(admin_url)
    try:
        for name in services:
            await provision(admin, name, secrets.token_urlsafe())
    finally:
        await admin.close()
    for name in services:
        owner = await asyncpg.connect(platform.services[name].owner_database_url)
        try:
            await migrate(owner, service_of(name).migrations)
        finally:
            await owner.close()


def _ports(base: int | None) -> dict[str, int]:
    names = (*SERVICES, *SERVERS)
    if base is None:
        return dict(zip(names, free_ports(len(names)), strict=True))
    return {name: claim_port(base + n, name) for n, name in enumerate(names, start=1)}


def _describe(
    state_dir: Path,
    ports: Mapping[str, int],
    postgres: PostgresProcess,
    broker: BrokerProcess,
    settings: Mapping[str, Mapping[str, str]],
) -> Platform:
    try:
        before = attach(state_dir / FILE_NAME)
    except PlatformError:
        before = None
    return Platform(
        services={
            name: ServiceAddress(
                url=f"http://127.0.0.1:{ports[name]}",
                database_url=postgres.url(name, name),
                owner_database_url=postgres.url("postgres", name),
                settings=dict(settings.get(name, {})),
            )
            for name in SERVICES
        },
        kafka_bootstrap_servers=broker.bootstrap_servers(),
        kafka_idempotence=False,
        provider_url=f"http://127.0.0.1:{ports['provider']}",
        mail_url=f"http://127.0.0.1:{ports['mail']}",
        smtp_host="127.0.0.1",
        smtp_port=ports["smtp"],
        webhook_secret=before.webhook_secret if before else secrets.token_urlsafe(32),
        jwt_key=before.jwt_key if before else secrets.token_urlsafe(48),
        data_key=before.data_key if before else base64.b64encode(os.urandom(32)).decode(),
    )


def service_program(
    platform: Platform,
    name: str,
    probes: httpx.AsyncClient,
    *,
    role: Role = Role.ALL,
    port: int | None = None,
    instance: int = 1,
    after: tuple[str, ...] = (POSTGRES, BROKER),
) -> Program:
    """A process of a service in a role; `port` None: the service's own, where everybody looks for its API."""
    environment, suffix = platform.environment(name), f"-{instance}" if instance > 1 else ""
    if port is not None:
        environment["PORT"] = str(port)
    return Program(
        name=(name if role is Role.ALL else f"{name}-{role}") + suffix,
        command=Command(
            argv=(sys.executable, "-m", f"services.{name}", "--role", role),
            env={**_environment(), **environment, "INSTANCE": f"{name}-{instance}"},
        ),
        ready=_answers(probes, f"http://127.0.0.1:{environment['PORT']}/readyz"),
        after=after,
    )


def provider_program(
    state_dir: Path, platform: Platform, options: tuple[str, ...], probes: httpx.AsyncClient
) -> Program:
    """The sandbox payment provider, which tells orders what became of payments."""
    webhooks = f"{platform.services['orders'].url}/webhooks/payments"
    return Program(
        name="provider",
        command=Command(
            argv=(
                *(sys.executable, "-m", "sandbox.provider", "--webhook-url", webhooks),
                *("--port", platform.provider_url.rsplit(":", 1)[1]),
                *("--database", str(state_dir / "provider.db"), *options),
            ),
            env={**_environment(), "PROVIDER_WEBHOOK_SECRET": platform.webhook_secret},
        ),
        ready=_answers(probes, f"{platform.provider_url}/v1/health"),
    )


def mail_program(state_dir: Path, platform: Platform, probes: httpx.AsyncClient) -> Program:
    """The sandbox mail server."""
    return Program(
        name="mail",
        command=Command(
            argv=(
                *(sys.executable, "-m", "sandbox.mail", "--database", str(state_dir / "mail.db")),
                *("--smtp-port", str(platform.smtp_port)),
                *("--http-port", platform.mail_url.rsplit(":", 1)[1]),
            ),
            env=_environment(),
        ),
        ready=_answers(probes, f"{platform.mail_url}/api/summary"),
    )


def _environment() -> dict[str, str]:
    """What every Python program needs of ours, and nothing that could be mistaken for a setting."""
    wanted = ("PATH", "HOME", "LANG", "VIRTUAL_ENV", "PYTHONPATH", "TMPDIR")
    return {name: os.environ[name] for name in wanted if name in os.environ}


def _answers(probes: httpx.AsyncClient, url: str) -> Probe:
    async def probe() -> bool:
        try:
            return (await probes.get(url)).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    return probe


async def up(state_dir: Path, base_port: int) -> int:
    """Keep a platform running until it is interrupted; prints where it is and a token to try it with."""
    async with running_platform(state_dir, base_port=base_port) as running:
        platform = running.platform
        for name in SERVICES:
            print(f"{name:14} {platform.services[name].url}  (API: {platform.services[name].url}/docs)")
        print(f"{'provider':14} {platform.provider_url}")
        print(f"{'mail':14} {platform.mail_url}")
        print(f"{'kafka':14} {platform.kafka_bootstrap_servers}")
        print(f"{'state':14} {state_dir}")
        print(f"operator token {platform.token(ActorKind.OPERATOR, 'you')}")
        print("Ctrl-C ends it.", flush=True)
        await asyncio.Event().wait()
    return 0
