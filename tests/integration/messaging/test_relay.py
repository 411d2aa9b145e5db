"""The relay: nothing leaves the outbox before the broker has it, every stream's versions arrive in order."""

import asyncio
import random
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from shared.events.envelope import Cause
from shared.messaging.relay import Relay
from shared.messaging.topic_reader import read_topics
from shared.messaging.topic_writer import KafkaTopicWriter, TopicWriter
from shared.messaging.topics import ensure_topics, partition_of
from shared.store.connection import connect
from shared.store.outbox import Outbox, PostgresOutbox
from shared.store.postgres import PostgresSession
from shared.store.unit_of_work import UnitOfWork
from tests.backends import Broker, OwnBroker
from tests.integration.bank.accounts import Deposit, Open
from tests.integration.bank.services import (
    Teller,
    execute_account,
    first_occurrences,
    topic_events,
    versions_of,
)
from tests.waiting import in_background, until

pytestmark = pytest.mark.integration

Admin = Any


async def some_accounts(teller: Teller, count: int = 5, moves: int = 4) -> None:
    for n in range(count):
        await teller.do(Open(account=f"a{n}", owner="ann"))
        await teller.do(*(Deposit(account=f"a{n}", amount=amount) for amount in range(moves)))


async def sent(teller: Teller) -> None:
    async def empty() -> bool:
        return await teller.outbox() == 0

    await until(empty, what="the empty outbox")


async def topic_is_store(teller: Teller, broker: Broker) -> None:
    """The first occurrences in the topic are the store's events, each stream in order."""
    assert first_occurrences(await topic_events(broker, teller.topic)) == versions_of(await teller.events())


async def relay_pid(admin: Admin, teller: Teller) -> int | None:
    """The connection that holds the relay's lock."""
    return await admin.fetchval(  # type: ignore[no-any-return]
        "SELECT pid FROM pg_locks JOIN pg_database d ON d.oid = pg_locks.database "
        "WHERE locktype = 'advisory' AND granted AND datname = $1 AND objid::bigint = "
        "hashtext('orderflow relay')::bigint & x'ffffffff'::bigint",
        teller.database.service,
    )


async def test_everything_committed_arrives_in_order_and_leaves_the_outbox(
    teller: Teller, broker: Broker
) -> None:
    await some_accounts(teller)
    async with in_background(teller.relay(broker).run):
        await sent(teller)
        await some_accounts(teller)
        await sent(teller)

    assert len(await topic_events(broker, teller.topic)) == 25 + 20
    await topic_is_store(teller, broker)


async def test_the_topic_carries_what_the_store_holds(teller: Teller, broker: Broker) -> None:
    await teller.do(Open(account="a", owner="ann"), Deposit(account="a", amount=5, memo="x"))
    async with in_background(teller.relay(broker).run):
        await sent(teller)

    records = [r async for batch in read_topics(broker.bootstrap, [teller.topic]) for r in batch]

    assert [(r.key, r.value, tuple(r.headers)) for r in records] == [
        (r.key, r.value, r.headers) for r in teller.records(await teller.events())
    ]
    assert {r.partition for r in records} == {partition_of(b"account-a")}


async def test_concurrent_commits_arrive_complete_and_in_order(teller: Teller, broker: Broker) -> None:
    """Positions are taken long before some commits; the relay runs all the while with small chunks."""
    chance = random.Random(11)
    await teller.do(*(Open(account=f"a{n}", owner=f"o{n}") for n in range(12)))

    async def writer(number: int) -> None:
        for _ in range(12):
            accounts = chance.sample(range(12), 2)
            await teller.do(*(Deposit(account=f"a{n}", amount=number) for n in accounts))

    async with in_background(teller.relay(broker, chunk=7).run):
        await asyncio.gather(*(writer(number) for number in range(6)))
        await sent(teller)

    await topic_is_store(teller, broker)


