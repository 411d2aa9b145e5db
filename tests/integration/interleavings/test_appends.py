"""Writers that meet, and the relay beside them, in every order: no update is lost, no event skipped."""

import logging
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from shared.events.envelope import Cause, Recorded
from shared.messaging.relay import Relay, RelaySettings
from shared.messaging.topic_writer import Acknowledged
from shared.store.errors import Conflict
from shared.store.outbox import PostgresOutbox
from shared.store.postgres import Postgres
from shared.store.store import Definition, Store
from shared.store.unit_of_work import UnitOfWork
from tests.integration.bank import accounts
from tests.integration.bank.accounts import ACCOUNT, ACCOUNT_ROWS, HOLDINGS, Deposit, Open
from tests.integration.bank.services import Teller, execute_account
from tests.integration.interleavings.schedules import GatedPool, Run, Stage, Work, stage

pytestmark = pytest.mark.integration
log = logging.getLogger(__name__)

APPENDS_AND_RELAY = re.compile(r"\b(INSERT INTO events|FROM outbox)\b")


@pytest.fixture
async def on_stage(teller: Teller, admin: "asyncpg.Connection[asyncpg.Record]") -> AsyncIterator[Stage]:
    async with stage(teller.database.url, admin) as opened:
        yield opened


def depositor(teller: Teller, touched: Sequence[str], amount: int, *, again: bool) -> Work:
    """Deposit into each account in one transaction; `again`: as often as it takes."""

    async def work(pool: GatedPool) -> str:
        definition = Definition(
            registry=teller.registry,
            deciders=[ACCOUNT],
            read_models=[ACCOUNT_ROWS, HOLDINGS],
            react=accounts.react,
        )
        backend: Any = pool
        store = Store(Postgres(backend), definition, epoch=1, clock=teller.clock)

        async def unit(uow: UnitOfWork) -> None:
            for account in touched:
                await execute_account(uow, Deposit(account=account, amount=amount))

        if again:
            await store.transact(Cause(), unit)
            return "committed"
        try:
            async with store.unit_of_work(Cause()) as uow:
                await unit(uow)
        except Conflict:
            return "conflict"
        return "committed"

    return work


async def opened(teller: Teller, names: Sequence[str]) -> None:
    await teller.do(*(Open(account=name, owner=f"of {name[1:]}") for name in names))


async def balances(teller: Teller, names: Sequence[str]) -> list[int]:
    states = [await teller.account(name) for name in names]
    return [state.balance if state else 0 for state in states]


async def heads_are_whole(teller: Teller, names: Sequence[str]) -> None:
    """Versions without holes in the order of commit, and each event once in the outbox."""
    for name in names:
        rows = await teller.store.pool.fetch(
            "SELECT version, o.position IS NOT NULL AS told FROM events e "
            "LEFT JOIN outbox o USING (position) WHERE stream_id = $1 ORDER BY e.position",
            f"account-{name}",
        )
        assert [row["version"] for row in rows] == list(range(1, len(rows) + 1))
        assert all(row["told"] for row in rows)


@pytest.mark.parametrize(("writers", "orders"), [(2, 7), (3, 60)])
async def test_one_try_each_on_one_stream(teller: Teller, on_stage: Stage, writers: int, orders: int) -> None:
    """Who waits for another's append cannot commit before it, which leaves fewer orders than 10 and 280."""

    async def scene(number: int) -> list[Work]:
        await opened(teller, [f"s{number}"])
        return [depositor(teller, [f"s{number}"], 10**n, again=False) for n in range(writers)]

    async def check(number: int, run: Run) -> None:
        committed = [10**n for n, outcome in enumerate(run.outcomes) if outcome == "committed"]
        assert committed, run
        assert set(run.outcomes) <= {"committed", "conflict"}, run
        assert await balances(teller, [f"s{number}"]) == [sum(committed)], run
        await heads_are_whole(teller, [f"s{number}"])

    count = await on_stage.every_order(scene, check, alike=True)
    log.info("%d orders of steps", count)
    assert count >= orders


