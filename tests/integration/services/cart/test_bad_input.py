"""Every wrong request gets its own problem, and leaves no event."""

from typing import Any
from uuid import uuid4

import pytest

from tests.integration.services.cart.shop import CONTACT, LONDON, Basket, Shop

pytestmark = pytest.mark.integration

HUGE = 10**30


@pytest.fixture
async def basket(shop: Shop) -> Basket:
    """Two mugs in a customer's cart."""
    await shop.sell("MUG")
    basket = await shop.customer().start()
    await basket.add("MUG", 2)
    return basket


async def unchanged(shop: Shop, basket: Basket) -> bool:
    """Whether no event followed the two mugs."""
    return [
        event.type for event in await shop.events("cart") if event.stream.endswith(str(basket.cart_id))
    ] == [
        "CartStarted",
        "CartItemAdded",
    ]


async def test_malformed_json(shop: Shop, basket: Basket) -> None:
    problem = await basket.refused("POST", "/lines", b'{"sku": "MUG", ', status=400)
    assert (problem["code"], problem["status"]) == ("malformed_json", 400)
    assert await unchanged(shop, basket)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"sku": "NOPE", "quantity": 1}, 409, "product_unavailable"),
        ({"sku": "MUG", "quantity": 0}, 422, "quantity_limit"),
        ({"sku": "MUG", "quantity": -1}, 422, "quantity_limit"),
        ({"sku": "MUG", "quantity": 99_999}, 422, "quantity_limit"),
        ({"sku": "MUG", "quantity": HUGE}, 422, "quantity_limit"),
        ({"sku": "MUG", "quantity": "2"}, 422, "invalid_request"),
        ({"sku": "MUG", "quantity": True}, 422, "invalid_request"),
        ({"sku": "MUG", "quantity": 1.5}, 422, "invalid_request"),
        ({"sku": "M\0", "quantity": 1}, 422, "invalid_request"),
        ({"sku": "MUG", "quantity": 1, "customization": "\0"}, 422, "invalid_request"),
        ({"quantity": 1}, 422, "invalid_request"),
        ([], 422, "invalid_request"),
    ],
)
async def test_a_line_that_cannot_be(shop: Shop, basket: Basket, body: Any, status: int, code: str) -> None:
    assert (await basket.refused("POST", "/lines", body, status=status))["code"] == code
    assert await unchanged(shop, basket)


@pytest.mark.parametrize("quantity", [0, -5, 100_001, HUGE])
async def test_a_quantity_that_cannot_be(shop: Shop, basket: Basket, quantity: int) -> None:
    line_id = (await basket.read())["lines"][0]["line_id"]
    problem = await basket.refused("PATCH", f"/lines/{line_id}", {"quantity": quantity}, status=422)
    assert (problem["code"], problem["limit"]) == ("quantity_limit", 100_000)
    assert await unchanged(shop, basket)


async def test_a_line_that_is_not_there(shop: Shop, basket: Basket) -> None:
    path = f"/lines/{uuid4()}"
    assert (await basket.refused("PATCH", path, {"quantity": 1}, status=404))["code"] == "unknown_line"
    assert (await basket.refused("DELETE", path, status=404))["code"] == "unknown_line"
    assert await unchanged(shop, basket)


async def test_a_made_to_order_product_without_saying_how(shop: Shop, basket: Basket) -> None:
    await shop.sell("RING", custom=True)
    problem = await basket.refused("POST", "/lines", {"sku": "RING", "quantity": 1}, status=422)
    assert problem["code"] == "customization_required"


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE", "PUT", "checkout"])
async def test_an_unknown_cart_and_anothers_cart_look_the_same(
    shop: Shop, basket: Basket, method: str
) -> None:
    line_id = (await basket.read())["lines"][0]["line_id"]
    path, body = {
        "GET": ("", None),
        "POST": ("/lines", {"sku": "MUG", "quantity": 1}),
        "PATCH": (f"/lines/{line_id}", {"quantity": 1}),
        "DELETE": (f"/lines/{line_id}", None),
        "PUT": ("/delivery", {"method_id": "standard"}),
        "checkout": ("/checkout", {"expected_total": 2400, "terms_version": "1"}),
    }[method]
    verb = "POST" if method == "checkout" else method
    other, guest = shop.customer(), (await shop.stranger.start()).buyer
    for caller in (other, guest):
        for cart_id in (basket.cart_id, uuid4()):
            problem = await caller.refused(verb, f"/carts/{cart_id}{path}", body, status=404)
            assert problem["code"] == "unknown_cart"
            assert set(problem) == {"type", "title", "status", "detail", "code"}
    assert await unchanged(shop, basket)


