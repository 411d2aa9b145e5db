"""The provider's HTTP interface: routes, idempotency keys, and loops that decide and deliver later."""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from sandbox.provider.cards import CARDS, Answer
from sandbox.provider.payments import Delays, Payments
from sandbox.provider.problems import Problem
from sandbox.provider.store import Row, Store
from sandbox.provider.webhooks import Webhooks
from shared.service.http_client import HttpClient

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
LARGEST_AMOUNT = 10**11

Amount = Annotated[StrictInt, Field(ge=1, le=LARGEST_AMOUNT, description="in minor units")]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CreateIntent(_Body):
    """What the shop wants paid. `reference` is the shop's own intent id; `paid_like` an earlier payment whose
    card is to pay this one without the buyer."""

    amount: Amount
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    reference: Text
    capture_method: Literal["manual", "automatic"] = "manual"
    metadata: dict[str, str] = {}
    paid_like: Text | None = None


class CardDetails(_Body):
    """The buyer's card. Only the number matters here."""

    number: Annotated[str, Field(pattern="^[0-9]{12,19}$")]
    exp_month: int | None = None
    exp_year: int | None = None
    cvc: str | None = None


class Confirm(_Body):
    """The buyer's side: sent by the buyer's browser, never by the shop."""

    client_secret: Text
    card: CardDetails


class Capture(_Body):
    """Part of the authorised money; `final` releases the rest. `reference` is the shop's capture id."""

    amount: Amount
    final: StrictBool = False
    reference: Text | None = None


class Refund(_Body):
    """Captured money to give back. `reference` is the shop's refund id."""

    payment_intent: Text
    amount: Amount
    reference: Text


class Provider:
    """One transaction for each request, in which the answer to its idempotency key is kept too."""

    def __init__(self, store: Store, delays: Delays, webhook_url: str, webhook_secret: str) -> None:
        self.store = store
        self.delays = delays
        self.payments = Payments(store, delays)
        self.webhooks = Webhooks(store, webhook_url, webhook_secret)
        self._to_decide = asyncio.Event()
        self._to_deliver = asyncio.Event()
        self._decided = asyncio.Condition()

    def once(
        self, route: str, key: str | None, wish: object, act: Callable[[], tuple[Row, Problem | None]]
    ) -> JSONResponse:
        """Do it, or give the answer that this key got before. 409 if the key came with another wish.

        Kept are successes and final refusals (402). Other answers depend on what may change meanwhile, so the
        same key may try again.
        """
        fingerprint = hashlib.sha256(json.dumps(wish, sort_keys=True, default=str).encode()).hexdigest()
        with self.store.transaction():
            if key and (known := self._answered(route, key)):
                if known["fingerprint"] != fingerprint:
                    raise Problem(409, "idempotency_key_reused", "the key came before with another body")
                return _answer(known["status"], json.loads(known["body"]))
            try:
                body, problem = act()
            except Problem as raised:
                body, problem = {}, raised
            status = problem.status if problem else 200
            body = problem.document() if problem else body
            if key and status in (200, 402):
                self.store.insert(
                    "answers",
                    route=route,
                    key=key,
                    fingerprint=fingerprint,
                    status=status,
                    body=json.dumps(body),
                )
        self._to_decide.set()
        self._to_deliver.set()
        return _answer(status, body)

    def _answered(self, route: str, key: str) -> Row | None:
        return self.store.one("SELECT * FROM answers WHERE route = ? AND key = ?", route, key)

    async def answer_confirmation(self, intent_id: str, number: str, at_once: JSONResponse) -> JSONResponse:
        """Hold the answer back as the card demands."""
        card = CARDS.get(number)
        if at_once.status_code != 200 or card is None:
            return at_once
        if card.answer is Answer.NEVER_IN_TIME:
            await asyncio.sleep(self.delays.hang)
            raise Problem(504, "timeout", "the bank took too long to answer")
        if card.answer is Answer.DECIDED_SLOWLY:
            async with self._decided:
                await self._decided.wait_for(lambda: self.payments.get(intent_id)["status"] != "processing")
            return _answer(200, self.payments.get(intent_id))
        return at_once

    async def keep_deciding(self) -> None:
        """Late decisions and expiries, for ever."""
        while True:
            self._to_decide.clear()
            with self.store.transaction():
                following = self.payments.work_off(time.time())
            self._to_deliver.set()
            async with self._decided:
                self._decided.notify_all()
            wait = 1.0 if following is None else min(1.0, max(0.0, following - time.time()))
            await _woken_or_later(self._to_decide, wait)

    async def keep_delivering(self) -> None:
        """Webhooks, for ever."""
        client = HttpClient(self.webhooks.url, timeout_s=5)
        try:
            while True:
                self._to_deliver.clear()
                if not await self.webhooks.deliver_due(client):
                    await _woken_or_later(self._to_deliver, 0.1)
        finally:
            await client.close()


