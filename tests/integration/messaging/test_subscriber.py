"""From the teller's store over the topic into the auditor's store, whatever breaks on the way."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from shared.messaging.subscriber import Subscriber
from shared.messaging.topics import PARTITIONS, partition_of
from shared.store.errors import CONNECTION_LOST
from shared.store.outbox import PostgresOutbox
from tests.backends import Broker, OwnBroker, OwnPostgres
from tests.conftest import MakeDatabase
from tests.integration.bank.accounts import Deposit, Open, Withdraw
from tests.integration.bank.services import MIGRATIONS, Auditor, Teller, open_auditor
from tests.waiting import in_background, until

pytestmark = pytest.mark.integration

ACCOUNTS = [f"a{n}" for n in range(8)]


async def open_accounts(teller: Teller) -> None:
    await teller.do(*(Open(account=account, owner=account) for account in ACCOUNTS))


async def deposit_everywhere(teller: Teller, times: int = 1) -> None:
    for _ in range(times):
        await teller.do(*(Deposit(account=account, amount=1) for account in ACCOUNTS))


async def heard(auditor: Auditor, teller: Teller, *, seconds: float = 60) -> None:
    """Wait until every event has had its effect, and look that none had it twice."""

    async def applied() -> bool:
        try:
            return await auditor.has_applied(teller)
        except CONNECTION_LOST:  # a test cut this connection, too
            return False

    await until(applied, seconds=seconds, poll=0.05, what="the marks at the heads")
    for account in ACCOUNTS:
        state = await teller.account(account)
        if state is not None:
            deposits = await teller.store.pool.fetchval(
                "SELECT count(*) FROM events WHERE type = 'Deposited' AND stream_id = $1",
                f"account-{account}",
            )
            assert (await auditor.tallied(account))[0] == deposits
    same = "SELECT count(*), sum(balance), sum(moves) FROM account_rows"
    assert await auditor.store.pool.fetchrow(same) == await teller.store.pool.fetchrow(same)


async def test_end_to_end(teller: Teller, auditor: Auditor, broker: Broker) -> None:
    async with in_background(teller.relay(broker).run), in_background(auditor.subscriber(broker).run):
        await open_accounts(teller)
        await deposit_everywhere(teller, 5)
        await teller.do(Withdraw(account="a0", amount=3))
        await heard(auditor, teller)

    assert await auditor.store.pool.fetchval("SELECT count(*) FROM todo") == 1


async def test_a_subscriber_that_comes_later_hears_all_from_the_beginning(
    teller: Teller, auditor: Auditor, broker: Broker
) -> None:
    await open_accounts(teller)
    await deposit_everywhere(teller, 3)
    async with in_background(teller.relay(broker).run):
        await until(lambda: empty(teller))

    async with in_background(auditor.subscriber(broker).run):
        await heard(auditor, teller)


async def test_a_restart_goes_on_where_it_stopped(teller: Teller, auditor: Auditor, broker: Broker) -> None:
    async with in_background(teller.relay(broker).run):
        await open_accounts(teller)
        for _ in range(2):
            async with in_background(auditor.subscriber(broker, instance=f"{auditor.name}-0").run):
                await deposit_everywhere(teller)
                await heard(auditor, teller)


async def test_damaged_records_on_the_topic_hold_nothing_up(
    teller: Teller, auditor: Auditor, broker: Broker
) -> None:
    await open_accounts(teller)
    async with in_background(teller.relay(broker).run):
        await until(lambda: empty(teller))
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        for headers in ([("ce_subject", None)], [("ce_type", b"\xff")], [], [("", b"")]):
            await producer.send_and_wait(
                teller.topic, b"{", key=b"account-a0", headers=headers, partition=partition_of(b"account-a0")
            )
        await producer.send_and_wait(teller.topic, b"", partition=partition_of(b"account-a1"))

    async with in_background(teller.relay(broker).run), in_background(auditor.subscriber(broker).run):
        await deposit_everywhere(teller, 2)
        await until(lambda: count_is(auditor, "SELECT count(*) FROM parked", 5))
        await until(lambda: count_is(auditor, "SELECT count(*) FROM marks WHERE version = 3", len(ACCOUNTS)))

    assert {reason for _, _, reason in await auditor.parked()} == {"MALFORMED"}


async def test_a_parked_stream_is_drained_by_itself_once_its_reaction_is_mended(
    teller: Teller, auditor: Auditor, broker: Broker
) -> None:
    auditor.auditing.broken = {"bad"}
    async with in_background(teller.relay(broker).run), in_background(auditor.subscriber(broker).run):
        await open_accounts(teller)
        await teller.do(Deposit(account="a3", amount=1, memo="bad"), Deposit(account="a3", amount=1))
        await deposit_everywhere(teller)
        await until(lambda: count_is(auditor, "SELECT count(*) FROM marks WHERE version = 2", 7))
        await until(lambda: count_is(auditor, "SELECT count(*) FROM parked", 3))
        auditor.auditing.broken = set()
        auditor.clock.advance(timedelta(minutes=10))
        await heard(auditor, teller)


async def test_members_that_join_and_leave_amid_batches_have_every_effect_once(
    teller: Teller, auditor: Auditor, broker: Broker
) -> None:
    """A batch waits in the database while a second member joins; then that leaves amid its own."""
    async with in_background(teller.relay(broker).run), in_background(auditor.subscriber(broker).run):
        await open_accounts(teller)
        await heard(auditor, teller)
        async with auditor.store.pool.acquire() as connection, connection.transaction():
            await connection.execute("LOCK TABLE overviews IN ACCESS EXCLUSIVE MODE")
            await deposit_everywhere(teller, 5)
            await until(lambda: waits_for_lock(auditor))
            joining = auditor.subscriber(broker)
            stop = asyncio.Event()
            second = asyncio.create_task(joining.run(stop))
            await until(lambda: bool(assigned(joining)), seconds=40)
        await deposit_everywhere(teller, 5)
        await heard(auditor, teller)
        await deposit_everywhere(teller, 10)
        stop.set()
        await deposit_everywhere(teller, 3)
        await second
        await heard(auditor, teller)


async def test_a_batch_that_failed_comes_again_before_anything_after_it(
    teller: Teller, auditor: Auditor, broker: Broker, admin: Any
) -> None:
    """A batch waits in the database when that hangs up; the next record of its stream is there already."""
    async with in_background(teller.relay(broker).run), in_background(auditor.subscriber(broker).run):
        await open_accounts(teller)
        await heard(auditor, teller)
        async with auditor.store.pool.acquire() as connection, connection.transaction():
            await connection.execute("LOCK TABLE overviews IN ACCESS EXCLUSIVE MODE")
            await teller.do(Deposit(account="a0", amount=1))
            await until(lambda: waits_for_lock(auditor))
            await teller.do(Deposit(account="a0", amount=1))
            await until(lambda: empty(teller))
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = $1 AND wait_event_type = 'Lock'",
                auditor.database.service,
            )
        goes_on = "SELECT EXISTS (SELECT FROM parked) OR EXISTS (SELECT FROM marks WHERE version = 3)"
        await until(lambda: auditor.store.pool.fetchval(goes_on))
        assert await auditor.parked() == []
        await heard(auditor, teller)


async def test_a_database_that_goes_away_amid_batches_loses_and_parks_nothing(
    teller: Teller, auditor: Auditor, broker: Broker, admin: Any
) -> None:
    async with in_background(teller.relay(broker).run), in_background(auditor.subscriber(broker).run):
        await open_accounts(teller)
        for _ in range(6):
            await deposit_everywhere(teller, 3)
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1",
                auditor.database.service,
            )
            assert await reasons(auditor) <= {"EARLY"}
        await heard(auditor, teller)


async def test_a_database_server_that_stops_and_starts_again_loses_and_parks_nothing(
    teller: Teller, broker: Broker, own_postgres: OwnPostgres, make_database: MakeDatabase
) -> None:
    database = await make_database(MIGRATIONS, "auditor", admin_url=own_postgres.admin_url)
    async with (
        open_auditor(database, [teller.topic]) as auditor,
        in_background(teller.relay(broker).run),
        in_background(auditor.subscriber(broker).run),
    ):
        await open_accounts(teller)
        await heard(auditor, teller)
        await own_postgres.stop()
        await deposit_everywhere(teller, 3)
        await own_postgres.start()
        await heard(auditor, teller)


@pytest.mark.parametrize(
    "background",
    [
        lambda subscription: subscription.consumer._coordinator._coordination_task,
        lambda subscription: subscription.tasks[0],
    ],
    ids=["group", "consuming"],
)
async def test_a_member_whose_background_task_dies_starts_anew(
    teller: Teller, auditor: Auditor, broker: Broker, background: Any
) -> None:
    subscriber = auditor.subscriber(broker)
    assert not subscriber.alive
    async with in_background(teller.relay(broker).run), in_background(subscriber.run):
        await open_accounts(teller)
        await heard(auditor, teller)
        assert subscriber.alive
        background(subscriber._subscription).cancel()
        await until(lambda: not subscriber.alive)
        await deposit_everywhere(teller)
        await heard(auditor, teller)
        await until(lambda: subscriber.alive)


async def test_a_topic_that_is_deleted_is_filled_again_and_heard_once(
    teller: Teller, auditor: Auditor, broker: Broker
) -> None:
    """The group remembers offsets of a log that is gone; the new one is shorter: it has no duplicates."""
    async with in_background(teller.relay(broker).run), in_background(auditor.subscriber(broker).run):
        await open_accounts(teller)
        async with teller.store.pool.acquire() as connection:
            await PostgresOutbox(connection).refill(teller.store.public)
        await deposit_everywhere(teller, 5)
        await heard(auditor, teller)
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        await admin.delete_topics([teller.topic])
        await admin.close()
        await deposit_everywhere(teller, 5)
        await heard(auditor, teller)


async def test_a_broker_that_comes_back_empty_is_filled_again_and_heard_once(
    teller: Teller, auditor: Auditor, own_broker: OwnBroker
) -> None:
    address = own_broker.address
    async with in_background(teller.relay(address).run), in_background(auditor.subscriber(address).run):
        await open_accounts(teller)
        await deposit_everywhere(teller, 3)
        await heard(auditor, teller)
        for _ in range(2):
            await own_broker.kill()
            await deposit_everywhere(teller, 2)
            await own_broker.start()
            await deposit_everywhere(teller, 2)
            await heard(auditor, teller)


async def test_a_broker_that_comes_back_empty_while_all_is_quiet_is_filled_again(
    teller: Teller, auditor: Auditor, own_broker: OwnBroker
) -> None:
    """Nothing is written, so only the relay's look at the topic's end can notice."""
    address = own_broker.address
    async with in_background(teller.relay(address).run):
        await open_accounts(teller)
        await until(lambda: empty(teller))
        await own_broker.kill()
        await own_broker.start()

        async with in_background(auditor.subscriber(address).run):
            await heard(auditor, teller)


async def test_a_member_that_joined_while_a_topic_was_too_small_hears_all_of_it(
    teller: Teller, auditor: Auditor, broker: Broker
) -> None:
    """A broker may make a topic too small when it is asked for one, and its writer mends it later."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(teller.topic, num_partitions=4, replication_factor=1)])
    await admin.close()
    member = auditor.subscriber(broker, instance=f"{auditor.name}-0")
    async with in_background(member.run):
        await until(lambda: bool(assigned(member)), seconds=40)
        await open_accounts(teller)
        async with in_background(teller.relay(broker).run):
            await deposit_everywhere(teller, 2)
            await heard(auditor, teller)


