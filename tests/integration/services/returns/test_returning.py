"""A return's whole way: asked for, received, refunded by orders, closed; and everything that refuses it."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from shared.domain.ids import MAIN_LOCATION
from shared.events.envelope import ActorKind
from tests.conftest import Database
from tests.integration.services.returns.desk import Desk, open_desk
from tests.integration.services.returns.orders import Order

pytestmark = pytest.mark.integration


async def test_a_return_ends_when_its_refund_is_paid(desk: Desk) -> None:
    order = await desk.hear(Order().delivered())
    customer = desk.customer_of(order)

    form = await customer.get(f"/orders/{order.order_id}/returnable")
    assert [(line["sku"], line["title"], line["returnable_quantity"]) for line in form["lines"]] == [
        ("MUG", "Mug", 3),
        ("LAMP", "Lamp", 1),
    ]
    assert form["lines"][1]["excluded_reason"] == "FINAL_SALE"

    asked = await desk.ask(order, 2, note="One is too many")
    assert (asked["status"], asked["version"], asked["origin"]) == ("OPEN", 2, "CUSTOMER")
    assert asked["lines"][0]["note"] == "One is too many"
    here = f"/returns/{asked['return_id']}"
    assert await customer.get(here) == asked
    form = await customer.get(f"/orders/{order.order_id}/returnable")
    assert form["lines"][0]["returnable_quantity"] == 1

    received = await desk.receive(asked, 2)
    assert received["receipts"][0]["lines"][0]["sku"] == "MUG"
    assert received["promised_by"] is not None
    refund = await desk.refund_of(asked)
    assert (refund["status"], refund["amount"], refund["approved_by"]) == ("APPROVED", 666, [])

    await desk.hear(order.paid_back(refund))
    await desk.work()

    done = await customer.get(here)
    assert (done["status"], done["outcome"], done["refund_status"]) == ("CLOSED", "COMPLETED", "ISSUED")
    assert await desk.types("return", "refundgrant") == [
        "ReturnRequested",
        "ReturnApproved",
        "ReturnReceived",
        "RefundProposed",
        "RefundApproved",
        "ReturnClosed",
    ]
    events = await desk.events("return", "refundgrant", "returnable")
    assert {event.correlation_id for event in events} == {order.order_id}
    assert all(result.equal for result in (await desk.rebuilt()).values())


async def test_the_same_events_again_change_nothing(desk: Desk) -> None:
    order = await desk.hear(Order().delivered())
    before = await desk.types("returnable")

    await desk.hear(order)

    assert await desk.types("returnable") == before


async def test_a_return_of_two_parcels_waits_for_both_refunds(desk: Desk) -> None:
    order = await desk.hear(Order().delivered())
    asked = await desk.ask(order, 3)
    here = f"/returns/{asked['return_id']}"

    await desk.receive(asked, 1)
    first = await desk.refund_of(asked)
    await desk.receive(asked, 2, "PROCESSING_REQUIRED")
    await desk.hear(order.paid_back(first))
    await desk.work()
    inspected = (await desk.clerk.get(here))["receipts"][-1]["receipt_id"]
    await desk.receive(asked, 2, "NOT_RESTOCKED", resolves=inspected)
    assert (await desk.clerk.get(here))["status"] == "OPEN"

    (second,) = [
        refund
        for refund in await desk.clerk.get(f"/refunds?source_id={asked['return_id']}")
        if refund["refund_id"] != first["refund_id"]
    ]
    await desk.hear(order.paid_back(second))
    await desk.work()

    assert (await desk.clerk.get(here))["status"] == "CLOSED"
    assert first["amount"] + second["amount"] == 1000
    assert all(result.equal for result in (await desk.rebuilt()).values())


async def test_a_return_with_nothing_to_refund_closes_by_itself(desk: Desk) -> None:
    order = await desk.hear(Order().delivered())
    asked = await desk.ask(order, 1)

    await desk.receive(asked, 1, "MISSING")

    assert (await desk.clerk.get(f"/returns/{asked['return_id']}"))["status"] == "CLOSED"
    assert await desk.types("refundgrant") == []
    assert (await desk.ask(order, 3))["status"] == "OPEN"


async def test_the_same_scan_counts_once(desk: Desk) -> None:
    order = await desk.hear(Order().delivered())
    asked = await desk.ask(order, 2)
    scan = {"scan_id": str(uuid4())}

    await desk.receive(asked, 1, **scan)
    again = await desk.receive(asked, 1, **scan)

    assert len(again["receipts"]) == 1
    (received,) = [event for event in await desk.events("return") if event.type == "ReturnReceived"]
    assert received.data.location_id == MAIN_LOCATION
    assert (await desk.refund_of(asked))["amount"] == 333


async def test_staff_declines_what_a_merchants_fault_excused(desk: Desk) -> None:
    order = await desk.hear(Order().delivered())
    asked = await desk.ask(order, 1, line_id=str(order.lamp), reason="DEFECTIVE")
    assert asked["status"] == "REQUESTED"
    here = f"/returns/{asked['return_id']}"

    declined = await desk.clerk.post(f"{here}/decline", {"reason": "FINAL_SALE", "note": "It works"})

    assert (declined["status"], declined["decline_note"]) == ("DECLINED", "It works")
    assert (await desk.clerk.post(f"{here}/decline", {"reason": "OTHER"}))["decline_reason"] == "FINAL_SALE"
    assert (await desk.clerk.refused("POST", f"{here}/approve", status=409))["code"] == "not_requested"
    assert (await desk.clerk.refused("POST", f"{here}/cancel", status=409))["code"] == "not_requested"


async def test_without_auto_approval_staff_approves(database: Database) -> None:
    async with open_desk(database, auto_approve_returns=False) as desk:
        order = await desk.hear(Order().delivered())
        asked = await desk.ask(order, 1)
        assert asked["status"] == "REQUESTED"

        approved = await desk.clerk.post(f"/returns/{asked['return_id']}/approve")

        assert (approved["status"], approved["approved"][0]["quantity"]) == ("OPEN", 1)
        again = await desk.clerk.call("POST", f"/returns/{asked['return_id']}/approve")
        assert again.headers["etag"] == '"2"'


async def test_silence_approves_and_the_end_of_waiting_closes(database: Database) -> None:
    async with open_desk(database, auto_approve_returns=False) as desk:
        order = await desk.hear(Order().delivered())
        kept = await desk.ask(order, 1)
        asked = await desk.ask(order, 2)
        await desk.clerk.post(f"/returns/{kept['return_id']}/cancel")
        here = f"/returns/{asked['return_id']}"

        desk.clock.advance(timedelta(days=10, minutes=1))
        await desk.work()
        assert (await desk.clerk.get(here))["status"] == "OPEN"

        desk.clock.advance(timedelta(days=30, minutes=1))
        await desk.work()
        assert (await desk.clerk.get(here))["outcome"] == "EXPIRED"
        assert (await desk.clerk.get(f"/returns/{kept['return_id']}"))["outcome"] == "CANCELED"
        assert await desk.store.pool.fetchval("SELECT count(*) FROM todo") == 0


async def test_a_customer_cancels_before_anything_came(desk: Desk) -> None:
    order = await desk.hear(Order().delivered())
    customer = desk.customer_of(order)
    first, second = await desk.ask(order, 1), await desk.ask(order, 1)

    cancelled = await customer.post(f"/returns/{first['return_id']}/cancel")
    await desk.receive(second, 1)

    assert cancelled["outcome"] == "CANCELED"
    refusal = await customer.refused("POST", f"/returns/{second['return_id']}/cancel", status=409)
    assert refusal["code"] == "already_received"
    assert [row["return_id"] for row in await customer.get(f"/returns?order_id={order.order_id}")] == sorted(
        [first["return_id"], second["return_id"]]
    )
    assert len(await desk.clerk.get("/returns?status=OPEN&limit=5")) == 1


async def test_what_cannot_come_back_is_refused_without_an_event(desk: Desk) -> None:
    late = await desk.hear(Order().delivered(days_ago=31))
    under_way = await desk.hear(Order().placed().shipped())
    cancelled = await desk.hear(Order().placed().cancelled())
    here = await desk.hear(Order().delivered())
    before = await desk.types("return", "returnable")

    async def code(order: Order, quantity: int = 1, *, status: int = 409, **line: str) -> str:
        wanted = {"line_id": str(order.mugs), "quantity": quantity, "reason": "UNWANTED", **line}
        body = {"order_id": str(order.order_id), "lines": [wanted]}
        refusal = await desk.customer_of(order).refused("POST", "/returns", body, status=status)
        return str(refusal["code"])

    assert await code(late) == "period_ended"
    assert await code(under_way) == "not_delivered"
    assert await code(cancelled) == "not_delivered"
    assert await code(Order(), status=404) == "unknown_order"
    assert await code(here, 4) == "exceeds_returnable"
    assert await code(here, 10**30) == "exceeds_returnable"
    assert await code(here, line_id=str(uuid4())) == "exceeds_returnable"
    assert await code(here, 0, status=422) == "invalid_quantity"
    assert await code(here, -1, status=422) == "invalid_quantity"
    assert await code(here, line_id=str(here.lamp)) == "excluded"
    assert await code(here, status=422, reason="BORED") == "invalid_request"
    assert await desk.types("return", "returnable") == before


async def test_two_returns_of_the_same_units_at_once(desk: Desk) -> None:
    order = await desk.hear(Order().delivered())
    wanted = {"line_id": str(order.mugs), "quantity": 2, "reason": "STYLE"}
    body = {"order_id": str(order.order_id), "lines": [wanted]}
    customer = desk.customer_of(order)

    answers = await asyncio.gather(
        *(
            desk.http.post("/returns", json=body, headers={"Authorization": f"Bearer {customer.token}"})
            for _ in range(3)
        )
    )

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    assert (await desk.types("return")).count("ReturnRequested") == 1


async def test_more_than_was_approved_is_not_received(desk: Desk) -> None:
    order = await desk.hear(Order().delivered())
    asked = await desk.ask(order, 1)
    path = f"/returns/{asked['return_id']}/receipts"

    async def code(quantity: int, line_id: str, *, status: int = 409) -> str:
        lines = [{"line_id": line_id, "quantity": quantity, "disposition": "RESTOCKED"}]
        return str((await desk.clerk.refused("POST", path, {"lines": lines}, status=status))["code"])

    assert await code(2, str(order.mugs)) == "exceeds_approved"
    assert await code(1, str(order.lamp)) == "exceeds_approved"
    assert await code(0, str(order.mugs), status=422) == "invalid_quantity"
    assert (await desk.clerk.get(f"/returns/{asked['return_id']}"))["receipts"] == []


async def test_others_orders_and_returns_do_not_exist(desk: Desk) -> None:
    order = await desk.hear(Order().delivered())
    asked = await desk.ask(order, 1)
    other = desk.caller(ActorKind.CUSTOMER, str(uuid4()))
    line = {"line_id": str(order.mugs), "quantity": 1, "reason": "STYLE"}

    for method, path, body in (
        ("GET", f"/orders/{order.order_id}/returnable", None),
        ("GET", f"/returns?order_id={order.order_id}", None),
        ("POST", "/returns", {"order_id": str(order.order_id), "lines": [line]}),
    ):
        assert (await other.refused(method, path, body, status=404))["code"] == "unknown_order"
    for method, path in (
        ("GET", f"/returns/{asked['return_id']}"),
        ("POST", f"/returns/{asked['return_id']}/cancel"),
        ("GET", f"/returns/{uuid4()}"),
    ):
        assert (await other.refused(method, path, status=404))["code"] == "unknown_return"
    assert (await other.refused("GET", "/returns", status=403))["code"] == "forbidden"
    assert (await desk.stranger.refused("GET", "/returns", status=401))["code"] == "unauthenticated"
    approve = f"/returns/{asked['return_id']}/approve"
    assert (await other.refused("POST", approve, status=403))["code"] == "forbidden"
    unknown = await desk.clerk.refused("POST", f"/returns/{uuid4()}/approve", status=404)
    assert unknown["code"] == "unknown_return"


async def test_a_guest_owns_what_carries_their_subject(desk: Desk) -> None:
    order = await desk.hear(Order(customer_id=None).delivered())

    assert (await desk.ask(order, 1))["status"] == "OPEN"


async def test_a_stale_version_and_a_reused_key(desk: Desk) -> None:
    order = await desk.hear(Order().delivered())
    customer = desk.customer_of(order)
    wanted = {"line_id": str(order.mugs), "quantity": 1, "reason": "STYLE"}
    body = {"order_id": str(order.order_id), "lines": [wanted]}

    first = await customer.post("/returns", body, status=201, Idempotency_Key="one")
    again = await customer.call("POST", "/returns", body, status=201, Idempotency_Key="one")
    assert again.json() == first
    assert again.headers["idempotent-replayed"] == "true"
    other = {**body, "lines": [{**wanted, "quantity": 2}]}
    reused = await customer.refused("POST", "/returns", other, status=422, Idempotency_Key="one")
    assert reused["code"] == "idempotency_key_reused"

    cancel = f"/returns/{first['return_id']}/cancel"
    stale = await customer.refused("POST", cancel, status=412, If_Match='"1"')
    assert (stale["code"], stale["version"]) == ("stale_version", 2)
    await customer.post(cancel, If_Match='"2"')
