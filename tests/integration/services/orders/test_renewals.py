"""Authorizations that serve one capture, lapse or cannot be reached, against the real provider."""

from datetime import timedelta
from typing import Any

import pytest

from shared.events.orders import (
    IntentPurpose,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRequested,
    PaymentVoided,
    RefundFailed,
    VoidCause,
)
from tests.integration.services.orders.shop import REFUND, Shop, granted
from tests.integration.services.orders.test_payments import REFUNDS_REFUSED, waiting_for_payment
from tests.unit.orders.samples import DUE_1, MUGS, ORDER_ID, PLATES, TOTAL

pytestmark = pytest.mark.integration

ONE_CAPTURE = "4000000000001109"
SHORT = "4000000000001208"
NEEDS_THE_BUYER = "4000000000001307"
AWAY = "4000000000001406"
WRONG_ORDER = "4000000000001505"
REST = TOTAL - DUE_1
PARCELS = (((MUGS, 1), (PLATES, 1)), ((MUGS, 2), (PLATES, 1)))


async def paid_with(shop: Shop, card: str) -> None:
    await waiting_for_payment(shop)
    await shop.pay(ORDER_ID, card)
    await shop.forward(1)


async def ship(shop: Shop, parcel_no: int) -> Any:
    """One of two parcels leaves; gives the answer."""
    started = await shop.call("POST", f"/orders/{ORDER_ID}/processing")
    parcel = {
        "fulfillment_id": started.json()["fulfillments"][0]["fulfillment_id"],
        "parcel_no": parcel_no,
        "lines": [{"line_id": str(line), "quantity": units} for line, units in PARCELS[parcel_no - 1]],
        "carrier": "DHL",
        "tracking_number": f"JD0{parcel_no}",
    }
    return await shop.call("POST", f"/orders/{ORDER_ID}/shipments", parcel)


async def reauthorize(shop: Shop) -> Any:
    return await shop.call("POST", f"/orders/{ORDER_ID}/reauthorizations")


async def test_two_parcels_of_one_authorization(shop: Shop) -> None:
    await paid_with(shop, "4242424242424242")
    for parcel in (1, 2):
        assert (await ship(shop, parcel)).status_code == 201
        await shop.work()
    assert await shop.ledger() == [("AUTHORIZED", TOTAL), ("CAPTURED", DUE_1), ("CAPTURED", REST)]
    assert (await shop.statuses(ORDER_ID))[1:] == ("PAID", "FULFILLED")


async def test_two_parcels_where_an_authorization_serves_one_capture(shop: Shop) -> None:
    await paid_with(shop, ONE_CAPTURE)
    assert (await ship(shop, 1)).status_code == 201
    await shop.work()
    assert await shop.ledger() == [("AUTHORIZED", TOTAL), ("CAPTURED", DUE_1), ("VOIDED", REST)]
    refused = await ship(shop, 2)
    assert refused.json()["type"] == "urn:orderflow:problem:payment_not_secured"

    asked = [await reauthorize(shop) for _ in range(2)]
    assert [(each.status_code, each.json()["amount"]) for each in asked] == [(201, REST)] * 2
    await shop.work()
    assert (await ship(shop, 2)).status_code == 201
    await shop.work()
    assert (await shop.ledger())[3:] == [("AUTHORIZED", REST), ("CAPTURED", REST)]
    assert (await shop.statuses(ORDER_ID))[1:] == ("PAID", "FULFILLED")
    assert [each.amount for each in await shop.events(ORDER_ID, PaymentCaptured)] == [DUE_1, REST]
    voided = await shop.events(ORDER_ID, PaymentVoided)
    assert [(each.amount, each.cause) for each in voided] == [(REST, VoidCause.REMAINDER)]
    await shop.forward(3)
    assert (await reauthorize(shop)).json()["type"] == "urn:orderflow:problem:nothing_due"
    assert all(found.equal for found in await shop.rebuilt())


async def test_a_part_taken_by_hand_leaves_the_order_waiting_for_its_next_parcel(shop: Shop) -> None:
    await paid_with(shop, ONE_CAPTURE)
    taken = await shop.call("POST", f"/orders/{ORDER_ID}/captures", {"amount": 100})
    assert taken.status_code == 201
    await shop.work()
    shop.clock.advance(timedelta(hours=2))
    await shop.work()
    assert (await shop.statuses(ORDER_ID))[:2] == ("CONFIRMED", "PARTIALLY_PAID")
    assert (await reauthorize(shop)).json()["amount"] == TOTAL - 100