async def test_a_transaction_that_commits_late_is_sent_late_and_never_skipped(
    teller: Teller, broker: Broker
) -> None:
    await teller.do(Open(account="late", owner="ann"), Open(account="early", owner="bob"))
    service = await connect(teller.database.url, name="test")
    async with in_background(teller.relay(broker).run):
        await sent(teller)
        transaction = service.transaction()
        await transaction.start()
        uow = UnitOfWork(teller.store, PostgresSession(service), Cause(), teller.clock())
        await execute_account(uow, Deposit(account="late", amount=1))
        await uow.flush()
        await teller.do(Deposit(account="early", amount=1))
        await sent(teller)
        before = await topic_events(broker, teller.topic)
        await transaction.commit()
        teller.store.wake()
        await teller.do(Deposit(account="late", amount=2))
        await sent(teller)
    await service.close()

    positions = {(event.stream, event.version): n for n, event in enumerate(await teller.events())}
    assert positions["account-late", 2] < positions["account-early", 2]
    assert ("account-early", 2) in before
    assert ("account-late", 2) not in before
    await topic_is_store(teller, broker)


async def test_reading_ahead_finds_what_committed_late_with_a_lower_position(teller: Teller) -> None:
    await teller.do(Open(account="late", owner="ann"), Open(account="early", owner="bob"))
    service = await connect(teller.database.url, name="test")
    async with teller.open_outbox() as outbox:
        await outbox.told([position for position, _ in await outbox.oldest(10)], teller.topic, {})
        transaction = service.transaction()
        await transaction.start()
        uow = UnitOfWork(teller.store, PostgresSession(service), Cause(), teller.clock())
        await execute_account(uow, Deposit(account="late", amount=1))
        await uow.flush()
        await teller.do(Deposit(account="early", amount=1))
        ((under_way, _),) = await outbox.oldest(10)
        await transaction.commit()
        await teller.do(Deposit(account="late", amount=2))

        ahead = await outbox.oldest(10, [under_way])
        first = await outbox.oldest(1, [under_way])
    await service.close()

    assert [(event.stream, event.version) for _, event in ahead] == [("account-late", 2), ("account-late", 3)]
    assert ahead[0][0] < under_way < ahead[1][0]
    assert first[0] == ahead[0]


async def test_one_of_two_relays_leads_and_the_other_takes_over(
    teller: Teller, broker: Broker, admin: Admin
) -> None:
    async with in_background(teller.relay(broker).run), in_background(teller.relay(broker).run):
        await some_accounts(teller)
        await sent(teller)
        for _ in range(3):
            leader = await until(lambda: relay_pid(admin, teller))
            await admin.execute("SELECT pg_terminate_backend($1)", leader)
            await some_accounts(teller)
            await sent(teller)

            async def replaced(old: int = leader) -> bool:
                return await relay_pid(admin, teller) not in (None, old)

            await until(replaced)

    await topic_is_store(teller, broker)


async def test_two_senders_at_once_give_duplicates_only(teller: Teller, broker: Broker) -> None:
    """What two relays would do if the lock failed; every first occurrence is still in order."""
    await ensure_topics(broker.bootstrap, [teller.topic])
    chance = random.Random(3)
    await teller.do(*(Open(account=f"a{n}", owner=f"o{n}") for n in range(6)))
    writing = asyncio.Event()

    async def send(relay: Relay, outbox: Outbox, topic: TopicWriter) -> None:
        while not writing.is_set() or await teller.outbox():
            await relay.send_chunks(outbox, topic, lambda: False)

    async with AsyncExitStack() as stack:
        senders = []
        for _ in range(2):
            outbox = await stack.enter_async_context(teller.open_outbox())
            topic = await stack.enter_async_context(teller.open_topic(broker))
            senders.append(asyncio.create_task(send(teller.relay(broker, chunk=5), outbox, topic)))
        for _ in range(40):
            await teller.do(*(Deposit(account=f"a{n}", amount=1) for n in chance.sample(range(6), 2)))
        writing.set()
        await asyncio.gather(*senders)

    await topic_is_store(teller, broker)


async def test_what_the_broker_did_not_acknowledge_stays_in_the_outbox(
    teller: Teller, own_broker: OwnBroker
) -> None:
    await some_accounts(teller, count=1)
    await ensure_topics(own_broker.address.bootstrap, [teller.topic])
    producer = AIOKafkaProducer(
        bootstrap_servers=own_broker.address.bootstrap, acks="all", request_timeout_ms=500
    )
    await producer.start()
    await own_broker.kill()
    topic = KafkaTopicWriter(own_broker.address.bootstrap, teller.database.service, producer)

    async with teller.open_outbox() as outbox:
        with pytest.raises(KafkaError):
            await teller.relay(own_broker.address).send_chunks(outbox, topic, lambda: False)

    assert await teller.outbox() == 5
    await producer.stop()


