"""The whole way of an order through its service: foreign events, people's calls and a real provider."""

import pytest

from shared.events.orders import RefundIssued
from tests.integration.services.orders.shop import REFUND, Shop, granted
from tests.unit.orders.samples import CART_ID, DUE_1, MUGS, ORDER_ID, PLACED, PLATES, TOTAL, checkout

pytestmark = pytest.mark.integration

CHECKOUT = checkout(PLACED)


def parcel(fulfillment_id: str, number: int, mugs: int, plates: int) -> dict[str, object]:
    return {
        "fulfillment_id": fulfillment_id,
        "parcel_no": number,
        "lines": [
            {"line_id": str(MUGS), "quantity": mugs},
            {"line_id": str(PLATES), "quantity": plates},
        ],
        "carrier": "DHL",
        "tracking_number": f"JD0{number}",
    }


async def test_place_authorise_ship_in_two_parcels_deliver(shop: Shop) -> None:
    await shop.place(CHECKOUT, CART_ID)
    assert await shop.statuses(ORDER_ID) == ("PLACED", "PENDING", "UNFULFILLED")
    not_yet = await shop.call("GET", f"/orders/{ORDER_ID}/payment")
    assert (not_yet.status_code, not_yet.headers["retry-after"]) == (409, "1")

    await shop.secure_stock(ORDER_ID, CHECKOUT)
    await shop.pay(ORDER_ID)
    assert await shop.forward(1) == [204]
    assert await shop.statuses(ORDER_ID) == ("CONFIRMED", "AUTHORIZED", "UNFULFILLED")

    started = await shop.call("POST", f"/orders/{ORDER_ID}/processing")
    (fulfillment,) = started.json()["fulfillments"]
    first = await shop.call(
        "POST", f"/orders/{ORDER_ID}/shipments", parcel(fulfillment["fulfillment_id"], 1, 1, 1)
    )
    assert first.status_code == 201, first.text
    await shop.work()
    assert await shop.statuses(ORDER_ID) == ("PROCESSING", "PARTIALLY_PAID", "PARTIALLY_FULFILLED")
    second = await shop.call(
        "POST", f"/orders/{ORDER_ID}/shipments", parcel(fulfillment["fulfillment_id"], 2, 2, 1)
    )
    await shop.work()
    assert await shop.statuses(ORDER_ID) == ("PROCESSING", "PAID", "FULFILLED")
    assert await shop.ledger() == [("AUTHORIZED", TOTAL), ("CAPTURED", DUE_1), ("CAPTURED", TOTAL - DUE_1)]

    for shipment in (first, second):
        path = f"/orders/{ORDER_ID}/shipments/{shipment.json()['shipment_id']}/delivery"
        assert (await shop.call("POST", path, {})).status_code == 200
    assert set(await shop.forward(2)) == {204}
    assert await shop.statuses(ORDER_ID) == ("COMPLETED", "PAID", "DELIVERED")
    assert await shop.event_types(ORDER_ID) == [
        "OrderPlaced",
        "OrderStockSecured",
        "PaymentRequested",
        "PaymentAuthorized",
        "OrderConfirmed",
        "OrderProcessingStarted",
        "FulfillmentRequested",
        "Shipped",
        "CaptureRequested",
        "PaymentCaptured",
        "Shipped",
        "CaptureRequested",
        "PaymentCaptured",
        "OrderPaid",
        "Delivered",
        "Delivered",
        "OrderCompleted",
    ]

    await shop.hear(f"refundgrant-{REFUND}", granted(TOTAL))
    await shop.work()
    assert await shop.statuses(ORDER_ID) == ("COMPLETED", "REFUNDED", "DELIVERED")
    assert await shop.ledger("REFUNDED") == [("REFUNDED", TOTAL)]
    (entry,) = (await shop.provider.get("/v1/ledger", params={"after": 3})).json()["data"]
    assert entry["operation_reference"] == str(REFUND)
    (issued,) = await shop.events(ORDER_ID, RefundIssued)
    assert [part.provider_ref for part in issued.allocations] == [entry["provider_ref"]] * 2
    assert all(found.equal for found in await shop.rebuilt())
