"""Orders that are changed, over HTTP and with a real provider: raised, paid, refused, made cheaper."""

import asyncio
import hmac
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi.encoders import jsonable_encoder

from services.orders.app import SERVICE
from shared.domain import ids
from shared.events.common import Line, PlacedQty, Quote
from shared.events.envelope import Actor, ActorKind
from shared.events.inventory import RejectionCode, RejectionPhase, StockReservationRejected, StockReserved
from shared.events.orders import OrderEdited, RefundIssued
from shared.service.quotes import QuoteKeys
from tests.conftest import MakeDatabase
from tests.integration.sandbox.shop import open_shop as open_letterbox
from tests.integration.services.orders.shop import JWT_KEY, OPERATOR, Shop, open_shop
from tests.unit.orders import edit_samples as e
from tests.unit.orders.samples import CART_ID, DEPOT, INTENT_2, MUGS, ORDER_ID, PLACED, TOTAL, checkout

pytestmark = pytest.mark.integration

CHECKOUT = checkout(PLACED)
BUYER = Actor(ActorKind.CUSTOMER, str(UUID(int=2)))
STRANGER = Actor(ActorKind.CUSTOMER, str(UUID(int=3)))
KEYS = QuoteKeys([hmac.digest(JWT_KEY.encode(), b"orderflow quotes", "sha256")])
WISH = UUID(int=600)
EDIT = ids.edit_id(ORDER_ID, WISH)
RESERVATION = f"reservation-{ORDER_ID}"
ONE_MORE = (PlacedQty(line_id=MUGS, sku="MUG", location_id=DEPOT, quantity=1),)


@pytest.fixture
async def hasty(make_database: MakeDatabase, tmp_path: Path) -> AsyncIterator[Shop]:
    """A shop whose buyers have an hour to pay a balance."""
    database = await make_database(SERVICE.migrations, "orders")
    with open_letterbox() as letterbox:
        async with open_shop(database, letterbox, tmp_path, balance_window=timedelta(hours=1)) as shop:
            yield shop


async def confirmed(shop: Shop) -> None:
    await shop.place(CHECKOUT, CART_ID)
    await shop.secure_stock(ORDER_ID, CHECKOUT)
    await shop.pay(ORDER_ID)
    await shop.forward(1)


def promised(shop: Shop, *lines: Line, currency: str = "GBP") -> Quote:
    """What cart answers to POST /quotes."""
    return KEYS.signed(e.quote(*lines, now=shop.clock()), currency)


async def edit(
    shop: Shop, quote: Quote, *, actor: Actor = OPERATOR, version: int | None = None
) -> httpx.Response:
    body = {"edit_id": str(WISH), "quote": jsonable_encoder(quote)}
    headers = {"If-Match": f'"{version}"'} if version else None
    return await shop.call("POST", f"/orders/{ORDER_ID}/edits", body, actor=actor, headers=headers)


async def refused(shop: Shop, quote: Quote, status: int, code: str, actor: Actor = OPERATOR) -> None:
    before = await shop.event_types(ORDER_ID)
    answer = await edit(shop, quote, actor=actor)
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:orderflow:problem:{code}")
    assert await shop.event_types(ORDER_ID) == before