async def test_sending_everything_again_by_hand_repeats_all_and_loses_nothing(
    teller: Teller, broker: Broker
) -> None:
    await some_accounts(teller)
    async with in_background(teller.relay(broker).run):
        await sent(teller)
        async with teller.store.pool.acquire() as connection:
            assert await PostgresOutbox(connection).refill(teller.store.public) == 25
        await some_accounts(teller)
        await sent(teller)

    seen = await topic_events(broker, teller.topic)
    assert len(seen) == 25 + 25 + 20
    await topic_is_store(teller, broker)


async def test_the_acknowledged_end_of_each_partition_is_remembered(teller: Teller, broker: Broker) -> None:
    await some_accounts(teller)
    async with in_background(teller.relay(broker).run):
        await sent(teller)

    rows = await teller.store.pool.fetch("SELECT topic, partition, next_offset FROM relay_offsets")
    expected = {partition_of(f"account-a{n}".encode()) for n in range(5)}
    assert {row["partition"] for row in rows} == expected
    assert all(row["topic"] == teller.topic and row["next_offset"] > 0 for row in rows)


async def test_a_topic_that_ends_before_what_was_acknowledged_is_filled_again(
    teller: Teller, broker: Broker
) -> None:
    """The memory says that the broker had more than it has: it lost data while nobody looked."""
    await some_accounts(teller)
    async with in_background(teller.relay(broker).run):
        await sent(teller)
    await teller.store.pool.execute("UPDATE relay_offsets SET next_offset = next_offset + 1000")

    async with in_background(teller.relay(broker).run):

        async def twice() -> bool:
            return await teller.outbox() == 0 and len(await topic_events(broker, teller.topic)) == 50

        await until(twice, poll=0.2)

    await topic_is_store(teller, broker)


async def test_a_restart_with_an_intact_topic_sends_nothing_again(teller: Teller, broker: Broker) -> None:
    await some_accounts(teller)
    for _ in range(3):
        async with in_background(teller.relay(broker).run):
            await teller.do(Deposit(account="a0", amount=1))
            await sent(teller)

    assert len(await topic_events(broker, teller.topic)) == 25 + 3


async def test_an_event_larger_than_a_batch_goes_in_one_of_its_own(teller: Teller, broker: Broker) -> None:
    await teller.do(Open(account="a", owner="ann"), Deposit(account="a", amount=1))
    await teller.do(Deposit(account="a", amount=2, memo="x" * 400_000), Deposit(account="a", amount=3))
    async with in_background(teller.relay(broker).run):
        await sent(teller)

    await topic_is_store(teller, broker)


async def test_many_events_of_one_stream_take_several_batches_in_order(
    teller: Teller, broker: Broker
) -> None:
    await teller.do(Open(account="a", owner="ann"))
    await teller.do(*(Deposit(account="a", amount=n, memo="y" * 2000) for n in range(300)))
    async with in_background(teller.relay(broker).run):
        await sent(teller)

    assert await topic_events(broker, teller.topic) == [("account-a", n) for n in range(1, 302)]


async def test_an_event_that_this_version_cannot_read_is_still_sent(teller: Teller, broker: Broker) -> None:
    """Such as after a rollback: the relay publishes what is stored, it need not understand it."""
    await some_accounts(teller, count=1)
    owner = await asyncpg.connect(teller.database.owner_url)
    await owner.execute(
        "UPDATE events SET type = 'FromTheFuture', schema_version = 7, data = $1 WHERE version = 2",
        b'{"new": 1}',
    )
    await owner.close()

    async with in_background(teller.relay(broker).run):
        await sent(teller)

    records = [r async for batch in read_topics(broker.bootstrap, [teller.topic]) for r in batch]
    assert [dict(r.headers)["ce_type"] for r in records][:3] == [b"Opened", b"FromTheFuture", b"Deposited"]
    assert records[1].value == b'{"new": 1}'
    assert dict(records[1].headers)["ce_dataschema"].endswith(b"/FromTheFuture.v7.json")  # type: ignore[union-attr]
