"""What stands outside in a simulation: the sandbox's payment provider and a mail server, without sockets."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from sandbox.provider.payments import Delays, Payments
from sandbox.provider.problems import Problem
from sandbox.provider.store import Store as Books
from sandbox.provider.webhooks import SIGNATURE_HEADER, signature
from services.notifications.smtp import Letter, Refused
from services.orders.sandbox_provider import SandboxProvider
from shared.events.notifications import FailureStage
from shared.service.http_client import HttpClient
from shared.store.worker import Unavailable
from shared.testing.asgi import Request
from shared.testing.simulation import Simulation, Unanswered

WEBHOOK_SECRET = "the webhook secret of simulations"  # noqa: S105
DELAYS = Delays(slow=2.0, late=30.0)
REPEAT_AFTER_S = 5.0


class Provider:
    """The sandbox's own books; each call may be lost before or after it is entered."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._books = Books(Path(":memory:"))
        self.payments = Payments(self._books, DELAYS)
        self.away = False
        self._changed = asyncio.Event()

    @property
    def _now(self) -> float:
        return self._simulation.clock().timestamp()

    async def call(self, who: str, method: str, path: str, wish: Mapping[str, Any]) -> tuple[int, Any]:
        """One request; gives status and JSON. Raises OSError if it or its answer is lost."""
        if await self._simulation.cross(who, f"{method} {path} -> provider") or self.away:
            raise ConnectionRefusedError("the provider is away")
        try:
            with self._books.transaction():
                status, body = done(self.payments, self._now, method, path, wish)
        except Problem as problem:
            status, body = problem.status, problem.document()
        self._changed.set()
        if await self._simulation.cross(who, f"{method} {path} <- provider: {status}"):
            raise ConnectionResetError("the answer was lost")
        return status, body

    def pending(self) -> list[Any]:
        """Webhooks that are not delivered yet."""
        return self._books.all("SELECT * FROM webhooks WHERE next_at IS NOT NULL ORDER BY seq")

    def undecided(self) -> int:
        """Payments that wait for the bank."""
        return self.payments.processing()

    async def work(self) -> None:
        """Decide what is due and deliver webhooks, each until it is accepted; for ever."""
        while True:
            self._changed.clear()
            with self._books.transaction():
                following = self.payments.work_off(self._now)
            due = [row for row in self.pending() if row["next_at"] <= self._now]
            self._simulation.chance.shuffle(due)
            for row in due:
                await self._deliver(row)
            waits = [row["next_at"] for row in self.pending()] + ([following] if following else [])
            pause = max(0.01, min(waits) - self._now) if waits else None
            try:
                await asyncio.wait_for(self._changed.wait(), pause)
            except TimeoutError:
                continue

    async def _deliver(self, row: Any) -> None:
        body = row["body"].encode()
        told = Request(
            who="provider",
            method="POST",
            path="/webhooks/payments",
            headers={SIGNATURE_HEADER: signature(WEBHOOK_SECRET, body, int(self._now))},
            body=body,
        )
        copies = row["copies"]
        try:
            while copies and (await answered(self._simulation, "orders", told)).status < 300:
                copies -= 1
        except Unanswered:
            self._simulation.tell("provider", f"webhook {json.loads(body)['type']} got no answer")
        with self._books.transaction():
            later = {"copies": copies, "next_at": self._now + REPEAT_AFTER_S}
            self._books.update(
                "webhooks", {"seq": row["seq"]}, **(later if copies else {"copies": 0, "next_at": None})
            )


def done(payments: Payments, now: float, method: str, path: str, wish: Mapping[str, Any]) -> tuple[int, Any]:
    """What the sandbox's HTTP interface does, without HTTP; gives status and JSON. Raises Problem."""
    match method, path.split("/")[2:]:
        case "GET", ["payment_intents"]:
            return 200, {"data": payments.find(**wish)}
        case "POST", ["payment_intents"]:
            return 200, payments.create(now, **wish)
        case "POST", ["payment_intents", intent, "confirm"]:
            return 200, payments.confirm(now, intent, **wish)
        case "POST", ["payment_intents", intent, "cancel"]:
            return 200, payments.cancel(now, intent)
        case "POST", ["payment_intents", intent, "capture"]:
            body, problem = payments.capture(now, intent, final=False, **wish)
        case "POST", ["refunds"]:
            wanted = dict(wish)
            body, problem = payments.refund(now, wanted.pop("payment_intent"), **wanted)
        case _:
            raise Problem(404, "not_found", f"the provider has no {method} {path}")
    return (problem.status, problem.document()) if problem else (200, body)


class ProviderPort(SandboxProvider):
    """Orders' own adapter of the sandbox provider, its requests taken to the simulated one."""

    current: Provider
    """The provider of the run."""

    def __init__(self) -> None:
        super().__init__(HttpClient("http://pay.example", timeout_s=1), "https://pay.example")

    async def send(self, method: str, path: str, key: str | None, **request: Any) -> tuple[int, Any]:
        wish = request.get("json") or request.get("params") or {}
        return await self.current.call("orders", method, path, wish)


class MailServer:
    """Keeps the Message-ID of every mail that it took; an answer may be lost."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.taken: list[str] = []
        self.away = False

    async def send(self, letter: Letter) -> None:
        """Take one mail. Addresses at `nowhere.example` are refused for good."""
        if await self._simulation.cross("notifications", f"mail {letter.message_id}") or self.away:
            raise Unavailable("the mail server is away")
        if letter.to.endswith("@nowhere.example"):
            raise Refused(FailureStage.REJECTED, "550 5.1.1")
        self.taken.append(letter.message_id)
        if await self._simulation.cross("notifications", f"mail {letter.message_id}: taken"):
            raise Unavailable("the connection was lost after the mail was taken")


class MailPort:
    """The mail port of all simulated notifications processes."""

    current: MailServer
    """The mail server of the run."""

    async def send(self, letter: Letter) -> None:
        """See Mail.send."""
        await self.current.send(letter)


async def answered(simulation: Simulation, service: str, request: Request) -> Any:
    """The answer of one of the service's processes. Raises Unanswered if there is none."""
    alive = [each for each in simulation.processes if each.blueprint.name == service and each.serving]
    if not alive:
        raise Unanswered(f"no process of {service} lives")
    response = await simulation.chance.choice(alive).answer(request)
    if await simulation.cross(request.who, f"{request} <- {response.status}"):
        raise Unanswered("the answer was lost")
    return response


def encoded(body: Any) -> bytes:
    """A JSON body; nothing for None."""
    return b"" if body is None else orjson.dumps(body)
