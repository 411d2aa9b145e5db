"""Read models are what their events say, whichever stream was heard first."""

import itertools
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pytest

from services.inventory.domain.reservation import reservation_stream
from services.inventory.readmodels.reservations import RESERVATIONS, ReservationRow
from shared.events.envelope import Recorded
from shared.events.returns import Disposition
from shared.store.marks import StoredRecord
from tests.integration.services.inventory.depot import Depot
from tests.integration.services.inventory.others import Order, Told

pytestmark = pytest.mark.integration


def a_busy_day(told: Told) -> list[list[StoredRecord]]:
    """What eight orders and their returns tell, stream by stream."""
    streams = []
    for n in range(8):
        order = Order(told, f"order {n}", (("CUP", n + 1), ("BAG", 1)))
        story = [order.placed()]
        if n % 4 != 3:
            story.append(order.confirmed())
        if n % 4 == 1:
            story.append(order.cancelled())
        elif n % 4 != 3:
            story += [order.shipped("1", ("CUP", n)), order.shipped("2", ("CUP", 1), ("BAG", 1))]
            streams.append(
                [
                    order.came_back("a", ("CUP", 1, Disposition.NOT_RESTOCKED)),
                    order.came_back("b", ("BAG", 1, Disposition.RESTOCKED)),
                ]
            )
        streams.append(story)
    return streams


def interleaved(streams: Sequence[Sequence[StoredRecord]], seed: int) -> list[StoredRecord]:
    """The streams mixed by chance, each in its own order."""
    random = Random(seed)
    turns = [n for n, stream in enumerate(streams) for _ in stream]
    random.shuffle(turns)
    waiting: list[Iterator[StoredRecord]] = [iter(stream) for stream in streams]
    return [next(waiting[n]) for n in turns]


@pytest.mark.parametrize("seed", range(3))
async def test_every_read_model_equals_its_rebuild(depot: Depot, told: Told, seed: int) -> None:
    await depot.receive(CUP=25, BAG=6)
    await depot.call("PUT", "/stock/CUP/terms", {"low_threshold": 3, "safety_stock": 1})
    await depot.call("POST", "/stock/BAG/adjustments", {"delta": -1, "reason": "SHRINKAGE"}, status=201)
    records = interleaved(a_busy_day(told), seed)
    for start in range(0, len(records), 7):
        await depot.hear(*records[start : start + 7])
    found = {result.read_model: result for result in await depot.rebuilt(told.events)}
    assert set(found) == {"stock_levels", "stock_movements", "reservations"}
    assert all(result.equal for result in found.values()), found
    assert (found["stock_levels"].rows, found["reservations"].rows) == (2, 8)
    ledger = await depot.ledger("CUP") + await depot.ledger("BAG")
    assert found["stock_movements"].rows == len(ledger)
    await depot.check_laws(told.events)


async def test_a_rebuild_without_what_was_heard_is_not_equal(depot: Depot, told: Told) -> None:
    await depot.receive(CUP=1)
    await depot.hear(Order(told, "o", (("CUP", 1),)).placed())
    found = {result.read_model: result.equal for result in await depot.rebuilt()}
    assert found == {"stock_levels": True, "stock_movements": True, "reservations": False}


async def test_a_reservation_row_is_the_same_in_every_order_of_arrival(depot: Depot, told: Told) -> None:
    await depot.receive(CUP=3)
    order = Order(told, "o", (("CUP", 3),))
    await depot.hear(order.placed(), order.confirmed(), order.shipped("1", ("CUP", 2)))
    await depot.hear(order.came_back("a", ("CUP", 1, Disposition.RESTOCKED)))
    stream = reservation_stream(order.order_id)
    own = (await depot.store.load([stream]))[stream]
    foreign = [event for event in told.events if type(event.data) in RESERVATIONS.events]
    assert (len(own), len(foreign)) == (3, 2)
    live = await depot.reservation(order.order_id)
    for places in itertools.combinations(range(len(own) + len(foreign)), len(foreign)):
        mixed = list(own)
        for place, event in zip(places, foreign, strict=True):
            mixed.insert(place, event)
        assert folded(mixed) == live


def folded(events: Sequence[Recorded[Any]]) -> ReservationRow | None:
    """The row after these events."""
    row: ReservationRow | None = None
    for event in events:
        (key,) = RESERVATIONS.keys(event)
        row = RESERVATIONS.fold(row, event, key)
    return row
