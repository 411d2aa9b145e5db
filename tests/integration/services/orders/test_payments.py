"""Money against the real provider: declines, late successes, refusals, retries, webhooks in any order."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from sandbox.provider.webhooks import signature
from services.orders.app import SERVICE
from shared.events.envelope import Actor, ActorKind
from shared.events.orders import CaptureRequested, PaymentCaptured
from tests.conftest import MakeDatabase
from tests.integration.sandbox.shop import open_shop as open_letterbox
from tests.integration.services.orders.shop import (
    REFUND,
    SECRET,
    AnswersLost,
    Shop,
    SlowToCreate,
    granted,
    open_shop,
)
from tests.unit.orders.samples import CART_ID, INTENT, MUGS, ORDER_ID, PLACED, PLATES, TOTAL, checkout

pytestmark = pytest.mark.integration

CHECKOUT = checkout(PLACED)
DECLINED_CARD = "4000000000000002"
LATE_AUTHORIZATION = "4000000000000309"
LATE_CAPTURE = "4000000000000408"
CAPTURES_STUMBLE = "4000000000000705"
CAPTURES_REFUSED = "4000000000000804"
REFUNDS_STUMBLE = "4000000000000903"
REFUNDS_REFUSED = "4000000000001000"


async def waiting_for_payment(shop: Shop) -> None:
    await shop.place(CHECKOUT, CART_ID)
    await shop.secure_stock(ORDER_ID, CHECKOUT)


async def shipped(shop: Shop, card: str) -> None:
    """Paid with this card and shipped whole; the capture is still to be made."""
    await waiting_for_payment(shop)
    await shop.pay(ORDER_ID, card)
    await shop.forward(1)
    started = await shop.call("POST", f"/orders/{ORDER_ID}/processing")
    parcel = {
        "fulfillment_id": started.json()["fulfillments"][0]["fulfillment_id"],
        "parcel_no": 1,
        "lines": [{"line_id": str(MUGS), "quantity": 3}, {"line_id": str(PLATES), "quantity": 2}],
        "carrier": "DHL",
        "tracking_number": "JD01",
    }
    answer = await shop.call("POST", f"/orders/{ORDER_ID}/shipments", parcel)
    assert answer.status_code == 201, answer.text


async def cancel(shop: Shop) -> None:
    answer = await shop.call("POST", f"/orders/{ORDER_ID}/cancel", {"reason": "STAFF"})
    assert answer.status_code == 200, answer.text


async def refund_status(shop: Shop) -> tuple[str, int]:
    (refund,) = (await shop.get(ORDER_ID))["refunds"]
    return refund["status"], refund["attempt"]


async def test_a_declined_buyer_pays_with_another_card(shop: Shop) -> None:
    await waiting_for_payment(shop)
    await shop.pay(ORDER_ID, DECLINED_CARD)
    await shop.forward(1)
    again = await shop.call("POST", f"/orders/{ORDER_ID}/payment-attempts", {})
    assert again.status_code == 201
    assert again.json()["intent_id"] != str(INTENT)
    twice = await shop.call("POST", f"/orders/{ORDER_ID}/payment-attempts", {})
    assert (twice.status_code, twice.json()["type"]) == (409, "urn:orderflow:problem:payment_open")
    await shop.work()
    await shop.pay(ORDER_ID)
    await shop.forward(1)
    assert await shop.statuses(ORDER_ID) == ("CONFIRMED", "AUTHORIZED", "UNFULFILLED")


async def test_the_last_decline_ends_the_order(shop: Shop) -> None:
    await waiting_for_payment(shop)
    for attempt in range(3):
        if attempt:
            await shop.call("POST", f"/orders/{ORDER_ID}/payment-attempts", {})
            await shop.work()
        await shop.pay(ORDER_ID, DECLINED_CARD)
        await shop.forward(1)
    assert await shop.statuses(ORDER_ID) == ("CANCELLED", "VOIDED", "UNFULFILLED")
    assert (await shop.get(ORDER_ID))["cancellation"] == "DECLINED"
    assert (await shop.call("GET", f"/orders/{ORDER_ID}/payment")).json()["client_secret"] is None


async def test_a_payment_nobody_made_in_time_is_closed_at_the_provider(shop: Shop) -> None:
    await waiting_for_payment(shop)
    shop.clock.advance(timedelta(minutes=31))
    await shop.work()
    assert (await shop.get(ORDER_ID))["cancellation"] == "DECLINED"
    (intent,) = (await shop.provider.get("/v1/payment_intents", params={"reference": str(INTENT)})).json()[
        "data"
    ]
    assert intent["status"] == "canceled"


async def test_a_window_that_closes_on_a_paid_intent_finds_the_money(shop: Shop) -> None:
    """The webhook is still under way when the time is up."""
    await waiting_for_payment(shop)
    await shop.pay(ORDER_ID)
    shop.clock.advance(timedelta(minutes=31))
    await shop.work()
    assert await shop.statuses(ORDER_ID) == ("CONFIRMED", "AUTHORIZED", "UNFULFILLED")


async def test_an_order_without_an_answer_about_its_stock_is_cancelled(shop: Shop) -> None:
    await shop.place(CHECKOUT, CART_ID)
    shop.clock.advance(timedelta(hours=2, seconds=1))
    await shop.work()
    assert (await shop.get(ORDER_ID))["cancellation"] == "INVENTORY"


async def test_an_authorization_after_the_cancel_is_let_go(shop: Shop) -> None:
    await waiting_for_payment(shop)
    await shop.pay(ORDER_ID, LATE_AUTHORIZATION)
    await cancel(shop)
    await shop.work()
    await shop.forward(1)
    await shop.work()
    assert await shop.statuses(ORDER_ID) == ("CANCELLED", "VOIDED", "UNFULFILLED")
    assert await shop.ledger() == [("AUTHORIZED", TOTAL), ("VOIDED", TOTAL)]
    assert (await shop.event_types(ORDER_ID))[-2:] == ["LatePaymentReceived", "PaymentVoided"]


async def test_money_taken_after_the_cancel_goes_back(shop: Shop) -> None:
    await waiting_for_payment(shop)
    await shop.pay(ORDER_ID, LATE_CAPTURE)
    await cancel(shop)
    await shop.work()
    await shop.forward(1)
    await shop.work()
    assert await shop.statuses(ORDER_ID) == ("CANCELLED", "REFUNDED", "UNFULFILLED")
    assert await shop.ledger("CAPTURED", "REFUNDED") == [("CAPTURED", TOTAL), ("REFUNDED", TOTAL)]
    assert (await shop.get(ORDER_ID))["money"]["balance"] == 0
    assert all(found.equal for found in await shop.rebuilt())


async def test_a_late_success_is_found_without_its_webhook(shop: Shop) -> None:
    """Closing the intent meets "processing" first, is repeated and then finds the money."""
    await waiting_for_payment(shop)
    intent = await shop.pay(ORDER_ID, LATE_CAPTURE)
    await cancel(shop)
    await shop.work()
    assert "LatePaymentReceived" not in await shop.event_types(ORDER_ID)
    await shop.until_provider_says(intent["id"], "succeeded")
    shop.clock.advance(timedelta(minutes=1))
    await shop.work()
    assert await shop.statuses(ORDER_ID) == ("CANCELLED", "REFUNDED", "UNFULFILLED")


async def test_a_cancelled_order_never_gets_a_payable_intent(shop: Shop) -> None:
    await shop.place(CHECKOUT, CART_ID)
    await shop.secure_stock(ORDER_ID, CHECKOUT, work=False)
    await cancel(shop)
    await shop.work()
    found = await shop.provider.get("/v1/payment_intents", params={"reference": str(INTENT)})
    assert found.json()["data"] == []
    assert await shop.statuses(ORDER_ID) == ("CANCELLED", "VOIDED", "UNFULFILLED")
    refused = await shop.call("GET", f"/orders/{ORDER_ID}/payment")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:orderflow:problem:order_cancelled")


async def test_a_cancel_while_the_intent_is_made_leaves_nothing_to_pay(shop: Shop) -> None:
    await shop.place(CHECKOUT, CART_ID)
    await shop.secure_stock(ORDER_ID, CHECKOUT, work=False)
    await shop.worker_with(SlowToCreate(shop.calls, lambda: cancel(shop))).run_due()
    (intent,) = (await shop.provider.get("/v1/payment_intents", params={"reference": str(INTENT)})).json()[
        "data"
    ]
    assert intent["status"] == "canceled"
    assert await shop.statuses(ORDER_ID) == ("CANCELLED", "VOIDED", "UNFULFILLED")


async def test_a_payment_while_the_intent_is_made_stays(shop: Shop) -> None:
    """The provider's answer says unpaid, and is older than the payment."""
    await shop.place(CHECKOUT, CART_ID)
    await shop.secure_stock(ORDER_ID, CHECKOUT, work=False)

    async def paid() -> None:
        await shop.pay(ORDER_ID)
        await shop.forward(1)

    await shop.worker_with(SlowToCreate(shop.calls, paid)).run_due()
    (intent,) = (await shop.provider.get("/v1/payment_intents", params={"reference": str(INTENT)})).json()[
        "data"
    ]
    assert intent["status"] == "requires_capture"
    assert await shop.statuses(ORDER_ID) == ("CONFIRMED", "AUTHORIZED", "UNFULFILLED")


