"""What goes wrong, in a seeded order, and how it is made to go wrong on a running stack."""

import os
import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, redirect_stdout, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from io import StringIO
from itertools import count
from time import monotonic

import asyncpg
import psutil

from cli.operate import republish
from cli.platform import SERVICES
from cli.up import BROKER, POSTGRES
from shared.service.settings import Role
from tests.chaos.proxy import Wire
from tests.chaos.stack import BY_ROLE, DISK_POSTGRES, ON_DISK, Stack
from tests.waiting import pause

FROZEN_S, ZOMBIE_S = 3.0, 9.0
"""A short stop, and one longer than the consumers' session timeout and the worker's lease (6 s each)."""
ALIVE_WITHIN_S = 60.0


class Kind(StrEnum):
    """A fault, as the table names it; the first that a run makes come first."""

    SERVICE_KILLED = "service processes killed"
    BROKER_KILLED = "broker killed, all topics lost"
    POSTGRES_STOPPED = "Postgres stopped at once"
    SERVICE_FROZEN = "service process frozen"
    ZOMBIE_CONSUMER = "zombie consumer after a takeover"
    DISK_FULL = "Postgres on a full disk"
    WIRE_CUT = "provider's answers lost"
    REBALANCE = "consumers scaled up and down"
    POSTGRES_KILLED = "Postgres killed"
    ZOMBIE_WORKER = "zombie worker after its lease"
    ZOMBIE_RELAY = "zombie relay after a takeover"
    BACKEND_KILLED = "Postgres backend killed"
    PROVIDER_SLOW = "provider slow"
    PROVIDER_FAILING = "provider answers 503"
    REPUBLISHED = "broker killed, all republished"
    BACKENDS_CUT = "database connections cut"
    PROVIDER_KILLED = "provider killed"
    WIRE_REFUSED = "provider refuses connections"
    BROKER_FROZEN = "broker frozen"
    SERVICE_RESTARTED = "service restarted gracefully"
    MAIL_KILLED = "mail server killed"
    ALL_KILLED = "all service processes killed"
    KILLED_AGAIN = "service killed again as it starts"
    STORM = "broker, Postgres, services at once"


