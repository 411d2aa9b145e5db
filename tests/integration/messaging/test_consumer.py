"""The one parking rule: dropped, applied or parked; what waits is drained in order while others flow."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from shared.messaging.consumer import Consumer
from shared.store import marks
from shared.store.errors import CONNECTION_LOST
from shared.store.marks import StoredRecord
from tests.integration.bank.accounts import Deposit, Open, Remind, Withdraw
from tests.integration.bank.services import Auditor, Teller
from tests.waiting import until

pytestmark = pytest.mark.integration


async def a_day(teller: Teller) -> list[StoredRecord]:
    """Two accounts and their records: ann's are opened, 1, 2, 3; bob's opened, 10, 20."""
    await teller.do(Open(account="a", owner="ann"), Open(account="b", owner="bob"))
    await teller.do(Deposit(account="a", amount=1, memo="one"), Deposit(account="b", amount=10))
    await teller.do(Deposit(account="a", amount=2, memo="two"))
    await teller.do(Deposit(account="a", amount=3, memo="three"), Deposit(account="b", amount=20))
    return teller.records(await teller.events())


def of(stream: str, records: Sequence[StoredRecord]) -> list[StoredRecord]:
    return [record for record in records if record.key == stream.encode()]


def with_headers(record: StoredRecord, **changed: bytes | None) -> StoredRecord:
    return replace(record, headers=tuple((name, changed.get(name, value)) for name, value in record.headers))


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"{name}_total", labels) or 0


async def everything_once(auditor: Auditor) -> None:
    assert await auditor.tallied("ann") == (3, 6)
    assert await auditor.tallied("bob") == (2, 30)
    assert await auditor.marks() == {"account-a": 4, "account-b": 3}
    assert await auditor.parked() == []
    assert await auditor.store.pool.fetchval("SELECT sum(total) FROM holdings") == 36


async def test_events_become_commands_effects_and_rows_in_one_transaction(
    teller: Teller, auditor: Auditor
) -> None:
    await teller.do(Open(account="a", owner="ann"), Deposit(account="a", amount=5))
    await teller.do(Withdraw(account="a", amount=2))
    records = teller.records(await teller.events())

    await auditor.consumer.handle_batch(records)

    assert await auditor.tallied("ann") == (1, 5)
    (tallied,) = (await auditor.store.load(["tally-ann"]))["tally-ann"]
    assert tallied.causation_id == (await teller.events())[1].event_id
    assert tallied.correlation_id == (await teller.events())[1].correlation_id
    row = await auditor.store.pool.fetchrow("SELECT * FROM account_rows")
    assert row is not None
    assert (row["balance"], row["moves"]) == (3, 2)
    assert await auditor.store.pool.fetchval("SELECT name FROM todo") == "report"


async def test_duplicates_change_nothing(teller: Teller, auditor: Auditor) -> None:
    records = await a_day(teller)
    for batch in (records, records, records[:3] + records, records[2:] * 2):
        await auditor.consumer.handle_batch(batch)

    await everything_once(auditor)
    assert counted("orderflow_events_passed_over", consumer=auditor.name, reason="duplicate") == 27


async def test_a_record_twice_in_one_batch_counts_once(teller: Teller, auditor: Auditor) -> None:
    await auditor.consumer.handle_batch([r for record in await a_day(teller) for r in (record, record)])

    await everything_once(auditor)


@pytest.mark.parametrize("together", [1, 2, 3, 7, 8])
async def test_more_records_than_go_together_are_applied_in_parts(
    teller: Teller, auditor: Auditor, together: int
) -> None:
    consumer = Consumer(auditor.store, auditor.subscription, together=together)
    records = await a_day(teller)

    await consumer.handle_batch([*reversed(records[2:]), *records])

    await everything_once(auditor)


async def test_replicas_with_the_same_records_at_the_same_time_apply_them_once(
    teller: Teller, auditor: Auditor
) -> None:
    records = await a_day(teller)

    await asyncio.gather(*(auditor.consumer.handle_batch(records) for _ in range(4)))

    await everything_once(auditor)


async def test_replicas_take_turns_over_events_that_only_project(teller: Teller, auditor: Auditor) -> None:
    """No version of a stream of its own would tell the second one that it comes late."""
    await teller.do(Open(account="a", owner="ann"))
    await teller.do(*(Withdraw(account="a", amount=1) for _ in range(9)))
    records = teller.records(await teller.events())
    await auditor.consumer.handle_batch(records[:1])

    await asyncio.gather(*(auditor.consumer.handle_batch(records[:n]) for n in (10, 4, 10, 7, 10)))

    assert await auditor.marks() == {"account-a": 10}
    assert await auditor.store.pool.fetchval("SELECT total FROM holdings") == -9


async def test_a_replica_waits_for_the_marks_that_another_has_read(
    teller: Teller, auditor: Auditor, admin: Any
) -> None:
    """Both have begun and neither has written anything when the database lets them go on."""
    await teller.do(Open(account="a", owner="ann"))
    await teller.do(Withdraw(account="a", amount=1))
    records = teller.records(await teller.events())
    await auditor.consumer.handle_batch(records[:1])
    async with auditor.store.pool.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE account_rows IN ACCESS EXCLUSIVE MODE")
        both = asyncio.gather(*(auditor.consumer.handle_batch(records) for _ in range(2)))
        await until(lambda: waits_for_lock(admin, auditor.database.service, 2))
    await both

    assert await auditor.store.pool.fetchval("SELECT total FROM holdings") == -1


async def test_reordered_versions_wait_and_are_drained_in_order(teller: Teller, auditor: Auditor) -> None:
    records = await a_day(teller)
    ann, bob = of("account-a", records), of("account-b", records)

    await auditor.consumer.handle_batch([ann[3], ann[2], *bob])
    assert await auditor.parked() == [("account-a", 3, "EARLY"), ("account-a", 4, "EARLY")]
    assert await auditor.marks() == {"account-b": 3}
    await auditor.consumer.handle_batch([ann[1], ann[0]])

    await everything_once(auditor)
    memos = await auditor.store.pool.fetchval("SELECT memos FROM account_rows WHERE owner = 'ann'")
    assert memos == '["one", "two", "three"]'


async def test_an_unknown_type_is_passed_over_and_counted(teller: Teller, auditor: Auditor) -> None:
    await teller.do(Open(account="a", owner="ann"), Remind(account="a"), Deposit(account="a", amount=1))

    await auditor.consumer.handle_batch(teller.records(await teller.events()))

    assert await auditor.marks() == {"account-a": 3}
    assert await auditor.tallied("ann") == (1, 1)
    assert counted("orderflow_events_passed_over", consumer=auditor.name, reason="unknown_type") == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: with_headers(record, ce_subject=None),
        lambda record: with_headers(record, ce_type=b"\xff\xfe"),
        lambda record: replace(record, headers=()),
        lambda record: with_headers(record, ce_sequence=b"minus one"),
        lambda record: with_headers(record, ce_sequence=b"99999999999999999999"),
        lambda record: with_headers(record, ce_subject=b"no\x00stream-1"),
        lambda record: with_headers(record, ce_time=b"yesterday"),
        lambda record: replace(record, key=None, value=None, headers=(("", None),)),
    ],
    ids=["null", "not-utf8", "none", "no-number", "huge", "nul", "no-time", "empty"],
)
async def test_a_malformed_record_amid_a_batch_is_parked_while_the_others_flow(
    teller: Teller, auditor: Auditor, damage: Any
) -> None:
    records = await a_day(teller)
    bad = replace(damage(records[0]), offset=900)

    await auditor.consumer.handle_batch([*records[:3], bad, *records[3:]])
    await auditor.consumer.handle_batch([bad])

    place = f"!{bad.topic}/{bad.partition}"
    assert await auditor.parked() == [(place, 900, "MALFORMED")]
    async with auditor.store.pool.acquire() as connection, connection.transaction():
        assert await marks.skip(connection, auditor.name, place, 900, "an operator")
    await everything_once(auditor)


@pytest.mark.parametrize(
    "value",
    [b"{", b"", None, b'{"owner": "ann"}', b'{"owner": "ann", "amount": 99999999999999999999999}', b"\xff"],
    ids=["cut", "empty", "null", "incomplete", "enormous", "not-utf8"],
)
async def test_bad_data_parks_its_stream_while_the_others_flow(
    teller: Teller, auditor: Auditor, value: bytes | None
) -> None:
    records = await a_day(teller)
    good = of("account-a", records)[1]
    damaged = [replace(good, value=value) if record is good else record for record in records]

    await auditor.consumer.handle_batch(damaged)

    assert await auditor.parked() == [
        ("account-a", 2, "FAILED"),
        ("account-a", 3, "EARLY"),
        ("account-a", 4, "EARLY"),
    ]
    assert await auditor.marks() == {"account-a": 1, "account-b": 3}
    await auditor.consumer.handle_batch([good])
    await everything_once(auditor)


async def test_a_failing_event_waits_with_its_stream_and_is_drained_in_order_when_mended(
    teller: Teller, auditor: Auditor
) -> None:
    records = await a_day(teller)
    auditor.auditing.broken = {"one"}

    await auditor.consumer.handle_batch(records[:3])
    await auditor.consumer.handle_batch(records[3:])
    assert [place[1:] for place in await auditor.parked()] == [(2, "FAILED"), (3, "EARLY"), (4, "EARLY")]
    assert await auditor.tallied("bob") == (2, 30)

    auditor.clock.advance(timedelta(seconds=2))
    assert await auditor.consumer.retry_parked() == 1
    assert await auditor.consumer.retry_parked() == 0, "it waits longer after every failure"
    auditor.auditing.broken = set()
    auditor.clock.advance(timedelta(minutes=10))
    assert await auditor.consumer.retry_parked() == 1

    await everything_once(auditor)
    memos = await auditor.store.pool.fetchval("SELECT memos FROM account_rows WHERE owner = 'ann'")
    assert memos == '["one", "two", "three"]'


async def test_what_fails_in_the_database_parks_only_its_own_stream(teller: Teller, auditor: Auditor) -> None:
    """A failure that ends the whole transaction is found by trying the events one at a time."""
    await teller.do(Open(account="a", owner="ann"), Open(account="z", owner="zoe"))
    await teller.do(Deposit(account="a", amount=1))
    records = teller.records(await teller.events())
    records[1] = replace(records[1], value=b'{"owner": "no\\u0000body"}')

    await auditor.consumer.handle_batch(records)

    assert await auditor.parked() == [("account-z", 1, "FAILED")]
    assert await auditor.tallied("ann") == (1, 1)


async def test_skip_moves_the_mark_over_the_next_version_only(teller: Teller, auditor: Auditor) -> None:
    auditor.auditing.broken = {"one"}
    await auditor.consumer.handle_batch(await a_day(teller))

    async def skip(version: int) -> bool:
        async with auditor.store.pool.acquire() as connection, connection.transaction():
            return await marks.skip(connection, auditor.name, "account-a", version, "an operator")

    with pytest.raises(ValueError, match="not the next in its turn"):
        await skip(3)
    assert not await skip(9)
    assert await skip(2)
    await auditor.consumer.retry_parked()

    assert await auditor.marks() == {"account-a": 4, "account-b": 3}
    assert await auditor.parked() == []
    assert await auditor.tallied("ann") == (2, 5)


async def test_a_connection_lost_amid_a_batch_parks_nothing_and_loses_nothing(
    teller: Teller, auditor: Auditor, admin: Any
) -> None:
    records = await a_day(teller)
    service = auditor.database.service
    async with auditor.store.pool.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE overviews IN ACCESS EXCLUSIVE MODE")
        handling = asyncio.create_task(auditor.consumer.handle_batch(records))
        await until(lambda: waits_for_lock(admin, service))
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = $1 AND wait_event_type = 'Lock'",
            service,
        )
        with pytest.raises(CONNECTION_LOST):
            await handling

    assert await auditor.marks() == {}
    assert await auditor.parked() == []
    await auditor.consumer.handle_batch(records)
    await everything_once(auditor)


async def waits_for_lock(admin: Any, database: str, count: int = 1) -> bool:
    waiting: int = await admin.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock'", database
    )
    return waiting >= count


async def test_events_from_before_react_since_only_project(teller: Teller, auditor: Auditor) -> None:
    records = await a_day(teller)
    subscription = replace(auditor.consumer._sub, react_since=auditor.clock() + timedelta(days=1))
    late = type(auditor.consumer)(auditor.store, subscription)

    await late.handle_batch(records)

    assert await auditor.tallied("ann") == (0, 0)
    assert await auditor.store.pool.fetchval("SELECT sum(total) FROM holdings") == 36