async def test_a_capture_whose_answer_was_lost_is_not_made_twice(shop: Shop) -> None:
    await shipped(shop, "4242424242424242")
    (wanted,) = await shop.events(ORDER_ID, CaptureRequested)
    intent = (await shop.call("GET", f"/orders/{ORDER_ID}/payment")).json()["provider_ref"]
    made = await shop.provider.post(
        f"/v1/payment_intents/{intent}/capture",
        json={"amount": wanted.amount, "reference": str(wanted.capture_id)},
    )
    shop.clock.advance(timedelta(days=2))
    await shop.work()
    (captured,) = await shop.events(ORDER_ID, PaymentCaptured)
    assert captured.provider_ref == made.json()["id"]
    assert await shop.ledger("CAPTURED") == [("CAPTURED", TOTAL)]


async def test_a_retry_looks_for_what_its_first_try_did(shop: Shop) -> None:
    await shipped(shop, "4242424242424242")
    provider = AnswersLost(shop.calls)
    worker = shop.worker_with(provider)
    await worker.run_due()
    shop.clock.advance(timedelta(minutes=1))
    await worker.run_due()
    await shop.hear(f"refundgrant-{REFUND}", granted(100))
    await worker.run_due()
    shop.clock.advance(timedelta(minutes=1))
    await worker.run_due()
    assert provider.asked == ["capture", "refund"]
    assert await refund_status(shop) == ("ISSUED", 1)
    assert await shop.ledger("CAPTURED", "REFUNDED") == [("CAPTURED", TOTAL), ("REFUNDED", 100)]


