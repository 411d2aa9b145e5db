"""Products and pricing policies over HTTP: listing, repricing, delisting, the first policy and later ones."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import Database
from tests.integration.services.cart.shop import MUG, Shop, open_shop

pytestmark = pytest.mark.integration


async def rules(shop: Shop, **changes: Any) -> dict[str, Any]:
    """The rules that hold, changed."""
    held = await shop.stranger.json("GET", "/pricing-policy")
    return {**{name: held[name] for name in held if name not in ("version", "effective_from")}, **changes}


async def test_a_product_is_listed_revised_repriced_and_delisted(shop: Shop) -> None:
    listed = await shop.sell("MUG")
    assert (listed["sku"], listed["titles"], listed["prices"]) == ("MUG", MUG["titles"], MUG["prices"])
    assert await shop.sell("MUG") == listed
    await shop.sell("MUG", weight_g=400)
    await shop.sell("MUG", weight_g=400, prices={"GBP": 1300, "EUR": 1500})
    await shop.clerk.json("DELETE", "/products/MUG")
    assert await shop.types("product") == [
        "ProductListed",
        "ProductPriced",
        "ProductRevised",
        "ProductPriced",
        "ProductDelisted",
    ]
    read = await shop.stranger.call("GET", "/products/MUG")
    assert (read.json()["active"], read.json()["weight_g"]) == (False, 400)
    assert read.headers["etag"] == '"5"'
    assert await shop.stranger.json("GET", "/products") == []


async def test_products_are_listed_in_pages(shop: Shop) -> None:
    products = [{**MUG, "sku": f"S{n}"} for n in range(5)]
    answer = await shop.clerk.json("POST", "/products", {"products": products})
    assert [product["sku"] for product in answer["products"]] == ["S0", "S1", "S2", "S3", "S4"]
    page = await shop.stranger.json("GET", "/products?after=S1&limit=2")
    assert [product["sku"] for product in page] == ["S2", "S3"]


async def test_a_thousand_products_at_once(shop: Shop) -> None:
    products = [{**MUG, "sku": f"S{n}"} for n in range(1000)]
    await shop.clerk.json("POST", "/products", {"products": products})
    assert len(await shop.stranger.json("GET", "/products?limit=1000")) == 1000
    products.append({**MUG, "sku": "one too many"})
    problem = await shop.clerk.refused("POST", "/products", {"products": products}, status=422)
    assert problem["code"] == "invalid_request"


async def test_one_wrong_product_lists_none(shop: Shop) -> None:
    products = [{**MUG, "sku": "GOOD"}, {**MUG, "sku": "BAD", "prices": {"GBP": -1}}]
    problem = await shop.clerk.refused("POST", "/products", {"products": products}, status=422)
    assert (problem["code"], problem["sku"], problem["fields"]) == ("invalid_product", "BAD", ["prices"])
    twice = {"products": [{**MUG, "sku": "GOOD"}, {**MUG, "sku": "GOOD"}]}
    assert (await shop.clerk.refused("POST", "/products", twice, status=422))["code"] == "invalid_product"
    assert await shop.types("product") == []


@pytest.mark.parametrize(
    "fields",
    [
        {"prices": {"GBP": 10**30}},
        {"prices": {"pounds": 1}},
        {"prices": {}},
        {"titles": {}},
        {"titles": {"en": "\0"}},
        {"weight_g": -1},
        {"limit_quantity_per_checkout": 0},
        {"tax_class": ""},
    ],
)
async def test_a_product_that_cannot_be(shop: Shop, fields: dict[str, Any]) -> None:
    problem = await shop.clerk.refused("PUT", "/products/MUG", {**MUG, **fields}, status=422)
    assert problem["code"] == "invalid_product"
    assert await shop.types("product") == []


async def test_who_may_change_the_catalogue(shop: Shop) -> None:
    assert (await shop.stranger.refused("PUT", "/products/MUG", MUG, status=401))["code"] == "unauthenticated"
    assert (await shop.customer().refused("PUT", "/products/MUG", MUG, status=403))["code"] == "forbidden"
    policy = await rules(shop)
    assert (await shop.clerk.refused("PUT", "/pricing-policy", policy, status=403))["code"] == "forbidden"


async def test_an_unknown_product(shop: Shop) -> None:
    assert (await shop.stranger.refused("GET", "/products/MUG", status=404))["code"] == "unknown_product"
    assert (await shop.clerk.refused("DELETE", "/products/MUG", status=404))["code"] == "unknown_product"


async def test_a_stale_version_of_a_product(shop: Shop) -> None:
    await shop.sell("MUG")
    problem = await shop.clerk.refused("PUT", "/products/MUG", MUG, status=412, If_Match='"1"')
    assert problem["code"] == "stale_version"


async def test_a_new_shop_has_the_default_policy_and_a_restart_keeps_what_was_adopted(
    shop: Shop, database: Database
) -> None:
    first = await shop.stranger.json("GET", "/pricing-policy")
    assert (first["version"], first["currencies"]) == (1, ["GBP"])
    adopted = await shop.admin.json("PUT", "/pricing-policy", await rules(shop, currencies=["GBP", "EUR"]))
    assert adopted["version"] == 2
    async with open_shop(database) as restarted:
        assert await restarted.clerk.json("GET", "/pricing-policy") == adopted


async def test_processes_that_start_at_once_adopt_one_policy(database: Database) -> None:
    async with AsyncExitStack() as processes:
        starts = (processes.enter_async_context(open_shop(database)) for _ in range(4))
        shop, *_ = await asyncio.gather(*starts)
        assert await shop.types("pricingpolicy") == ["PolicyAdopted"]


async def test_a_policy_for_tomorrow_waits_until_then(shop: Shop) -> None:
    await shop.sell("MUG")
    basket = await shop.customer().start()
    await basket.add("MUG")
    tax_rules = [{"country": "GB", "tax_class": "standard", "rate_bp": 1000}]
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    await shop.admin.json(
        "PUT",
        "/pricing-policy",
        await rules(shop, tax_rules=tax_rules, effective_from=tomorrow.isoformat()),
    )
    assert (await basket.read())["lines"][0]["tax_rate_bp"] == 2000
    shop.clock.advance(timedelta(days=2))
    cart = await basket.read()
    assert (cart["lines"][0]["tax_rate_bp"], cart["pricing_version"]) == (1000, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"currencies": []},
        {"home_country": "Britain"},
        {"tax_rules": [{"country": "GB", "region": "\0", "tax_class": "standard", "rate_bp": 1}]},
        {"tax_rules": [{"country": "GB", "tax_class": "standard", "rate_bp": 10**20}]},
    ],
)
async def test_a_policy_that_cannot_be(shop: Shop, changes: dict[str, Any]) -> None:
    body = await rules(shop, **changes)
    problem = await shop.admin.refused("PUT", "/pricing-policy", body, status=422)
    assert problem["code"] == "invalid_policy"
    assert problem["problems"]
    assert await shop.types("pricingpolicy") == ["PolicyAdopted"]
