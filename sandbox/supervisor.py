"""Runs the programs of one machine: in order, started again whenever they die, and never left behind.

The supervisor alone decides when a program ends: each leads its own session, so Ctrl-C reaches only the
supervisor, which stops them in reverse order. If the supervisor itself is killed, the kernel ends them.
"""

import asyncio
import fcntl
import json
import logging
import os
import signal
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import psutil

from sandbox.command import Command, Probe, StartError, kill_group, last_line, stop, wait_ready

logger = logging.getLogger(__name__)

MISCONFIGURED = 2
"""Exit code by which a program says that starting it again cannot help."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds before a dead program is started again; doubled each time until it lived for LONGEST_PAUSE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A command that must always run. It starts once all of `after` are ready and stops before they do."""

    name: str
    command: Command
    ready: Probe
    after: tuple[str, ...] = ()
    start_seconds: float = 30
    stop_seconds: float = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What became of a program: its process now (None between two), its restarts, its memory in bytes."""

    name: str
    pid: int | None
    restarts: int
    rss: int
    peak_rss: int


class Supervisor:
    """Use as `async with Supervisor(state_dir) as supervisor: await supervisor.start(…)`.

    `state_dir` gets `logs/<program>.log` and `pids.json`; one supervisor at a time may have it. SIGINT,
    SIGTERM or SIGHUP cancels the task that entered the block (`signalled` tells which came); a second one
    kills at once.
    """

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.signalled: signal.Signals | None = None
        self._children: dict[str, _Child] = {}
        self._lock: IO[str] | None = None
        self._sampler: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        (self.state_dir / "logs").mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self.state_dir / "supervisor.lock")
        self._watch_signals(asyncio.current_task())
        self._sampler = asyncio.create_task(self._sample())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._sampler
        assert self._lock
        self._sampler.cancel()
        await self.stop()
        for each in _STOP_SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(each)
        (self.state_dir / "pids.json").unlink(missing_ok=True)
        self._lock.close()

    async def start(self, *programs: Program) -> None:
        """Start all of them, each as soon as what it comes after is ready; return when all are ready.

        Raises StartError for a program that says it is misconfigured (exit code 2) or is not ready in time.
        May be called again with more programs.
        """
        children = [_Child(program, self.log_of(program.name)) for program in programs]
        known = {**self._children, **{child.program.name: child for child in children}}
        assert len(known) == len(self._children) + len(children), "two programs with one name"
        self._children = known
        tasks = [asyncio.create_task(self._bring_up(child)) for child in children]
        try:
            await asyncio.gather(*tasks)
        finally:
            await _cancel(tasks)

    async def stop(self) -> None:
        """Stop everything, each program after all that depend on it; nothing runs when this returns."""
        await asyncio.gather(*(self._stop(child) for child in self._children.values()))
        self._children = {}

    def kill(self) -> None:
        """SIGKILL everything now, and start nothing again."""
        for child in self._children.values():
            child.stopping.set()
            if child.process:
                kill_group(child.process)

    def status(self) -> tuple[Status, ...]:
        """All programs in the order in which they were given."""
        return tuple(child.status() for child in self._children.values())

    def pid(self, name: str) -> int | None:
        """The process of a program now; None between two."""
        return self._children[name].pid

    def log_of(self, name: str) -> Path:
        """Where a program's output goes; emptied when the program is started for the first time."""
        return self.state_dir / "logs" / f"{name}.log"

    async def _bring_up(self, child: "_Child") -> None:
        for name in child.program.after:
            await self._children[name].ready.wait()
        child.log.write_bytes(b"")
        child.keeper = asyncio.create_task(child.keep_running(self._write_pids))
        await child.wait_until_ready()

    async def _stop(self, child: "_Child") -> None:
        dependents = [each for each in self._children.values() if child.program.name in each.program.after]
        await asyncio.gather(*(each.ended() for each in dependents))
        child.stopping.set()
        await child.ended()

    def _write_pids(self) -> None:
        pids = {name: child.pid for name, child in self._children.items()}
        new = self.state_dir / "pids.json.new"
        new.write_text(json.dumps({"supervisor": os.getpid(), **pids}, indent=2) + "\n")
        new.replace(self.state_dir / "pids.json")

    def _watch_signals(self, task: asyncio.Task[Any] | None) -> None:
        def received(which: signal.Signals) -> None:
            if self.signalled:
                self.kill()
            elif task:
                self.signalled = which
                task.cancel()

        for each in _STOP_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(each, received, each)

    async def _sample(self) -> None:
        while True:
            self.status()
            await asyncio.sleep(1)


_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Child:
    """A program's life: one process after another until it is told to stop."""

    def __init__(self, program: Program, log: Path) -> None:
        self.program = program
        self.log = log
        self.process: asyncio.subprocess.Process | None = None
        self.ready = asyncio.Event()
        self.stopping = asyncio.Event()
        self.keeper: asyncio.Task[None] | None = None
        self._starts = 0
        self._peak_rss = 0
        self._misconfigured = False

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process and self.process.returncode is None else None

    async def keep_running(self, started: Callable[[], None]) -> None:
        pause = FIRST_PAUSE
        clock = asyncio.get_running_loop().time
        while not self.stopping.is_set() and not self._misconfigured:
            self.process = await self.program.command.start(self.log)
            self._starts += 1
            began = clock()
            started()
            await self._until_it_ends(self.process)
            if clock() - began > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            with suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _until_it_ends(self, process: asyncio.subprocess.Process) -> None:
        waits = [asyncio.create_task(process.wait()), asyncio.create_task(self.stopping.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        await _cancel(waits)
        if self.stopping.is_set():
            await stop(process, self.program.command.stop_signal, self.program.stop_seconds)
            return
        kill_group(process)
        self._misconfigured = process.returncode == MISCONFIGURED and not self.ready.is_set()
        logger.warning("%s ended with code %s", self.program.name, process.returncode)

    async def wait_until_ready(self) -> None:
        """Raises StartError if it never is; deaths meanwhile are forgiven, except for a misconfiguration."""
        assert self.keeper
        probing = asyncio.create_task(wait_ready(self.program.ready, self.program.start_seconds))
        try:
            await asyncio.wait([probing, self.keeper], return_when=asyncio.FIRST_COMPLETED)
            if self._misconfigured:
                raise StartError(f"{self.program.name}: {last_line(self.log)}")
            if not (probing.done() and probing.result()):
                raise StartError(
                    f"{self.program.name} was not ready within {self.program.start_seconds:g} s: "
                    f"{last_line(self.log)}"
                )
            self.ready.set()
        finally:
            await _cancel([probing])

    async def ended(self) -> None:
        """Wait until it was stopped for good (at once if it never started)."""
        if self.keeper:
            await asyncio.wait([self.keeper])

    def status(self) -> Status:
        rss = _rss(self.pid)
        self._peak_rss = max(self._peak_rss, rss)
        return Status(
            name=self.program.name,
            pid=self.pid,
            restarts=max(0, self._starts - 1),
            rss=rss,
            peak_rss=self._peak_rss,
        )


def _rss(pid: int | None) -> int:
    if pid is None:
        return 0
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _locked(path: Path) -> IO[str]:
    lock = path.open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise StartError(f"another orderflow already runs in {path.parent}") from error
    return lock


async def _cancel(tasks: Collection["asyncio.Task[Any]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
