"""The sandbox provider as a process: its HTTP answers, signed webhooks, and what survives a SIGKILL."""

import asyncio
import hashlib
import hmac
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.command import Command, free_ports, running, tcp_open, wait_ready
from tests.integration.sandbox.shop import Shop, open_shop

pytestmark = pytest.mark.integration

GOOD = "4242424242424242"
SECRET = "webhook-secret"


class Provider:
    """A running provider as its clients see it."""

    def __init__(self, http: httpx.AsyncClient, process: asyncio.subprocess.Process) -> None:
        self.http = http
        self.process = process

    async def create(self, **changes: Any) -> Any:
        wish = {"amount": 1000, "currency": "GBP", "reference": "intent-1", **changes}
        answer = await self.http.post("/v1/payment_intents", json=wish)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def confirm(self, intent: Any, number: str, **options: Any) -> httpx.Response:
        wish = {"client_secret": intent["client_secret"], "card": {"number": number, "cvc": "123"}}
        return await self.http.post(f"/v1/payment_intents/{intent['id']}/confirm", json=wish, **options)

    async def until(self, intent: Any, status: str) -> None:
        async def reached() -> bool:
            return bool(
                (await self.http.get(f"/v1/payment_intents/{intent['id']}")).json()["status"] == status
            )

        assert await wait_ready(reached, 30)

    async def until_all_delivered(self) -> None:
        async def delivered() -> bool:
            return bool((await self.http.get("/v1/health")).json()["undelivered_webhooks"] == 0)

        assert await wait_ready(delivered, 30)


@asynccontextmanager
async def provider_running(folder: Path, shop: Shop, *options: str) -> AsyncIterator[Provider]:
    """A provider over the ledger in `folder`; its delays are short."""
    (port,) = free_ports(1)
    arguments = {
        "--port": str(port),
        "--database": str(folder / "ledger.db"),
        "--webhook-url": shop.url,
        "--webhook-secret": SECRET,
        "--slow-seconds": "0.2",
        "--late-seconds": "0.6",
        "--hang-seconds": "0.4",
    }
    argv = (sys.executable, "-m", "sandbox.provider", *(part for pair in arguments.items() for part in pair))

    async def ready() -> bool:
        return await tcp_open(port)

    async with (
        running(Command(argv=(*argv, *options)), ready=ready, log=folder / "provider.log") as process,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http,
    ):
        yield Provider(http, process)


@pytest.fixture
def shop() -> Iterator[Shop]:
    with open_shop() as opened:
        yield opened


