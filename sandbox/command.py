"""A program to run: its arguments, as whom, how it is asked to stop; and the child process it becomes.

Every child leads a session of its own and dies with its parent (see `exec_child`).
"""

import asyncio
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from sandbox import exec_child

FIRST_PORT, LAST_PORT = 20_000, 32_000
Probe = Callable[[], Awaitable[bool]]
"""Answers whether a program does its work now. Never raises."""


class StartError(Exception):
    """Something cannot start. The message is one line for a person, without a traceback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """`argv` run with exactly `env`, as `user` (None: the present one), stopped by `stop_signal`."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    user: str | None = None
    cwd: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM

    async def start(self, log: Path) -> asyncio.subprocess.Process:
        """Start it with output and errors appended to `log`.

        To be called in the main thread: a child dies with the thread that started it.
        """
        launcher = (sys.executable, "-I", "-S", exec_child.__file__, str(os.getpid()), self.user or "")
        with log.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                *launcher,
                *self.argv,
                env=dict(self.env),
                cwd=self.cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )


async def wait_ready(ready: Probe, seconds: float, process: asyncio.subprocess.Process | None = None) -> bool:
    """Ask `ready` until it says yes (True), or until time is up or `process` ended (False)."""
    deadline = asyncio.get_running_loop().time() + seconds
    while process is None or process.returncode is None:
        if await ready():
            return True
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.05)
    return False


async def stop(process: asyncio.subprocess.Process, stop_signal: signal.Signals, seconds: float) -> None:
    """End a child started by `Command.start`: ask, wait at most `seconds`, then kill its whole group."""
    with suppress(ProcessLookupError):
        process.send_signal(stop_signal)
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), seconds)
    kill_group(process)
    await process.wait()


def kill_group(process: asyncio.subprocess.Process) -> None:
    """SIGKILL the child and whatever it left behind in its process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


@asynccontextmanager
async def running(
    command: Command, *, ready: Probe, log: Path, seconds: float = 120
) -> AsyncIterator[asyncio.subprocess.Process]:
    """One program, ready inside the block and stopped after it. Raises StartError with its last words."""
    process = await command.start(log)
    try:
        if not await wait_ready(ready, seconds, process):
            raise StartError(f"{Path(command.argv[0]).name} did not become ready: {last_line(log)}")
        yield process
    finally:
        await stop(process, command.stop_signal, 10)


def last_line(log: Path) -> str:
    """The last line that is not blank of a log file; a placeholder if there is none."""
    with suppress(FileNotFoundError):
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
        if lines:
            return lines[-1]
    return f"nothing in {log}"


def free_ports(count: int) -> tuple[int, ...]:
    """So many ports of 127.0.0.1 in a row that nobody listens on now.

    They lie below those that systems give to clients, so that no connection takes one before it is used.
    """
    while True:
        first = random.randrange(FIRST_PORT, LAST_PORT - count)
        ports = tuple(range(first, first + count))
        with suppress(OSError), ExitStack() as probes:
            for port in ports:
                probes.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return ports


def claim_port(port: int, what: str, host: str = "127.0.0.1") -> int:
    """The fixed port itself if `what` can have it; StartError that names both if it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StartError(f"port {port} for {what} is not free: {error.strerror}") from error
    return port


async def tcp_open(port: int) -> bool:
    """Whether somebody accepts connections on this port of 127.0.0.1."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True
