"""The rows are exactly what their events say, and the life of a cart leaves an outbox row an event."""

import pytest

from tests.integration.services.cart.shop import Shop

pytestmark = pytest.mark.integration


async def test_every_read_model_is_rebuilt_equal(shop: Shop) -> None:
    await shop.sell(
        "MUG", titles={"pt-BR": "Caneca", "en": "Mug", "a": "A"}, prices={"GBP": 1200, "EUR": 1400}
    )
    await shop.sell("RING", custom=True, preorder_until="2030-01-01")
    await shop.sell("SONG", digital=True)
    await shop.clerk.json("DELETE", "/products/SONG")
    await shop.sell("SONG", digital=True)
    policy = await shop.stranger.json("GET", "/pricing-policy")
    await shop.admin.json("PUT", "/pricing-policy", {**policy, "line_limit": 10, "effective_from": None})
    bought, kept = await shop.stranger.start(), await shop.customer().start()
    for basket in (bought, kept):
        await basket.add("MUG", 2)
        line_id = (await basket.add("SONG"))["lines"][1]["line_id"]
        await basket.buyer.json("DELETE", f"{basket.path}/lines/{line_id}")
        await basket.add("MUG")
        cart = await basket.add("RING", customization="for Ann")
        cart = await basket.deliver()
    await bought.check_out(cart["totals"]["total"], customer_note="Ring twice")
    results = await shop.rebuilt()
    assert {result.read_model: (result.equal, result.rows) for result in results} == {
        "cart_view": (True, 2),
        "products": (True, 3),
        "pricing_policies": (True, 2),
        "coupon_uses": (True, 0),
    }


async def test_cart_events_are_for_everybody_and_the_catalogue_is_not(shop: Shop) -> None:
    await shop.sell("MUG")
    basket = await shop.customer().start()
    await basket.add("MUG")
    told = await shop.store.pool.fetch(
        "SELECT type FROM outbox JOIN events USING (position) ORDER BY position"
    )
    assert [row["type"] for row in told] == ["CartStarted", "CartItemAdded"]