async def test_a_cart_id_that_is_taken_gives_away_nothing(shop: Shop, basket: Basket) -> None:
    body = {"cart_id": str(basket.cart_id), "currency": "GBP"}
    for caller in (shop.customer(), shop.stranger):
        problem = await caller.refused("POST", "/carts", body, status=404)
        assert problem["code"] == "unknown_cart"
        assert "token" not in problem
    guests = await shop.stranger.start()
    again = {"cart_id": str(guests.cart_id), "currency": "GBP"}
    assert (await shop.stranger.refused("POST", "/carts", again, status=404))["code"] == "unknown_cart"
    assert (await guests.buyer.json("POST", "/carts", again, status=201))["cart_id"] == str(guests.cart_id)


async def test_a_cart_without_a_token_or_with_the_wrong_one(shop: Shop, basket: Basket) -> None:
    assert (await shop.stranger.refused("GET", basket.path, status=401))["code"] == "unauthenticated"
    line = {"sku": "MUG", "quantity": 1}
    problem = await shop.clerk.refused("POST", f"{basket.path}/lines", line, status=403)
    assert problem["code"] == "forbidden"
    assert (await shop.clerk.refused("POST", "/carts", {"currency": "GBP"}, status=403))[
        "code"
    ] == "forbidden"
    assert (await shop.clerk.json("GET", basket.path))["cart_id"] == str(basket.cart_id)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"currency": "EUR", "locale": "en"}, "currency_mismatch"),
        ({"currency": "euro", "locale": "en"}, "invalid_request"),
        ({"currency": "GBP", "locale": "../en"}, "invalid_request"),
        ({"currency": "GBP", "cart_id": "1"}, "invalid_request"),
    ],
)
async def test_a_cart_that_cannot_start(shop: Shop, body: Any, code: str) -> None:
    assert (await shop.stranger.refused("POST", "/carts", body, status=422))["code"] == code
    assert await shop.types() == []


async def test_a_product_that_is_not_sold_in_the_carts_currency(shop: Shop, basket: Basket) -> None:
    await shop.sell("EURO", prices={"EUR": 100})
    problem = await basket.refused("POST", "/lines", {"sku": "EURO", "quantity": 1}, status=422)
    assert problem["code"] == "currency_mismatch"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"destination": {**LONDON, "country": "gb"}}, 422, "invalid_request"),
        ({"destination": {**LONDON, "postal_code": "EC1\n7"}}, 422, "invalid_request"),
        ({"contact": {**CONTACT, "email": "nobody"}}, 422, "invalid_request"),
        ({"contact": {**CONTACT, "name": " "}}, 422, "invalid_request"),
        ({"destination": LONDON, "method_id": "rocket"}, 409, "method_unavailable"),
        ({"destination": {**LONDON, "country": "FR"}, "method_id": "standard"}, 409, "method_unavailable"),
    ],
)
async def test_a_delivery_that_cannot_be(
    shop: Shop, basket: Basket, body: Any, status: int, code: str
) -> None:
    assert (await basket.refused("PUT", "/delivery", body, status=status))["code"] == code
    assert await unchanged(shop, basket)


async def test_a_checkout_too_early(shop: Shop) -> None:
    await shop.sell("MUG")
    basket = await shop.customer().start()
    buy = {"expected_total": 1595, "terms_version": "2026-01"}

    async def refusal(status: int) -> Any:
        return await basket.refused("POST", "/checkout", buy, status=status)

    assert (await refusal(409))["code"] == "empty_cart"
    await basket.add("MUG")
    assert (await refusal(422))["code"] == "email_missing"
    await basket.buyer.json("PUT", f"{basket.path}/delivery", {"contact": CONTACT})
    problem = await refusal(422)
    assert (problem["code"], problem["missing"]) == ("address_incomplete", ["address"])
    await basket.buyer.json("PUT", f"{basket.path}/delivery", {"destination": {"country": "GB"}})
    problem = await refusal(422)
    assert (problem["code"], problem["missing"]) == ("address_incomplete", ["line1", "city", "postal_code"])
    await basket.buyer.json("PUT", f"{basket.path}/delivery", {"destination": LONDON})
    assert (await refusal(409))["code"] == "method_unavailable"
    await basket.buyer.json("PUT", f"{basket.path}/delivery", {"method_id": "standard"})
    buy["terms_version"] = "  "
    assert (await refusal(422))["code"] == "invalid_request"
    assert "CartCheckedOut" not in await shop.types()


