"""The one effect of notifications: write the mail that an event asks for, and hand it to the mail server."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

import orjson
from prometheus_client import Gauge
from pydantic import TypeAdapter

from services.notifications.contexts import Opened, Shop, context
from services.notifications.domain.message import MESSAGE, MessageCommand, RecordFailed, RecordSent
from services.notifications.domain.occasions import Recipient, occasions
from services.notifications.reactions import EMAIL_SEND
from services.notifications.readmodels import return_policies
from services.notifications.readmodels.mail_occasions import MAIL_OCCASIONS, MailOccasion
from services.notifications.readmodels.order_snippets import ORDER_SNIPPETS, OrderSnippet
from services.notifications.readmodels.return_policies import ReturnPolicyRow
from services.notifications.render import language_of, render
from services.notifications.smtp import Letter, Mail, Refused, domain_of
from shared.domain.ids import message_id
from shared.events.notifications import Channel, FailureStage, Locale
from shared.events.returns import ReturnDeclined
from shared.service.vault import Vault
from shared.store.connection import Connection
from shared.store.gathering import Gathering
from shared.store.store import Store
from shared.store.todo import Todo
from shared.store.worker import LONGEST_RETRY_S, Unavailable

WAITING = Gauge("orderflow_mails_waiting", "Mails that are not sent yet, by how long they wait", ["age"])

UNSENT_AT_MOST = timedelta(hours=24)
"""What could not be sent for so long has failed; staff may send it again."""
_LAST_TRY = UNSENT_AT_MOST - timedelta(seconds=2 * LONGEST_RETRY_S)
"""From this age on the next try might be too late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailRequest:
    """The payload of the effect: which event, which template, and which resend of which message this is."""

    cause_event_id: UUID
    order_id: UUID
    template: str
    resend_no: int = 0
    resend_of: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mail:
    """Everything that a mail is made of, personal data still sealed."""

    request: EmailRequest
    event: Any
    recipient: Recipient
    order: OrderSnippet
    policy: ReturnPolicyRow | None


_REQUEST: TypeAdapter[EmailRequest] = TypeAdapter(EmailRequest)


@dataclass(frozen=True, kw_only=True)
class EmailSend:
    """Sends mails. Repeating an effect gives the same Message-ID, and nothing if its outcome is recorded."""

    store: Store
    vault: Vault
    mail: Mail
    shop: Shop
    sender: str
    merchant_email: str
    clock: Callable[[], datetime]

    @cached_property
    def _occasions(self) -> Gathering[UUID, MailOccasion]:
        async def fetch(ids: Sequence[UUID]) -> Mapping[UUID, MailOccasion]:
            async with self.store.session() as session:
                rows = await MAIL_OCCASIONS.query(session, "event_id = ANY($1::uuid[])", ids)
            return {row.event_id: row for row in rows}

        return Gathering(fetch)

    @cached_property
    def _orders(self) -> Gathering[UUID, OrderSnippet]:
        async def fetch(ids: Sequence[UUID]) -> Mapping[UUID, OrderSnippet]:
            async with self.store.session() as session:
                rows = await ORDER_SNIPPETS.query(session, "order_id = ANY($1::uuid[])", ids)
            return {row.order_id: row for row in rows}

        return Gathering(fetch)

    @cached_property
    def _policies(self) -> Gathering[str, ReturnPolicyRow]:
        async def fetch(_keys: Sequence[str]) -> Mapping[str, ReturnPolicyRow]:
            async with self.store.session() as session:
                policy = await return_policies.current(session)
            return {"current": policy} if policy else {}

        return Gathering(fetch)

    async def __call__(self, row: Todo) -> Sequence[MessageCommand]:
        """The outcome to record. Raises Unavailable if it may be sent later."""
        mail = await self._load(_REQUEST.validate_python(row.payload))
        request = mail.request
        to = self._address(mail)
        recipient_hash = self.vault.fingerprint(to)
        effect_id = message_id(
            request.cause_event_id, request.template, recipient_hash, Channel.EMAIL, request.resend_no
        )
        if await self.store.read(MESSAGE, effect_id) is not None:
            return ()
        about: dict[str, Any] = {
            "message_id": effect_id,
            "template": request.template,
            "cause_event_id": request.cause_event_id,
            "order_id": request.order_id,
            "recipient_hash": recipient_hash,
        }
        letter = self._write(mail, to, effect_id)
        try:
            await self.mail.send(letter)
        except Refused as refusal:
            return [RecordFailed(**about, stage=refusal.stage, detail=refusal.detail)]
        except Unavailable as away:
            if self.clock() < row.created_at + _LAST_TRY:
                raise
            return [RecordFailed(**about, stage=FailureStage.REJECTED, detail=f"unsent for a day: {away}")]
        return [
            RecordSent(
                **about,
                locale=letter.content.locale,
                resend_of=request.resend_of,
                provider_ref=letter.message_id,
            )
        ]

    async def _load(self, request: EmailRequest) -> _Mail:
        occasion, order, policy = await asyncio.gather(
            self._occasions.get(request.cause_event_id),
            self._orders.get(request.order_id),
            self._policies.get("current"),
        )
        if occasion is None or order is None:
            raise Unavailable(f"nothing is known of order {request.order_id} yet")
        event = occasion.event()
        recipient = next(each.recipient for each in occasions(event) if each.template == request.template)
        return _Mail(request=request, event=event, recipient=recipient, order=order, policy=policy)

    def _address(self, mail: _Mail) -> str:
        if mail.recipient is Recipient.MERCHANT:
            return self.merchant_email
        return self.vault.open(mail.order.email, "email")

    def _write(self, mail: _Mail, to: str, effect_id: UUID) -> Letter:
        request = mail.request
        wished = mail.order.locale if mail.recipient is Recipient.CUSTOMER else Locale.EN
        locale = language_of(request.template, wished)
        values = context(mail.event, mail.order, self._open(mail), mail.policy, self.shop, locale)
        return Letter(
            message_id=f"<{effect_id}@{domain_of(self.sender)}>",
            to=to,
            content=render(request.template, locale, values),
            headers=(
                ("X-Orderflow-Cause", str(request.cause_event_id)),
                ("X-Orderflow-Template", request.template),
                ("X-Orderflow-Order", str(request.order_id)),
            ),
        )

    def _open(self, mail: _Mail) -> Opened:
        note = mail.event.note if isinstance(mail.event, ReturnDeclined) else None
        address: Mapping[str, str | None] = orjson.loads(self.vault.open(mail.order.address, "address"))
        return Opened(
            name=self.vault.open(mail.order.name, "name"),
            address=address,
            note=self.vault.open(note, "note") if note else None,
        )


async def sample(connection: Connection) -> None:
    """Count unsent mails by age."""
    row = await connection.fetchrow(
        "SELECT count(*) FILTER (WHERE age < interval '1 minute') AS minute, "
        "count(*) FILTER (WHERE age >= interval '1 minute' AND age < interval '1 hour') AS hour, "
        "count(*) FILTER (WHERE age >= interval '1 hour') AS longer "
        "FROM (SELECT now() - created_at AS age FROM todo WHERE kind = 'EFFECT' AND name = $1) AS waiting",
        EMAIL_SEND,
    )
    assert row is not None
    WAITING.labels("under_1m").set(row["minute"])
    WAITING.labels("under_1h").set(row["hour"])
    WAITING.labels("over_1h").set(row["longer"])