async def test_more_mugs_are_held_paid_packed_and_charged(shop: Shop) -> None:
    await confirmed(shop)
    answer = await edit(shop, promised(shop, e.FOUR_MUGS, e.TWO_PLATES), actor=BUYER)
    assert answer.status_code == 201, answer.text
    assert answer.json() == {
        "order_id": str(ORDER_ID),
        "edit_id": str(EDIT),
        "order_status": "CONFIRMED",
        "payment_status": "AUTHORIZED",
        "fulfillment_status": "ON_HOLD",
        "revision": 1,
        "total": TOTAL + 400,
        "edit_pending": True,
        "holds": ["AWAITING_PAYMENT"],
    }
    held = await shop.call("POST", f"/orders/{ORDER_ID}/processing")
    assert (held.status_code, held.json()["reasons"]) == (409, ["AWAITING_PAYMENT"])

    await shop.hear(RESERVATION, StockReserved(order_id=ORDER_ID, revision=1, placed=ONE_MORE), 2)
    await shop.work()
    await shop.pay(ORDER_ID)
    await shop.forward(1)
    page = await shop.get(ORDER_ID)
    assert (page["revision"], page["edit_pending"], page["holds"]) == (1, False, [])
    assert [(line["sku"], line["quantity"]) for line in page["lines"]] == [("MUG", 4), ("PLATE", 2)]
    assert page["totals"]["total"] == TOTAL + 400

    started = await shop.call("POST", f"/orders/{ORDER_ID}/processing")
    (fulfillment,) = started.json()["fulfillments"]
    parcel = {
        "fulfillment_id": fulfillment["fulfillment_id"],
        "parcel_no": 1,
        "lines": fulfillment["lines"],
        "carrier": "DHL",
        "tracking_number": "JD01",
    }
    assert (await shop.call("POST", f"/orders/{ORDER_ID}/shipments", parcel)).status_code == 201
    await shop.work()
    assert await shop.statuses(ORDER_ID) == ("PROCESSING", "PAID", "FULFILLED")
    assert await shop.ledger("CAPTURED") == [("CAPTURED", TOTAL), ("CAPTURED", 400)]
    assert all(found.equal for found in await shop.rebuilt())


async def test_without_stock_the_order_is_as_before(shop: Shop) -> None:
    await confirmed(shop)
    before = await shop.get(ORDER_ID)
    await edit(shop, promised(shop, e.FOUR_MUGS, e.TWO_PLATES))
    rejected = StockReservationRejected(
        order_id=ORDER_ID,
        revision=1,
        phase=RejectionPhase.REVISION,
        code=RejectionCode.OUT_OF_STOCK,
        lines=(),
    )
    await shop.hear(RESERVATION, rejected, 2)
    after = await shop.get(ORDER_ID)
    assert after == {**before, "revision": 2}
    assert await shop.work() == 0
    assert (await shop.call("POST", f"/orders/{ORDER_ID}/processing")).status_code == 200
    assert all(found.equal for found in await shop.rebuilt())


async def test_inventory_that_does_not_answer_is_not_waited_for(shop: Shop) -> None:
    await confirmed(shop)
    await edit(shop, promised(shop, e.FOUR_MUGS, e.TWO_PLATES))
    shop.clock.advance(timedelta(hours=2, seconds=1))
    await shop.work()
    assert await shop.statuses(ORDER_ID) == ("CONFIRMED", "AUTHORIZED", "UNFULFILLED")
    _, back = await shop.events(ORDER_ID, OrderEdited)
    assert (back.cause, back.reverts_edit_id, back.totals) == ("REVERT", EDIT, PLACED.totals)


async def test_a_balance_that_nobody_pays_is_closed_and_the_edit_taken_back(hasty: Shop) -> None:
    shop = hasty
    await confirmed(shop)
    await edit(shop, promised(shop, e.DEARER_MUGS, e.TWO_PLATES))
    await shop.work()
    shop.clock.advance(timedelta(minutes=70))
    await shop.work()
    page = await shop.get(ORDER_ID)
    assert (page["order_status"], page["totals"]["total"], page["holds"]) == ("CONFIRMED", TOTAL, [])
    asked = {"reference": str(INTENT_2)}
    (intent,) = (await shop.provider.get("/v1/payment_intents", params=asked)).json()["data"]
    assert (intent["amount"], intent["status"]) == (400, "canceled")


