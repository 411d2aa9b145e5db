"""Money that fits no order, against the real provider: it waits for its order, or it goes back, once."""

from datetime import timedelta
from uuid import UUID

import orjson
import pytest
from prometheus_client import REGISTRY

from services.orders.commands import Commands
from services.orders.domain import OrderPolicy
from services.orders.orphan_effects import OrphanCalls
from services.orders.psp import ProviderIntent
from services.orders.sandbox_provider import SandboxProvider
from shared.domain import ids
from shared.events.envelope import Actor, ActorKind
from shared.events.orders import DeclineCode, PaymentDeclined
from shared.events.orphan_payments import OrphanPaymentMatched, OrphanPaymentReceived
from shared.store.worker import Duties, Unavailable, Worker
from tests.integration.services.orders.shop import REFUND, Shop
from tests.integration.services.orders.test_payments import CHECKOUT, deliver, waiting_for_payment
from tests.unit.orders.samples import CART_ID, INTENT, ORDER_ID, TOTAL

pytestmark = pytest.mark.integration

DAY = timedelta(days=1, seconds=1)
NOBODYS = "theirs"


async def a_day_later(shop: Shop) -> None:
    shop.clock.advance(DAY)
    await shop.work()


async def types(shop: Shop, orphan_id: str) -> list[str]:
    stream = f"orphanpayment-{orphan_id}"
    return [event.type for event in (await shop.store.load([stream]))[stream]]


async def test_money_for_no_order_goes_back_after_a_day(shop: Shop) -> None:
    await shop.stranger_pays("their-1", NOBODYS, 700, method="automatic")
    await shop.stranger_pays("their-2", NOBODYS, 300)
    assert await shop.forward(2) == [204, 204]
    waiting = {each["kind"]: each for each in await shop.orphans()}
    assert {kind: (each["amount"], each["status"]) for kind, each in waiting.items()} == {
        "CAPTURED": (700, "RECEIVED"),
        "AUTHORIZED": (300, "RECEIVED"),
    }
    assert waiting["CAPTURED"]["claimed_order"] == NOBODYS
    await shop.work()
    assert await shop.ledger("REFUNDED", "VOIDED") == []

    await a_day_later(shop)
    assert await shop.ledger("REFUNDED", "VOIDED") == [("REFUNDED", 700), ("VOIDED", 300)]
    assert {each["status"] for each in await shop.orphans()} == {"REFUNDED"}
    await shop.forward(1)
    await a_day_later(shop)
    assert len(await shop.ledger()) == 5
    assert all(found.equal for found in await shop.rebuilt())


async def test_an_operator_gives_it_back_at_once(shop: Shop) -> None:
    await shop.stranger_pays("their-1", NOBODYS, 700, method="automatic")
    await shop.forward(1)
    (orphan,) = await shop.orphans()
    here = f"/orphan-payments/{orphan['orphan_id']}"
    asked = [await shop.call("POST", f"{here}/refund") for _ in range(2)]
    assert [(each.status_code, each.json()["status"]) for each in asked] == [(200, "REFUNDING")] * 2
    await shop.work()
    assert await shop.ledger("REFUNDED") == [("REFUNDED", 700)]
    settled = await shop.call("POST", f"{here}/refund")
    assert (settled.status_code, settled.json()["type"]) == (409, "urn:orderflow:problem:orphan_settled")
    found = (await shop.call("GET", here)).json()
    assert (found["status"], found["refunded"], found["attempts"]) == ("REFUNDED", 700, 1)


async def test_who_may_see_and_do_what(shop: Shop) -> None:
    buyer = Actor(ActorKind.CUSTOMER, str(UUID(int=2)))
    here = f"/orphan-payments/{REFUND}"
    for method, path in (("GET", "/orphan-payments"), ("GET", here), ("POST", f"{here}/refund")):
        assert (await shop.call(method, path, actor=buyer)).status_code == 403
    for method, path in (("GET", here), ("POST", f"{here}/refund")):
        unknown = await shop.call(method, path)
        code = "urn:orderflow:problem:unknown_orphan_payment"
        assert (unknown.status_code, unknown.json()["type"]) == (404, code)


async def test_the_page_goes_on_where_it_ended(shop: Shop) -> None:
    for n in range(3):
        await shop.stranger_pays(f"their-{n}", NOBODYS, 100 + n)
    await shop.forward(3)
    newest, *older = await shop.orphans()
    after = {"after": newest["orphan_id"], "status": "RECEIVED", "limit": "1"}
    answer = await shop.call("GET", f"/orphan-payments?{'&'.join(f'{k}={v}' for k, v in after.items())}")
    assert answer.json() == older[:1]
    assert (await shop.call("GET", "/orphan-payments?status=FAILED")).json() == []


