"""Coupons through HTTP on a real database: what the page shows, what is bought, never one use too many."""

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.domain.ids import order_id
from shared.events.common import CancelReason
from shared.events.orders import OrderCancelled
from tests.integration.services.cart.shop import Basket, Shop

pytestmark = pytest.mark.integration

TENTH = {"code": "TENTH", "percent_bp": 1000, "combines": True}
CARRIAGE = {"code": "CARRIAGE", "free_shipping": True, "combines": True}


async def offer(shop: Shop, *coupons: dict[str, Any]) -> None:
    """Have exactly these coupons in the shop."""
    policy = await shop.admin.json("GET", "/pricing-policy")
    body = {**policy, "coupons": list(coupons), "effective_from": None}
    await shop.admin.json("PUT", "/pricing-policy", body)


async def basket_with(shop: Shop, *codes: str) -> tuple[Basket, Any]:
    """A cart with two mugs that is ready to be bought, and how it looks with these coupons."""
    basket = await shop.customer().start()
    await basket.add("MUG", 2)
    await basket.deliver()
    cart = await basket.buyer.json("PUT", f"{basket.path}/coupons", {"codes": list(codes)})
    return basket, cart


async def cancelled(shop: Shop, order: UUID) -> None:
    """Cart hears that the order was cancelled."""
    told = OrderCancelled(reason=CancelReason.CUSTOMER, stock_tracked=True, revision=0)
    await shop.hear("orders", f"order-{order}", told)


async def test_a_buyer_saves_what_the_page_says(shop: Shop) -> None:
    await shop.sell("MUG")
    await offer(shop, TENTH, CARRIAGE)
    basket, cart = await basket_with(shop, " tenth ", "carriage")
    assert cart["coupons"] == [
        {"code": "TENTH", "counts": True, "reason": None},
        {"code": "CARRIAGE", "counts": True, "reason": None},
    ]
    assert (cart["lines"][0]["discount"], cart["lines"][0]["gross"]) == (240, 2160)
    assert (cart["shipping"]["gross"], cart["totals"]["discount"], cart["totals"]["total"]) == (0, 240, 2160)
    assert {option["gross"] for option in cart["shipping_options"]} == {0}
    assert await basket.read() == cart
    problem = await basket.refused(
        "POST", "/checkout", {"expected_total": 2795, "terms_version": "1"}, status=409
    )
    assert (problem["code"], problem["total"]) == ("total_changed", 2160)
    bought = await basket.check_out(2160)
    assert bought["totals"] == cart["totals"]
    assert bought["coupons"] == cart["coupons"]
    uses = await shop.clerk.json("GET", "/coupons/tenth/uses")
    assert uses == [{"code": "TENTH", "order_id": bought["order_id"], "given_back": False}]
    event = (await shop.events("cart"))[-1].data
    assert (event.coupons, event.totals.discount) == (("TENTH", "CARRIAGE"), 240)


@pytest.mark.parametrize(
    ("coupon", "reason"),
    [
        ({**TENTH, "code": "OTHER"}, "unknown"),
        ({**TENTH, "valid_from": "2999-01-01T00:00:00Z"}, "not_yet_valid"),
        ({**TENTH, "valid_until": "2026-01-01T00:00:00+01:00"}, "expired"),
        ({**TENTH, "minimum": {"GBP": 2401}}, "below_minimum"),
    ],
)
async def test_a_coupon_that_cannot_be_named(shop: Shop, coupon: dict[str, Any], reason: str) -> None:
    await shop.sell("MUG")
    await offer(shop, coupon)
    basket, _ = await basket_with(shop)
    problem = await basket.refused("PUT", "/coupons", {"codes": ["TENTH"]}, status=409)
    assert (problem["type"], problem["code"], problem["reason"]) == (
        "urn:orderflow:problem:coupon_invalid",
        "coupon_invalid",
        reason,
    )


