"""Every failure leaves as an RFC 9457 problem with a stable type, and none shows what is inside."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import APIRouter
from prometheus_client import REGISTRY
from pydantic import BaseModel

from shared.domain import Rejected
from shared.service.http import create_app, joined
from shared.service.openapi import LARGEST_BODY, LARGEST_LIST, Operation, described
from shared.service.problem_types import status_of
from shared.service.problems import Problem
from shared.store.errors import Conflict


class Wish(BaseModel):
    quantity: int
    titles: dict[str, int] = {}


FAILURES: dict[str, Exception] = {
    "plain": Rejected("already_shipped", "It left."),
    "extra": Rejected(
        "out_of_stock",
        "Gone.",
        skus=("A", "B"),
        left={"A": 1},
        line_id=UUID(int=1),
        ratio=0.5,
        none=None,
    ),
    "clash": Rejected("odd", "It is odd.", status="CLOSED", type="x", title="y", headers={"Z": "1"}),
    "unknown": Rejected("unknown_sku", "No such thing.", sku="A"),
    "invalid": Rejected("invalid_quantity", "Not that many."),
    "problem": Problem(418, "teapot", "Short and stout.", headers={"X-Spout": "yes"}, handle=True),
    "bug": RuntimeError("password=hunter2 at /srv/secret.py"),
    "gone": ConnectionRefusedError("10.0.0.7:5432"),
    "hung": TimeoutError(),
    "shutdown": asyncpg.AdminShutdownError("terminating connection of hunter2"),
    "interface": asyncpg.InterfaceError("connection is closed"),
    "full": asyncpg.TooManyConnectionsError("sorry"),
    "conflict": Conflict("stream order-7 has moved on"),
    "deadlock": asyncpg.DeadlockDetectedError("process 7 waits for hunter2"),
    "sql": asyncpg.UndefinedTableError('relation "hunter2" does not exist'),
}
AWAY = ("gone", "hung", "shutdown", "interface", "full", "conflict", "deadlock")


async def fine() -> None:
    """A check that passes."""


def router() -> APIRouter:
    routes = APIRouter()

    @routes.get("/failures/{name}")
    async def fail(name: str) -> None:
        raise FAILURES[name]

    @routes.post("/wishes")
    async def wish(wish: Wish, limit: int = 1) -> Wish:
        return wish

    lists = APIRouter()

    @lists.post("/lists")
    async def wishes(wish: Wish) -> Wish:
        return wish

    long = Operation(summary="Wish for much", largest_body=LARGEST_LIST)
    return joined(routes, described(lists, {"POST /lists": long}, {}))


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    app = create_app("problems", router(), {}, fine)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        yield client


async def problem(http: httpx.AsyncClient, method: str, path: str, **request: Any) -> dict[str, Any]:
    """The problem that this request gets; its members agree with the answer around them."""
    response = await http.request(method, path, **request)
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == response.status_code
    assert body["type"].startswith("urn:orderflow:problem:")
    assert body["title"]
    assert body["detail"]
    return body


async def test_a_refusal_is_a_problem_of_its_code(http: httpx.AsyncClient) -> None:
    assert await problem(http, "GET", "/failures/plain") == {
        "type": "urn:orderflow:problem:already_shipped",
        "title": "Already shipped",
        "status": 409,
        "detail": "It left.",
    }


async def test_a_refusals_extras_are_members(http: httpx.AsyncClient) -> None:
    body = await problem(http, "GET", "/failures/extra")
    assert body["skus"] == ["A", "B"]
    assert body["left"] == {"A": 1}
    assert body["line_id"] == str(UUID(int=1))
    assert body["none"] is None


async def test_a_refusals_extras_never_replace_the_problems_own_members(http: httpx.AsyncClient) -> None:
    body = await problem(http, "GET", "/failures/clash")
    assert body == {
        "type": "urn:orderflow:problem:odd",
        "title": "Odd",
        "status": 409,
        "detail": "It is odd.",
        "headers": {"Z": "1"},
    }


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("unknown_cart", 404),
        ("invalid_quantity", 422),
        ("quantity_limit", 422),
        ("currency_mismatch", 422),
        ("email_missing", 422),
        ("exceeds_ordered", 422),
        ("total_changed", 409),
        ("below_commitments", 409),
        ("of_no_list", 409),
    ],
)
def test_a_refusals_status_follows_from_its_code(code: str, status: int) -> None:
    assert status_of(code) == status


async def test_a_problem_keeps_its_headers(http: httpx.AsyncClient) -> None:
    response = await http.get("/failures/problem")
    assert response.headers["x-spout"] == "yes"
    assert (await problem(http, "GET", "/failures/problem"))["handle"] is True


@pytest.mark.parametrize(
    "body",
    [b"{", b"", b"\xff\xfe", b'{"quantity": 1', b'{"quantity": 1e}', b'{"quantity": 1} x', b"[" * 100_000],
)
async def test_a_body_that_is_no_json_is_malformed(http: httpx.AsyncClient, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await problem(http, "POST", "/wishes", content=body, headers=headers)
    expected = (422, "invalid_request") if not body else (400, "malformed_json")
    assert (answer["status"], answer["type"].rsplit(":", 1)[1]) == expected


@pytest.mark.parametrize(
    ("media_type", "said"),
    [
        ("application/x-www-form-urlencoded", True),
        ("text/plain; charset=utf-8", True),
        ("application/json; charset=utf-8", False),
        ("application/merge-patch+json", False),
    ],
)
async def test_a_body_that_is_called_something_else_says_what_to_call_it(
    http: httpx.AsyncClient, media_type: str, said: bool
) -> None:
    headers = {"Content-Type": media_type}
    answer = await problem(http, "POST", "/wishes", content=b'{"quantity": "one"}', headers=headers)
    assert (answer["status"], answer["type"]) == (422, "urn:orderflow:problem:invalid_request")
    assert ("Content-Type: application/json" in answer["detail"]) is said


PART = 1024


@pytest.mark.parametrize(("path", "limit"), [("/wishes", LARGEST_BODY), ("/lists", LARGEST_LIST)])
@pytest.mark.parametrize("told", [True, False], ids=["length told", "length not told"])
async def test_a_body_that_is_too_large_is_refused_and_not_read_to_its_end(
    http: httpx.AsyncClient, path: str, limit: int, told: bool
) -> None:
    read = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(100 * limit // PART):
            read += PART
            yield b" " * PART

    headers = {"Content-Type": "application/json"}
    if told:
        headers["Content-Length"] = str(100 * limit)
    answer = await problem(http, "POST", path, content=parts(), headers=headers)

    assert (answer["status"], answer["type"]) == (413, "urn:orderflow:problem:body_too_large")
    assert f"{limit:,} bytes" in answer["detail"]
    assert read == (0 if told else limit + PART)


@pytest.mark.parametrize(("path", "limit"), [("/wishes", LARGEST_BODY), ("/lists", LARGEST_LIST)])
async def test_a_body_may_have_the_largest_size(http: httpx.AsyncClient, path: str, limit: int) -> None:
    content = b'{"quantity": 1}'.ljust(limit)
    response = await http.post(path, content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 200


@pytest.mark.parametrize("length", ["-1", "1e9", "9" * 100, "", "x"])
async def test_a_length_that_makes_no_sense_says_nothing(http: httpx.AsyncClient, length: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Length": length}
    response = await http.post("/wishes", content=b'{"quantity": 1}', headers=headers)
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ("{}", ["#/quantity"]),
        ('{"quantity": "many"}', ["#/quantity"]),
        ('{"quantity": 1.5}', ["#/quantity"]),
        ('{"quantity": 1e400}', ["#/quantity"]),
        ('{"quantity": NaN}', ["#/quantity"]),
        ('{"quantity": null, "titles": {"a/b~": "x"}}', ["#/quantity", "#/titles/a~1b~0"]),
        ('{"quantity": 1, "titles": {"\\ud800": "x"}}', ["#/titles/\ufffd\ufffd\ufffd"]),
        ("[]", ["#"]),
        ("7", ["#"]),
        ("null", ["#"]),
    ],
)
async def test_values_that_do_not_fit_are_pointed_at(
    http: httpx.AsyncClient, body: str, pointers: list[str]
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await problem(http, "POST", "/wishes", content=body, headers=headers)
    assert (answer["status"], answer["type"]) == (422, "urn:orderflow:problem:invalid_request")
    assert [fault["pointer"] for fault in answer["errors"]] == pointers
    assert all(fault["detail"] for fault in answer["errors"])


async def test_a_value_is_not_repeated_in_the_answer(http: httpx.AsyncClient) -> None:
    response = await http.post("/wishes", json={"quantity": "ann@example.com"})
    assert "ann@" not in response.text


async def test_a_wrong_query_is_pointed_at(http: httpx.AsyncClient) -> None:
    answer = await problem(http, "POST", "/wishes?limit=x", json={"quantity": 1})
    assert [fault["pointer"] for fault in answer["errors"]] == ["#/limit"]


async def test_an_unknown_path_is_not_found(http: httpx.AsyncClient) -> None:
    answer = await problem(http, "GET", "/nowhere")
    assert (answer["status"], answer["type"]) == (404, "urn:orderflow:problem:not_found")


async def test_a_wrong_method_is_not_allowed(http: httpx.AsyncClient) -> None:
    answer = await problem(http, "DELETE", "/wishes")
    assert (answer["status"], answer["type"]) == (405, "urn:orderflow:problem:method_not_allowed")
    assert (await http.delete("/wishes")).headers["allow"] == "POST"


@pytest.mark.parametrize("name", ["bug", "sql"])
async def test_a_bug_shows_nothing_of_the_inside(http: httpx.AsyncClient, name: str) -> None:
    response = await http.get(f"/failures/{name}")
    answer = await problem(http, "GET", f"/failures/{name}")
    assert (answer["status"], answer["type"]) == (500, "urn:orderflow:problem:internal_error")
    assert set(answer) == {"type", "title", "status", "detail"}
    assert "hunter2" not in response.text


@pytest.mark.parametrize("name", AWAY)
async def test_a_database_that_is_away_is_a_reason_to_try_again(http: httpx.AsyncClient, name: str) -> None:
    response = await http.get(f"/failures/{name}")
    assert response.headers["retry-after"] == "1"
    answer = await problem(http, "GET", f"/failures/{name}")
    assert (answer["status"], answer["type"]) == (503, "urn:orderflow:problem:unavailable")
    assert all(inside not in response.text for inside in ("hunter2", "10.0.0.7", "order-7"))


async def test_every_answer_is_counted_also_those_of_bugs(http: httpx.AsyncClient) -> None:
    def counted(status: int) -> float:
        labels = {
            "service": "problems",
            "method": "GET",
            "route": "/failures/{name}",
            "status": str(status),
        }
        return REGISTRY.get_sample_value("orderflow_http_requests_total", labels) or 0.0

    before = counted(500), counted(409), counted(503)
    for name in ("bug", "plain", "gone"):
        await http.get(f"/failures/{name}")
    assert (counted(500), counted(409), counted(503)) == tuple(count + 1 for count in before)


async def test_a_dead_task_or_a_missing_part_makes_the_probes_fail() -> None:
    async def missing() -> None:
        raise RuntimeError("2 migrations are missing")

    async def nameless() -> None:
        raise TimeoutError

    app = create_app("probes", None, {"database": missing, "broker": fine}, nameless)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as http:
        ready = await problem(http, "GET", "/readyz")
        assert (ready["status"], ready["detail"]) == (503, "database: 2 migrations are missing")
        alive = await problem(http, "GET", "/livez")
        assert (alive["status"], alive["detail"]) == (503, "alive: TimeoutError")
        assert (await http.get("/metrics")).status_code == 200
        assert (await problem(http, "POST", "/wishes"))["status"] == 404
