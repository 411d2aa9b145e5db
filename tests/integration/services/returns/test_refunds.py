"""Goodwill, a second person's word, and what becomes of a refund that orders cannot pay."""

from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from shared.events.orders import RefundCause
from tests.integration.services.returns.desk import Caller, Desk
from tests.integration.services.returns.orders import TOTAL, Order

pytestmark = pytest.mark.integration


async def _goodwill(caller: Caller, order: Order, amount: int, **more: Any) -> Any:
    body = {"order_id": str(order.order_id), "amount": amount, **more}
    return await caller.post("/refunds", body, status=201)


async def test_goodwill_below_the_threshold_is_granted_at_once(desk: Desk) -> None:
    order = await desk.hear(Order().delivered())
    case = str(uuid4())

    refund = await _goodwill(desk.clerk, order, 500, note="Sorry for the delay", refund_case_id=case)
    again = await _goodwill(desk.clerk, order, 500, refund_case_id=case)

    assert (refund["status"], refund["note"], refund["amount"]) == ("APPROVED", "Sorry for the delay", 500)
    assert again == refund
    assert await desk.types("refundgrant") == ["RefundProposed", "RefundApproved"]
    (event, _) = await desk.events("refundgrant")
    assert event.correlation_id == order.order_id
    await desk.hear(order.paid_back(refund, RefundCause.GOODWILL))
    assert (await desk.clerk.get(f"/refunds/{refund['refund_id']}"))["status"] == "ISSUED"
    assert (await desk.clerk.get("/refunds?status=ISSUED"))[0]["paid"] == 500
    other = {"order_id": str(order.order_id), "amount": 400, "refund_case_id": case}
    assert (await desk.clerk.refused("POST", "/refunds", other, status=409))["code"] == "already_proposed"


async def test_above_the_threshold_a_second_person_approves(desk: Desk) -> None:
    order = await desk.hear(Order().delivered())
    limit = [{"amount": 100, "currency": "GBP"}]
    await desk.admin.call("PUT", "/return-policy", {"dual_control_above": limit})

    refund = await _goodwill(desk.clerk, order, 500)
    approve = f"/refunds/{refund['refund_id']}/approve"

    assert (refund["status"], refund["approvals_needed"]) == ("PROPOSED", 2)
    assert (await desk.clerk.refused("POST", approve, status=409))["code"] == "same_approver"
    stale = await desk.colleague.refused("POST", approve, status=412, If_Match='"7"')
    assert stale["code"] == "stale_version"
    granted = await desk.colleague.post(approve, If_Match='"1"')
    assert (granted["status"], len(granted["approved_by"])) == ("APPROVED", 2)
    assert (await desk.colleague.post(approve))["version"] == 2


async def test_a_return_above_the_threshold_waits_for_two_people(desk: Desk) -> None:
    order = await desk.hear(Order().delivered())
    await desk.admin.call("PUT", "/return-policy", {"dual_control_above": [], "auto_refund": False})
    asked = await desk.ask(order, 2)
    await desk.receive(asked, 2)
    refund = await desk.refund_of(asked)
    approve = f"/refunds/{refund['refund_id']}/approve"

    first = await desk.clerk.post(approve)
    again = await desk.clerk.post(approve)
    second = await desk.colleague.post(approve)

    assert [each["status"] for each in (refund, first, again, second)] == [*["PROPOSED"] * 3, "APPROVED"]
    assert await desk.types("refundgrant") == ["RefundProposed", "RefundProposed", "RefundApproved"]
    assert all(result.equal for result in (await desk.rebuilt()).values())


async def test_money_that_was_not_paid_is_not_granted(desk: Desk) -> None:
    order = await desk.hear(Order().delivered())
    unshipped = await desk.hear(Order().placed())

    async def code(of: Order, amount: int, *, status: int = 422) -> str:
        body = {"order_id": str(of.order_id), "amount": amount}
        return str((await desk.clerk.refused("POST", "/refunds", body, status=status))["code"])

    assert await code(order, TOTAL + 1) == "exceeds_refundable"
    assert await code(order, 10**30) == "exceeds_refundable"
    assert await code(unshipped, 1) == "exceeds_refundable"
    assert await code(order, 0) == "invalid_amount"
    assert await code(order, -5) == "invalid_amount"
    assert await code(Order(), 5, status=404) == "unknown_order"
    assert await desk.types("refundgrant") == []
    await _goodwill(desk.clerk, order, TOTAL)
    assert await code(order, 1) == "exceeds_refundable"
    customer = desk.customer_of(order)
    assert (await customer.refused("POST", "/refunds", {}, status=403))["code"] == "forbidden"
    assert (await desk.clerk.refused("GET", f"/refunds/{uuid4()}", status=404))["code"] == "unknown_refund"
    unknown = await desk.clerk.refused("POST", f"/refunds/{uuid4()}/approve", status=404)
    assert unknown["code"] == "unknown_refund"


async def test_a_refund_that_orders_gave_up_is_with_finance_until_it_is_paid(desk: Desk) -> None:
    order = await desk.hear(Order().delivered())
    asked = await desk.ask(order, 2)
    await desk.receive(asked, 2)
    refund = await desk.refund_of(asked)
    here = f"/refunds/{refund['refund_id']}"

    await desk.hear(order.refund_failed(refund, retryable=True))
    assert (await desk.clerk.get(here))["status"] == "APPROVED"
    await desk.hear(order.refund_failed(refund, retryable=False))
    failed = await desk.clerk.get(here)
    assert (failed["status"], failed["failure"]) == ("FAILED", "PROVIDER_REFUSED")
    assert (await desk.clerk.get("/refunds?status=FAILED"))[0]["refund_id"] == refund["refund_id"]

    await desk.hear(order.paid_back(refund))
    await desk.work()
    assert (await desk.clerk.get(here))["status"] == "ISSUED"
    assert (await desk.clerk.get(f"/returns/{asked['return_id']}"))["status"] == "CLOSED"
    assert all(result.equal for result in (await desk.rebuilt()).values())


async def test_refunds_of_orders_own_are_not_in_the_queue(desk: Desk) -> None:
    order = await desk.hear(Order().delivered())
    stranger = {
        "refund_id": str(uuid4()),
        "amount": 7,
        "source_id": str(order.order_id),
        "breakdown": {"items_net": 7, "items_tax": 0, "shipping_net": 0, "shipping_tax": 0, "total": 7},
    }

    await desk.hear(order.paid_back(stranger, RefundCause.CANCEL).refund_failed(stranger, retryable=False))

    assert await desk.clerk.get("/refunds") == []


async def test_gauges_show_the_queue_and_no_broken_law(desk: Desk) -> None:
    order = await desk.hear(Order().delivered())
    await _goodwill(desk.clerk, order, 500)
    await desk.ask(order, 1)

    async with desk.store.pool.acquire() as connection:
        for sample in desk.wired.samples:
            await sample(connection)

    assert REGISTRY.get_sample_value("orderflow_refunds", {"status": "APPROVED"}) == 1
    assert REGISTRY.get_sample_value("orderflow_returns", {"status": "OPEN"}) == 1
    for law in ("L6", "L7", "L11"):
        labels = {"service": "returns", "law": law}
        assert REGISTRY.get_sample_value("orderflow_conservation_violations", labels) == 0
    labels = {"service": "returns", "state": "REFUND_PROPOSED"}
    assert REGISTRY.get_sample_value("orderflow_overdue", labels) == 0
