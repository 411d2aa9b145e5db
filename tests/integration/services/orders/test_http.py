"""Orders over HTTP: who sees what, and every bad input as a problem of its own with no event."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
import pytest
from prometheus_client import REGISTRY

from shared.domain import ids
from shared.events.common import Contact
from shared.events.envelope import Actor, ActorKind
from shared.events.inventory import RejectionCode, StockReservationRejected
from tests.integration.services.orders.shop import Shop
from tests.unit.orders.samples import (
    CART_ID,
    FULFILLMENT,
    MUGS,
    ORDER_ID,
    OTHER_ID,
    PARCEL_1,
    PLACED,
    PLATES,
    TOTAL,
    checkout,
)

pytestmark = pytest.mark.integration

SUBJECT = UUID(int=2)
BUYER = Actor(ActorKind.CUSTOMER, str(SUBJECT))
STRANGER = Actor(ActorKind.CUSTOMER, str(UUID(int=3)))
ORDER = f"/orders/{ORDER_ID}"
ADDRESS = {"line1": "1 Quay", "city": "Hull", "postal_code": "HU1 1AA", "country": "GB"}
PARCEL: dict[str, Any] = {
    "fulfillment_id": str(FULFILLMENT),
    "parcel_no": 1,
    "lines": [{"line_id": str(MUGS), "quantity": 1}],
    "carrier": "DHL",
    "tracking_number": "JD01",
    "tracking_url": "https://dhl.example/JD01",
}


def sealed_checkout(shop: Shop) -> Any:
    """A checkout whose personal data can be opened."""
    seal = shop.vault.seal
    contact = Contact(
        subject_id=SUBJECT,
        name=seal(SUBJECT, "name", "Ada"),
        email=seal(SUBJECT, "email", "ada@example.org"),
    )
    address = seal(SUBJECT, "address", orjson.dumps(ADDRESS).decode())
    destination = replace(PLACED.destination, address=address)
    return replace(checkout(PLACED), contact=contact, destination=destination)


async def in_processing(shop: Shop) -> None:
    sold = sealed_checkout(shop)
    await shop.place(sold, CART_ID)
    await shop.secure_stock(ORDER_ID, sold)
    await shop.pay(ORDER_ID)
    await shop.forward(1)
    started = await shop.call("POST", f"{ORDER}/processing")
    assert started.status_code == 200, started.text


async def refused(shop: Shop, status: int, code: str, method: str, path: str, body: Any = None) -> Any:
    """The call is this problem, and changes nothing."""
    before = await shop.event_types(ORDER_ID)
    answer = await shop.call(method, path, body)
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:orderflow:problem:{code}")
    assert answer.headers["content-type"] == "application/problem+json"
    assert await shop.event_types(ORDER_ID) == before
    return answer.json()


async def test_a_buyer_sees_their_own_order_only(shop: Shop) -> None:
    await in_processing(shop)
    page = await shop.get(ORDER_ID, BUYER)
    assert page["contact"] == {"name": "Ada", "email": "ada@example.org", "phone": None}
    assert page["destination"] == ADDRESS
    assert [(line["sku"], line["quantity"], line["shipped"]) for line in page["lines"]] == [
        ("MUG", 3, 0),
        ("PLATE", 2, 0),
    ]
    assert page["money"] == {"authorized": TOTAL, "captured": 0, "refunded": 0, "balance": 0}
    assert page["fulfillments"][0]["status"] == "OPEN"

    for path in ("", "/timeline", "/tracking", "/payment"):
        assert (await shop.call("GET", ORDER + path, actor=BUYER)).status_code == 200
        theirs = await shop.call("GET", ORDER + path, actor=STRANGER)
        unknown = await shop.call("GET", f"/orders/{OTHER_ID}{path}", actor=STRANGER)
        assert (theirs.status_code, theirs.json()["type"]) == (404, "urn:orderflow:problem:unknown_order")
        assert unknown.json()["type"] == theirs.json()["type"]
    for path in ("/orders", "/processing-queue", f"{ORDER}/ledger"):
        assert (await shop.call("GET", path, actor=BUYER)).status_code == 403
    for path in ("/cancel", "/payment-attempts", f"/shipments/{PARCEL_1}/delivery"):
        assert (await shop.call("POST", ORDER + path, {}, actor=STRANGER)).status_code == 404
    for path in ("/processing", "/shipments", "/captures"):
        answer = await shop.call("POST", ORDER + path, {**PARCEL, "amount": 1}, actor=BUYER)
        assert answer.status_code == 403


async def test_a_buyer_cancels_until_the_order_is_packed(shop: Shop) -> None:
    await in_processing(shop)
    late = await shop.call("POST", f"{ORDER}/cancel", {"reason": "FRAUD"}, actor=BUYER)
    assert (late.status_code, late.json()["type"]) == (409, "urn:orderflow:problem:already_processing")
    by_staff = await shop.call("POST", f"{ORDER}/cancel", {"reason": "FRAUD", "detail": "stolen card"})
    assert by_staff.json()["order_status"] == "CANCELLED"
    again = await shop.call("POST", f"{ORDER}/cancel", {"reason": "STAFF"})
    assert again.headers["etag"] == by_staff.headers["etag"]
    page = await shop.get(ORDER_ID)
    assert page["cancellation"] == "FRAUD"
    assert page["fulfillments"][0]["status"] == "CANCELLED"
    await refused(shop, 409, "order_cancelled", "POST", f"{ORDER}/shipments", PARCEL)
    await refused(shop, 409, "order_cancelled", "POST", f"{ORDER}/processing")


async def test_a_buyer_gives_no_other_reason_than_their_own(shop: Shop) -> None:
    await shop.place(checkout(PLACED), CART_ID)
    answer = await shop.call("POST", f"{ORDER}/cancel", {"reason": "FRAUD"}, actor=BUYER)
    assert answer.status_code == 200
    assert (await shop.get(ORDER_ID))["cancellation"] == "CUSTOMER"


async def test_parcels_that_cannot_be(shop: Shop) -> None:
    await in_processing(shop)
    path = f"{ORDER}/shipments"

    def of(quantity: object, line_id: object = MUGS) -> dict[str, Any]:
        return {**PARCEL, "lines": [{"line_id": str(line_id), "quantity": quantity}]}

    for quantity in (4, 10**30):
        await refused(shop, 422, "exceeds_ordered", "POST", path, of(quantity))
    for quantity in (0, -1, -(10**30)):
        await refused(shop, 422, "invalid_quantity", "POST", path, of(quantity))
    await refused(shop, 404, "unknown_line", "POST", path, of(1, OTHER_ID))
    await refused(shop, 409, "not_requested", "POST", path, {**PARCEL, "fulfillment_id": str(OTHER_ID)})
    wrong: tuple[dict[str, Any], ...] = (
        {"parcel_no": 0},
        {"lines": []},
        {"tracking_url": "javascript:alert(1)"},
        {"tracking_url": 'https://dhl.example/"><b>'},
        {"carrier": "a\x00b"},
        {"lines": [{"line_id": "x", "quantity": 1}]},
        {"lines": [{"line_id": str(MUGS), "quantity": 1.5}]},
    )
    for members in wrong:
        await refused(shop, 422, "invalid_request", "POST", path, {**PARCEL, **members})
    for day in ("1999-01-01", "9999-12-31"):
        await refused(
            shop, 422, "invalid_estimated_delivery", "POST", path, {**PARCEL, "estimated_delivery": day}
        )
    await refused(shop, 404, "unknown_shipment", "POST", f"{path}/{OTHER_ID}/delivery", {})
    await refused(shop, 404, "unknown_refund", "POST", f"{ORDER}/refunds/{OTHER_ID}/retry")
    await refused(shop, 404, "unknown_order", "POST", f"/orders/{OTHER_ID}/processing")

    assert (await shop.call("POST", path, PARCEL)).status_code == 201
    same = await shop.call("POST", path, PARCEL)
    assert (same.status_code, same.json()["shipment_id"]) == (201, str(PARCEL_1))
    await refused(shop, 409, "parcel_exists", "POST", path, of(2))
    await refused(shop, 409, "already_shipped", "POST", f"{ORDER}/cancel", {})
    for instant in ("2999-01-01T00:00:00Z", "0001-01-01T00:00:00Z"):
        body = {"delivered_at": instant}
        await refused(shop, 422, "invalid_delivered_at", "POST", f"{path}/{PARCEL_1}/delivery", body)


async def test_malformed_json_and_stale_versions(shop: Shop) -> None:
    await shop.place(checkout(PLACED), CART_ID)
    await refused(shop, 409, "not_confirmed", "POST", f"{ORDER}/processing")
    await refused(shop, 409, "nothing_due", "POST", f"{ORDER}/payment-attempts")
    read = await shop.call("GET", ORDER)
    assert read.headers["etag"] == '"1"'
    stale = await shop.call("POST", f"{ORDER}/cancel", {}, headers={"If-Match": '"7"'})
    assert (stale.status_code, stale.json()["type"]) == (412, "urn:orderflow:problem:stale_version")
    assert await shop.event_types(ORDER_ID) == ["OrderPlaced"]
    token = read.request.headers["authorization"]
    broken = await shop.http.post(
        f"{ORDER}/cancel", content=b"{", headers={"Authorization": token, "Content-Type": "application/json"}
    )
    assert (broken.status_code, broken.json()["type"]) == (400, "urn:orderflow:problem:malformed_json")
    anybody = await shop.http.get(ORDER)
    assert anybody.status_code == 401
    fresh = await shop.call("POST", f"{ORDER}/cancel", {}, headers={"If-Match": '"1"'})
    assert (fresh.status_code, fresh.headers["etag"]) == (200, '"2"')


async def test_an_idempotency_key_belongs_to_one_body(shop: Shop) -> None:
    await in_processing(shop)
    key = {"Idempotency-Key": "parcel-1"}
    first, second = [await shop.call("POST", f"{ORDER}/shipments", PARCEL, headers=key) for _ in range(2)]
    assert (second.content, second.headers["idempotent-replayed"]) == (first.content, "true")
    other = await shop.call("POST", f"{ORDER}/shipments", {**PARCEL, "carrier": "UPS"}, headers=key)
    assert (other.status_code, other.json()["type"]) == (
        422,
        "urn:orderflow:problem:idempotency_key_reused",
    )


async def test_the_list_in_pages(shop: Shop) -> None:
    orders = []
    for number in range(1, 6):
        sold = replace(checkout(PLACED), order_id=ids.order_id(UUID(int=number)))
        orders.append(await shop.place(sold, UUID(int=number)))
    await shop.call("POST", f"/orders/{orders[0]}/cancel", {})
    pages, after = [], ""
    while page := (await shop.call("GET", f"/orders?limit=2{after}")).json():
        pages.append([row["order_id"] for row in page])
        after = f"&after={page[-1]['order_id']}"
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [order for page in pages for order in page] == [str(order) for order in reversed(orders)]
    (cancelled,) = (await shop.call("GET", "/orders?status=CANCELLED")).json()
    assert cancelled["order_id"] == str(orders[0])
    assert (await shop.call("GET", "/orders?status=NONE")).status_code == 422
    assert (await shop.call("GET", "/orders?limit=501")).status_code == 422


async def test_queue_timeline_tracking_and_ledger(shop: Shop) -> None:
    sold = checkout(PLACED)
    await shop.place(sold, CART_ID)
    await shop.secure_stock(ORDER_ID, sold)
    await shop.pay(ORDER_ID, "4000000000009235")
    await shop.forward(1)
    (queued,) = (await shop.call("GET", "/processing-queue")).json()
    assert queued["order_id"] == str(ORDER_ID)
    await shop.call("POST", f"{ORDER}/processing")
    assert (await shop.call("GET", "/processing-queue")).json() == []
    both = {**PARCEL, "lines": [*PARCEL["lines"], {"line_id": str(PLATES), "quantity": 2}]}
    await shop.call("POST", f"{ORDER}/shipments", both)
    await shop.work()
    await shop.call("POST", f"{ORDER}/shipments/{PARCEL_1}/delivery", {}, actor=BUYER)

    timeline = (await shop.call("GET", f"{ORDER}/timeline", actor=BUYER)).json()
    told = {entry["event"]: entry for entry in timeline}
    assert told["PaymentAuthorized"]["facts"] == {"amount": TOTAL, "risk": "HIGH"}
    assert [told[name]["by"] for name in ("OrderPlaced", "PaymentAuthorized", "Shipped", "Delivered")] == [
        "system",
        "provider",
        "operator",
        "customer",
    ]
    (parcel,) = (await shop.call("GET", f"{ORDER}/tracking", actor=BUYER)).json()
    assert (parcel["status"], parcel["tracking_url"], parcel["proof"]) == (
        "DELIVERED",
        PARCEL["tracking_url"],
        "CUSTOMER",
    )
    due = 500 + 333 + 800
    entries = (await shop.call("GET", f"{ORDER}/ledger")).json()
    assert [(entry["kind"], entry["amount"], entry["status"]) for entry in entries] == [
        ("INTENT", TOTAL, "AUTHORIZED"),
        ("CAPTURE", due, "DONE"),
    ]


async def test_out_of_stock_ends_the_order(shop: Shop) -> None:
    await shop.place(checkout(PLACED), CART_ID)
    rejected = StockReservationRejected(order_id=ORDER_ID, code=RejectionCode.OUT_OF_STOCK, lines=())
    await shop.hear(f"reservation-{ORDER_ID}", rejected)
    page = await shop.get(ORDER_ID)
    assert (page["order_status"], page["cancellation"]) == ("CANCELLED", "INVENTORY")


async def test_gauges(shop: Shop) -> None:
    await in_processing(shop)
    async with shop.store.pool.acquire() as connection:
        for sample in shop.samples:
            await sample(connection)
    assert REGISTRY.get_sample_value("orderflow_orders_state", {"state": "PROCESSING"}) == 1
    for law in ("L7", "L9"):
        labels = {"service": "orders", "law": law}
        assert REGISTRY.get_sample_value("orderflow_conservation_violations", labels) == 0
    for state in ("WAITING_FOR_STOCK", "WAITING_FOR_PROCESSING", "WAITING_FOR_SHIPMENT"):
        labels = {"service": "orders", "state": state}
        assert REGISTRY.get_sample_value("orderflow_overdue", labels) == 0
