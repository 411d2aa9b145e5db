"""The Postgres and the broker that tests run on: given by address, in containers, or embedded.

`ORDERFLOW_TEST_POSTGRES` (a superuser's URL) and `ORDERFLOW_TEST_KAFKA` (a real Kafka's bootstrap address)
name servers that run already; `ORDERFLOW_TEST_BACKEND` forces `embedded` or `containers`. Otherwise
containers are used where Docker answers and has the image: nothing is ever pulled.
"""

import asyncio
import gc
import os
import tempfile
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from sandbox.broker import BrokerProcess
from sandbox.command import free_ports, running, stop, wait_ready
from sandbox.postgres import PostgresProcess

POSTGRES_IMAGE = "postgres:17"
KAFKA_IMAGE = "apache/kafka:4.1.1"
MAX_CONNECTIONS = 200


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker's address; `idempotent`: whether it has the idempotent producer."""

    bootstrap: str
    idempotent: bool


@asynccontextmanager
async def postgres_server() -> AsyncIterator[str]:
    """A superuser's URL of a server that stays up inside the block."""
    if given := os.environ.get("ORDERFLOW_TEST_POSTGRES"):
        yield given
    elif use_containers(POSTGRES_IMAGE):
        container = _postgres_container()
        container.start()
        try:
            url = f"postgresql://postgres:test@127.0.0.1:{container.get_exposed_port(5432)}/postgres"
            assert await wait_ready(lambda: _answers(url), 60)
            yield url
        finally:
            container.stop()
    else:
        with tempfile.TemporaryDirectory(prefix="orderflow-test-") as folder:
            server = PostgresProcess(Path(folder) / "pg", max_connections=MAX_CONNECTIONS)
            server.prepare()
            async with running(server.command(), ready=server.ready, log=Path(folder) / "pg.log"):
                yield server.admin_url()


@asynccontextmanager
async def broker_server() -> AsyncIterator[Broker]:
    """A broker that stays up, and keeps what it has, inside the block."""
    if given := os.environ.get("ORDERFLOW_TEST_KAFKA"):
        yield Broker(given, idempotent=True)
    elif use_containers(KAFKA_IMAGE):
        (port,) = free_ports(1)
        container = _kafka_container(port)
        container.start()
        try:
            assert await wait_ready(BrokerProcess(port).ready, 60)
            yield Broker(f"127.0.0.1:{port}", idempotent=True)
        finally:
            container.stop()
    else:
        with tempfile.TemporaryDirectory(prefix="orderflow-test-") as folder:
            broker = BrokerProcess(*free_ports(1))
            async with running(broker.command(), ready=broker.ready, log=Path(folder) / "broker.log"):
                yield Broker(broker.bootstrap_servers(), idempotent=False)


class OwnBroker:
    """An embedded broker of one test, which may be killed and comes back empty under its address."""

    def __init__(self, folder: Path) -> None:
        self._broker = BrokerProcess(*free_ports(1))
        self._log = folder / "broker.log"
        self._process: asyncio.subprocess.Process | None = None
        self.address = Broker(self._broker.bootstrap_servers(), idempotent=False)

    async def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = await self._broker.command().start(self._log)
        assert await wait_ready(self._broker.ready, 30, self._process)

    async def kill(self) -> None:
        """SIGKILL; all that it held is gone."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


class OwnPostgres:
    """An embedded server of one test, which may stop and start again with what it holds."""

    def __init__(self, folder: Path) -> None:
        self._server = PostgresProcess(folder / "pg")
        self._server.prepare()
        self._log = folder / "pg.log"
        self._process: asyncio.subprocess.Process | None = None
        self.admin_url = self._server.admin_url()

    async def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = await self._server.command().start(self._log)
        assert await wait_ready(self._server.ready, 30, self._process)

    async def stop(self) -> None:
        """Stop it at once, whoever is connected."""
        if self._process is not None:
            await stop(self._process, self._server.command().stop_signal, 10)
            self._process = None


def use_containers(image: str) -> bool:
    """Whether a server of this image is to be a container."""
    match os.environ.get("ORDERFLOW_TEST_BACKEND"):
        case "embedded":
            return False
        case "containers":
            return True
        case None | "":
            return _docker_has(image)
        case other:
            raise ValueError(f"ORDERFLOW_TEST_BACKEND is embedded or containers, not {other}")


def _docker_has(image: str) -> bool:
    with warnings.catch_warnings():  # where no Docker answers, its client leaves an open socket behind
        warnings.simplefilter("ignore", ResourceWarning)
        found = _asked_docker(image)
        gc.collect()
    return found


def _asked_docker(image: str) -> bool:
    import docker  # type: ignore[import-untyped]
    from docker.errors import DockerException  # type: ignore[import-untyped]

    try:
        client = docker.from_env(timeout=5)
    except DockerException:
        return False
    try:
        client.ping()
        client.images.get(image)
    except (DockerException, OSError):
        return False
    else:
        return True
    finally:
        client.close()


def container_of(image: str) -> Any:
    """A container of testcontainers, not started."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from testcontainers.core.config import testcontainers_config
        from testcontainers.core.container import DockerContainer
    if not _docker_has(testcontainers_config.ryuk_image):
        testcontainers_config.ryuk_disabled = True
    return DockerContainer(image)


def _postgres_container() -> Any:
    return (
        container_of(POSTGRES_IMAGE)
        .with_exposed_ports(5432)
        .with_envs(POSTGRES_PASSWORD="test")
        .with_command(f"postgres -c max_connections={MAX_CONNECTIONS} -c fsync=off")
    )


def _kafka_container(port: int) -> Any:
    """Clients must be told the host's port, so it is chosen before the start."""
    return (
        container_of(KAFKA_IMAGE)
        .with_bind_ports(9092, port)
        .with_envs(
            KAFKA_NODE_ID="1",
            KAFKA_PROCESS_ROLES="broker,controller",
            KAFKA_LISTENERS="HOST://:9092,BROKER://:9094,CONTROLLER://:9093",
            KAFKA_ADVERTISED_LISTENERS=f"HOST://127.0.0.1:{port},BROKER://localhost:9094",
            KAFKA_LISTENER_SECURITY_PROTOCOL_MAP="HOST:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            KAFKA_INTER_BROKER_LISTENER_NAME="BROKER",
            KAFKA_CONTROLLER_LISTENER_NAMES="CONTROLLER",
            KAFKA_CONTROLLER_QUORUM_VOTERS="1@localhost:9093",
            KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR="1",
            KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS="0",
            KAFKA_AUTO_CREATE_TOPICS_ENABLE="false",
        )
    )


async def _answers(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url, timeout=5)
        await connection.close(timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    return True
