"""Public events of notifications: what became of each message. A message's stream is its effect id."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Channel(StrEnum):
    """How a message reaches its reader."""

    EMAIL = "EMAIL"
    IN_APP = "IN_APP"


class Locale(StrEnum):
    """The languages that messages are written in."""

    IT = "it"
    PT = "pt"
    EN = "en"


class FailureStage(StrEnum):
    """Where a message ended: held back by us, refused, bounced later, or complained about."""

    SUPPRESSED = "SUPPRESSED"
    REJECTED = "REJECTED"
    BOUNCED = "BOUNCED"
    COMPLAINED = "COMPLAINED"


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSent:
    """The mail server took the message; `provider_ref` is what it was known by there."""

    template: str
    cause_event_id: UUID
    order_id: UUID | None = None
    recipient_hash: str
    channel: Channel = Channel.EMAIL
    locale: Locale
    resend_of: UUID | None = None
    provider_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFailed:
    """The message will not reach its reader, or was thrown back after it was sent."""

    template: str
    cause_event_id: UUID
    order_id: UUID | None = None
    recipient_hash: str
    channel: Channel = Channel.EMAIL
    stage: FailureStage
    detail: str


EVENTS: tuple[type, ...] = (MessageSent, MessageFailed)

MessageEvent = MessageSent | MessageFailed
