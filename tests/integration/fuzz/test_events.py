"""Whatever stands on the topics, no consumer stops: the damaged waits or is passed over, the rest applies."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from hypothesis import event, given, note
from hypothesis import strategies as st

from shared.store.marks import Reason, StoredRecord
from tests.budget import examples
from tests.conftest import databases
from tests.integration.bank.accounts import Deposit, Open
from tests.integration.bank.services import Auditor, Teller
from tests.integration.fuzz.damage import LONG, damaged
from tests.integration.fuzz.listeners import LISTENERS, Listener, open_listener

pytestmark = pytest.mark.integration

TOTALS = {"items_net": 0, "items_tax": 0, "shipping_net": 0, "shipping_tax": 0, "discount": 0}
ListenerOf = Callable[[str], Awaitable[Listener]]


@pytest.fixture(scope="module")
async def listener_of(postgres: str) -> AsyncIterator[ListenerOf]:
    """`await listener_of("orders")`: opened when first asked for."""
    opened: dict[str, Listener] = {}
    async with AsyncExitStack() as stack:
        make = await stack.enter_async_context(databases(postgres))

        async def listener(name: str) -> Listener:
            if name not in opened:
                opened[name] = await stack.enter_async_context(open_listener(make, name))
            return opened[name]

        yield listener


@st.composite
def batches(draw: st.DrawFn, records: Sequence[StoredRecord]) -> list[list[StoredRecord]]:
    """The records in this order, cut into batches."""
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(records) - 1)), max_size=3)))
    return [list(records[a:b]) for a, b in zip([0, *cuts], [*cuts, len(records)], strict=True) if a < b]


@st.composite
def side_by_side(draw: st.DrawFn, stories: Sequence[Sequence[StoredRecord]]) -> list[StoredRecord]:
    """All records, each story in its order."""
    left = [list(story) for story in stories]
    mixed: list[StoredRecord] = []
    while any(left):
        mixed.append(draw(st.sampled_from([story for story in left if story])).pop(0))
    return mixed


@pytest.mark.parametrize("name", LISTENERS)
async def test_a_whole_story_is_applied(listener_of: ListenerOf, name: str) -> None:
    """What the others are measured by."""
    listener = await listener_of(name)
    story = await listener.story()

    await listener.consumer.handle_batch(story.records)

    assert await listener.marks(story) == story.heads
    assert await listener.consequences(story)


HARMS: dict[str, Callable[[StoredRecord], StoredRecord]] = {
    "a stream id longer than an index takes": lambda r: with_header(r, "ce_subject", b"order-" + LONG),
    "an epoch that is not the event's": lambda r: with_header(r, "ce_epoch", b"7"),
    "a version that is not the event's": lambda r: with_header(r, "ce_sequence", b"2"),
    "a header whose name no database holds": lambda r: replace(r, headers=(("\x00", b""),)),
    "a number that no database holds": lambda r: with_member(r, "totals", {**TOTALS, "total": 2**80}),
    "data that is cut off": lambda r: replace(r, value=(r.value or b"")[:-1]),
}


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("name", ["cart", "inventory", "returns", "notifications"])
async def test_a_damaged_record_waits_alone_until_its_good_version_comes(
    listener_of: ListenerOf, name: str, harm: str
) -> None:
    listener = await listener_of(name)
    story, other = await listener.story(), await listener.story()
    bad = HARMS[harm](story.records[0])

    await listener.consumer.handle_batch([bad, *story.records[1:], *other.records])

    assert await listener.marks(other) == other.heads
    await listener.consumer.handle_batch(story.records)
    await listener.retry()
    assert await listener.marks(story) == story.heads
    assert await listener.consequences(story) == await listener.consequences(other)
    for row in await listener.parked():
        assert row["reason"] == Reason.MALFORMED
        assert await listener.skip(row)
    assert await listener.parked() == []


async def test_a_number_that_no_column_holds_is_no_lost_connection(teller: Teller, auditor: Auditor) -> None:
    await teller.do(Open(account="a", owner="ann"), Open(account="b", owner="bob"))
    await teller.do(Deposit(account="a", amount=1), Deposit(account="b", amount=1))
    opened_a, opened_b, one, other = teller.records(await teller.events())

    await auditor.consumer.handle_batch([opened_a, opened_b, with_member(one, "amount", 2**80), other])

    assert await auditor.marks() == {"account-a": 1, "account-b": 2}
    assert await auditor.parked() == [("account-a", 2, "FAILED")]
    await auditor.consumer.handle_batch([one])
    assert await auditor.has_applied(teller)


async def test_the_readable_one_of_two_early_records_waits(listener_of: ListenerOf) -> None:
    listener = await listener_of("returns")
    for damaged_first in (True, False):
        story = await listener.story()
        first, second, third = story.records
        two = [replace(second, value=b"{"), second]
        for record in two if damaged_first else reversed(two):
            await listener.consumer.handle_batch([record])
        await listener.consumer.handle_batch([third])

        await listener.consumer.handle_batch([first])

        assert await listener.marks(story) == story.heads
        assert await listener.parked() == []


async def test_a_trace_that_is_none_holds_no_event_back(listener_of: ListenerOf) -> None:
    listener = await listener_of("inventory")
    story = await listener.story()

    await listener.consumer.handle_batch([with_header(r, "traceparent", b"\x00") for r in story.records])

    assert await listener.marks(story) == story.heads
    assert await listener.parked() == []


@pytest.mark.parametrize("name", LISTENERS)
@examples(30)
@given(data=st.data())
async def test_damaged_records_harm_nobody_else_and_their_good_versions_heal_them(
    listener_of: ListenerOf, name: str, data: st.DataObject
) -> None:
    listener = await listener_of(name)
    stories = [await listener.story() for _ in range(3)]
    told: list[tuple[StoredRecord, ...]] = [story.records for story in stories[:2]]
    harmed: set[int] = set()
    for _ in range(data.draw(st.integers(1, 3))):
        which = data.draw(st.integers(0, 1))
        at = data.draw(st.integers(0, len(told[which]) - 1))
        bad = data.draw(damaged(told[which][at]))
        after = data.draw(st.booleans())  # the good one comes as well, but too late
        note(f"story {which} record {at}: {bad.key!r} {bad.headers} {(bad.value or b'')[:1000]!r}")
        kept = told[which][at : at + 1] if after else ()
        told[which] = (*told[which][:at], bad, *kept, *told[which][at + 1 :])
        harmed.add(which)
    shuffled = data.draw(st.booleans())
    mixed = data.draw(side_by_side([*told, stories[2].records]))
    for batch in data.draw(batches(data.draw(st.permutations(mixed)) if shuffled else mixed)):
        await listener.consumer.handle_batch(batch)
    if shuffled:
        await listener.retry()

    for number, story in enumerate(stories):
        if number not in harmed:
            assert await listener.marks(story) == story.heads
            assert await listener.consequences(story) == await healthy(listener)
    event(f"{len(await listener.parked())} parked")

    for story in stories:
        await listener.consumer.handle_batch(story.records)
    await listener.retry()

    for story in stories:
        assert await listener.marks(story) == story.heads
    for row in await listener.parked():
        assert row["reason"] == Reason.MALFORMED
        assert await listener.skip(row)
    assert await listener.parked() == []


async def healthy(listener: Listener) -> list[str]:
    """What comes of a story to which nothing happened."""
    story = await listener.story()
    await listener.consumer.handle_batch(story.records)
    return await listener.consequences(story)


def with_header(record: StoredRecord, name: str, value: bytes) -> StoredRecord:
    return replace(record, headers=(*(each for each in record.headers if each[0] != name), (name, value)))


def with_member(record: StoredRecord, name: str, value: object) -> StoredRecord:
    return replace(record, value=json.dumps({**json.loads(record.value or b""), name: value}).encode())