async def test_an_authorization_is_made_anew_before_it_lapses(shop: Shop) -> None:
    """The old one is let go only when the new one holds."""
    await paid_with(shop, SHORT)
    await shop.work()
    renewal = (await shop.events(ORDER_ID, PaymentRequested))[1]
    assert (renewal.purpose, renewal.off_session) == (IntentPurpose.REAUTHORIZATION, True)
    types = await shop.event_types(ORDER_ID)
    assert types[types.index("PaymentRequested", 4) :] == [
        "PaymentRequested",
        "PaymentAuthorized",
        "PaymentVoided",
    ]
    (voided,) = await shop.events(ORDER_ID, PaymentVoided)
    assert (voided.cause, voided.intent_id) == (VoidCause.SUPERSEDED, renewal.replaces_intent_id)
    assert await shop.ledger() == [("AUTHORIZED", TOTAL), ("AUTHORIZED", TOTAL), ("VOIDED", TOTAL)]
    await shop.forward(2)
    assert await shop.statuses(ORDER_ID) == ("CONFIRMED", "AUTHORIZED", "UNFULFILLED")
    shop.clock.advance(timedelta(days=5))
    await shop.work()
    assert len(await shop.events(ORDER_ID, PaymentRequested)) == 2


async def test_an_authorization_that_cannot_be_made_anew_ends_an_unshipped_order(shop: Shop) -> None:
    await paid_with(shop, NEEDS_THE_BUYER)
    for _ in range(30):
        await shop.work()
        shop.clock.advance(timedelta(hours=1))
    declined = await shop.events(ORDER_ID, PaymentDeclined)
    assert [(each.attempt, each.final) for each in declined] == [(1, False), (2, False), (3, True)]
    assert (await shop.statuses(ORDER_ID))[0] == "CANCELLED"
    assert (await shop.get(ORDER_ID))["money"]["authorized"] == 0


async def test_a_payment_that_cannot_be_reached_for_a_while(shop: Shop) -> None:
    await paid_with(shop, AWAY)
    assert (await shop.statuses(ORDER_ID))[0] == "CONFIRMED"
    away = await shop.call("GET", f"/orders/{ORDER_ID}/payment")
    assert away.json()["type"] == "urn:orderflow:problem:provider_unavailable"
    assert (await ship(shop, 1)).status_code == 201
    await shop.work()
    assert await shop.ledger("CAPTURED") == []
    intent = (await shop.events(ORDER_ID, PaymentRequested))[0].intent_id
    await shop.until_provider_knows(intent)
    shop.clock.advance(timedelta(minutes=1))
    await shop.work()
    assert await shop.ledger("CAPTURED") == [("CAPTURED", DUE_1)]


async def test_a_refund_over_two_payments_of_which_one_is_refused(shop: Shop) -> None:
    await paid_with(shop, ONE_CAPTURE)
    await ship(shop, 1)
    await shop.work()
    assert (await shop.call("POST", f"/orders/{ORDER_ID}/payment-attempts")).json()["amount"] == REST
    await shop.work()
    await shop.pay(ORDER_ID, REFUNDS_REFUSED)
    await shop.forward(1)
    await ship(shop, 2)
    await shop.work()
    await shop.hear(f"refundgrant-{REFUND}", granted(TOTAL))
    await shop.work()
    (failed,) = await shop.events(ORDER_ID, RefundFailed)
    assert ([part.amount for part in failed.paid], failed.retryable) == ([DUE_1], True)
    page = await shop.get(ORDER_ID)
    assert (page["money"]["refunded"], page["refunds"][0]["paid_back"]) == (DUE_1, DUE_1)
    shop.clock.advance(timedelta(days=1, seconds=1))
    await shop.work()
    assert await shop.ledger("REFUNDED") == [("REFUNDED", DUE_1)]
    assert (await shop.get(ORDER_ID))["money"]["balance"] == REST


async def test_webhooks_in_the_wrong_order(shop: Shop) -> None:
    await waiting_for_payment(shop)
    await shop.pay(ORDER_ID, WRONG_ORDER)
    await shop.forward(2)
    assert await shop.statuses(ORDER_ID) == ("CONFIRMED", "PAID", "UNFULFILLED")
    assert (await shop.event_types(ORDER_ID)).count("PaymentAuthorized") == 0
    assert await shop.ledger() == [("AUTHORIZED", TOTAL), ("CAPTURED", TOTAL)]