def _code(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["type"].endswith(problem["code"])
    return answer.status_code, problem["code"]


async def test_a_payment_from_intent_to_refund(tmp_path: Path, shop: Shop) -> None:
    async with provider_running(tmp_path, shop) as provider:
        intent = await provider.create()
        assert (await provider.confirm(intent, GOOD)).json()["status"] == "requires_capture"
        path = f"/v1/payment_intents/{intent['id']}"
        captured = await provider.http.post(f"{path}/capture", json={"amount": 400, "reference": "capture-1"})
        refunded = await provider.http.post(
            "/v1/refunds", json={"payment_intent": intent["id"], "amount": 100, "reference": "refund-1"}
        )
        voided = await provider.http.post(f"{path}/cancel")
        found = await provider.http.get("/v1/payment_intents", params={"reference": "intent-1"})
        pages = [
            (await provider.http.get("/v1/ledger", params={"after": after, "limit": 3})).json()
            for after in (0, 3)
        ]
        await provider.until_all_delivered()

    assert found.json()["data"] == [voided.json()]
    entries = [*pages[0]["data"], *pages[1]["data"]]
    assert [(entry["kind"], entry["amount"], entry["provider_ref"]) for entry in entries] == [
        ("AUTHORIZED", 1000, intent["id"]),
        ("CAPTURED", 400, captured.json()["id"]),
        ("REFUNDED", 100, refunded.json()["id"]),
        ("VOIDED", 600, intent["id"]),
    ]
    assert {(entry["currency"], entry["reference"]) for entry in entries} == {("GBP", "intent-1")}
    assert [page["next"] for page in pages] == [3, None]
    assert shop.types() == ["authorized", "captured", "canceled"]


async def test_webhooks_are_signed_over_time_and_body(tmp_path: Path, shop: Shop) -> None:
    async with provider_running(tmp_path, shop) as provider:
        await provider.confirm(await provider.create(), GOOD)
        await provider.until_all_delivered()

    ((headers, body),) = shop.deliveries
    time, _, given = headers["Provider-Signature"].removeprefix("t=").partition(",v1=")
    expected = hmac.new(SECRET.encode(), time.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(given, expected)


async def test_webhooks_are_repeated_until_the_shop_takes_them(tmp_path: Path, shop: Shop) -> None:
    shop.refusing = 3
    async with provider_running(tmp_path, shop) as provider:
        await provider.confirm(await provider.create(), GOOD)
        await provider.until_all_delivered()

    assert shop.refused == 3
    assert shop.types() == ["authorized"]


async def test_webhooks_that_come_twice_are_the_same_event(tmp_path: Path, shop: Shop) -> None:
    async with provider_running(tmp_path, shop) as provider:
        await provider.confirm(await provider.create(), "4000000000000507")
        await provider.until_all_delivered()

    assert shop.types() == ["authorized", "authorized"]
    first, second = shop.events()
    assert first == second


async def test_a_late_decline_arrives_after_the_second_attempts_success(tmp_path: Path, shop: Shop) -> None:
    async with provider_running(tmp_path, shop) as provider:
        intent = await provider.create()
        await provider.confirm(intent, "4000000000000606")
        await provider.confirm(intent, GOOD)
        await provider.until_all_delivered()

    assert shop.types() == ["authorized", "declined"]
    assert [event["sequence"] for event in shop.events()] == [2, 1]


async def test_a_slow_decision_is_answered_when_it_is_there(tmp_path: Path, shop: Shop) -> None:
    async with provider_running(tmp_path, shop) as provider:
        answer = await provider.confirm(await provider.create(), "4000000000000101")

    assert answer.json()["status"] == "requires_capture"


async def test_a_confirmation_that_times_out_succeeds_all_the_same(tmp_path: Path, shop: Shop) -> None:
    async with provider_running(tmp_path, shop) as provider:
        intent = await provider.create()
        with pytest.raises(httpx.ReadTimeout):
            await provider.confirm(intent, "4000000000000200", timeout=0.1)
        await provider.until(intent, "requires_capture")

        patient = await provider.create(reference="intent-2")
        assert _code(await provider.confirm(patient, "4000000000000200")) == (504, "timeout")


async def test_money_that_comes_after_the_shop_gave_up(tmp_path: Path, shop: Shop) -> None:
    async with provider_running(tmp_path, shop) as provider:
        intent = await provider.create()
        assert (await provider.confirm(intent, "4000000000000408")).json()["status"] == "processing"
        cancelled = await provider.http.post(f"/v1/payment_intents/{intent['id']}/cancel")
        assert _code(cancelled) == (409, "intent_processing")
        await provider.until(intent, "succeeded")
        await provider.until_all_delivered()

    assert shop.types() == ["captured"]


async def test_a_key_gives_the_same_answer_and_refuses_another_body(tmp_path: Path, shop: Shop) -> None:
    async with provider_running(tmp_path, shop) as provider:
        intent = await provider.create()
        wish = {"client_secret": intent["client_secret"], "card": {"number": GOOD}}
        path = f"/v1/payment_intents/{intent['id']}"

        async def post(route: str, key: str, body: Any) -> httpx.Response:
            return await provider.http.post(path + route, json=body, headers={"Idempotency-Key": key})

        assert (await post("/confirm", "a", wish)).json() == (await post("/confirm", "a", wish)).json()
        first, again = (
            await post("/capture", "b", {"amount": 400}),
            await post("/capture", "b", {"amount": 400}),
        )
        assert first.json() == again.json()
        assert _code(await post("/capture", "b", {"amount": 500})) == (409, "idempotency_key_reused")
        other = await post("/capture", "c", {"amount": 400})
        assert other.json()["id"] != first.json()["id"]
        ledger = (await provider.http.get("/v1/ledger")).json()["data"]

    assert [entry["kind"] for entry in ledger] == ["AUTHORIZED", "CAPTURED", "CAPTURED"]


async def test_a_transient_failure_is_not_kept_for_its_key(tmp_path: Path, shop: Shop) -> None:
    async with provider_running(tmp_path, shop) as provider:
        intent = await provider.create()
        await provider.confirm(intent, "4000000000000705")
        answers = [
            await provider.http.post(
                f"/v1/payment_intents/{intent['id']}/capture",
                json={"amount": 400, "reference": "capture-1"},
                headers={"Idempotency-Key": "a"},
            )
            for _ in range(3)
        ]

    assert [answer.status_code for answer in answers] == [503, 503, 200]


async def test_nonsense_is_refused(tmp_path: Path, shop: Shop) -> None:
    nonsense: list[dict[str, Any]] = [
        {"amount": 0},
        {"amount": -5},
        {"amount": 1.5},
        {"amount": "10"},
        {"amount": 10**12},
        {"currency": "pounds"},
        {"reference": ""},
        {"capture_method": "whenever"},
        {"surprise": 1},
    ]
    async with provider_running(tmp_path, shop) as provider:
        for change in nonsense:
            wish = {"amount": 1000, "currency": "GBP", "reference": "intent-1", **change}
            answer = await provider.http.post("/v1/payment_intents", json=wish)
            assert _code(answer) == (422, "invalid_request"), change
            assert answer.json()["errors"]
        malformed = await provider.http.post("/v1/payment_intents", content=b"{")
        assert _code(malformed) == (422, "invalid_request")


async def test_a_sigkill_loses_neither_money_nor_promises(tmp_path: Path, shop: Shop) -> None:
    shop.refusing = 10**6
    async with provider_running(tmp_path, shop) as provider:
        intent = await provider.create()
        await provider.confirm(intent, GOOD)
        late = await provider.create(reference="intent-2")
        await provider.confirm(late, "4000000000000408")
        provider.process.kill()
        await provider.process.wait()
    shop.refusing = 0

    async with provider_running(tmp_path, shop) as provider:
        await provider.until(late, "succeeded")
        await provider.until_all_delivered()
        ledger = (await provider.http.get("/v1/ledger")).json()["data"]

    assert [entry["kind"] for entry in ledger] == ["AUTHORIZED", "AUTHORIZED", "CAPTURED"]
    assert sorted(shop.types()) == ["authorized", "captured"]


def test_a_taken_port_and_a_missing_option_are_one_line(tmp_path: Path, shop: Shop) -> None:
    def words(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "sandbox.provider", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr.strip().splitlines()[-1]

    database = ("--database", str(tmp_path / "ledger.db"), "--webhook-secret", SECRET)
    assert words("--port", str(shop.port), *database) == (
        2,
        f"port {shop.port} for the payment provider is not free: Address already in use",
    )
    code, line = words("--port", "1", "--webhook-secret", SECRET)
    assert code == 2
    assert "--database" in line
