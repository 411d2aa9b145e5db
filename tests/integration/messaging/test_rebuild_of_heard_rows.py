"""Rebuilding rows that are folded from foreign events, alone or together with own ones."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from shared.messaging.topics import partition_of
from shared.store import marks
from shared.store.connection import Pool, open_pool
from shared.store.readmodel import ReadModel
from shared.store.rebuild import Rebuilt, rebuild
from tests.backends import Broker
from tests.integration.bank.accounts import ACCOUNT_ROWS, HOLDINGS, Deposit, Open, Remind
from tests.integration.bank.services import Auditor, Teller
from tests.integration.bank.tallies import OVERVIEW
from tests.waiting import in_background, until

pytestmark = pytest.mark.integration

MODELS: list[ReadModel[Any]] = [ACCOUNT_ROWS, HOLDINGS, OVERVIEW]


@pytest.fixture
async def owner(auditor: Auditor) -> AsyncIterator[Pool]:
    pool = await open_pool(auditor.database.owner_url, name="rebuild", size=4)
    yield pool
    await pool.close()


async def write(teller: Teller, times: int) -> None:
    for n in range(times):
        await teller.do(*(Deposit(account=f"a{i}", amount=n, memo=f"m{n}") for i in range(6)))


async def rebuilt(owner: Pool, auditor: Auditor, broker: Broker, model: ReadModel[Any]) -> Rebuilt:
    return await rebuild(owner, auditor.registry, model, foreign=auditor.applied_events(broker))


async def test_heard_rows_are_rebuilt_equal(
    teller: Teller, auditor: Auditor, broker: Broker, owner: Pool
) -> None:
    await teller.do(*(Open(account=f"a{n}", owner="ann" if n % 2 else "bob") for n in range(6)))
    await teller.do(Remind(account="a1"))
    await write(teller, 5)
    async with in_background(teller.relay(broker).run), in_background(auditor.subscriber(broker).run):
        await until(lambda: auditor.has_applied(teller))

    for model in MODELS:
        for _ in range(2):
            result = await rebuilt(owner, auditor, broker, model)
            assert result.equal, model.name
            assert result.swapped
            assert result.rows == (6 if model is ACCOUNT_ROWS else 2)


async def test_heard_rows_are_rebuilt_while_more_is_heard(
    teller: Teller, auditor: Auditor, broker: Broker, owner: Pool
) -> None:
    await teller.do(*(Open(account=f"a{n}", owner="ann" if n % 2 else "bob") for n in range(6)))

    async def keep_writing(stop: asyncio.Event) -> None:
        while not stop.is_set():
            await write(teller, 1)

    async with in_background(teller.relay(broker).run), in_background(auditor.subscriber(broker).run):
        async with in_background(keep_writing):
            await until(lambda: moved_to(auditor, 5))
            for model in MODELS:
                assert (await rebuilt(owner, auditor, broker, model)).equal, model.name
        await until(lambda: auditor.has_applied(teller))

    for model in MODELS:
        assert (await rebuilt(owner, auditor, broker, model)).equal, model.name


async def test_what_was_skipped_or_never_applied_is_left_out(
    teller: Teller, auditor: Auditor, broker: Broker, owner: Pool
) -> None:
    auditor.auditing.broken = {"bad", "worse"}
    await teller.do(*(Open(account=f"a{n}", owner="ann") for n in range(6)))
    await teller.do(Deposit(account="a0", amount=1, memo="bad"), Deposit(account="a0", amount=2))
    await teller.do(Deposit(account="a1", amount=4, memo="worse"), Deposit(account="a1", amount=8))
    async with in_background(teller.relay(broker).run), in_background(auditor.subscriber(broker).run):
        await until(lambda: parks(auditor, 4))
        async with auditor.store.pool.acquire() as connection, connection.transaction():
            assert await marks.skip(connection, auditor.name, "account-a0", 2, "an operator")
        await until(lambda: parks(auditor, 2))

    for model in MODELS:
        assert (await rebuilt(owner, auditor, broker, model)).equal, model.name
    assert await auditor.store.pool.fetchval("SELECT total FROM holdings") == 2


async def test_bad_data_that_was_never_applied_does_not_hinder_a_rebuild(
    teller: Teller, auditor: Auditor, broker: Broker, owner: Pool
) -> None:
    await teller.do(*(Open(account=f"a{n}", owner="ann") for n in range(6)))
    async with in_background(teller.relay(broker).run), in_background(auditor.subscriber(broker).run):
        await until(lambda: auditor.has_applied(teller))
        await teller.do(Deposit(account="a0", amount=1))
        (record,) = teller.records((await teller.events())[-1:])
        async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
            await producer.send_and_wait(
                teller.topic,
                b"{",
                key=b"account-a5",
                headers=[(n, b"account-a5" if n == "ce_subject" else v) for n, v in record.headers],
                partition=partition_of(b"account-a5"),
            )
        await until(lambda: parks(auditor, 1))

    for model in MODELS:
        assert (await rebuilt(owner, auditor, broker, model)).equal, model.name


async def test_a_topic_that_misses_what_was_applied_never_replaces_the_rows(
    teller: Teller, auditor: Auditor, broker: Broker, owner: Pool
) -> None:
    """Such as a broker that came back empty and is not yet filled again."""
    await teller.do(*(Open(account=f"a{n}", owner="ann") for n in range(6)))
    await auditor.consumer.handle_batch(teller.records(await teller.events()))

    result = await rebuilt(owner, auditor, broker, HOLDINGS)

    assert not result.swapped
    assert not result.equal
    assert await auditor.store.pool.fetchval("SELECT accounts FROM holdings") == 6


async def moved_to(auditor: Auditor, version: int) -> bool:
    heads = await auditor.marks()
    return bool(heads) and min(heads.values()) >= version


async def parks(auditor: Auditor, count: int) -> bool:
    return len(await auditor.parked()) == count
