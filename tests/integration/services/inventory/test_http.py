"""Every route of inventory with good and bad input; what is refused leaves no event."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest

from services.inventory.domain.stock import MAX_QUANTITY
from shared.events.envelope import Actor, ActorKind
from shared.service.auth import issue
from tests.integration.services.inventory.depot import BUYER, OWNER, TOKEN_KEY, Depot
from tests.integration.services.inventory.others import Order, Told

pytestmark = pytest.mark.integration

ADJUST = {"delta": -1, "reason": "DAMAGED"}
ROUTES_OF_STAFF: list[tuple[str, str, Any]] = [
    ("POST", "/receipts", {"lines": [{"sku": "CUP", "quantity": 1}]}),
    ("POST", "/stock/CUP/adjustments", ADJUST),
    ("PUT", "/stock/CUP/terms", {"safety_stock": 1}),
    ("GET", "/stock/CUP/movements", None),
    ("GET", f"/reservations/{UUID(int=1)}", None),
]


async def test_a_delivery_is_counted_in(depot: Depot) -> None:
    lines = [{"sku": "CUP", "quantity": 2}, {"sku": "BAG", "quantity": 1}, {"sku": "CUP", "quantity": 3}]
    body = {"receipt_id": str(UUID(int=3)), "lines": lines}
    response = await depot.call("POST", "/receipts", body, status=201)
    assert response.json() == {"receipt_id": str(UUID(int=3))}
    assert await depot.units("CUP") == (5, 0, 5)
    assert await depot.units("BAG") == (1, 0, 1)
    await depot.check_laws()


async def test_the_same_receipt_counts_once(depot: Depot) -> None:
    body = {"receipt_id": str(UUID(int=3)), "lines": [{"sku": "CUP", "quantity": 2}]}
    for _ in range(2):
        await depot.call("POST", "/receipts", body, status=201)
    assert await depot.units("CUP") == (2, 0, 2)


async def test_a_receipt_of_an_impossible_quantity_counts_nothing(depot: Depot) -> None:
    for quantity in (0, -1, MAX_QUANTITY + 1, 2**63, 10**30):
        lines = [{"sku": "BAG", "quantity": 1}, {"sku": "CUP", "quantity": quantity}]
        problem = await depot.refused("POST", "/receipts", {"lines": lines}, status=422)
        assert problem["code"] == "invalid_quantity"


async def test_a_negative_line_cannot_hide_behind_another(depot: Depot) -> None:
    lines = [{"sku": "CUP", "quantity": 5}, {"sku": "CUP", "quantity": -1}]
    problem = await depot.refused("POST", "/receipts", {"lines": lines}, status=422)
    assert (problem["code"], problem["sku"]) == ("invalid_quantity", "CUP")


WRONG_RECEIPTS: list[tuple[Any, str]] = [
    ({}, "#/lines"),
    ({"lines": []}, "#/lines"),
    ({"lines": "CUP"}, "#/lines"),
    ({"lines": [{"sku": "CUP"}]}, "#/lines/0/quantity"),
    ({"lines": [{"sku": "", "quantity": 1}]}, "#/lines/0/sku"),
    ({"lines": [{"sku": "A B", "quantity": 1}]}, "#/lines/0/sku"),
    ({"lines": [{"sku": "A/B", "quantity": 1}]}, "#/lines/0/sku"),
    ({"lines": [{"sku": "A\x00", "quantity": 1}]}, "#/lines/0/sku"),
    ({"lines": [{"sku": "A\n", "quantity": 1}]}, "#/lines/0/sku"),
    ({"lines": [{"sku": "\ud800", "quantity": 1}]}, "#/lines/0/sku"),
    ({"lines": [{"sku": "x" * 101, "quantity": 1}]}, "#/lines/0/sku"),
    ({"lines": [{"sku": "CUP", "quantity": 1.5}]}, "#/lines/0/quantity"),
    ({"lines": [{"sku": "CUP", "quantity": True}]}, "#/lines/0/quantity"),
    ({"lines": [{"sku": "CUP", "quantity": "2"}]}, "#/lines/0/quantity"),
    ({"lines": [{"sku": "CUP", "quantity": None}]}, "#/lines/0/quantity"),
    ({"receipt_id": "1", "lines": [{"sku": "CUP", "quantity": 1}]}, "#/receipt_id"),
    ([], "#"),
]


async def test_a_receipt_of_the_wrong_shape_is_pointed_at(depot: Depot) -> None:
    for body, pointer in WRONG_RECEIPTS:
        problem = await depot.refused("POST", "/receipts", body, status=422)
        assert problem["code"] == "invalid_request"
        assert [fault["pointer"] for fault in problem["errors"]] == [pointer]


async def test_a_body_that_is_no_json_is_malformed(depot: Depot) -> None:
    for method, path, _ in ROUTES_OF_STAFF[:3]:
        for body in (b"{", b"\xff", b'{"lines": [}', b"[" * 50_000):
            problem = await depot.refused(method, path, body, status=400)
            assert problem["code"] == "malformed_json"


async def test_a_sku_may_hold_any_visible_character(depot: Depot) -> None:
    for sku in ("CUP", "a@b", "A-1", "æøå", "50%", "a?b", "..."):
        await depot.call("POST", "/receipts", {"lines": [{"sku": sku, "quantity": 2}]}, status=201)
        path = f"/stock/{quote(sku, safe='')}"
        assert (await depot.call("GET", path, bearer=None)).json()["sku"] == sku
        await depot.call("POST", f"{path}/adjustments", ADJUST, status=201)
        assert await depot.units(sku) == (1, 0, 1)
    await depot.check_laws()


async def test_an_adjustment_changes_what_is_on_hand(depot: Depot) -> None:
    await depot.receive(CUP=5)
    response = await depot.call("POST", "/stock/CUP/adjustments", ADJUST, status=201)
    assert response.json() == {"sku": "CUP", "on_hand": 4, "available": 4, "held": 0}
    assert response.headers["etag"] == '"2"'
    body = {"adjustment_id": str(UUID(int=1)), "delta": 3, "reason": "CYCLE_COUNT_AVAILABLE"}
    for _ in range(2):
        response = await depot.call("POST", "/stock/CUP/adjustments", body, status=201)
        assert (response.json()["on_hand"], response.headers["etag"]) == (7, '"3"')
    await depot.check_laws()


async def test_an_impossible_adjustment_is_refused(depot: Depot) -> None:
    await depot.receive(CUP=5)
    for delta in (0, MAX_QUANTITY + 1, -MAX_QUANTITY - 1, 2**70, -(2**70)):
        body = {"delta": delta, "reason": "OTHER"}
        problem = await depot.refused("POST", "/stock/CUP/adjustments", body, status=422)
        assert problem["code"] == "invalid_quantity"


async def test_an_adjustment_of_an_unknown_sku_is_refused(depot: Depot) -> None:
    problem = await depot.refused("POST", "/stock/GHOST/adjustments", ADJUST, status=404)
    assert (problem["code"], problem["sku"]) == ("unknown_sku", "GHOST")


async def test_an_adjustment_below_what_is_promised_is_refused(depot: Depot, told: Told) -> None:
    await depot.receive(CUP=5)
    await depot.hear(Order(told, "o", (("CUP", 3),)).placed())
    body = {"delta": -3, "reason": "SHRINKAGE"}
    problem = await depot.refused("POST", "/stock/CUP/adjustments", body, status=409)
    assert (problem["code"], problem["unheld"]) == ("below_commitments", 2)
    await depot.call("POST", "/stock/CUP/adjustments", {**body, "delta": -2}, status=201)
    assert await depot.units("CUP") == (3, 3, 0)


async def test_an_adjustment_of_the_wrong_shape_is_pointed_at(depot: Depot) -> None:
    wrong: list[tuple[Any, str]] = [
        ({"reason": "OTHER"}, "#/delta"),
        ({"delta": 1}, "#/reason"),
        ({"delta": 1, "reason": "BORED"}, "#/reason"),
        ({"delta": "x", "reason": "OTHER"}, "#/delta"),
    ]
    for body, pointer in wrong:
        problem = await depot.refused("POST", "/stock/CUP/adjustments", body, status=422)
        assert [fault["pointer"] for fault in problem["errors"]] == [pointer]


async def test_terms_hold_units_back_and_say_what_is_few(depot: Depot) -> None:
    await depot.receive(CUP=5)
    body = {"low_threshold": 3, "safety_stock": 2}
    response = await depot.call("PUT", "/stock/CUP/terms", body)
    assert response.json() == {"sku": "CUP", "on_hand": 5, "available": 3, "held": 0}
    level = (await depot.call("GET", "/stock/CUP", bearer=None)).json()
    assert (level["available"], level["safety_stock"], level["low"]) == (3, 2, True)


async def test_impossible_terms_are_refused(depot: Depot) -> None:
    for name in ("low_threshold", "safety_stock"):
        for value in (-1, MAX_QUANTITY + 1, 2**70):
            problem = await depot.refused("PUT", "/stock/CUP/terms", {name: value}, status=422)
            assert problem["code"] == "invalid_terms"


async def test_a_level_splits_what_is_held_by_confirmation(depot: Depot, told: Told) -> None:
    await depot.receive(CUP=9, BAG=1)
    sure = Order(told, "sure", (("CUP", 3), ("BAG", 1)))
    await depot.hear(sure.placed(), sure.confirmed(), Order(told, "unsure", (("CUP", 2),)).placed())
    response = await depot.call("GET", "/stock/CUP", bearer=None)
    level = response.json()
    location = level.pop("location_id")
    assert UUID(location)
    assert level == {
        "sku": "CUP",
        "on_hand": 9,
        "available": 4,
        "held": 5,
        "committed": 3,
        "reserved": 2,
        "damaged": 0,
        "quality_control": 0,
        "safety_stock": 0,
        "low": False,
    }
    assert response.headers["etag"] == '"3"'


async def test_an_unknown_sku_has_no_level(depot: Depot) -> None:
    problem = await depot.refused("GET", "/stock/GHOST", status=404, bearer=None)
    assert (problem["code"], problem["sku"]) == ("unknown_sku", "GHOST")
    assert (await depot.call("GET", "/stock/GHOST/movements")).json() == []


async def test_levels_come_in_pages(depot: Depot) -> None:
    await depot.receive(**{f"SKU-{n}": n + 1 for n in range(5)})
    first = (await depot.call("GET", "/stock?limit=2", bearer=None)).json()
    rest = (await depot.call("GET", f"/stock?after={first[-1]['sku']}", bearer=None)).json()
    assert [row["sku"] for row in first + rest] == [f"SKU-{n}" for n in range(5)]
    assert (await depot.call("GET", "/stock?after=Z", bearer=None)).json() == []


async def test_a_wrong_path_or_query_is_refused(depot: Depot) -> None:
    for path in (
        *("/stock?limit=0", "/stock?limit=1001", "/stock?limit=x", "/stock?after=%00"),
        *(f"/stock?after={'x' * 101}", "/stock/A%00", "/stock/A%20B", f"/stock/{'x' * 101}"),
        *("/stock/CUP/movements?limit=0", "/stock/A%0A/movements", "/reservations/1"),
    ):
        assert (await depot.refused("GET", path, status=422))["code"] == "invalid_request"


async def test_movements_are_the_newest_lines_of_the_ledger(depot: Depot, told: Told) -> None:
    await depot.receive(CUP=5)
    order = Order(told, "o", (("CUP", 2),))
    await depot.hear(order.placed())
    await depot.hear(order.cancelled())
    await depot.call("POST", "/stock/CUP/adjustments", ADJUST, status=201)
    rows = (await depot.call("GET", "/stock/CUP/movements")).json()
    assert [(row["kind"], row["quantity"], row["reason"]) for row in rows] == [
        ("StockAdjusted", -1, "DAMAGED"),
        ("UnitsReleased", 2, None),
        ("UnitsReserved", 2, None),
        ("StockReceived", 5, None),
    ]
    assert rows[1]["reverses"] == [rows[2]["movement_id"]]
    newest = (await depot.call("GET", "/stock/CUP/movements?limit=1")).json()
    assert newest == rows[:1]


async def test_a_reservation_shows_what_is_held_and_for_whom(depot: Depot, told: Told) -> None:
    await depot.receive(CUP=5)
    order = Order(told, "o", (("CUP", 2),), customer_id=UUID(int=9))
    await depot.hear(order.placed())
    row = (await depot.call("GET", f"/reservations/{order.order_id}")).json()
    assert (row["status"], row["buyer"], row["confirmed"]) == ("RESERVED", str(UUID(int=9)), False)
    assert [(line["sku"], line["quantity"]) for line in row["held"]] == [("CUP", 2)]
    problem = await depot.refused("GET", f"/reservations/{uuid4()}", status=404)
    assert problem["code"] == "unknown_reservation"


async def test_only_staff_may(depot: Depot) -> None:
    await depot.receive(CUP=5)
    expired = issue(TOKEN_KEY, Actor(ActorKind.OPERATOR, "clerk"), datetime.now(UTC) - timedelta(days=1))
    for method, path, body in ROUTES_OF_STAFF:
        for bearer in (None, "nonsense", expired):
            problem = await depot.refused(method, path, body, status=401, bearer=bearer)
            assert problem["code"] == "unauthenticated"
        assert (await depot.refused(method, path, body, status=403, bearer=BUYER))["code"] == "forbidden"
        admitted = {"POST": 201, "PUT": 200, "GET": 404 if "reservations" in path else 200}[method]
        await depot.call(method, path, body, status=admitted, bearer=OWNER)


async def test_a_stale_version_is_refused_and_the_current_one_named(depot: Depot) -> None:
    await depot.receive(CUP=5)
    seen = (await depot.call("GET", "/stock/CUP")).headers["etag"]
    assert seen == '"1"'
    for method, path, body in ROUTES_OF_STAFF[1:3]:
        await depot.call("POST", "/stock/CUP/adjustments", ADJUST, status=201, If_Match="*")
        response = await depot.call(method, path, body, status=412, If_Match=seen)
        assert response.json()["type"] == "urn:orderflow:problem:stale_version"
        now = (await depot.call("GET", "/stock/CUP")).headers["etag"]
        assert response.headers["etag"] == now != seen
        done = await depot.call(method, path, body, status=200 if method == "PUT" else 201, If_Match=now)
        assert done.headers["etag"] == (await depot.call("GET", "/stock/CUP")).headers["etag"]


async def test_a_repeated_key_gets_the_same_answer(depot: Depot) -> None:
    await depot.receive(CUP=5)
    first = await depot.call("POST", "/stock/CUP/adjustments", ADJUST, status=201, Idempotency_Key="k")
    await depot.call("POST", "/stock/CUP/adjustments", ADJUST, status=201)
    again = await depot.call("POST", "/stock/CUP/adjustments", ADJUST, status=201, Idempotency_Key="k")
    assert (again.content, again.headers["etag"]) == (first.content, first.headers["etag"])
    assert again.headers["idempotent-replayed"] == "true"
    assert await depot.units("CUP") == (3, 0, 3)


async def test_a_key_with_another_body_is_refused(depot: Depot) -> None:
    await depot.receive(CUP=5)
    await depot.call("POST", "/stock/CUP/adjustments", ADJUST, status=201, Idempotency_Key="k")
    problem = await depot.refused(
        "POST", "/stock/CUP/adjustments", {**ADJUST, "delta": -2}, status=422, Idempotency_Key="k"
    )
    assert problem["code"] == "idempotency_key_reused"
    await depot.receive(BAG=5)
    await depot.call("POST", "/stock/BAG/adjustments", ADJUST, status=201, Idempotency_Key="k")


async def test_many_deliveries_at_once_all_count(depot: Depot) -> None:
    await asyncio.gather(*(depot.receive(CUP=1, BAG=2) for _ in range(12)))
    assert await depot.units("CUP") == (12, 0, 12)
    assert await depot.units("BAG") == (24, 0, 24)
    await depot.check_laws()
