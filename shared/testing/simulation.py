"""A whole system in one process: services on in-memory stores and a broker, under a virtual clock and faults.

The code under test is the production code: units of work, consumers, relays, todo workers and HTTP apps. What
lies between them and the outside is a wire, and every crossing of a wire is a point where the seeded
scheduler may delay, drop a connection, stop a process for a while or kill it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any, TypeVar, cast

import asyncpg
from aiokafka.errors import KafkaConnectionError
from fastapi import FastAPI

from shared.messaging.consumer import Consumer
from shared.messaging.relay import Relay, RelaySettings
from shared.messaging.subscription import Subscription
from shared.service.http import create_app
from shared.service.run import Wired
from shared.store.store import Definition, Store
from shared.store.worker import Worker
from shared.testing.asgi import Request, Response, received
from shared.testing.broker import SESSION_TIMEOUT_S, Broker, Member, memory_topic
from shared.testing.faults import Fault, Fired, Rates
from shared.testing.memory.database import Database, Wire
from shared.testing.memory.outbox import memory_outbox
from shared.testing.memory.session import Memory

T = TypeVar("T")

START = datetime(2026, 1, 5, 8, tzinfo=UTC)
"""When every simulation begins: a Monday morning."""
RETRY_PARKED_S = 60.0
RETRY_RELAY_S = 10.0
POLL_S = 120.0
ANSWER_WITHIN_S = 20.0


class Unanswered(Exception):  # noqa: N818
    """A request got no answer: whether it was done is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """One service, wired once for all its processes; it finds its store through `CurrentStore`."""

    name: str
    definition: Definition
    subscription: Subscription | None
    wired: Wired
    app: FastAPI

    @classmethod
    def of(
        cls, name: str, definition: Definition, subscription: Subscription | None, wired: Wired
    ) -> "Blueprint":
        """What a service's composition root says."""

        async def fine() -> None:
            """A simulated process that is alive is ready."""

        app = create_app(name, wired.router, {}, fine)
        return cls(name=name, definition=definition, subscription=subscription, wired=wired, app=app)


_HERE: ContextVar["Process"] = ContextVar("_HERE")


class CurrentStore:
    """The store of the process in whose task it is asked for, so that wiring is done once for all runs."""

    def clock(self) -> datetime:
        """The virtual present."""
        return _HERE.get().simulation.clock()

    def __getattr__(self, name: str) -> Any:
        return getattr(_HERE.get().store, name)

    @classmethod
    def as_store(cls) -> Store:
        """To pass where a store is wired."""
        return cast(Store, cls())


