"""The teller and the auditor over the in-memory store and broker, on a wire that fails when it is told to."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from shared.events.envelope import Cause, Recorded
from shared.events.registry import Registry
from shared.messaging.cloudevents import to_headers
from shared.messaging.consumer import Consumer
from shared.messaging.relay import Relay, RelaySettings
from shared.messaging.subscription import Do, Subscription
from shared.messaging.topics import partition_of, topic_of
from shared.store.marks import StoredRecord
from shared.store.store import Definition, Store
from shared.store.todo import Todo, Wanted
from shared.store.unit_of_work import UnitOfWork
from shared.store.worker import Duties, Worker
from shared.testing.broker import Broker, memory_topic
from shared.testing.memory.database import Database, quiet
from shared.testing.memory.outbox import memory_outbox
from shared.testing.memory.session import Memory
from tests.integration.bank import accounts, tallies
from tests.integration.bank.accounts import ACCOUNT, ACCOUNT_ROWS, HOLDINGS, Deposit, RecordLetter, Remind
from tests.integration.bank.tallies import FOREIGN, OVERVIEW, TALLY, Auditing, Tally

TELLER, AUDITOR = "teller", "auditor"
Snapshot = dict[str, list[Any]]
React = Callable[[Recorded[Any]], Iterable[Do | Wanted]]


class Crash(BaseException):
    """The process is gone; nothing of it runs on."""


class Line:
    """A wire on which one use fails: a connection that breaks, or a process that dies there."""

    def __init__(self) -> None:
        self.used = 0
        self._fails_at = 0
        self._failure: BaseException = AssertionError()

    def fail(self, at: int, failure: type[BaseException]) -> None:
        """From now on the use with this number fails."""
        self.used = 0
        self._fails_at = at
        self._failure = failure("the line is cut")

    @property
    def failed(self) -> bool:
        """Whether it came to the failure."""
        return self.used >= self._fails_at

    async def __call__(self, what: str) -> None:
        await quiet(what)
        self.used += 1
        if self.used == self._fails_at:
            raise self._failure


FAILURES = (asyncpg.ConnectionDoesNotExistError, Crash)


class Clock:
    """A present that only tests move."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by


class Bank:
    """One teller and one auditor; `restart` gives both new processes over what they remember."""

    def __init__(self) -> None:
        self.line = Line()
        self.clock = Clock()
        self.broker = Broker()
        self.letters: list[UUID] = []
        self.react: React = Auditing().react
        self.tellers_memory = Database(self.clock)
        self.auditors_memory = Database(self.clock)
        self.restart()

    def restart(self) -> None:
        """Nothing survives but the databases and the broker."""
        self.teller = Store(
            Memory(self.tellers_memory, self.line),
            Definition(
                registry=Registry(accounts.EVENTS),
                deciders=[ACCOUNT],
                read_models=[ACCOUNT_ROWS, HOLDINGS],
                react=accounts.react,
            ),
            epoch=1,
            clock=self.clock,
        )
        self.worker = Worker(
            self.teller,
            Duties(
                execute=execute_account,
                commands=[Deposit],
                effects={"letter": self._letter},
                on_deadline={"account": lambda state, _timer, _now: Remind(account=state.owner)},
            ),
        )
        self.auditor = Store(
            Memory(self.auditors_memory, self.line),
            Definition(registry=Registry([tallies.Tallied]), deciders=[TALLY], read_models=[OVERVIEW]),
            epoch=1,
            clock=self.clock,
        )
        self.consumer = Consumer(
            self.auditor,
            Subscription(
                consumer=AUDITOR,
                topics=[topic_of(TELLER)],
                registry=Registry(FOREIGN),
                execute=execute_tally,
                react=self.react,
                streams=lambda command: [TALLY.stream(command.owner)],
                read_models=[ACCOUNT_ROWS, HOLDINGS, OVERVIEW],
            ),
        )
        self.relay = Relay(
            RelaySettings(
                service=TELLER,
                public=self.teller.public,
                chunk=3,
                poll_s=0.01,
                retry_s=0.01,
                check_every_s=0.01,
            ),
            outbox=lambda: memory_outbox(self.tellers_memory, self.line),
            topic=lambda: memory_topic(self.broker, TELLER, self.line),
            wake=self.teller.outbox_written,
        )

    async def _letter(self, row: Todo) -> Sequence[Any]:
        self.letters.append(row.todo_id)
        return [RecordLetter(account=row.stream.removeprefix("account-"), letter_id=row.todo_id)]

    async def do(self, *commands: Any) -> None:
        """Run commands in one unit of work of the teller."""

        async def work(uow: UnitOfWork) -> None:
            for command in commands:
                await execute_account(uow, command)

        await self.teller.transact(Cause(), work)

    def records(self) -> list[StoredRecord]:
        """The teller's events as they would come from the topic."""
        return [
            StoredRecord(
                topic_of(TELLER),
                partition_of(event.stream.encode()),
                offset,
                event.stream.encode(),
                event.data,
                tuple(to_headers(event, TELLER)),
            )
            for offset, event in enumerate(self.tellers_memory.events())
        ]

    async def send_everything(self) -> None:
        """Empty the outbox, as a leader does."""
        async with (
            memory_outbox(self.tellers_memory, self.line) as outbox,
            memory_topic(self.broker, TELLER, self.line) as topic,
        ):
            await self.relay.send_chunks(outbox, topic, lambda: False)

    @property
    def unsent(self) -> int:
        return len(self.tellers_memory.table("outbox"))

    def told(self) -> dict[str, list[int]]:
        """The versions of each stream on the teller's topic in the order in which they came first."""
        versions: dict[str, dict[int, None]] = {}
        for log in self.broker.partitions(topic_of(TELLER)):
            for record in log:
                headers = dict(record.headers)
                stream, version = headers["ce_subject"] or b"", headers["ce_sequence"] or b""
                versions.setdefault(stream.decode(), {})[int(version)] = None
        return {stream: list(first) for stream, first in versions.items()}

    def written(self) -> dict[str, list[int]]:
        """The versions of each of the teller's streams."""
        versions: dict[str, list[int]] = {}
        for event in self.tellers_memory.events():
            versions.setdefault(event.stream, []).append(event.version)
        return versions


def snapshot(database: Database) -> Snapshot:
    """Everything committed, but for positions, which a failed try may have used up."""
    tables = {
        name: [rows[key] for key in sorted(rows, key=repr)]
        for name, rows in database.rows.items()
        if rows and name not in {"events", "outbox"}
    }
    outbox = database.table("outbox")
    return {
        **tables,
        "events": database.events(),
        "outbox": [outbox[position] for position in sorted(outbox)],
    }


async def execute_account(uow: UnitOfWork, command: Any) -> None:
    """Decide an account command in a unit of work."""
    await uow.decide(ACCOUNT, command.account, command)


async def execute_tally(uow: UnitOfWork, command: Tally) -> None:
    """Decide a tally command in a unit of work."""
    await uow.decide(TALLY, command.owner, command)


@asynccontextmanager
async def failing(bank: Bank, at: int, failure: type[BaseException]) -> AsyncIterator[None]:
    """Whatever the block does meets this failure at the line's use number `at`, and may raise it.

    A crash takes the process with it.
    """
    bank.line.fail(at, failure)
    with suppress(failure):
        yield
    if failure is Crash and bank.line.failed:
        bank.restart()