async def test_its_order_turns_up_in_time_and_has_the_money(shop: Shop) -> None:
    """The provider knows of a payment that orders lost, as after the restore of a backup."""
    await shop.stranger_pays(INTENT, ORDER_ID, TOTAL)
    await shop.forward(1)
    (orphan,) = await shop.orphans()
    await waiting_for_payment(shop)
    assert await shop.statuses(ORDER_ID) == ("CONFIRMED", "AUTHORIZED", "UNFULFILLED")
    assert await types(shop, orphan["orphan_id"]) == ["OrphanPaymentReceived", "OrphanPaymentMatched"]
    await a_day_later(shop)
    assert await shop.ledger() == [("AUTHORIZED", TOTAL)]
    refused = await shop.call("POST", f"/orphan-payments/{orphan['orphan_id']}/refund")
    assert refused.json()["type"] == "urn:orderflow:problem:orphan_settled"
    (found,) = await shop.orphans()
    assert (found["status"], found["order_id"]) == ("MATCHED", str(ORDER_ID))


async def test_money_taken_before_its_order_was_known_pays_it(shop: Shop) -> None:
    await shop.place(CHECKOUT, CART_ID)
    await shop.stranger_pays(INTENT, ORDER_ID, TOTAL)
    intent = (await shop.provider.get("/v1/payment_intents", params={"reference": str(INTENT)})).json()
    await shop.provider.post(f"/v1/payment_intents/{intent['data'][0]['id']}/capture", json={"amount": TOTAL})
    await shop.forward(2)
    assert {each["kind"] for each in await shop.orphans()} == {"AUTHORIZED", "CAPTURED"}
    await shop.secure_stock(ORDER_ID, CHECKOUT)
    assert await shop.statuses(ORDER_ID) == ("CONFIRMED", "PAID", "UNFULFILLED")
    await a_day_later(shop)
    await a_day_later(shop)
    assert await shop.ledger() == [("AUTHORIZED", TOTAL), ("CAPTURED", TOTAL)]
    assert {each["status"] for each in await shop.orphans()} == {"MATCHED", "REFUNDED"}


async def test_money_on_its_way_back_pays_no_order(shop: Shop) -> None:
    """An operator was faster than the order: the buyer is asked anew, and nothing goes back twice."""
    await shop.stranger_pays(INTENT, ORDER_ID, TOTAL)
    await shop.forward(1)
    (orphan,) = await shop.orphans()
    await shop.call("POST", f"/orphan-payments/{orphan['orphan_id']}/refund")
    await shop.place(CHECKOUT, CART_ID)
    await shop.secure_stock(ORDER_ID, CHECKOUT, work=False)
    _, told = shop.letterbox.deliveries[0]
    assert await deliver(shop, orjson.dumps({**orjson.loads(told), "id": "evt_again"})) == 204
    (declined,) = await shop.events(ORDER_ID, PaymentDeclined)
    assert (declined.code, declined.final) == (DeclineCode.ERROR, False)
    await shop.work()
    assert await shop.ledger() == [("AUTHORIZED", TOTAL), ("VOIDED", TOTAL)]
    again = await shop.call("POST", f"/orders/{ORDER_ID}/payment-attempts", {})
    assert again.status_code == 201, again.text
    await shop.work()
    await shop.pay(ORDER_ID)
    await shop.forward(2)
    assert await shop.statuses(ORDER_ID) == ("CONFIRMED", "AUTHORIZED", "UNFULFILLED")
    assert await types(shop, orphan["orphan_id"]) == [
        "OrphanPaymentReceived",
        "OrphanPaymentRefundRequested",
        "OrphanPaymentRefunded",
    ]


async def test_money_that_went_back_pays_no_order(shop: Shop) -> None:
    """Nobody can pay what the provider has closed: the buyer is asked anew at once."""
    await shop.stranger_pays(INTENT, ORDER_ID, TOTAL)
    await shop.forward(1)
    (orphan,) = await shop.orphans()
    await shop.call("POST", f"/orphan-payments/{orphan['orphan_id']}/refund")
    await shop.work()
    await waiting_for_payment(shop)
    (declined,) = await shop.events(ORDER_ID, PaymentDeclined)
    assert declined.code is DeclineCode.ERROR
    assert await shop.ledger() == [("AUTHORIZED", TOTAL), ("VOIDED", TOTAL)]