async def test_a_policy_that_takes_the_money_at_once(make_database: MakeDatabase, tmp_path: Path) -> None:
    database = await make_database(SERVICE.migrations, "orders")
    with open_letterbox() as letterbox:
        async with open_shop(database, letterbox, tmp_path, capture="NOW") as shop:
            await waiting_for_payment(shop)
            await shop.pay(ORDER_ID)
            await shop.forward(1)
            assert await shop.statuses(ORDER_ID) == ("CONFIRMED", "PAID", "UNFULFILLED")
            await cancel(shop)
            await shop.work()
            assert await shop.statuses(ORDER_ID) == ("CANCELLED", "REFUNDED", "UNFULFILLED")
            assert await shop.ledger("CAPTURED", "REFUNDED") == [("CAPTURED", TOTAL), ("REFUNDED", TOTAL)]


async def test_a_cancel_after_the_authorization_lets_the_money_go(shop: Shop) -> None:
    await waiting_for_payment(shop)
    await shop.pay(ORDER_ID)
    await shop.forward(1)
    await cancel(shop)
    await shop.work()
    assert await shop.ledger() == [("AUTHORIZED", TOTAL), ("VOIDED", TOTAL)]
    assert await shop.statuses(ORDER_ID) == ("CANCELLED", "VOIDED", "UNFULFILLED")
    await shop.forward(1)
    assert await shop.statuses(ORDER_ID) == ("CANCELLED", "VOIDED", "UNFULFILLED")


async def test_a_capture_is_repeated_until_the_bank_answers(shop: Shop) -> None:
    await shipped(shop, CAPTURES_STUMBLE)
    for _ in range(3):
        await shop.work()
        shop.clock.advance(timedelta(minutes=1))
    assert await shop.ledger() == [("AUTHORIZED", TOTAL), ("CAPTURED", TOTAL)]
    assert (await shop.statuses(ORDER_ID))[1] == "PAID"


