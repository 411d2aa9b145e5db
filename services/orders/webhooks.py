"""Webhooks of the payment provider: verified, kept by their id, and taken as facts, each exactly once.

Money that fits no order of ours becomes an orphan payment, which waits for its order or goes back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response
from prometheus_client import Counter

from services.orders.domain import (
    OrderCommand,
    RecordCaptureResult,
    RecordPaymentAuthorized,
    RecordPaymentCaptured,
    RecordPaymentDeclined,
    RecordVoided,
)
from services.orders.domain.orphan import OrphanCommand, RecordOrphanPayment, RecordOrphanRefundResult
from services.orders.psp import BadSignature, Notice, NoticeKind, NoticeReader
from shared.domain import Rejected, ids
from shared.domain.ids import derive
from shared.events.envelope import Actor, ActorKind, Cause
from shared.events.orders import DeclineCode, VoidCause
from shared.events.orphan_payments import OrphanPaymentKind
from shared.service.problems import Problem
from shared.store.readmodel import Table
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork
from shared.store.worker import Execute

log = structlog.get_logger(__name__)

WEBHOOKS = Counter("orderflow_webhooks", "Webhooks by what became of them", ["outcome"])
UNKNOWN = frozenset({"unknown_order", "unknown_intent", "unknown_capture"})
"""Refusals that say that a fact is about something that we never asked for."""
LARGEST = 65_536
"""Bytes of a webhook at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeNotice:
    """Work off a webhook that version 0.1 kept until its order would be there; nothing asks for this any
    more."""

    notice_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedWebhook:
    """A webhook as it came, without what may not be stored."""

    notice_id: str
    body: str
    received_at: datetime
    processed_at: datetime | None = None


RECEIVED_WEBHOOKS = Table(name="received_webhooks", row=ReceivedWebhook, key=("notice_id",))


class Inbox:
    """The kept webhooks of one provider; `execute` runs the commands that they become."""

    def __init__(self, reader: NoticeReader, execute: Execute, provider: str) -> None:
        self.reader = reader
        self._execute = execute
        self.provider = provider
        self._actor = Actor(ActorKind.PROVIDER, provider)

    async def receive(self, uow: UnitOfWork, notice: Notice, body: bytes) -> str:
        """Keep a webhook and take it; "repeated", "taken", or "orphan" if it fits no order."""
        kept = ReceivedWebhook(
            notice_id=notice.notice_id,
            body=self.reader.kept(body),
            received_at=uow.now,
            processed_at=uow.now,
        )
        try:
            with uow.attempt(self._cause(notice)):
                outcome = await self._record(uow, notice)
                if not await uow.session.insert(RECEIVED_WEBHOOKS, kept):
                    raise _KeptBefore
        except _KeptBefore:
            outcome = "repeated"
        return outcome

    async def take(self, uow: UnitOfWork, command: TakeNotice) -> None:
        """Record what a kept webhook says."""
        kept = await RECEIVED_WEBHOOKS.find(uow.session, command.notice_id, lock=True)
        if kept is None or kept.processed_at is not None:
            return
        notice = self.reader.read(kept.body.encode())
        with uow.attempt(self._cause(notice)):
            await self._record(uow, notice)
        await uow.session.update(RECEIVED_WEBHOOKS, replace(kept, processed_at=uow.now))

    async def _record(self, uow: UnitOfWork, notice: Notice) -> str:
        try:
            with uow.attempt(self._cause(notice)):
                for fact in facts(notice, uow.now):
                    await self._execute(uow, fact)
        except Rejected as refusal:
            if refusal.code not in UNKNOWN:
                raise
            log.warning("webhook_without_order", notice_id=notice.notice_id, code=refusal.code)
        else:
            return "taken"
        try:
            with uow.attempt(self._cause(notice)):
                for orphan in orphan_facts(notice, self.provider, uow.now):
                    await self._execute(uow, orphan)
        except Rejected as refusal:
            if refusal.code != "unknown_orphan_payment":
                raise
        return "orphan"

    def _cause(self, notice: Notice) -> Cause:
        return Cause(actor=self._actor, causation_id=derive("webhook", notice.notice_id))


class _KeptBefore(Exception):  # noqa: N818
    """The same webhook came before; what it says is recorded or waits already."""