@pytest.mark.parametrize(
    "touched",
    [(["a"], ["a"]), (["a"], ["b"]), (["a", "b"], ["b", "a"]), (["a", "b"], ["b", "c"])],
    ids=["same stream", "different streams", "crosswise", "overlapping"],
)
async def test_all_deposits_arrive_in_every_order(
    teller: Teller, on_stage: Stage, touched: Sequence[Sequence[str]]
) -> None:
    """With the second tries that `transact` makes; all accounts share a row of a read model."""

    async def scene(number: int) -> list[Work]:
        await opened(teller, [f"{name}{number}" for name in "abc"])
        return [
            depositor(teller, [f"{name}{number}" for name in names], 10**n, again=True)
            for n, names in enumerate(touched)
        ]

    async def check(number: int, run: Run) -> None:
        names = [f"{name}{number}" for name in "abc"]
        assert run.outcomes == ["committed"] * len(touched), run
        expected = [sum(10**n for n, own in enumerate(touched) if name in own) for name in "abc"]
        assert await balances(teller, names) == expected, run
        total = await teller.store.pool.fetchval(
            "SELECT total FROM holdings WHERE owner = $1", f"of {number}"
        )
        assert total == sum(expected), run
        await heads_are_whole(teller, names)

    count = await on_stage.every_order(scene, check)
    log.info("%d orders of steps", count)
    assert count >= 14


class Topic:
    """Acknowledges everything and remembers it."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []

    async def send(self, events: Sequence[Recorded[bytes]]) -> Sequence[Acknowledged]:
        offset = len(self.sent)
        self.sent += [(event.stream, event.version) for event in events]
        return [Acknowledged(partition=0, offset=offset, event_id=events[0].event_id)]

    async def ends(self) -> dict[int, int]:
        return {0: len(self.sent)}

    async def events_at(self, offsets: Mapping[int, int]) -> dict[int, UUID | None]:
        return {}


@pytest.mark.parametrize("touched", [("a", "b"), ("a", "a")], ids=["different streams", "same stream"])
async def test_the_relay_skips_nothing_and_keeps_the_order(
    teller: Teller, on_stage: Stage, touched: Sequence[str]
) -> None:
    """Two writers, whose positions need not become visible in order, beside two rounds of the relay."""
    topics: list[Topic] = []

    def relay() -> Relay:
        settings = RelaySettings(service=teller.database.service, public=teller.store.public, chunk=1)
        unused: Any = None
        return Relay(settings, outbox=unused, topic=unused, wake=teller.store.outbox_written)

    def two_rounds(topic: Topic) -> Work:
        async def work(pool: GatedPool) -> int:
            relaying = relay()
            async with pool.acquire() as connection:
                outbox = PostgresOutbox(connection)  # type: ignore[arg-type]
                return sum([await relaying.send_chunks(outbox, topic, lambda: True) for _ in range(2)])

        return work

    async def scene(number: int) -> list[Work]:
        await opened(teller, [f"{name}{number}" for name in "ab"])
        await teller.store.pool.execute("DELETE FROM outbox")
        topics.append(Topic())
        writers = [depositor(teller, [f"{name}{number}"], 1, again=False) for name in touched]
        return [*writers, two_rounds(topics[-1])]

    async def check(number: int, run: Run) -> None:
        topic, names = topics[-1], [f"account-{name}{number}" for name in "ab"]
        async with teller.store.pool.acquire() as connection:
            await relay().send_chunks(PostgresOutbox(connection), topic, lambda: False)
        told = [(name, version) for name in names for version in await stored(name)]
        assert sorted(topic.sent) == sorted(told), run
        assert [each for name in names for each in topic.sent if each[0] == name] == told, run
        assert await teller.outbox() == 0, run

    async def stored(stream: str) -> list[int]:
        rows = await teller.store.pool.fetch(
            "SELECT version FROM events WHERE stream_id = $1 AND version > 1 ORDER BY version", stream
        )
        return [row["version"] for row in rows]

    count = await on_stage.every_order(scene, check, gates=APPENDS_AND_RELAY)
    log.info("%d orders of steps", count)
    assert count >= 50