async def test_a_capture_refused_for_good_asks_the_buyer_again(shop: Shop) -> None:
    await shipped(shop, CAPTURES_REFUSED)
    await shop.work()
    assert (await shop.event_types(ORDER_ID))[-3:] == ["CaptureFailed", "PaymentRequested", "PaymentVoided"]
    await shop.pay(ORDER_ID)
    await shop.forward(1)
    await shop.work()
    assert (await shop.statuses(ORDER_ID))[1] == "PAID"
    assert await shop.ledger("CAPTURED") == [("CAPTURED", TOTAL)]


async def test_a_grant_that_comes_before_its_order_waits_for_it(shop: Shop) -> None:
    await shop.hear(f"refundgrant-{REFUND}", granted(100))
    await shop.work()
    await shipped(shop, "4242424242424242")
    await shop.work()
    shop.clock.advance(timedelta(minutes=5))
    await shop.work()
    assert await refund_status(shop) == ("ISSUED", 1)
    assert await shop.ledger("REFUNDED") == [("REFUNDED", 100)]
    (entry,) = (await shop.provider.get("/v1/ledger", params={"after": 2})).json()["data"]
    assert entry["operation_reference"] == str(REFUND)


async def test_more_than_was_captured_is_never_paid_back(shop: Shop) -> None:
    await shipped(shop, "4242424242424242")
    await shop.work()
    await shop.hear(f"refundgrant-{REFUND}", granted(TOTAL + 1))
    await shop.work()
    assert await refund_status(shop) == ("FAILED", 1)
    assert await shop.ledger("REFUNDED") == []
    again = await shop.call("POST", f"/orders/{ORDER_ID}/refunds/{REFUND}/retry")
    assert (again.status_code, again.json()["type"]) == (409, "urn:orderflow:problem:refund_settled")


async def test_a_refund_is_repeated_until_the_bank_answers(shop: Shop) -> None:
    await shipped(shop, REFUNDS_STUMBLE)
    await shop.work()
    await shop.hear(f"refundgrant-{REFUND}", granted(100))
    for _ in range(3):
        await shop.work()
        shop.clock.advance(timedelta(minutes=1))
    assert await refund_status(shop) == ("ISSUED", 1)
    assert await shop.ledger("REFUNDED") == [("REFUNDED", 100)]


async def test_a_refused_refund_is_tried_daily_and_then_given_up(shop: Shop) -> None:
    await shipped(shop, REFUNDS_REFUSED)
    await shop.work()
    await shop.hear(f"refundgrant-{REFUND}", granted(100))
    await shop.work()
    assert await refund_status(shop) == ("FAILED", 1)
    by_hand = await shop.call("POST", f"/orders/{ORDER_ID}/refunds/{REFUND}/retry")
    assert by_hand.json() == {"refund_id": str(REFUND), "status": "REQUESTED"}
    await shop.work()
    assert await refund_status(shop) == ("FAILED", 2)
    for _ in range(5):
        shop.clock.advance(timedelta(days=1, seconds=1))
        await shop.work()
    assert await refund_status(shop) == ("FAILED", 5)
    assert (await shop.event_types(ORDER_ID)).count("RefundRequested") == 5


async def test_a_webhook_counts_once(shop: Shop) -> None:
    await waiting_for_payment(shop)
    await shop.pay(ORDER_ID, "4000000000000507")
    assert await shop.forward(2) == [204, 204]
    assert (await shop.event_types(ORDER_ID)).count("PaymentAuthorized") == 1
    assert await shop.webhooks_kept() == (1, 0)


async def test_a_decline_that_comes_after_the_second_attempt(shop: Shop) -> None:
    await waiting_for_payment(shop)
    await shop.pay(ORDER_ID, "4000000000000606")
    await shop.pay(ORDER_ID)
    await shop.forward(2)
    assert await shop.statuses(ORDER_ID) == ("CONFIRMED", "AUTHORIZED", "UNFULFILLED")


def notice(**about: object) -> bytes:
    """A webhook as the provider would send it."""
    return json.dumps(
        {
            "id": "evt_1",
            "type": "payment_intent.authorized",
            "created": "2026-01-01T00:00:00+00:00",
            "sequence": 1,
            "intent": "pi_1",
            "reference": str(about["intent_id"]),
            "amount": TOTAL,
            "currency": "GBP",
            "provider_ref": "pi_1",
            "capture_reference": None,
            "method_label": "Visa ending in 4242",
            "risk": "NORMAL",
            "multicapture": True,
            "expires_at": "2099-01-01T00:00:00+00:00",
            "decline_code": None,
            "metadata": {"order_id": str(about["order_id"])},
        }
    ).encode()