async def test_a_total_that_changed(shop: Shop, basket: Basket) -> None:
    total = (await basket.deliver())["totals"]["total"]
    await shop.sell("MUG", prices={"GBP": 1300})
    buy = {"expected_total": total, "terms_version": "1"}
    problem = await basket.refused("POST", "/checkout", buy, status=409)
    assert (problem["code"], problem["total"]) == ("total_changed", total + 200)
    for wrong in (-1, HUGE):
        buy["expected_total"] = wrong
        assert (await basket.refused("POST", "/checkout", buy, status=409))["code"] == "total_changed"
    assert (await basket.check_out(total + 200))["totals"]["total"] == total + 200


async def test_a_checkout_in_another_currency(shop: Shop, basket: Basket) -> None:
    total = (await basket.deliver())["totals"]["total"]
    buy = {"expected_total": total, "terms_version": "1", "currency": "EUR"}
    assert (await basket.refused("POST", "/checkout", buy, status=422))["code"] == "currency_mismatch"


async def test_a_checkout_of_something_that_is_gone(shop: Shop, basket: Basket) -> None:
    total = (await basket.deliver())["totals"]["total"]
    buy = {"expected_total": total, "terms_version": "1"}
    await shop.sell("MUG", limit_quantity_per_checkout=1)
    problem = await basket.refused("POST", "/checkout", buy, status=422)
    assert (problem["code"], problem["skus"]) == ("quantity_limit", ["MUG"])
    await shop.clerk.json("DELETE", "/products/MUG")
    problem = await basket.refused("POST", "/checkout", buy, status=409)
    assert (problem["code"], problem["skus"]) == ("product_unavailable", ["MUG"])


async def test_a_cart_that_was_bought_stays_as_it_is(shop: Shop, basket: Basket) -> None:
    total = (await basket.deliver())["totals"]["total"]
    line_id = (await basket.check_out(total))["lines"][0]["line_id"]
    before = await shop.types()
    for method, path, body in (
        ("POST", "/lines", {"sku": "MUG", "quantity": 1}),
        ("PATCH", f"/lines/{line_id}", {"quantity": 1}),
        ("DELETE", f"/lines/{line_id}", None),
        ("PUT", "/delivery", {"method_id": "express"}),
    ):
        assert (await basket.refused(method, path, body, status=409))["code"] == "cart_closed"
    assert await shop.types() == before


async def test_a_stale_if_match(shop: Shop, basket: Basket) -> None:
    line = {"sku": "MUG", "quantity": 1}
    problem = await basket.refused("POST", "/lines", line, status=412, If_Match='"1"')
    assert (problem["code"], problem["version"]) == ("stale_version", 2)
    assert await unchanged(shop, basket)
    read = await basket.buyer.call("GET", basket.path)
    added = await basket.buyer.call("POST", f"{basket.path}/lines", line, If_Match=read.headers["etag"])
    assert added.headers["etag"] == '"3"'


async def test_an_idempotency_key_counts_once_and_for_one_body(shop: Shop, basket: Basket) -> None:
    path, key = f"{basket.path}/lines", str(uuid4())
    first = await basket.buyer.call("POST", path, {"sku": "MUG", "quantity": 1}, Idempotency_Key=key)
    again = await basket.buyer.call("POST", path, {"sku": "MUG", "quantity": 1}, Idempotency_Key=key)
    assert (again.json(), again.headers["etag"]) == (first.json(), first.headers["etag"])
    assert (await basket.read())["item_count"] == 3
    other = {"sku": "MUG", "quantity": 2}
    problem = await basket.refused("POST", "/lines", other, status=422, Idempotency_Key=key)
    assert problem["code"] == "idempotency_key_reused"
    assert (await basket.read())["item_count"] == 3


async def test_a_repeated_start_of_a_guest_gets_the_same_token(shop: Shop) -> None:
    key, body = str(uuid4()), {"currency": "GBP"}
    first = await shop.stranger.json("POST", "/carts", body, status=201, Idempotency_Key=key)
    assert await shop.stranger.json("POST", "/carts", body, status=201, Idempotency_Key=key) == first
    assert await shop.types() == ["CartStarted"]
