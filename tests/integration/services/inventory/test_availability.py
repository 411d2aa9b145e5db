"""What runs low or out is told by the worker, once for each threshold that is crossed."""

import asyncio
from typing import Any

import pytest

from services.inventory.commands import execute
from services.inventory.domain.availability import SKU_AVAILABILITY, AssessAvailability
from services.inventory.reactions import assessment
from shared.domain.ids import MAIN_LOCATION
from shared.events.envelope import Cause
from shared.events.inventory import Scarcity, StockRanLow, StockReplenished
from shared.events.returns import Disposition
from shared.store.unit_of_work import UnitOfWork
from tests.integration.services.inventory.depot import Depot
from tests.integration.services.inventory.others import Order, Told

pytestmark = pytest.mark.integration

LOW = StockRanLow(level=Scarcity.LOW, available=2, threshold=2)
OUT = StockRanLow(level=Scarcity.OUT, available=0, threshold=2)


async def told_of(depot: Depot, sku: str) -> list[Any]:
    await depot.worker.run_due()
    stream = SKU_AVAILABILITY.stream(sku)
    return [event.data for event in (await depot.store.load([stream]))[stream]]


async def wanted(depot: Depot) -> int:
    count: int = await depot.store.pool.fetchval("SELECT count(*) FROM todo")
    return count


async def test_from_plenty_to_none_and_back(depot: Depot, told: Told) -> None:
    await depot.receive(CUP=5)
    await depot.call("PUT", "/stock/CUP/terms", {"low_threshold": 2})
    assert await wanted(depot) == 0
    order, other = Order(told, "first", (("CUP", 3),)), Order(told, "second", (("CUP", 2),))
    await depot.hear(order.placed())
    assert await told_of(depot, "CUP") == [LOW]
    await depot.hear(other.placed())
    assert await told_of(depot, "CUP") == [LOW, OUT]
    await depot.hear(order.confirmed(), order.shipped("1", ("CUP", 3)))
    assert await wanted(depot) == 0, "what was held before it left changes nothing"
    await depot.hear(other.cancelled())
    back = StockReplenished(was=Scarcity.OUT, available=2)
    assert await told_of(depot, "CUP") == [LOW, OUT, back, LOW]
    await depot.hear(order.came_back("scan", ("CUP", 3, Disposition.RESTOCKED)))
    assert (await told_of(depot, "CUP"))[4:] == [StockReplenished(was=Scarcity.LOW, available=5)]
    assert await wanted(depot) == 0
    public = await depot.store.pool.fetchval(
        "SELECT count(*) FROM outbox JOIN events USING (position) WHERE stream_id = 'skuavailability-CUP'"
    )
    assert public == 5


async def test_many_movements_before_anybody_looks_are_one_piece_of_news(depot: Depot, told: Told) -> None:
    await depot.receive(CUP=3)
    orders = [Order(told, f"order {n}", (("CUP", 1),)) for n in range(4)]
    await depot.hear(*(order.placed() for order in orders))
    assert await told_of(depot, "CUP") == [StockRanLow(level=Scarcity.OUT, available=0, threshold=0)]
    assert await told_of(depot, "BAG") == []


async def test_staff_make_it_scarce_and_plentiful(depot: Depot) -> None:
    await depot.receive(BAG=4)
    await depot.call("PUT", "/stock/BAG/terms", {"safety_stock": 4})
    out = StockRanLow(level=Scarcity.OUT, available=0, threshold=0)
    assert await told_of(depot, "BAG") == [out]
    await depot.receive(BAG=2)
    back = StockReplenished(was=Scarcity.OUT, available=2)
    assert await told_of(depot, "BAG") == [out, back]
    await depot.call("POST", "/stock/BAG/adjustments", {"delta": -2, "reason": "DAMAGED"}, status=201)
    assert await told_of(depot, "BAG") == [out, back, out]


async def test_an_assessment_that_is_repeated_says_nothing_new(depot: Depot) -> None:
    await depot.call("PUT", "/stock/HAT/terms", {"low_threshold": 1})
    first = await told_of(depot, "HAT")

    async def again(uow: UnitOfWork) -> None:
        uow.want(assessment("HAT"), MAIN_LOCATION)

    await depot.store.transact(Cause(), again)
    assert await told_of(depot, "HAT") == first
    assert first == [StockRanLow(level=Scarcity.OUT, available=0, threshold=1)]


async def test_old_news_is_put_right(depot: Depot) -> None:
    """The goods arrive while an assessment that has seen the empty shelf is still to be committed."""
    await depot.receive(CUP=1)
    await depot.call("POST", "/stock/CUP/adjustments", {"delta": -1, "reason": "DAMAGED"}, status=201)
    looked, arrived = asyncio.Event(), asyncio.Event()

    async def late(uow: UnitOfWork) -> None:
        await execute(uow, AssessAvailability(sku="CUP"))
        looked.set()
        await arrived.wait()

    assessing = asyncio.create_task(depot.store.transact(Cause(), late))
    await looked.wait()
    await depot.store.pool.execute("DELETE FROM todo")
    await depot.receive(CUP=9)
    await depot.worker.run_due()
    arrived.set()
    await assessing
    assert await told_of(depot, "CUP") == [
        StockRanLow(level=Scarcity.OUT, available=0, threshold=0),
        StockReplenished(was=Scarcity.OUT, available=9),
    ]