WEIGHTS = {
    Kind.SERVICE_KILLED: 20,
    Kind.BROKER_KILLED: 4,
    Kind.POSTGRES_STOPPED: 4,
    Kind.SERVICE_FROZEN: 3,
    Kind.POSTGRES_KILLED: 3,
    Kind.BACKEND_KILLED: 2,
    Kind.REBALANCE: 2,
    Kind.REPUBLISHED: 2,
    Kind.ALL_KILLED: 2,
    Kind.KILLED_AGAIN: 3,
    Kind.STORM: 2,
}
"""How often a kind occurs for each occurrence of those that are not named here."""
MOST_KILLED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault as planned: what happens to whom; `choice` in [0, 1) decides the rest."""

    number: int
    kind: Kind
    victims: tuple[str, ...]
    choice: float

    def __str__(self) -> str:
        return f"{self.number}. {self.kind}" + (f": {', '.join(self.victims)}" if self.victims else "")


def schedule(seed: int, services: tuple[str, ...], kinds: Sequence[Kind] = tuple(Kind)) -> Iterator[Fault]:
    """Faults for ever, the same for the same seed: each kind once, then in shuffled rounds by weight."""
    chance = random.Random(seed)
    planned, numbers = list(kinds), count(1)
    while planned:
        for kind in planned:
            victims = _victims(kind, chance, services)
            yield Fault(number=next(numbers), kind=kind, victims=victims, choice=chance.random())
        planned = [kind for kind in kinds for _ in range(WEIGHTS.get(kind, 1))]
        chance.shuffle(planned)


def _victims(kind: Kind, chance: random.Random, services: tuple[str, ...]) -> tuple[str, ...]:
    match kind:
        case Kind.SERVICE_KILLED:
            return tuple(chance.sample(services, chance.randint(1, MOST_KILLED)))
        case Kind.ALL_KILLED:
            return services
        case Kind.STORM:
            return (BROKER, POSTGRES, DISK_POSTGRES, *chance.sample(services, MOST_KILLED))
        case Kind.SERVICE_FROZEN | Kind.SERVICE_RESTARTED | Kind.KILLED_AGAIN:
            return (chance.choice(services),)
        case Kind.ZOMBIE_CONSUMER | Kind.ZOMBIE_RELAY | Kind.REBALANCE:
            return (chance.choice(BY_ROLE),)
        case Kind.ZOMBIE_WORKER:
            return ("orders",)
        case Kind.POSTGRES_STOPPED | Kind.POSTGRES_KILLED | Kind.BACKEND_KILLED:
            return (chance.choice((POSTGRES, DISK_POSTGRES)),)
        case Kind.BACKENDS_CUT:
            return (chance.choice(SERVICES),)
        case _:
            return ()


@dataclass(slots=True)
class Injector:
    """Makes faults happen. `kills` counts SIGKILLs and immediate stops of Postgres."""

    stack: Stack
    kills: int = 0
    _frozen: set[int] = field(default_factory=set)

    async def inject(self, fault: Fault) -> float:
        """Do it, and undo what does not mend itself; gives the monotonic time from which recovery counts."""
        match fault.kind:
            case Kind.SERVICE_KILLED | Kind.ALL_KILLED | Kind.STORM:
                return await self._kill(*fault.victims)
            case Kind.KILLED_AGAIN:
                for _ in range(2):
                    await self._kill(*fault.victims)
                    await pause(5 * fault.choice)
                return await self._kill(*fault.victims)
            case Kind.BROKER_KILLED:
                return await self._kill(BROKER)
            case Kind.PROVIDER_KILLED:
                return await self._kill("provider")
            case Kind.MAIL_KILLED:
                return await self._kill("mail")
            case Kind.POSTGRES_STOPPED:
                return await self._kill(*fault.victims, by=signal.SIGQUIT)
            case Kind.POSTGRES_KILLED:
                return await self._kill(*fault.victims)
            case Kind.BACKEND_KILLED:
                return await self._kill_backend(fault)
            case Kind.BACKENDS_CUT:
                return await self._cut_backends(fault.victims[0])
            case Kind.SERVICE_RESTARTED:
                os.kill(await self._pid(fault.victims[0]), signal.SIGTERM)
            case Kind.SERVICE_FROZEN:
                await self._freeze(fault.victims[0], FROZEN_S)
            case Kind.BROKER_FROZEN:
                await self._freeze(BROKER, ZOMBIE_S)
            case Kind.ZOMBIE_CONSUMER:
                await self._zombie(fault.victims[0], Role.CONSUMER)
            case Kind.ZOMBIE_WORKER:
                await self._zombie(fault.victims[0], Role.WORKER)
            case Kind.ZOMBIE_RELAY:
                await self._zombie(fault.victims[0], Role.RELAY)
            case Kind.REBALANCE:
                async with self.stack.another(fault.victims[0], Role.CONSUMER):
                    await pause(2 + 4 * fault.choice)
            case Kind.DISK_FULL:
                await self._fill_disk()
            case Kind.REPUBLISHED:
                began = await self._kill(BROKER)
                for name in SERVICES:
                    await self._republish(name)
                return began
            case Kind.PROVIDER_SLOW:
                await self._wire(Wire.SLOW, 1 + 5 * fault.choice)
            case Kind.PROVIDER_FAILING:
                await self._wire(Wire.FAILING)
            case Kind.WIRE_CUT:
                await self._wire(Wire.CUT)
            case Kind.WIRE_REFUSED:
                await self._wire(Wire.REFUSED)
        return monotonic()

    def thaw(self) -> None:
        """Let everything go on that is still frozen."""
        for pid in self._frozen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._frozen.clear()

    async def _kill(self, *names: str, by: signal.Signals = signal.SIGKILL) -> float:
        for name in names:
            pid = await self._pid(name)
            with suppress(ProcessLookupError):
                os.kill(pid, by)
            self.kills += 1
        return monotonic()

    async def _pid(self, name: str) -> int:
        """The process of a program; waits while it is between two. Raises TimeoutError."""
        give_up = monotonic() + ALIVE_WITHIN_S
        while (pid := self.stack.supervisor.pid(name)) is None:
            if monotonic() > give_up:
                raise TimeoutError(f"{name} does not come back")
            await pause(0.05)
        return pid

    async def _freeze(self, name: str, seconds: float) -> None:
        pid = await self._pid(name)
        self._frozen.add(pid)
        os.kill(pid, signal.SIGSTOP)
        try:
            await pause(seconds)
        finally:
            self.thaw()

    async def _zombie(self, name: str, role: Role) -> None:
        """Freeze the first process while a second one takes its work over; then both live for a moment."""
        async with AsyncExitStack() as both:
            await both.enter_async_context(self.stack.another(name, role))
            pid = await self._pid(f"{name}-{role}")
            self._frozen.add(pid)
            os.kill(pid, signal.SIGSTOP)
            try:
                if role is Role.RELAY:
                    await pause(0.2)
                    await self._terminate(name, f"orderflow {name} relay")
                await pause(ZOMBIE_S)
            finally:
                self.thaw()
            await pause(1.0)

    async def _kill_backend(self, fault: Fault) -> float:
        """SIGKILL one backend: Postgres then throws all others out and recovers."""
        postmaster = psutil.Process(await self._pid(fault.victims[0]))
        backends = [child for child in postmaster.children() if _is_backend(child)]
        if not backends:
            return await self._kill(fault.victims[0], by=signal.SIGQUIT)
        with suppress(ProcessLookupError):
            os.kill(backends[int(fault.choice * len(backends))].pid, signal.SIGKILL)
        self.kills += 1
        return monotonic()

    async def _cut_backends(self, name: str) -> float:
        await self._terminate(name, f"orderflow {name}%")
        return monotonic()

    async def _terminate(self, name: str, application: str) -> None:
        """End the connections of one service whose name is like `application`."""
        server = self.stack.postgres[DISK_POSTGRES if name == ON_DISK else POSTGRES]
        connection = await asyncpg.connect(server.admin_url(), timeout=10)
        try:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = $1 AND application_name LIKE $2",
                name,
                application,
            )
        finally:
            await connection.close(timeout=5)

    async def _fill_disk(self) -> None:
        """No byte is left for data or for a next file of log, which the server is made to ask for."""
        try:
            self.stack.disk.fill()
            for _ in range(2):
                await pause(1.5)
                with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    await self._switch_log()
                self.stack.disk.fill()
            await pause(2.0)
        finally:
            self.stack.disk.free()

    async def _switch_log(self) -> None:
        connection = await asyncpg.connect(self.stack.postgres[DISK_POSTGRES].admin_url(), timeout=3)
        try:
            await connection.execute("SELECT pg_switch_wal()", timeout=3)
        finally:
            await connection.close(timeout=3)

    async def _republish(self, name: str) -> None:
        """`orderflow republish`, as an operator would do it."""
        give_up = monotonic() + ALIVE_WITHIN_S
        while True:
            try:
                with redirect_stdout(StringIO()):
                    await republish(self.stack.platform, name)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                if monotonic() > give_up:
                    raise
                await pause(0.5)
            else:
                return

    async def _wire(self, mode: Wire, latency: float = 0.0) -> None:
        try:
            await self.stack.wire.set(mode, latency)
            await pause(5.0)
        finally:
            await self.stack.wire.set(Wire.GOOD)


def _is_backend(process: psutil.Process) -> bool:
    """Whether this child of a Postgres server serves a client."""
    with suppress(psutil.Error):
        return "[local]" in " ".join(process.cmdline())
    return False
