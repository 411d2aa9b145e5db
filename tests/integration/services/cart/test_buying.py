"""The way of a cart from its start to its checkout, for guests and customers."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.cart.commands import price_list
from shared.domain.ids import order_id, order_number
from shared.events.cart import CartCheckedOut, CartStarted
from shared.store.postgres import PostgresSession
from tests.integration.services.cart.shop import CONTACT, LONDON, Shop

pytestmark = pytest.mark.integration


async def test_a_guest_buys(shop: Shop) -> None:
    await shop.sell("MUG")
    await shop.sell("POSTER", prices={"GBP": 500}, weight_g=100)
    basket = await shop.stranger.start()
    await basket.add("MUG", 2)
    cart = await basket.add("POSTER")
    assert [(line["sku"], line["quantity"], line["gross"]) for line in cart["lines"]] == [
        ("MUG", 2, 2400),
        ("POSTER", 1, 500),
    ]
    assert (cart["item_count"], cart["totals"]["total"]) == (3, 2900)
    assert (cart["shipping"], cart["shipping_options"]) == (None, [])

    cart = await basket.deliver()
    assert [(option["method_id"], option["gross"]) for option in cart["shipping_options"]] == [
        ("standard", 395),
        ("express", 795),
        ("international", 1800),
    ]
    assert cart["shipping"]["gross"] == 395
    assert cart["delivery"]["contact"] == CONTACT
    assert cart["delivery"]["destination"] == {**LONDON, "region": None, "line2": None}
    assert cart["totals"] == {
        "items_net": 2417,
        "items_tax": 483,
        "shipping_net": 329,
        "shipping_tax": 66,
        "discount": 0,
        "total": 3295,
    }

    order = await basket.check_out(3295, customer_note="Ring twice", marketing_consent=True)
    assert order["order_id"] == str(order_id(basket.cart_id))
    assert order["order_number"] == order_number(order_id(basket.cart_id))
    assert (order["status"], order["currency"]) == ("CHECKED_OUT", "GBP")
    assert order["totals"] == cart["totals"]
    assert await basket.read() == order

    started, *_, bought = [event.data for event in await shop.events("cart")]
    assert isinstance(started, CartStarted)
    assert started.customer_id is None
    assert isinstance(bought, CartCheckedOut)
    assert bought.contact.subject_id == started.subject_id
    assert (bought.destination.country, bought.destination.postal_prefix) == ("GB", "SW1")
    assert (bought.pricing_version, bought.terms_version, bought.marketing_consent) == (1, "2026-01", True)


async def test_personal_data_is_stored_sealed_only(shop: Shop) -> None:
    await shop.sell("RING", custom=True)
    basket = await shop.stranger.start()
    await basket.add("RING", customization="for Zenobia")
    await basket.deliver()
    total = (await basket.read())["totals"]["total"]
    await basket.check_out(total, customer_note="Ring twice", billing=LONDON)
    stored = ""
    for table in ("events", "cart_view"):
        rows = await shop.store.pool.fetch(f"SELECT * FROM {table}")
        stored += str([{**row, "data": bytes(row.get("data") or b"")} for row in rows])
    assert "v1." in stored
    secrets = ("Ann Smith", "ann@example.com", "20 7946", "The Mall", "SW1A 1AA", "Zenobia", "Ring twice")
    for secret in secrets:
        assert secret not in stored


async def test_a_second_checkout_gets_the_same_answer_and_no_event(shop: Shop) -> None:
    await shop.sell("MUG")
    basket = await shop.customer().start()
    await basket.add("MUG")
    total = (await basket.deliver())["totals"]["total"]
    first = await basket.check_out(total)
    await shop.sell("MUG", prices={"GBP": 9900})
    assert await basket.check_out(total) == first
    assert await basket.check_out(1) == first
    assert (await shop.types()).count("CartCheckedOut") == 1


async def test_checkouts_at_once_make_one_order(shop: Shop) -> None:
    await shop.sell("MUG")
    basket = await shop.customer().start()
    await basket.add("MUG")
    total = (await basket.deliver())["totals"]["total"]
    answers = await asyncio.gather(*(basket.check_out(total) for _ in range(5)))
    assert all(answer == answers[0] for answer in answers)
    assert (await shop.types()).count("CartCheckedOut") == 1


async def test_quantities_change_in_place(shop: Shop) -> None:
    await shop.sell("MUG")
    basket = await shop.customer().start()
    (line,) = (await basket.add("MUG", 2))["lines"]
    path = f"{basket.path}/lines/{line['line_id']}"
    cart = await basket.buyer.json("PATCH", path, {"quantity": 5})
    assert [(ln["line_id"], ln["quantity"]) for ln in cart["lines"]] == [(line["line_id"], 5)]
    cart = await basket.add("MUG")
    assert [(ln["line_id"], ln["quantity"]) for ln in cart["lines"]] == [(line["line_id"], 6)]
    cart = await basket.buyer.json("DELETE", path)
    assert (cart["lines"], cart["totals"]["total"]) == ([], 0)
    assert await shop.types() == [
        "CartStarted",
        "CartItemAdded",
        "CartItemQuantityChanged",
        "CartItemQuantityChanged",
        "CartItemRemoved",
    ]


async def test_adding_again_under_the_same_line_id_adds_nothing(shop: Shop) -> None:
    await shop.sell("MUG")
    basket = await shop.customer().start()
    line_id = str(uuid4())
    first = await basket.add("MUG", 2, line_id=line_id)
    assert await basket.add("MUG", 2, line_id=line_id) == first
    await basket.buyer.json("DELETE", f"{basket.path}/lines/{line_id}")
    assert (await basket.add("MUG", 2, line_id=line_id))["lines"] == []


async def test_the_same_delivery_twice_is_no_change_although_seals_differ(shop: Shop) -> None:
    await shop.sell("MUG")
    basket = await shop.customer().start()
    await basket.deliver()
    await basket.deliver()
    assert await shop.types() == ["CartStarted", "CartDeliveryChosen"]
    await basket.deliver(contact={**CONTACT, "email": "ann@example.org"})
    await basket.buyer.json("PUT", f"{basket.path}/delivery", {"method_id": "express"})
    chosen = (await basket.read())["delivery"]
    assert (chosen["contact"]["email"], chosen["method_id"]) == ("ann@example.org", "express")
    assert chosen["destination"]["line1"] == LONDON["line1"]


async def test_the_same_customization_joins_its_line_and_another_does_not(shop: Shop) -> None:
    await shop.sell("RING", custom=True)
    basket = await shop.customer().start()
    await basket.add("RING", customization="for Ann")
    await basket.add("RING", customization="for Ann")
    cart = await basket.add("RING", customization="for Bob")
    assert [(line["customization"], line["quantity"]) for line in cart["lines"]] == [
        ("for Ann", 2),
        ("for Bob", 1),
    ]


async def test_digital_goods_need_no_shipping(shop: Shop) -> None:
    await shop.sell("SONG", digital=True)
    basket = await shop.customer().start()
    await basket.add("SONG")
    body = {"contact": CONTACT, "destination": LONDON}
    cart = await basket.buyer.json("PUT", f"{basket.path}/delivery", body)
    assert (cart["shipping"]["method_id"], cart["shipping_options"]) == ("none", [])
    assert (await basket.check_out(1200))["totals"]["shipping_net"] == 0


async def test_a_delisted_product_stays_visible_and_costs_nothing(shop: Shop) -> None:
    await shop.sell("MUG")
    await shop.sell("POSTER", prices={"GBP": 500})
    basket = await shop.customer().start()
    await basket.add("MUG", 2)
    await basket.add("POSTER")
    await shop.clerk.json("DELETE", "/products/MUG")
    cart = await basket.read()
    assert [(line["sku"], line["available"]) for line in cart["lines"]] == [("MUG", False), ("POSTER", True)]
    assert cart["totals"]["total"] == 500


async def test_twenty_lines_are_priced_by_three_queries(shop: Shop) -> None:
    skus = [f"S{n:02}" for n in range(20)]
    products = [
        {"sku": sku, "titles": {"en": sku}, "prices": {"GBP": price}} for price, sku in enumerate(skus)
    ]
    await shop.clerk.json("POST", "/products", {"products": products})
    basket = await shop.customer().start()
    for sku in skus:
        await basket.add(sku)
    cart = await basket.read()
    assert (len(cart["lines"]), cart["totals"]["total"]) == (20, sum(range(20)))
    queries: list[Any] = []
    async with shop.store.pool.acquire() as connection:
        with connection.query_logger(queries.append):
            prices = await price_list(PostgresSession(connection), skus, shop.clock())
    assert sorted(prices.products) == skus
    assert len(queries) == 3


async def test_a_customers_cart_is_theirs_and_a_guests_second_cart_is_a_guests(shop: Shop) -> None:
    customer_id = uuid4()
    await shop.customer(customer_id).start()
    guest = await shop.stranger.start()
    await guest.buyer.start()
    started = {event.stream: event.data for event in await shop.events("cart")}
    by_subject: dict[UUID, list[UUID | None]] = {}
    for data in started.values():
        by_subject.setdefault(data.subject_id, []).append(data.customer_id)
    assert sorted(by_subject.values(), key=len) == [[customer_id], [None, None]]
    assert by_subject[customer_id] == [customer_id]