async def test_a_balance_that_is_paid_in_the_last_moment_counts(hasty: Shop) -> None:
    """Its webhook is still under way when the time is up."""
    shop = hasty
    await confirmed(shop)
    await edit(shop, promised(shop, e.DEARER_MUGS, e.TWO_PLATES))
    await shop.work()
    await shop.pay(ORDER_ID)
    shop.clock.advance(timedelta(minutes=70))
    await shop.work()
    page = await shop.get(ORDER_ID)
    assert (page["totals"]["total"], page["edit_pending"]) == (TOTAL + 400, False)


async def test_a_cheaper_order_that_was_charged_at_once_gets_money_back(
    make_database: MakeDatabase, tmp_path: Path
) -> None:
    database = await make_database(SERVICE.migrations, "orders")
    with open_letterbox() as letterbox:
        async with open_shop(database, letterbox, tmp_path, capture="NOW") as shop:
            await pays_back(shop)


async def pays_back(shop: Shop) -> None:
    await confirmed(shop)
    assert await shop.ledger("CAPTURED") == [("CAPTURED", TOTAL)]
    assert (await edit(shop, promised(shop, e.TWO_MUGS, e.TWO_PLATES))).status_code == 201
    await shop.work()
    assert await shop.ledger("REFUNDED") == [("REFUNDED", 300)]
    (issued,) = await shop.events(ORDER_ID, RefundIssued)
    assert (issued.cause, issued.ref_id, issued.amount) == ("EDIT", EDIT, 300)
    money = (await shop.get(ORDER_ID))["money"]
    assert money == {"authorized": 0, "captured": TOTAL, "refunded": 300, "balance": 2000}


async def test_the_same_edit_again_is_the_same(shop: Shop) -> None:
    await confirmed(shop)
    quote = promised(shop, e.TWO_MUGS, e.TWO_PLATES)
    first = await edit(shop, quote)
    events = await shop.event_types(ORDER_ID)
    again = await edit(shop, quote)
    assert (again.status_code, again.json()) == (201, first.json())
    stale = await edit(shop, quote, version=1)
    assert stale.status_code == 412
    assert await shop.event_types(ORDER_ID) == events


async def test_quotes_that_are_not_for_this_order(shop: Shop) -> None:
    await confirmed(shop)
    good = promised(shop, e.TWO_MUGS, e.TWO_PLATES)
    await refused(shop, e.quote(e.TWO_MUGS, now=shop.clock()), 422, "invalid_quote")
    await refused(shop, promised(shop, e.TWO_MUGS, currency="USD"), 422, "invalid_quote")
    elsewhere = KEYS.signed(e.quote(e.TWO_MUGS, now=shop.clock(), country="JE"), "GBP")
    await refused(shop, elsewhere, 422, "invalid_quote", BUYER)
    await refused(shop, good, 404, "unknown_order", STRANGER)
    shop.clock.advance(timedelta(minutes=31))
    await refused(shop, good, 409, "quote_expired", BUYER)


async def test_edit_cancel_capture_and_ship_at_once_end_in_one_of_their_orders(shop: Shop) -> None:
    await confirmed(shop)
    quote = promised(shop, e.DEARER_MUGS, e.TWO_PLATES)
    taken: dict[str, Any] = {"request_id": str(UUID(int=700)), "amount": TOTAL}
    changed, cancelled, captured, started = await asyncio.gather(
        edit(shop, quote),
        shop.call("POST", f"/orders/{ORDER_ID}/cancel", {}),
        shop.call("POST", f"/orders/{ORDER_ID}/captures", taken),
        shop.call("POST", f"/orders/{ORDER_ID}/processing"),
    )
    assert cancelled.status_code == 200
    assert changed.status_code in {201, 409}
    assert captured.status_code in {201, 409}
    assert started.status_code in {200, 409}
    for _ in range(3):
        await shop.work()
    page = await shop.get(ORDER_ID)
    assert page["order_status"] == "CANCELLED"
    assert (page["money"]["authorized"], page["money"]["balance"]) == (0, 0)
    open_ones = [each for each in page["fulfillments"] if each["status"] == "OPEN"]
    assert open_ones == []
