"""Orders that want the same units at the same moment: exactly as many win as there are units."""

import asyncio
from collections import Counter

import asyncpg
import pytest

from tests.conftest import Database
from tests.integration.services.inventory.depot import CLERK, Depot, open_depot
from tests.integration.services.inventory.others import Order, Told
from tests.waiting import until

pytestmark = pytest.mark.integration


async def outcomes(depot: Depot, orders: list[Order]) -> Counter[str]:
    """How often each answer was given; every order has exactly one."""
    found: Counter[str] = Counter()
    for order in orders:
        (answer,) = await depot.answers(order.order_id)
        found[type(answer).__name__] += 1
    return found


async def test_two_replicas_and_one_unit(depot: Depot, database: Database, told: Told) -> None:
    async with open_depot(database) as replica:
        for attempt in range(10):
            sku = f"LAST-{attempt}"
            await depot.stock(sku, 1)
            orders = [Order(told, f"{name} {attempt}", ((sku, 1),)) for name in ("a", "b")]
            first, second = (order.placed() for order in orders)
            await asyncio.gather(depot.hear(first), replica.hear(second))
            assert await outcomes(depot, orders) == {"StockReserved": 1, "StockReservationRejected": 1}
            assert await depot.units(sku) == (1, 1, 0)
        await depot.check_laws(told.events)


async def test_the_second_decides_again_after_the_first_committed(
    depot: Depot, database: Database, told: Told
) -> None:
    await depot.stock("LAST", 1)
    late, early = Order(told, "late", (("LAST", 1),)), Order(told, "early", (("LAST", 1),))
    gate = await asyncpg.connect(database.owner_url)
    async with open_depot(database) as replica:
        transaction = gate.transaction()
        await transaction.start()
        await gate.execute("LOCK TABLE events IN SHARE MODE")
        waiting = asyncio.gather(depot.hear(late.placed()), replica.hear(early.placed()))
        await until(
            lambda: depot.store.pool.fetchval(
                "SELECT count(*) = 2 FROM pg_stat_activity WHERE datname = current_database() "
                "AND wait_event_type = 'Lock' AND query LIKE '%INSERT INTO events%'"
            ),
            what="both replicas have decided and want to append",
        )
        await transaction.commit()
        await gate.close()
        await waiting
        assert await outcomes(depot, [late, early]) == {"StockReserved": 1, "StockReservationRejected": 1}
        await depot.check_laws(told.events)


async def test_a_batch_of_200_orders_never_oversells_a_hot_sku(depot: Depot, told: Told) -> None:
    await depot.stock("HOT", 150)
    orders = [Order(told, f"order {n}", (("HOT", 1),)) for n in range(200)]
    await depot.hear(*(order.placed() for order in orders))
    assert await outcomes(depot, orders) == {"StockReserved": 150, "StockReservationRejected": 50}
    assert [
        type(answer).__name__ for order in orders[:150] for answer in await depot.answers(order.order_id)
    ] == ["StockReserved"] * 150
    assert await depot.units("HOT") == (150, 150, 0)
    await depot.check_laws(told.events)


async def test_batches_of_two_replicas_over_the_same_skus(
    depot: Depot, database: Database, told: Told
) -> None:
    for sku in ("A", "B", "C"):
        await depot.stock(sku, 40)
    wants = [(("A", 1), ("B", 1)), (("B", 1), ("C", 1)), (("C", 1), ("A", 1))]
    orders = [Order(told, f"order {n}", wants[n % 3]) for n in range(120)]
    records = [order.placed() for order in orders]
    async with open_depot(database) as replica:
        await asyncio.gather(
            *(depot.hear(*records[n : n + 20]) for n in range(0, 60, 20)),
            *(replica.hear(*reversed(records[n : n + 20])) for n in range(60, 120, 20)),
        )
    found = await outcomes(depot, orders)
    assert found.total() == 120
    held = sum([(await depot.units(sku))[1] for sku in ("A", "B", "C")])
    assert held == 2 * found["StockReserved"] <= 120
    assert found["StockReserved"] >= 40
    await depot.check_laws(told.events)


async def test_an_edit_and_a_new_order_want_the_last_unit(
    depot: Depot, database: Database, told: Told
) -> None:
    async with open_depot(database) as replica:
        for attempt in range(10):
            sku = f"LAST-{attempt}"
            await depot.stock(sku, 2)
            edited, fresh = (Order(told, f"{name} {attempt}", ((sku, 1),)) for name in ("edited", "fresh"))
            await depot.hear(edited.placed(), edited.confirmed())
            await asyncio.gather(depot.hear(edited.edited(1, (sku, 2))), replica.hear(fresh.placed()))
            _, revision = await depot.answers(edited.order_id)
            (first,) = await depot.answers(fresh.order_id)
            assert {type(revision).__name__, type(first).__name__} == {
                "StockReserved",
                "StockReservationRejected",
            }
            assert await depot.units(sku) == (2, 2, 0)
        await depot.check_laws(told.events)


async def test_two_edits_that_want_each_others_units(depot: Depot, database: Database, told: Told) -> None:
    """Each wants what the other holds, and neither lets go before it has that: both are refused."""
    await depot.stock("CUP", 1)
    await depot.stock("BAG", 1)
    cup, bag = Order(told, "cup", (("CUP", 1),)), Order(told, "bag", (("BAG", 1),))
    await depot.hear(cup.placed(), bag.placed())
    async with open_depot(database) as replica:
        await asyncio.gather(depot.hear(cup.edited(1, ("BAG", 1))), replica.hear(bag.edited(1, ("CUP", 1))))
    for order in (cup, bag):
        assert [type(answer).__name__ for answer in await depot.answers(order.order_id)] == [
            "StockReserved",
            "StockReservationRejected",
        ]
    await depot.check_laws(told.events)


async def test_staff_and_orders_at_the_same_moment(depot: Depot, told: Told) -> None:
    await depot.stock("CUP", 5)
    orders = [Order(told, f"order {n}", (("CUP", 1),)) for n in range(5)]

    async def adjust() -> int:
        response = await depot.http.post(
            "/stock/CUP/adjustments",
            json={"delta": -3, "reason": "DAMAGED"},
            headers={"Authorization": f"Bearer {CLERK}"},
        )
        return response.status_code

    *_, first, second = await asyncio.gather(
        *(depot.hear(order.placed()) for order in orders), adjust(), adjust()
    )
    damaged = [first, second].count(201)
    assert {first, second} <= {201, 409}
    assert damaged <= 1
    on_hand, held, available = await depot.units("CUP")
    assert (on_hand, held + available) == (5 - 3 * damaged, 5 - 3 * damaged)
    await depot.check_laws(told.events)
