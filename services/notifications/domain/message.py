"""A message is an effect; its stream, named by the effect id, only tells what became of it."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias, assert_never
from uuid import UUID

from shared.domain import Decider
from shared.events.notifications import (
    Channel,
    FailureStage,
    Locale,
    MessageEvent,
    MessageFailed,
    MessageSent,
)

BEFORE_SENDING = frozenset({FailureStage.SUPPRESSED, FailureStage.REJECTED})
"""Failures that cannot befall a message that a mail server has taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Whether a mail server took the message, and every way in which it failed."""

    sent: bool = False
    failed: frozenset[FailureStage] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSent:
    """The mail server took the message; a fact, never refused."""

    message_id: UUID
    template: str
    cause_event_id: UUID
    order_id: UUID | None
    recipient_hash: str
    channel: Channel = Channel.EMAIL
    locale: Locale
    resend_of: UUID | None = None
    provider_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFailed:
    """The message was held back, refused, or came back; a fact, never refused."""

    message_id: UUID
    template: str
    cause_event_id: UUID
    order_id: UUID | None
    recipient_hash: str
    channel: Channel = Channel.EMAIL
    stage: FailureStage
    detail: str


MessageCommand: TypeAlias = RecordSent | RecordFailed


def decide(state: Message | None, command: MessageCommand) -> list[MessageEvent]:
    """Each outcome is recorded once; a message that was sent was neither suppressed nor refused."""
    known = state or Message()
    match command:
        case RecordSent():
            return [] if known.sent else [_sent(command)]
        case RecordFailed():
            contradicts = known.sent and command.stage in BEFORE_SENDING
            return [] if contradicts or command.stage in known.failed else [_failed(command)]
        case _:
            assert_never(command)


def _sent(command: RecordSent) -> MessageSent:
    return MessageSent(
        template=command.template,
        cause_event_id=command.cause_event_id,
        order_id=command.order_id,
        recipient_hash=command.recipient_hash,
        channel=command.channel,
        locale=command.locale,
        resend_of=command.resend_of,
        provider_ref=command.provider_ref,
    )


def _failed(command: RecordFailed) -> MessageFailed:
    return MessageFailed(
        template=command.template,
        cause_event_id=command.cause_event_id,
        order_id=command.order_id,
        recipient_hash=command.recipient_hash,
        channel=command.channel,
        stage=command.stage,
        detail=command.detail,
    )


def evolve(state: Message | None, event: MessageEvent, at: datetime) -> Message:
    """Outcomes add up, in whatever order they become known."""
    known = state or Message()
    match event:
        case MessageSent():
            return replace(known, sent=True)
        case MessageFailed():
            return replace(known, failed=known.failed | {event.stage})
        case _:
            assert_never(event)


MESSAGE: Decider[Message, MessageCommand, MessageEvent] = Decider(
    category="message", decide=decide, evolve=evolve
)
