"""Products in parts over HTTP: checked, set aside, and taken all or none; who may do and see what."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.integration.services.cart.shop import MUG, Caller, Shop

pytestmark = pytest.mark.integration


class Import:
    """One import of this clerk."""

    def __init__(self, clerk: Caller, import_id: UUID | None = None) -> None:
        self._clerk = clerk
        self.path = f"/catalog-imports/{import_id or uuid4()}"

    async def part(self, number: int, *products: dict[str, Any], check_only: bool = False) -> Any:
        path = f"{self.path}/parts/{number}{'?check_only=true' if check_only else ''}"
        return await self._clerk.json("PUT", path, {"products": list(products)})

    async def take(self, parts: int, **more: Any) -> tuple[int, int, int]:
        done = await self._clerk.json("POST", self.path, {"parts": parts, **more})
        return done["listed"], done["changed"], done["unchanged"]

    async def refused(self, parts: int, status: int = 409) -> Any:
        return await self._clerk.refused("POST", self.path, {"parts": parts}, status=status)


def numbered(*numbers: int, **fields: Any) -> list[dict[str, Any]]:
    return [{**MUG, "sku": f"S{n}", **fields} for n in numbers]


async def test_parts_change_nothing_until_all_are_taken_and_again_nothing(shop: Shop) -> None:
    await shop.sell("S0")
    await shop.sell("S1", weight_g=1)
    coming = Import(shop.clerk)
    first = await coming.part(0, *numbered(0, 1))
    assert first == {"listed": 0, "changed": 1, "unchanged": 1, "faults": []}
    assert (await coming.part(1, *numbered(2, 3)))["listed"] == 2
    before = await shop.types("product")
    assert before == ["ProductListed", "ProductPriced"] * 2
    assert await coming.take(2) == (2, 1, 1)
    assert len(await shop.types("product")) == len(before) + 5
    assert await coming.take(2) == (2, 1, 1)
    again = Import(shop.clerk)
    await again.part(0, *numbered(0, 1, 2, 3))
    assert await again.take(1) == (0, 0, 4)
    assert len(await shop.types("product")) == len(before) + 5
    assert all(rebuilt.equal for rebuilt in await shop.rebuilt())
    assert await shop.store.pool.fetchval("SELECT count(*) FROM catalog_import_parts") == 0


async def test_what_is_wrong_is_said_of_each_product(shop: Shop) -> None:
    coming = Import(shop.clerk)
    checked = await coming.part(
        0,
        {**MUG, "sku": "GOOD"},
        {**MUG, "sku": "NEGATIVE", "prices": {"GBP": -1}},
        {**MUG, "sku": "TYPO", "titel": {"en": "Mug"}},
        {**MUG, "sku": "not one"},
        {**MUG, "sku": "TEXT", "weight_g": "heavy"},
        {**MUG, "sku": "NUL", "attributes": {"Vendor": "\0"}},
        {"prices": {}},
    )
    assert [(fault["index"], fault["reason"].split(":")[0]) for fault in checked["faults"]] == [
        (1, "These fields are not valid"),
        (2, "titel"),
        (3, "sku"),
        (4, "weight_g"),
        (5, "These fields are not valid"),
        (6, "titles"),
    ]
    problem = await coming.refused(1)
    assert (problem["code"], problem["refused"]) == ("import_refused", 6)
    assert await shop.types("product") == []
    assert await coming.take(1, skip_bad=True) == (1, 0, 0)
    assert await shop.types("product") == ["ProductListed", "ProductPriced"]


async def test_a_part_that_has_not_come_or_was_only_checked(shop: Shop) -> None:
    coming = Import(shop.clerk)
    await coming.part(1, *numbered(1))
    await coming.part(0, *numbered(0), check_only=True)
    problem = await coming.refused(3)
    assert (problem["code"], problem["missing"]) == ("import_incomplete", [0, 2])
    await shop.clerk.call("DELETE", coming.path, status=204)
    assert (await coming.refused(2))["missing"] == [0, 1]
    assert await shop.types("product") == []


async def test_a_part_that_comes_again_replaces_the_first(shop: Shop) -> None:
    coming = Import(shop.clerk)
    await coming.part(0, *numbered(0, prices={"GBP": -1}))
    await coming.part(0, *numbered(0, 1))
    assert await coming.take(1) == (2, 0, 0)


async def test_parts_that_nobody_takes_are_dropped_after_a_day(shop: Shop) -> None:
    forgotten = Import(shop.clerk)
    await forgotten.part(0, *numbered(0))
    shop.clock.advance(timedelta(days=1, seconds=1))
    await Import(shop.clerk).part(0, *numbered(1))
    assert (await forgotten.refused(1))["code"] == "import_incomplete"


async def test_imports_of_the_same_products_at_once_take_turns(shop: Shop) -> None:
    imports = [Import(shop.clerk) for _ in range(3)]
    for n, coming in enumerate(imports):
        await coming.part(0, *numbered(*range(20), weight_g=n))
        await coming.part(1, *numbered(*reversed(range(20, 40)), weight_g=n))
    taken = await asyncio.gather(
        *(coming.take(2) for coming in imports), *(shop.sell(f"S{n}", weight_g=7) for n in range(0, 40, 9))
    )
    assert sum(counts[0] for counts in taken[:3]) in range(35, 41)
    assert all(rebuilt.equal for rebuilt in await shop.rebuilt())


async def test_an_import_id_taken_from_two_processes_is_taken_once(shop: Shop) -> None:
    import_id = uuid4()
    coming = Import(shop.clerk, import_id)
    await coming.part(0, *numbered(*range(10)))
    first, second = await asyncio.gather(coming.take(1), Import(shop.clerk, import_id).take(1))
    assert first == second == (10, 0, 0)
    assert len(await shop.types("product")) == 20


async def test_who_may_import_and_see_the_whole_catalogue(shop: Shop) -> None:
    path = f"/catalog-imports/{uuid4()}"
    for method, where, body in (
        ("PUT", f"{path}/parts/0", {"products": numbered(0)}),
        ("POST", path, {"parts": 1}),
        ("DELETE", path, None),
        ("GET", "/catalog", None),
    ):
        assert (await shop.stranger.refused(method, where, body, status=401))["code"] == "unauthenticated"
        assert (await shop.customer().refused(method, where, body, status=403))["code"] == "forbidden"


async def test_attributes_are_for_staff_and_stay_when_a_product_is_put_without_them(shop: Shop) -> None:
    whole = {
        **MUG,
        "compare_at": {"GBP": 1500},
        "handle": "mug",
        "position": 1,
        "options": [{"name": "Size", "value": "L"}],
        "images": [{"url": "https://img.example/mug.jpg", "alt": "A mug"}],
        "attributes": {"Cost per item": "3.50"},
    }
    shown = await shop.sell("MUG", **whole)
    assert "attributes" not in shown
    assert {name: shown[name] for name in whole if name != "attributes"} == {
        name: value for name, value in whole.items() if name != "attributes"
    }
    assert "3.50" not in (await shop.stranger.call("GET", "/products")).text
    await shop.sell("MUG", **{**whole, "attributes": None, "prices": {"GBP": 1100}})
    (seen,) = await shop.clerk.json("GET", "/catalog")
    assert (seen["attributes"], seen["prices"]) == ({"Cost per item": "3.50"}, {"GBP": 1100})
    await shop.sell("MUG", **{**whole, "attributes": {}})
    (seen,) = await shop.clerk.json("GET", "/catalog")
    assert seen["attributes"] == {}


async def test_a_product_that_is_not_sold_is_known_to_staff_and_a_buyer_sees_options(shop: Shop) -> None:
    coming = Import(shop.clerk)
    await coming.part(0, {**MUG, "sku": "OFF", "active": False}, {**MUG, "sku": "ON"})
    await coming.take(1)
    assert [product["sku"] for product in await shop.stranger.json("GET", "/products")] == ["ON"]
    catalog = await shop.clerk.json("GET", "/catalog")
    assert [(product["sku"], product["active"]) for product in catalog] == [("OFF", False), ("ON", True)]
    assert (await shop.clerk.json("GET", "/catalog?after=OFF"))[0]["sku"] == "ON"
    await shop.sell("ON", options=[{"name": "Size", "value": "L"}, {"name": "Color", "value": "Red"}])
    basket = await shop.customer().start()
    assert (await basket.add("ON"))["lines"][0]["title"] == "Mug - L / Red"