async def deliver(shop: Shop, body: bytes, secret: str = SECRET, age: int = 0) -> int:
    at = int(shop.clock().timestamp()) - age
    return await shop.deliver({"Provider-Signature": signature(secret, body, at)}, body)


async def test_only_what_the_provider_signed_lately_is_kept(shop: Shop) -> None:
    body = notice(intent_id=INTENT, order_id=ORDER_ID)
    for secret, age in (("wrong", 0), (SECRET, 301), (SECRET, -302)):
        assert await deliver(shop, body, secret, age) == 400
    for header in ("", "t=,v1=", "v1=abc", "t=1", "t=9" * 50, "t=²,v1=é", "nonsense"):
        answer = await shop.http.post(
            "/webhooks/payments", content=body, headers={b"Provider-Signature": header.encode()}
        )
        assert (answer.status_code, answer.json()["type"]) == (400, "urn:orderflow:problem:invalid_signature")
    assert await shop.webhooks_kept() == (0, 0)
    for secret, age in (("old-secret", 0), (SECRET, 290)):
        assert await deliver(shop, body, secret, age) == 204
    assert await shop.webhooks_kept() == (1, 0)


async def test_a_signed_webhook_that_is_not_as_agreed_is_refused(shop: Shop) -> None:
    for body in (b"", b"{", b"[]", b"{}", b"\xff"):
        assert await deliver(shop, body) == 422
    assert await deliver(shop, b" " * 70_000) == 413
    assert await shop.webhooks_kept() == (0, 0)


async def test_a_webhook_of_unknown_kind_is_kept_and_passed_over(shop: Shop) -> None:
    body = notice(intent_id=INTENT, order_id=ORDER_ID).replace(b"authorized", b"disputed")
    assert await deliver(shop, body) == 204
    assert await shop.webhooks_kept() == (1, 0)


async def test_a_buyer_captures_nothing(shop: Shop) -> None:
    await waiting_for_payment(shop)
    await shop.pay(ORDER_ID)
    await shop.forward(1)
    buyer = Actor(ActorKind.CUSTOMER, str(CHECKOUT.contact.subject_id))
    path = f"/orders/{ORDER_ID}/captures"
    assert (await shop.call("POST", path, {"amount": 100}, actor=buyer)).status_code == 403
    for amount, status, code in (
        (TOTAL + 1, 409, "exceeds_authorized"),
        (10**30, 409, "exceeds_authorized"),
        (0, 422, "invalid_amount"),
        (-5, 422, "invalid_amount"),
    ):
        answer = await shop.call("POST", path, {"amount": amount})
        assert (answer.status_code, answer.json()["type"]) == (status, f"urn:orderflow:problem:{code}")
    wish = {"amount": 100, "request_id": str(UUID(int=3))}
    assert [(await shop.call("POST", path, wish)).status_code for _ in range(2)] == [201, 201]
    await shop.work()
    assert await shop.ledger("CAPTURED") == [("CAPTURED", 100)]


async def test_a_provider_that_is_away_stops_nothing(shop: Shop) -> None:
    await shop.place(CHECKOUT, CART_ID)
    await shop.stop_provider()
    await shop.secure_stock(ORDER_ID, CHECKOUT)
    away = await shop.call("GET", f"/orders/{ORDER_ID}/payment")
    assert (away.status_code, away.json()["type"]) == (503, "urn:orderflow:problem:provider_unavailable")
    await shop.start_provider()
    shop.clock.advance(timedelta(minutes=1))
    await shop.work()
    await shop.pay(ORDER_ID)
    await shop.forward(1)
    assert (await shop.statuses(ORDER_ID))[0] == "CONFIRMED"


async def test_an_order_that_costs_nothing_needs_no_provider(shop: Shop) -> None:
    free = replace(
        CHECKOUT,
        lines=tuple(replace(line, net=0, gross=0, unit_price=0) for line in CHECKOUT.lines),
        shipping=replace(CHECKOUT.shipping, net=0, gross=0),
        totals=replace(CHECKOUT.totals, items_net=0, shipping_net=0, total=0),
    )
    await shop.place(free, CART_ID)
    await shop.secure_stock(ORDER_ID, free)
    assert await shop.statuses(ORDER_ID) == ("CONFIRMED", "PAID", "UNFULFILLED")