def facts(notice: Notice, now: datetime) -> Sequence[OrderCommand]:
    """What a webhook says, as commands; none for a kind that says nothing about money.

    Raises Rejected (unknown_order) if it names no order and intent in our way.
    """
    if notice.kind is None:
        return ()
    if notice.order_id is None or notice.intent_id is None:
        raise Rejected("unknown_order", "the webhook names no order of this shop")
    about: dict[str, Any] = {"order_id": notice.order_id, "intent_id": notice.intent_id, "now": now}
    match notice.kind:
        case NoticeKind.AUTHORIZED:
            return (
                RecordPaymentAuthorized(
                    **about,
                    amount=notice.amount,
                    provider_ref=notice.provider_ref,
                    method_label=notice.method_label,
                    risk=notice.risk,
                    multicapture=notice.multicapture,
                    authorized_until=notice.authorized_until or now,
                ),
            )
        case NoticeKind.DECLINED:
            return (RecordPaymentDeclined(**about, code=notice.decline),)
        case NoticeKind.CAPTURED if notice.capture_id is not None:
            return (
                RecordCaptureResult(
                    order_id=notice.order_id,
                    capture_id=notice.capture_id,
                    ok=True,
                    provider_ref=notice.provider_ref,
                    now=now,
                ),
            )
        case NoticeKind.CAPTURED:
            return (RecordPaymentCaptured(**about, amount=notice.amount, provider_ref=notice.provider_ref),)
        case NoticeKind.CANCELED:
            return (
                RecordPaymentDeclined(**about, code=DeclineCode.TIMEOUT),
                RecordVoided(**about, provider_ref=notice.provider_ref),
            )
        case NoticeKind.EXPIRED:
            return (RecordVoided(**about, cause=VoidCause.EXPIRED, provider_ref=notice.provider_ref),)


def orphan_facts(notice: Notice, provider: str, now: datetime) -> Sequence[OrphanCommand]:
    """What a webhook that fits no order says about money."""
    match notice.kind:
        case NoticeKind.AUTHORIZED | NoticeKind.CAPTURED:
            return (
                RecordOrphanPayment(
                    kind=OrphanPaymentKind(notice.kind),
                    provider=provider,
                    provider_ref=notice.provider_ref,
                    amount=notice.amount,
                    currency=notice.currency,
                    claimed_order=notice.claimed_order,
                    now=now,
                ),
            )
        case NoticeKind.CANCELED | NoticeKind.EXPIRED:
            return (
                RecordOrphanRefundResult(
                    orphan_id=ids.orphan_payment_id(provider, notice.provider_ref),
                    ok=True,
                    amount=notice.amount,
                    refund_ref=notice.provider_ref,
                    now=now,
                ),
            )
        case _:
            return ()


def routes(store: Store, inbox: Inbox) -> APIRouter:
    """The address that the provider tells."""
    router = APIRouter(tags=["webhooks"])
    reader = inbox.reader

    @router.post("/webhooks/payments", status_code=204)
    async def receive(request: Request) -> Response:
        """Take a signed webhook; a 2xx answer means that it is kept for good."""
        body = await _bounded(request)
        try:
            reader.verify(request.headers.get(reader.signature_header, ""), body, store.clock())
        except BadSignature as error:
            WEBHOOKS.labels("bad_signature").inc()
            raise Problem(400, "invalid_signature", f"Not accepted: {error}.") from error
        try:
            notice = reader.read(body)
        except ValueError as error:
            WEBHOOKS.labels("malformed").inc()
            raise Problem(422, "invalid_request", "The webhook is not as documented.") from error

        async def work(uow: UnitOfWork) -> str:
            return await inbox.receive(uow, notice, body)

        about = [f"orphanpayment-{ids.orphan_payment_id(inbox.provider, notice.provider_ref)}"]
        if notice.order_id:
            about.append(f"order-{notice.order_id}")
        outcome = await store.transact(Cause(), work, streams=about)
        WEBHOOKS.labels(outcome).inc()
        return Response(status_code=204)

    return router


async def _bounded(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            raise Problem(413, "webhook_too_large", f"A webhook has at most {LARGEST} bytes.")
    return body
