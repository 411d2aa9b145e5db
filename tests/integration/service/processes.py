"""The inventory service as a process: started with settings, asked over HTTP, told to stop."""

import asyncio
import base64
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from sandbox.command import Command, free_ports, kill_group, running, stop
from shared.events.envelope import Actor, ActorKind
from shared.service.auth import issue
from tests.backends import Broker
from tests.conftest import Database

ROOT = Path(__file__).parents[3]
JWT_KEY = "a key that signs the tokens of these tests"
MODULE = "services.inventory"


def settings(database_url: str, bootstrap: str, *, idempotent: bool = False) -> dict[str, str]:
    """Good settings, with a port that is free."""
    return {
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "KAFKA_IDEMPOTENCE": str(idempotent),
        "JWT_KEY": JWT_KEY,
        "DATA_KEY": base64.b64encode(bytes(range(32))).decode(),
        "PORT": str(free_ports(1)[0]),
    }


def settings_of(database: Database, broker: Broker) -> dict[str, str]:
    """Good settings for this database and broker."""
    return settings(database.url, broker.bootstrap, idempotent=broker.idempotent)


@dataclass(frozen=True)
class Ended:
    """What a process that did not run left behind."""

    code: int
    stdout: str
    stderr: str

    def check_one_line(self, *words: str) -> None:
        """It told a person in one line what to mend."""
        assert self.code == 2, self
        assert self.stdout == ""
        assert self.stderr.count("\n") == 1, self.stderr
        assert self.stderr.startswith("inventory: "), self.stderr
        assert "Traceback" not in self.stderr
        assert all(word in self.stderr for word in words), self.stderr


async def started_in_vain(env: Mapping[str, str], *arguments: str, seconds: float = 60) -> Ended:
    """Start a process that is expected to end by itself."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", MODULE, *arguments),
        cwd=ROOT,
        env={"PATH": os.environ.get("PATH", os.defpath), **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        stdout, stderr = await asyncio.wait_for(process.communicate(), seconds)
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise
    assert process.returncode is not None
    return Ended(process.returncode, stdout.decode(), stderr.decode())


@dataclass(frozen=True)
class Running:
    """A process that serves."""

    process: asyncio.subprocess.Process
    http: httpx.AsyncClient
    log: Path

    async def status(self, path: str) -> int:
        """The status that a GET gets; 0 if nobody answers."""
        try:
            return (await self.http.get(path)).status_code
        except httpx.TransportError:
            return 0

    async def stop(self, seconds: float = 60) -> int:
        """Send SIGTERM and give the exit code; killed with an error if that takes longer."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.process.wait(), seconds)
        except TimeoutError:
            kill_group(self.process)
            await self.process.wait()
            raise AssertionError(f"still there after {seconds} s: {self.log.read_text()[-2000:]}") from None


def command_of(env: Mapping[str, str], *arguments: str) -> Command:
    """The process with these settings and nothing else in its environment but the way to programs."""
    return Command(
        argv=(sys.executable, "-m", MODULE, *arguments),
        env={"PATH": os.environ.get("PATH", os.defpath), **env},
        cwd=ROOT,
    )


@asynccontextmanager
async def child(
    env: Mapping[str, str], log: Path, *arguments: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that may do in the block what it likes."""
    process = await command_of(env, *arguments).start(log)
    try:
        yield process
    finally:
        await stop(process, signal.SIGTERM, 15)


async def first_to_end(processes: Sequence[asyncio.subprocess.Process]) -> asyncio.subprocess.Process:
    """The process that ends first."""
    waits = {asyncio.create_task(process.wait()): process for process in processes}
    done, others = await asyncio.wait(waits, timeout=60, return_when=asyncio.FIRST_COMPLETED)
    for other in others:
        other.cancel()
    (ended,) = done
    return waits[ended]


@asynccontextmanager
async def serving(env: Mapping[str, str], folder: Path, role: str = "all") -> AsyncIterator[Running]:
    """A ready process in the block; it need not be stopped inside."""
    command = command_of(env, "--role", role)
    log = folder / f"{role}.log"
    token = issue(JWT_KEY, Actor(ActorKind.OPERATOR, "clerk"), datetime.now(UTC))
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{env['PORT']}",
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
        timeout=60,
    ) as http:

        async def ready() -> bool:
            try:
                return (await http.get("/readyz")).status_code == 200
            except httpx.TransportError:
                return False

        async with running(command, ready=ready, log=log, seconds=60) as process:
            yield Running(process, http, log)