async def test_what_lapses_by_itself_is_settled(shop: Shop) -> None:
    theirs = await shop.stranger_pays("their-1", NOBODYS, 300)
    await shop.forward(1)
    await shop.provider.post(f"/v1/payment_intents/{theirs}/cancel")
    await shop.forward(1)
    (orphan,) = await shop.orphans()
    assert (orphan["status"], orphan["refunded"]) == ("REFUNDED", 300)
    await a_day_later(shop)
    assert await types(shop, orphan["orphan_id"]) == ["OrphanPaymentReceived", "OrphanPaymentRefunded"]


async def test_only_what_is_left_is_let_go(shop: Shop) -> None:
    theirs = await shop.stranger_pays("their-1", NOBODYS, 300)
    await shop.provider.post(f"/v1/payment_intents/{theirs}/capture", json={"amount": 100})
    await shop.forward(2)
    await a_day_later(shop)
    assert sorted(await shop.ledger()) == [
        ("AUTHORIZED", 300),
        ("CAPTURED", 100),
        ("REFUNDED", 100),
        ("VOIDED", 200),
    ]
    assert {each["kind"]: each["refunded"] for each in await shop.orphans()} == {
        "AUTHORIZED": 200,
        "CAPTURED": 100,
    }


async def test_a_refused_refund_is_tried_daily_and_then_a_persons(shop: Shop) -> None:
    theirs = await shop.stranger_pays("their-1", NOBODYS, 700, method="automatic")
    await shop.forward(1)
    refund = {"payment_intent": theirs, "amount": 700, "reference": "by hand"}
    assert (await shop.provider.post("/v1/refunds", json=refund)).status_code == 200
    for _ in range(7):
        await a_day_later(shop)
    (orphan,) = await shop.orphans()
    assert (orphan["status"], orphan["attempts"]) == ("FAILED", 5)
    assert orphan["last_failure"] == "PROVIDER_REFUSED"
    again = await shop.call("POST", f"/orphan-payments/{orphan['orphan_id']}/refund")
    assert again.json()["attempts"] == 6
    async with shop.store.pool.acquire() as connection:
        for sample in shop.samples:
            await sample(connection)
    assert REGISTRY.get_sample_value("orderflow_orphan_payments", {"status": "REFUNDING"}) == 1


class AnswerLost(SandboxProvider):
    """The provider over a bad line: it gives the money back, but nobody hears that it did."""

    async def refund(self, intent: ProviderIntent, refund_id: UUID, amount: int, key: str) -> str:
        await super().refund(intent, refund_id, amount, key)
        raise Unavailable("the answer was lost")


async def test_a_refund_whose_answer_was_lost_is_not_made_twice(shop: Shop) -> None:
    await shop.stranger_pays("their-1", NOBODYS, 700, method="automatic")
    await shop.forward(1)
    shop.clock.advance(DAY)
    calls = OrphanCalls(
        shop.store, Commands(OrderPolicy()).orphan, AnswerLost(shop.calls, shop.calls.base_url)
    )
    bad_line = Duties(
        execute=shop.duties.execute, effects=calls.effects(), on_deadline=shop.duties.on_deadline
    )
    await Worker(shop.store, bad_line).run_due()
    (orphan,) = await shop.orphans()
    assert orphan["status"] == "REFUNDING"
    shop.clock.advance(timedelta(minutes=1))
    await shop.work()
    assert await shop.ledger("REFUNDED") == [("REFUNDED", 700)]
    assert (await shop.orphans())[0]["status"] == "REFUNDED"


async def test_an_unknown_payment_is_no_money(shop: Shop) -> None:
    """A decline, or an end, of something that nobody ever paid."""
    wish = {"amount": 5, "currency": "GBP", "reference": "their-1", "metadata": {"order_id": NOBODYS}}
    made = (await shop.provider.post("/v1/payment_intents", json=wish)).json()
    await shop.provider.post(f"/v1/payment_intents/{made['id']}/cancel")
    assert await shop.forward(1) == [204]
    assert await shop.orphans() == []
    assert await shop.webhooks_kept() == (1, 0)


async def test_the_events_say_whose_it_was(shop: Shop) -> None:
    await shop.stranger_pays(INTENT, ORDER_ID, TOTAL)
    await shop.forward(1)
    (orphan,) = await shop.orphans()
    await waiting_for_payment(shop)
    stream = f"orphanpayment-{orphan['orphan_id']}"
    received, matched = [event.data for event in (await shop.store.load([stream]))[stream]]
    assert isinstance(received, OrphanPaymentReceived)
    assert received.claimed_order == str(ORDER_ID)
    assert orphan["orphan_id"] == str(ids.orphan_payment_id("sandbox", received.provider_ref))
    assert matched == OrphanPaymentMatched(kind=received.kind, amount=TOTAL, order_id=ORDER_ID)
