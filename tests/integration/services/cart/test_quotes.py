"""Signed quotes through HTTP: a price that holds for half an hour, for a cart or for lines of an order."""

from datetime import timedelta
from uuid import uuid4

import pytest
from pydantic import TypeAdapter

from shared.events.common import Quote
from shared.service.quotes import QuoteKeys
from shared.service.settings import Settings
from tests.integration.services.cart.shop import DATA_KEY, TOKEN_KEY, Shop

pytestmark = pytest.mark.integration

SETTINGS = Settings(
    database_url="postgresql://",
    kafka_bootstrap_servers="nowhere:1",
    jwt_key=TOKEN_KEY,
    data_key=DATA_KEY,
    port=0,
)


async def test_a_cart_is_bought_at_its_quote(shop: Shop) -> None:
    await shop.sell("MUG")
    basket = await shop.customer().start()
    await basket.add("MUG", 2)
    cart = await basket.deliver()
    quote = await basket.buyer.json("POST", "/quotes", {"cart_id": str(basket.cart_id)}, status=201)
    assert (quote["totals"], quote["currency"]) == (cart["totals"], "GBP")
    await shop.sell("MUG", prices={"GBP": 9900})
    assert (await basket.read())["totals"]["total"] != 2795
    forged = {**quote, "totals": {**quote["totals"], "total": 1}}
    body = {"expected_total": 1, "terms_version": "1", "quote": forged}
    assert (await basket.refused("POST", "/checkout", body, status=422))["code"] == "invalid_quote"
    bought = await basket.check_out(2795, quote=quote)
    assert bought["totals"] == quote["totals"]
    shop.clock.advance(timedelta(hours=1))
    assert await basket.check_out(2795, quote=quote) == bought


async def test_a_quote_is_over_after_half_an_hour(shop: Shop) -> None:
    await shop.sell("MUG")
    basket = await shop.customer().start()
    await basket.add("MUG", 2)
    await basket.deliver()
    quote = await basket.buyer.json("POST", "/quotes", {"cart_id": str(basket.cart_id)}, status=201)
    shop.clock.advance(timedelta(minutes=30))
    body = {"expected_total": 2795, "terms_version": "1", "quote": quote}
    assert (await basket.refused("POST", "/checkout", body, status=409))["code"] == "quote_expired"
    await basket.check_out(2795)


async def test_lines_are_quoted_for_others_to_accept(shop: Shop) -> None:
    await shop.sell("MUG")
    line_id = str(uuid4())
    wish = {
        "currency": "GBP",
        "lines": [{"line_id": line_id, "sku": "MUG", "quantity": 3}],
        "country": "GB",
        "method_id": "standard",
    }
    quote = await shop.clerk.json("POST", "/quotes", {"of": wish}, status=201)
    assert (quote["lines"][0]["line_id"], quote["totals"]["total"]) == (line_id, 3600 + 395)
    QuoteKeys(SETTINGS.live_quote_keys).check(TypeAdapter(Quote).validate_python(quote), "GBP")


async def test_who_gets_a_quote_of_what(shop: Shop) -> None:
    await shop.sell("MUG")
    basket = await shop.customer().start()
    await basket.add("MUG")
    await basket.deliver()
    wish = {"cart_id": str(basket.cart_id)}
    assert (await shop.stranger.refused("POST", "/quotes", wish, status=401))["code"] == "unauthenticated"
    assert (await shop.customer().refused("POST", "/quotes", wish, status=404))["code"] == "unknown_cart"
    await shop.clerk.json("POST", "/quotes", wish, status=201)
    assert (await shop.clerk.refused("POST", "/quotes", {}, status=422))["code"] == "invalid_request"