@pytest.mark.parametrize("beyond", [True, False], ids=["beyond-its-end", "amid-it"])
async def test_offsets_of_a_topic_that_is_no_more_hide_nothing(
    teller: Teller, auditor: Auditor, broker: Broker, beyond: bool
) -> None:
    async with in_background(teller.relay(broker).run):
        await open_accounts(teller)
        await deposit_everywhere(teller, 5)
        await until(lambda: empty(teller))
        await commit_offsets(broker, auditor.name, teller.topic, 100 if beyond else 4)

        async with in_background(auditor.subscriber(broker).run):
            await heard(auditor, teller, seconds=20)
            await deposit_everywhere(teller)
            await heard(auditor, teller, seconds=20)


async def commit_offsets(broker: Broker, group: str, topic: str, offset: int) -> None:
    """As a member of the group would that had heard so much of every partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        await consumer.commit(dict.fromkeys(partitions, offset))
    finally:
        await consumer.stop()


async def test_a_subscriber_waits_for_a_broker_that_is_not_there_yet(
    teller: Teller, auditor: Auditor, own_broker: OwnBroker
) -> None:
    await own_broker.kill()
    address = own_broker.address
    async with in_background(teller.relay(address).run), in_background(auditor.subscriber(address).run):
        await open_accounts(teller)
        await own_broker.start()
        await heard(auditor, teller)


async def test_stopping_while_the_broker_is_away_takes_no_longer_than_a_moment(
    teller: Teller, auditor: Auditor, own_broker: OwnBroker
) -> None:
    address = own_broker.address
    async with asyncio.timeout(60):
        async with in_background(teller.relay(address).run), in_background(auditor.subscriber(address).run):
            await open_accounts(teller)
            await heard(auditor, teller)
            await own_broker.kill()


async def empty(teller: Teller) -> bool:
    return await teller.outbox() == 0


async def count_is(auditor: Auditor, query: str, expected: int) -> bool:
    return bool(await auditor.store.pool.fetchval(query) == expected)


async def reasons(auditor: Auditor) -> set[str]:
    try:
        return {reason for _, _, reason in await auditor.parked()}
    except CONNECTION_LOST:  # the cut hit this connection, too
        return set()


async def waits_for_lock(auditor: Auditor) -> bool:
    return bool(
        await auditor.store.pool.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND wait_event_type = 'Lock'"
        )
    )


def assigned(subscriber: Subscriber) -> int:
    """How many partitions it has."""
    kafka = subscriber._subscription.consumer
    return len(kafka.assignment()) if kafka is not None else 0