def create_app(provider: Provider) -> FastAPI:
    """The routes over one provider; its loops run while the app does."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loops = [asyncio.create_task(_restarted(provider.keep_deciding))]
        if provider.webhooks.url:
            loops.append(asyncio.create_task(_restarted(provider.keep_delivering)))
        yield
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        provider.store.close()

    app = FastAPI(title="Sandbox payment provider", lifespan=lifespan)
    payments = provider.payments

    @app.post("/v1/payment_intents")
    async def create(wish: CreateIntent, key: Key = None) -> JSONResponse:
        return provider.once(
            "create",
            key,
            wish.model_dump(),
            lambda: (payments.create(time.time(), **wish.model_dump()), None),
        )

    @app.get("/v1/payment_intents")
    async def find(reference: str | None = None, provider_ref: str | None = None) -> dict[str, Any]:
        return {"data": payments.find(reference, provider_ref)}

    @app.get("/v1/payment_intents/{intent_id}")
    async def get(intent_id: str) -> dict[str, Any]:
        return payments.get(intent_id)

    @app.post("/v1/payment_intents/{intent_id}/confirm")
    async def confirm(intent_id: str, wish: Confirm, key: Key = None) -> JSONResponse:
        number = wish.card.number
        kept = {"client_secret": wish.client_secret, "card": number[-4:]}
        answer = provider.once(
            f"confirm {intent_id}",
            key,
            kept,
            lambda: (payments.confirm(time.time(), intent_id, wish.client_secret, number), None),
        )
        return await provider.answer_confirmation(intent_id, number, answer)

    @app.post("/v1/payment_intents/{intent_id}/capture")
    async def capture(intent_id: str, wish: Capture, key: Key = None) -> JSONResponse:
        return provider.once(
            f"capture {intent_id}",
            key,
            wish.model_dump(),
            lambda: payments.capture(time.time(), intent_id, **wish.model_dump()),
        )

    @app.post("/v1/payment_intents/{intent_id}/cancel")
    async def cancel(intent_id: str, key: Key = None) -> JSONResponse:
        return provider.once(
            f"cancel {intent_id}", key, {}, lambda: (payments.cancel(time.time(), intent_id), None)
        )

    @app.post("/v1/refunds")
    async def refund(wish: Refund, key: Key = None) -> JSONResponse:
        return provider.once(
            "refund",
            key,
            wish.model_dump(),
            lambda: payments.refund(
                time.time(), wish.payment_intent, amount=wish.amount, reference=wish.reference
            ),
        )

    @app.get("/v1/ledger")
    async def ledger(
        after: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 1000
    ) -> dict[str, Any]:
        entries = payments.entries(after, limit)
        return {"data": entries, "next": entries[-1]["seq"] if len(entries) == limit else None}

    @app.get("/v1/health")
    async def health() -> dict[str, Any]:
        return {
            "status": "ok",
            "processing": payments.processing(),
            "undelivered_webhooks": provider.webhooks.pending(),
        }

    @app.exception_handler(Problem)
    async def refused(_: Request, problem: Problem) -> JSONResponse:
        return _answer(problem.status, problem.document())

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        where = [
            {"at": ".".join(str(part) for part in each["loc"]), "why": each["msg"]} for each in error.errors()
        ]
        problem = Problem(422, "invalid_request", "the request is not as documented", errors=where)
        return _answer(422, problem.document())

    return app


def _answer(status: int, body: dict[str, Any]) -> JSONResponse:
    return JSONResponse(body, status, media_type=MEDIA_TYPE if status >= 400 else "application/json")


async def _restarted(loop: Callable[[], Any]) -> None:
    while True:
        try:
            await loop()
        except Exception:
            logger.exception("a loop of the provider failed and starts again")
            await asyncio.sleep(1)


async def _woken_or_later(woken: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(woken.wait(), seconds)
    except TimeoutError:
        return