class Simulation:
    """One run. `seed` decides everything; faults whose number is in `without` do not happen."""

    def __init__(
        self,
        seed: int,
        *,
        rates: Rates | None = None,
        without: frozenset[int] = frozenset(),
        trace: Callable[[float, str, str], None] | None = None,
    ) -> None:
        self.chance = Random(f"{seed} what people do")  # noqa: S311 - to be repeatable is the point
        self._delays = Random(f"{seed} delays")  # noqa: S311
        self._faults = Random(f"{seed} faults")  # noqa: S311
        self.rates = rates or Rates()
        self._without = without
        self._trace = trace
        self.broker = Broker()
        self.databases: dict[str, Database] = {}
        self.processes: list[Process] = []
        self.fired: list[Fired] = []
        self.deaths: list[str] = []
        self.crossings = 0
        self.calm = False
        self._numbered = 0
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop.set_task_factory(cast(Any, _known_to_its_process))

    def clock(self) -> datetime:
        """The virtual present."""
        return START + timedelta(seconds=self._loop.time())

    def tell(self, who: str, what: str) -> None:
        """A line of the trace."""
        if self._trace is not None:
            self._trace(self._loop.time(), who, what)

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that belongs to no process."""
        task = asyncio.create_task(coroutine, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def start(self, blueprint: Blueprint, replicas: int = 1) -> None:
        """Start processes of a service on its one database."""
        self.databases.setdefault(blueprint.name, Database(self.clock))
        for _ in range(replicas):
            number = 1 + sum(each.blueprint is blueprint for each in self.processes)
            process = Process(self, blueprint, f"{blueprint.name}/{number}")
            self.processes.append(process)
            process.start()

    async def stop(self) -> None:
        """End everything."""
        for process in self.processes:
            process.end()
        for task in list(self._tasks):
            task.cancel()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*rest, return_exceptions=True)

    def happens(self, fault: Fault, subject: str) -> bool:
        """Whether a fault that is due really happens; it gets a number and a line in the trace."""
        if self.calm or len(self.fired) >= self.rates.most:
            return False
        self._numbered += 1
        if self._numbered in self._without:
            return False
        at = self._loop.time()
        self.fired.append(Fired(number=self._numbered, at=at, fault=fault, subject=subject))
        self.tell(subject, f"*** {fault} ***")
        return True

    async def cross(self, who: str, what: str) -> Fault | None:
        """One crossing of a wire: takes its time, and gives the fault that strikes there."""
        self.crossings += 1
        if self._trace is not None:
            self.tell(who, what)
        fault = self._drawn()
        if fault is Fault.SLOW and not self.calm:
            await asyncio.sleep(self._delays.uniform(0.05, 2.0))
            return None
        pause = self._delays.random()
        await asyncio.sleep(0 if pause < 0.5 else (pause - 0.5) * 0.02)
        return fault if fault is not None and self.happens(fault, who) else None

    def _drawn(self) -> Fault | None:
        draw, rates = self._faults.random(), self.rates
        weighed = (
            (Fault.SLOW, rates.slow),
            (Fault.DROP, rates.drop),
            (Fault.CRASH, rates.crash),
            (Fault.STALL, rates.stall),
        )
        for fault, rate in weighed:
            if draw < rate:
                return fault
            draw -= rate
        return None


class Process:
    """One process of a service, in role `all`. It can be killed at any crossing, and comes back."""

    def __init__(self, simulation: Simulation, blueprint: Blueprint, name: str) -> None:
        self.simulation = simulation
        self.blueprint = blueprint
        self.name = name
        self.alive = False
        self.serving = False
        """Whether it is ready for requests."""
        self.tasks: dict[asyncio.Task[Any], None] = {}
        """In the order of their beginning, in which they are ended too: a set has another in every run."""
        self.store: Store
        self._life = 0
        self._stopped_until = 0.0
        self._member: Member | None = None
        self._consumer: Consumer | None = None

    def start(self) -> None:
        """Begin a new life on the same database."""
        self.alive = True
        self._life += 1
        self._member = self._consumer = None
        database = self.simulation.databases[self.blueprint.name]
        self.store = Store(
            Memory(database, self._database_wire(database)),
            self.blueprint.definition,
            epoch=1,
            clock=self.simulation.clock,
            together=self.simulation.chance.choice((1, 4, 16)),
        )
        self.simulation.tell(self.name, f"starts, life {self._life}")
        self.spawn(self._run())

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that dies with this life."""
        context = copy_context()
        context.run(_HERE.set, self)
        return asyncio.create_task(coroutine, context=context)

    def kill(self, back_after_s: float) -> None:
        """End this life at once, with nothing tidied up; the next one begins after `back_after_s` seconds."""
        self.end()
        loop = asyncio.get_running_loop()
        if self._member is not None:
            loop.call_later(SESSION_TIMEOUT_S, self._member.leave)
        loop.call_later(back_after_s, self._again, self._life, context=Context())

    def end(self) -> None:
        """End this life for good."""
        self.alive = self.serving = False
        for task in list(self.tasks):
            task.cancel()

    def _again(self, life: int) -> None:
        if self._life == life and not self.alive:
            if self._member is not None:
                self._member.leave()
            self.start()

    def hold(self, seconds: float) -> None:
        """Stop for a while, as SIGSTOP does; after the session timeout the group goes on without it."""
        loop = asyncio.get_running_loop()
        self._stopped_until = loop.time() + seconds
        if self._member is not None and seconds > SESSION_TIMEOUT_S:
            loop.call_later(SESSION_TIMEOUT_S, self._member.leave)
            loop.call_later(seconds, self._join_again, self._life, self._member)

    def _join_again(self, life: int, member: Member) -> None:
        if self.alive and self._life == life and self._member is member:
            member.join()

    def grow(self, seconds: float) -> None:
        """Let a second consumer of this process take part for a while: the group shares anew, twice."""
        if self._consumer is not None and self._member is not None:
            self.spawn(self._help(self._consumer, seconds))

    async def _help(self, consumer: Consumer, seconds: float) -> None:
        helper, stop = self._make_member(consumer), asyncio.Event()
        helper.join()
        try:
            asyncio.get_running_loop().call_later(seconds, stop.set)
            await helper.run(stop)
        finally:
            helper.leave()

    def _make_member(self, consumer: Consumer) -> Member:
        subscription = self.blueprint.subscription
        assert subscription is not None
        chance = self.simulation.chance
        return Member(
            self.simulation.broker,
            subscription.consumer,
            subscription.topics,
            consumer.handle_batch,
            wire=self._wire(KafkaConnectionError),
            batch=lambda available: chance.randint(min(1, available), available),
        )

    async def _run(self) -> None:
        """What production runs in role `all`; if any of it ends by itself the process dies and comes back."""
        stop = asyncio.Event()
        name, broker = self.blueprint.name, self.simulation.broker
        database = self.simulation.databases[name]
        relay = Relay(
            RelaySettings(
                service=name,
                public=self.store.public,
                chunk=20,
                poll_s=POLL_S,
                retry_s=RETRY_RELAY_S,
                check_every_s=POLL_S,
            ),
            outbox=partial(memory_outbox, database, self._database_wire(database)),
            topic=partial(memory_topic, broker, name, self._wire(KafkaConnectionError)),
            wake=self.store.outbox_written,
        )
        try:
            await self.blueprint.wired.prepare()
        except (asyncpg.PostgresError, OSError):
            self.kill(1.0)
            return
        worker = Worker(self.store, self.blueprint.wired.duties, concurrency=4, poll_s=POLL_S, lease_s=30)
        work: list[Awaitable[None]] = [relay.run(stop), worker.run(stop)]
        if (heard := self.blueprint.subscription) is not None:
            self._consumer = Consumer(self.store, heard)
            self._member = self._make_member(self._consumer)
            self._member.join()
            work += [self._member.run(stop), self._retry_parked(self._consumer)]
        self.serving = True
        try:
            await asyncio.gather(*work)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends the process
            self.simulation.deaths.append(f"{self.name}: {error!r}")
            self.simulation.tell(self.name, f"dies of {error!r}")
            self.kill(1.0)

    async def _retry_parked(self, consumer: Consumer) -> None:
        while True:
            await asyncio.sleep(RETRY_PARKED_S)
            try:
                await consumer.retry_parked()
            except (asyncpg.PostgresError, OSError) as error:
                self.simulation.tell(self.name, f"parked records not retried: {error!r}")

    def _database_wire(self, database: Database) -> Wire:
        cut = self._wire(asyncpg.ConnectionDoesNotExistError)

        async def wire(what: str) -> None:
            await cut(what)
            if database.away:
                raise asyncpg.CannotConnectNowError("the database system is starting up")

        return wire

    def _wire(self, lost: Callable[[str], Exception]) -> Wire:
        """A wire of this life; `lost` is what the driver raises when its connection is gone."""
        life = self._life

        async def wire(what: str) -> None:
            self._must_live(life)
            fault = await self.simulation.cross(self.name, what)
            if fault is Fault.STALL:
                self.hold(self.simulation.chance.uniform(2, 60))
            loop = asyncio.get_running_loop()
            if (rest := self._stopped_until - loop.time()) > 0:
                await asyncio.sleep(rest)
            self._must_live(life)
            if fault is Fault.CRASH:
                self.kill(self.simulation.chance.uniform(0.1, 12))
                raise asyncio.CancelledError
            if fault is Fault.DROP:
                raise lost("the simulation cut this connection")

        return wire

    def _must_live(self, life: int) -> None:
        if not self.alive or self._life != life:
            raise asyncio.CancelledError

    async def answer(self, request: Request) -> Response:
        """Serve one HTTP request. Raises Unanswered if this life ends before the answer."""
        if not self.serving:
            raise Unanswered("nobody listens")
        await self.simulation.cross(request.who, f"{request} -> {self.name}")
        response = Response()
        task = self.spawn(self.blueprint.app(request.scope, received(request), response.send))
        await asyncio.wait({task}, timeout=ANSWER_WITHIN_S)
        if not task.done() or task.cancelled():
            raise Unanswered("the connection was closed, or nothing came in time")
        if task.exception() is not None:
            self.simulation.tell(self.name, f"{request} failed: {task.exception()!r}")
        return response


def _known_to_its_process(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T], context: Context | None = None
) -> asyncio.Task[T]:
    """A task factory by which a process knows all tasks that its own tasks start."""
    task = asyncio.Task(coroutine, loop=loop, context=context)
    owner = (context or copy_context()).get(_HERE)
    if owner is not None:
        owner.tasks[task] = None
        task.add_done_callback(lambda done: owner.tasks.pop(done, None))
    return task
