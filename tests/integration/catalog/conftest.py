"""A cart and an inventory that listen on ports of this machine, and the file that says where they are."""

import asyncio
import base64
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from cli.platform import Platform, ServiceAddress
from sandbox.command import free_ports, tcp_open, wait_ready
from services.cart.app import SERVICE as CART
from services.inventory.app import SERVICE as INVENTORY
from shared.service.clock import utc_now
from shared.service.http import create_app
from shared.service.run import Service
from shared.store.connection import open_pool
from shared.store.postgres import Postgres
from shared.store.store import Store
from tests.conftest import Database, MakeDatabase

TOKEN_KEY = "a key that signs the tokens of these tests"
DATA_KEY = base64.b64encode(bytes(range(32))).decode()


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """What it said on standard error."""
        return self.err.splitlines()


@dataclass(frozen=True)
class Desk:
    """Where somebody types commands: a folder with files, and a platform."""

    folder: Path
    stores: dict[str, Store]

    async def type(self, *words: str) -> Done:
        """Run `orderflow` with these words in the folder."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli.main", *words, "--platform", "platform.json"),
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return Done(process.returncode, out.decode(), err.decode())

    async def put(self, name: str, content: str | bytes) -> None:
        """Write a file."""
        data = content if isinstance(content, bytes) else content.encode()
        await asyncio.to_thread((self.folder / name).write_bytes, data)

    async def get(self, name: str) -> str:
        """What is in a file, its line ends as they are."""
        return (await asyncio.to_thread((self.folder / name).read_bytes)).decode()

    async def events(self, service: str) -> int:
        """How many events there are."""
        count: int = await self.stores[service].pool.fetchval("SELECT count(*) FROM events")
        return count


@pytest.fixture
async def desk(make_database: MakeDatabase, tmp_path: Path) -> AsyncIterator[Desk]:
    services: tuple[Service[Any], ...] = (CART, INVENTORY)
    ports = free_ports(len(services))
    stores, addresses = {}, {}
    async with AsyncExitStack() as stack:
        for service, port in zip(services, ports, strict=True):
            database = await make_database(service.migrations, service.name)
            stores[service.name] = await stack.enter_async_context(_serve(service, database, port))
            addresses[service.name] = ServiceAddress(
                url=f"http://127.0.0.1:{port}",
                database_url=database.url,
                owner_database_url=database.owner_url,
            )
        platform = Platform(
            services=addresses,
            kafka_bootstrap_servers="127.0.0.1:1",
            kafka_idempotence=False,
            provider_url="http://127.0.0.1:1",
            mail_url="http://127.0.0.1:1",
            smtp_host="127.0.0.1",
            smtp_port=1,
            webhook_secret="none",
            jwt_key=TOKEN_KEY,
            data_key=DATA_KEY,
        )
        platform.save(tmp_path / "platform.json")
        yield Desk(tmp_path, stores)


@asynccontextmanager
async def _serve(service: Service[Any], database: Database, port: int) -> AsyncIterator[Store]:
    settings = service.settings(
        database_url=database.url,
        kafka_bootstrap_servers="127.0.0.1:1",
        jwt_key=TOKEN_KEY,
        data_key=DATA_KEY,
        port=port,
    )
    pool = await open_pool(database.url, name=database.service, size=6)
    try:
        store = Store(Postgres(pool), service.define(settings), epoch=1, clock=utc_now)
        wired = service.wire(settings, store)
        await wired.prepare()
        app = create_app(service.name, wired.router, {}, _alive)
        server = _Server(uvicorn.Config(app, port=port, log_level="warning"))
        serving = asyncio.create_task(server.serve())
        assert await wait_ready(lambda: tcp_open(port), 20)
        yield store
        server.should_exit = True
        await serving
    finally:
        await pool.close()


class _Server(uvicorn.Server):
    """uvicorn that leaves signals to pytest."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _alive() -> None:
    """There are no background tasks that could die."""
