"""The life of a cart: what inventory tells, merging at sign-in, abandonment, buying an order once more."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.cart.readmodels import cart_view
from shared.domain import ids
from shared.events.cart import (
    CartAbandoned,
    CartItemAdded,
    CartItemCause,
    CartMerged,
    CartStarted,
    CheckoutStep,
)
from shared.events.inventory import Scarcity, StockRanLow, StockReplenished
from tests.integration.services.cart.shop import Basket, Shop

pytestmark = pytest.mark.integration

OUT = StockRanLow(level=Scarcity.OUT, available=0, threshold=0)
LOW = StockRanLow(level=Scarcity.LOW, available=2, threshold=3)
BACK = StockReplenished(was=Scarcity.OUT, available=5)


def warned(cart: Any) -> list[tuple[str, str]]:
    return [(warning["sku"], warning["code"]) for warning in cart["warnings"]]


# Availability


async def test_what_runs_out_is_shown_and_refused_until_it_is_back(shop: Shop) -> None:
    await shop.sell("MUG")
    await shop.sell("SONG", digital=True, stock_tracked=False)
    basket = await shop.customer().start()
    cart = await basket.add("MUG", 2)
    await basket.add("SONG")
    total = (await basket.deliver())["totals"]["total"]
    assert cart["warnings"] == []

    await shop.hear("inventory", "skuavailability-MUG", LOW)
    await shop.hear("inventory", "skuavailability-SONG", OUT)
    assert warned(await basket.read()) == [("MUG", "low_stock")]
    assert warned(await basket.add("MUG")) == [("MUG", "low_stock")]
    await shop.hear("inventory", "skuavailability-MUG", LOW, OUT)
    cart = await basket.read()
    assert cart["warnings"] == [{"line_id": cart["lines"][0]["line_id"], "sku": "MUG", "code": "sold_out"}]

    line = f"/lines/{cart['lines'][0]['line_id']}"
    checkout = {"expected_total": total + 1200, "terms_version": "2026-01"}
    more = {"sku": "MUG", "quantity": 1}
    for method, path, body in (
        ("POST", "/lines", more),
        ("PATCH", line, {"quantity": 4}),
        ("POST", "/checkout", checkout),
    ):
        problem = await basket.refused(method, path, body, status=409)
        assert (problem["code"], problem["skus"]) == ("sold_out", ["MUG"])
    await basket.buyer.json("PATCH", basket.path + line, {"quantity": 2})

    await shop.hear("inventory", "skuavailability-MUG", LOW, OUT, BACK)
    assert warned(await basket.read()) == []
    assert (await basket.check_out(total))["status"] == "CHECKED_OUT"


async def test_a_changed_price_is_shown_and_has_to_be_accepted(shop: Shop) -> None:
    await shop.sell("MUG", limit_quantity_per_checkout=3)
    basket = await shop.customer().start()
    line_id = (await basket.add("MUG", 2))["lines"][0]["line_id"]
    seen = (await basket.deliver())["totals"]["total"]
    await shop.sell("MUG", prices={"GBP": 1300}, limit_quantity_per_checkout=3)
    cart = await basket.read()
    assert cart["warnings"] == [
        {"line_id": line_id, "sku": "MUG", "code": "price_changed", "from": 1200, "to": 1300}
    ]
    body = {"expected_total": seen, "terms_version": "2026-01"}
    problem = await basket.refused("POST", "/checkout", body, status=409)
    assert (problem["code"], problem["total"]) == ("total_changed", cart["totals"]["total"])
    bought = await basket.check_out(problem["total"])
    assert (bought["totals"]["total"], bought["warnings"]) == (seen + 200, [])


async def test_limits_of_products_and_of_the_policy(shop: Shop) -> None:
    await shop.sell("MUG", limit_quantity_per_checkout=3)
    await shop.sell("CARD", weight_g=1)
    policy = await shop.stranger.json("GET", "/pricing-policy")
    await shop.admin.json("PUT", "/pricing-policy", {**policy, "line_limit": 1, "effective_from": None})
    basket = await shop.customer().start()
    line_id = (await basket.add("MUG", 3))["lines"][0]["line_id"]
    problem = await basket.refused("POST", "/lines", {"sku": "MUG", "quantity": 1}, status=422)
    assert (problem["code"], problem["limit"]) == ("quantity_limit", 3)
    problem = await basket.refused("PATCH", f"/lines/{line_id}", {"quantity": 0}, status=422)
    assert problem["code"] == "quantity_limit"
    problem = await basket.refused("POST", "/lines", {"sku": "CARD", "quantity": 1}, status=422)
    assert problem["code"] == "line_limit"
    await shop.sell("MUG", limit_quantity_per_checkout=2)
    cart = await basket.deliver()
    assert cart["warnings"] == [{"line_id": line_id, "sku": "MUG", "code": "quantity_limit", "limit": 2}]
    body = {"expected_total": cart["totals"]["total"], "terms_version": "2026-01"}
    problem = await basket.refused("POST", "/checkout", body, status=422)
    assert (problem["code"], problem["skus"]) == ("quantity_limit", ["MUG"])


# Merging


async def signs_in(shop: Shop, guest: Basket, into: Basket, **more: Any) -> Any:
    body = {"cart_id": str(guest.cart_id), "token": guest.buyer.token}
    return await into.buyer.json("POST", f"{into.path}/merge", body, status=202, **more)


def units(cart: Any) -> list[tuple[str, int]]:
    return [(line["sku"], line["quantity"]) for line in cart["lines"]]


async def test_a_guests_cart_is_merged_at_sign_in(shop: Shop) -> None:
    await shop.sell("MUG", limit_quantity_per_checkout=4)
    await shop.sell("RING", custom=True)
    for sku in ("HAT", "POSTER"):
        await shop.sell(sku)
    guest, into = await shop.stranger.start(), await shop.customer().start()
    await guest.add("MUG", 3)
    await guest.add("RING", customization="for Zenobia")
    await guest.add("HAT")
    await guest.add("POSTER")
    await into.add("MUG", 2)
    await shop.hear("inventory", "skuavailability-HAT", OUT)
    await shop.clerk.json("DELETE", "/products/POSTER")

    answer = await signs_in(shop, guest, into)
    assert units(answer) == [("MUG", 2)]
    assert answer["merged"]["cart_id"] == str(guest.cart_id)
    assert [(line["sku"], line["quantity"]) for line in answer["merged"]["lines"]] == [
        ("MUG", 3),
        ("RING", 1),
        ("HAT", 1),
        ("POSTER", 1),
    ]
    assert await shop.worker.run_due() == 1

    cart = await into.read()
    assert units(cart) == [("MUG", 4), ("RING", 1)]
    ring = cart["lines"][1]
    assert ring["customization"] == "for Zenobia"
    assert ring["line_id"] == answer["merged"]["lines"][1]["line_id"]
    closed = await guest.read()
    assert (closed["status"], closed["merged_into"]) == ("MERGED", str(into.cart_id))
    problem = await guest.refused("POST", "/lines", {"sku": "MUG", "quantity": 1}, status=409)
    assert problem["code"] == "cart_closed"
    (merged,) = [event.data for event in await shop.events("cart") if isinstance(event.data, CartMerged)]
    assert merged.into_cart_id == into.cart_id
    added = [event.data for event in await shop.events("cart") if isinstance(event.data, CartItemAdded)]
    assert [event.sku for event in added if event.cause is CartItemCause.MERGE] == ["RING"]


async def test_a_merge_that_is_repeated_ends_the_same(shop: Shop) -> None:
    await shop.sell("MUG")
    guest, into = await shop.stranger.start(), await shop.customer().start()
    await guest.add("MUG", 3)
    first = await signs_in(shop, guest, into, Idempotency_Key="k")
    assert await signs_in(shop, guest, into, Idempotency_Key="k") == first
    assert (await signs_in(shop, guest, into))["merged"] == first["merged"]
    assert await shop.worker.run_due() == 1
    again = await signs_in(shop, guest, into)
    assert (units(again), again["merged"]) == ([("MUG", 3)], first["merged"])
    assert await shop.worker.run_due() == 0
    total = (await into.deliver())["totals"]["total"]
    await into.check_out(total)
    assert (await signs_in(shop, guest, into))["status"] == "CHECKED_OUT"
    assert (await shop.types()).count("CartMerged") == 1


async def test_merges_at_once_merge_once(shop: Shop) -> None:
    await shop.sell("MUG")
    guest, into = await shop.stranger.start(), await shop.customer().start()
    other = await into.buyer.start()
    await guest.add("MUG", 3)
    body = {"cart_id": str(guest.cart_id), "token": guest.buyer.token}
    answers = await asyncio.gather(
        *(
            into.buyer.http.post(
                f"{target.path}/merge", json=body, headers={"Authorization": f"Bearer {into.buyer.token}"}
            )
            for target in (into, other, into, other)
        )
    )
    await shop.worker.run_due()
    assert sorted(answer.status_code for answer in answers) == [202, 202, 409, 409]
    assert sorted([units(await into.read()), units(await other.read())]) == [[], [("MUG", 3)]]
    assert (await shop.types()).count("CartMerged") == 1


async def test_an_interrupted_merge_goes_on_and_adds_nothing_twice(shop: Shop) -> None:
    """The worker that had the lines in hand died; another finds them when its lease is over."""
    await shop.sell("MUG")
    guest, into = await shop.stranger.start(), await shop.customer().start()
    await guest.add("MUG", 3)
    await signs_in(shop, guest, into)
    async with shop.store.session() as session:
        (row,) = await session.claim_todo(shop.clock(), 1, timedelta(seconds=30))
    assert await shop.worker.run_due() == 0
    shop.clock.advance(timedelta(seconds=31))
    assert await shop.worker.run_due() == 1
    await shop.worker.perform(row)
    assert units(await into.read()) == [("MUG", 3)]


async def test_what_the_buyer_took_out_does_not_come_back(shop: Shop) -> None:
    await shop.sell("MUG")
    guest, into = await shop.stranger.start(), await shop.customer().start()
    await guest.add("MUG", 3)
    merged = (await signs_in(shop, guest, into))["merged"]
    await shop.worker.run_due()
    await into.buyer.json("DELETE", f"{into.path}/lines/{merged['lines'][0]['line_id']}")
    await signs_in(shop, guest, into)
    await shop.worker.run_due()
    assert units(await into.read()) == []


async def test_who_may_merge_what(shop: Shop) -> None:
    await shop.sell("MUG")
    guest, into = await shop.stranger.start(), await shop.customer().start()
    await guest.add("MUG")
    other_guest, customers = await shop.stranger.start(), await shop.customer().start()

    async def refusal(basket: Basket, path: str, cart_id: UUID, token: str | None, status: int) -> str:
        body = {"cart_id": str(cart_id), "token": token}
        problem = await basket.buyer.refused("POST", f"{path}/merge", body, status=status)
        return str(problem["code"])

    token = guest.buyer.token
    assert await refusal(into, into.path, guest.cart_id, "nonsense", 422) == "invalid_guest_token"
    assert await refusal(into, into.path, guest.cart_id, other_guest.buyer.token, 404) == "unknown_cart"
    assert await refusal(into, into.path, uuid4(), token, 404) == "unknown_cart"
    assert await refusal(into, customers.path, guest.cart_id, token, 404) == "unknown_cart"
    assert await refusal(other_guest, other_guest.path, guest.cart_id, token, 403) == "forbidden"
    owned = await refusal(into, into.path, customers.cart_id, customers.buyer.token, 409)
    assert owned == "not_mergeable"
    stranger = replace(into, buyer=shop.stranger)
    assert await refusal(stranger, into.path, guest.cart_id, token, 401) == "unauthenticated"
    await into.add("MUG")
    await into.check_out((await into.deliver())["totals"]["total"])
    assert await refusal(into, into.path, guest.cart_id, token, 409) == "cart_closed"
    assert (await guest.read())["status"] == "OPEN"


# Abandonment


async def test_a_cart_is_abandoned_once_and_opens_again(shop: Shop) -> None:
    await shop.sell("MUG")
    basket, empty = await shop.customer().start(), await shop.customer().start()
    await basket.add("MUG", 2)
    await basket.deliver()
    shop.clock.advance(timedelta(hours=23))
    assert await shop.worker.run_due() == 0
    shop.clock.advance(timedelta(hours=1, seconds=1))
    assert await shop.worker.run_due() == 1
    left = [event.data for event in await shop.events("cart") if isinstance(event.data, CartAbandoned)]
    assert left == [CartAbandoned(item_count=2, value=2400, last_step=CheckoutStep.REVIEW)]
    assert (await basket.read())["status"] == "ABANDONED"
    assert (await empty.read())["status"] == "OPEN"
    async with shop.store.pool.acquire() as connection:
        await cart_view.sample(connection)
    states = {state: cart_view.CARTS.labels(state)._value.get() for state in ("OPEN", "ABANDONED", "MERGED")}
    assert states == {"OPEN": 1, "ABANDONED": 1, "MERGED": 0}

    shop.clock.advance(timedelta(days=3))
    assert await shop.worker.run_due() == 0
    cart = await basket.add("MUG")
    assert cart["status"] == "OPEN"
    shop.clock.advance(timedelta(days=2))
    assert await shop.worker.run_due() == 1
    total = (await basket.read())["totals"]["total"]
    assert (await basket.check_out(total))["status"] == "CHECKED_OUT"
    shop.clock.advance(timedelta(days=2))
    assert await shop.worker.run_due() == 0
    assert (await shop.types()).count("CartAbandoned") == 2


# Buying an order once more


async def bought(shop: Shop, basket: Basket) -> UUID:
    total = (await basket.deliver())["totals"]["total"]
    return UUID((await basket.check_out(total))["order_id"])


async def test_an_order_is_bought_again_at_todays_prices(shop: Shop) -> None:
    for sku in ("MUG", "POSTER", "HAT", "BAG"):
        await shop.sell(sku)
    await shop.sell("RING", custom=True)
    buyer = shop.customer()
    earlier = await buyer.start()
    await earlier.add("MUG", 2)
    await earlier.add("RING", customization="for Ann")
    for sku, quantity in (("POSTER", 1), ("HAT", 1), ("BAG", 4)):
        await earlier.add(sku, quantity)
    order_id = await bought(shop, earlier)
    await shop.sell("MUG", prices={"GBP": 1500})
    await shop.sell("BAG", limit_quantity_per_checkout=3)
    await shop.clerk.json("DELETE", "/products/POSTER")
    await shop.hear("inventory", "skuavailability-HAT", OUT)

    cart_id = uuid4()
    body = {"cart_id": str(cart_id), "currency": "GBP", "reorder_of": str(order_id)}
    cart = await buyer.json("POST", "/carts", body, status=201)
    assert [(line["sku"], line["quantity"], line["unit_price"]) for line in cart["lines"]] == [
        ("MUG", 2, 1500),
        ("RING", 1, 1200),
    ]
    assert cart["lines"][1]["customization"] == "for Ann"
    assert cart["warnings"] == []
    assert [(each["sku"], each["quantity"], each["code"]) for each in cart["not_taken"]] == [
        ("POSTER", 1, "product_unavailable"),
        ("HAT", 1, "sold_out"),
        ("BAG", 4, "quantity_limit"),
    ]
    again = Basket(buyer, cart_id)
    started, *added = [event.data for event in await shop.events("cart") if event.stream == f"cart-{cart_id}"]
    assert isinstance(started, CartStarted)
    assert started.reorder_of == order_id
    assert {event.cause for event in added} == {CartItemCause.REORDER}

    await shop.sell("POSTER")
    repeated = await buyer.json("POST", "/carts", body, status=201)
    assert units(repeated) == [("MUG", 2), ("RING", 1)]
    next_order = await bought(shop, again)
    assert next_order == ids.order_id(cart_id)
    assert next_order != order_id


async def test_only_ones_own_orders_are_bought_again(shop: Shop) -> None:
    await shop.sell("MUG")
    basket, guest = await shop.customer().start(), await shop.stranger.start()
    for each in (basket, guest):
        await each.add("MUG")
    order_id, guests = await bought(shop, basket), await bought(shop, guest)
    body = {"currency": "GBP", "reorder_of": str(order_id)}
    for caller in (shop.customer(), shop.stranger, guest.buyer):
        problem = await caller.refused("POST", "/carts", body, status=404)
        assert problem["code"] == "unknown_order"
    unknown = await basket.buyer.refused("POST", "/carts", {**body, "reorder_of": str(uuid4())}, status=404)
    assert unknown["code"] == "unknown_order"
    cart = await guest.buyer.json("POST", "/carts", {**body, "reorder_of": str(guests)}, status=201)
    assert (units(cart), cart["not_taken"]) == ([("MUG", 1)], [])