async def test_a_coupon_that_ends_while_it_is_on_the_cart_is_shown_and_must_be_agreed_to(shop: Shop) -> None:
    await shop.sell("MUG")
    await offer(shop, {**TENTH, "valid_until": (shop.clock() + timedelta(hours=1)).isoformat()})
    basket, cart = await basket_with(shop, "TENTH")
    shop.clock.advance(timedelta(hours=2))
    problem = await basket.refused(
        "POST", "/checkout", {"expected_total": cart["totals"]["total"], "terms_version": "1"}, status=409
    )
    assert (problem["code"], problem["total"]) == ("total_changed", 2795)
    cart = await basket.read()
    assert cart["coupons"] == [{"code": "TENTH", "counts": False, "reason": "expired"}]
    bought = await basket.check_out(cart["totals"]["total"])
    assert bought["coupons"] == []
    assert await shop.events("couponuse") == []


async def test_a_coupon_is_never_used_beyond_its_limit_and_free_again_after_a_cancellation(
    shop: Shop,
) -> None:
    await shop.sell("MUG")
    await offer(shop, {**TENTH, "max_uses": 3})
    ready = [await basket_with(shop, "TENTH") for _ in range(9)]
    body = {"expected_total": 2555, "terms_version": "1"}

    async def buy(basket: Basket) -> int:
        headers = {"Authorization": f"Bearer {basket.buyer.token}", "Content-Type": "application/json"}
        answer = await shop.http.post(
            f"{basket.path}/checkout", headers=headers, content=json.dumps(body).encode()
        )
        if answer.status_code != 201:
            assert answer.json()["type"] == "urn:orderflow:problem:coupon_used_up"
        return answer.status_code

    answers = await asyncio.gather(*(buy(basket) for basket, _ in ready for _ in range(2)))
    assert sorted(set(answers)) == [201, 409]
    bought = [basket for basket, _ in ready if (await basket.read())["status"] == "CHECKED_OUT"]
    assert len(bought) == 3
    assert await shop.types("couponuse") == ["CouponUseTaken"] * 3
    late = next(basket for basket, _ in ready if basket not in bought)
    assert (await late.refused("PUT", "/coupons", {"codes": ["tenth", "x"]}, status=409))["code"] == (
        "coupon_invalid"
    )

    order = order_id(bought[0].cart_id)
    await cancelled(shop, order)
    await cancelled(shop, order)
    assert await shop.types("couponuse") == [*["CouponUseTaken"] * 3, "CouponUseGivenBack"]
    await late.check_out(2555)
    uses = await shop.clerk.json("GET", "/coupons/TENTH/uses")
    assert {use["order_id"] for use in uses if use["given_back"]} == {str(order)}
    assert len(uses) == 4
    assert all(result.equal for result in await shop.rebuilt())


async def test_an_order_without_coupons_gives_none_back(shop: Shop) -> None:
    await cancelled(shop, uuid4())
    assert await shop.events("couponuse") == []


async def test_coupons_stay_with_their_cart_when_it_is_merged_or_bought_again(shop: Shop) -> None:
    await shop.sell("MUG")
    await offer(shop, TENTH)
    guest, into = await shop.stranger.start(), await shop.customer().start()
    await guest.add("MUG", 2)
    await guest.buyer.json("PUT", f"{guest.path}/coupons", {"codes": ["TENTH"]})
    body = {"cart_id": str(guest.cart_id), "token": guest.buyer.token}
    await into.buyer.json("POST", f"{into.path}/merge", body, status=202)
    assert await shop.worker.run_due() == 1
    cart = await into.deliver()
    assert (cart["item_count"], cart["coupons"], cart["totals"]["total"]) == (2, [], 2795)

    basket, cart = await basket_with(shop, "TENTH")
    bought = await basket.check_out(cart["totals"]["total"])
    again = {"currency": "GBP", "reorder_of": bought["order_id"]}
    cart = await basket.buyer.json("POST", "/carts", again, status=201)
    assert (cart["item_count"], cart["coupons"], cart["not_taken"]) == (2, [], [])
    assert cart["totals"]["discount"] == 0


async def test_who_may_see_coupons(shop: Shop) -> None:
    await offer(shop, TENTH)
    assert "coupons" not in await shop.stranger.json("GET", "/pricing-policy")
    assert "coupons" not in await shop.customer().json("GET", "/pricing-policy")
    assert (await shop.clerk.json("GET", "/pricing-policy"))["coupons"][0]["code"] == "TENTH"
    assert (await shop.customer().refused("GET", "/coupons/TENTH/uses", status=403))["code"] == "forbidden"
