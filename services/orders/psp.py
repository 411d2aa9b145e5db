"""The payment port: what orders needs of a payment provider, in orders' own words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from shared.events.common import CaptureMode
from shared.events.orders import DeclineCode, Risk


class Standing(StrEnum):
    """Where an intent stands at the provider; CLOSED: nothing is open any more, whatever was taken."""

    UNPAID = "UNPAID"
    PROCESSING = "PROCESSING"
    AUTHORIZED = "AUTHORIZED"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderIntent:
    """An intent as the provider has it; amounts in minor units of `currency`.

    `intent_id` is None if it was not created under an id of ours. `multicapture`: it may be captured in
    parts; otherwise the first capture lets the rest go. `captures` and `refunds` give the provider's
    reference for each of ours; `unasked` is what it captured without being asked, as (reference, amount).
    `declined`: why the last try to pay it failed.
    """

    ref: str
    intent_id: UUID | None
    standing: Standing
    amount: int
    currency: str
    authorized: int
    captured: int
    client_secret: str
    confirm_url: str
    method_label: str
    risk: Risk
    multicapture: bool
    authorized_until: datetime | None
    captures: Mapping[UUID, str] = field(default_factory=dict)
    refunds: Mapping[UUID, str] = field(default_factory=dict)
    unasked: tuple[str, int] | None = None
    declined: DeclineCode | None = None


class Refused(Exception):  # noqa: N818 - an answer of the provider
    """The provider says no, and will say no to the same call again."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


class PaymentProvider(Protocol):
    """Calls to a provider. `key` makes a repeated call one call; our ids protect in the same way.

    Every call raises Refused, or Unavailable if there is no answer that will last.
    """

    async def find(self, intent_id: UUID) -> ProviderIntent | None:
        """The intent that was created under our id, or None."""
        ...

    async def lookup(self, provider_ref: str) -> ProviderIntent | None:
        """The intent that has this reference of the provider, or a capture with it; None if none has."""
        ...

    async def create(
        self,
        intent_id: UUID,
        order_id: UUID,
        amount: int,
        currency: str,
        capture: CaptureMode,
        key: str,
        *,
        paid_like: str | None = None,
    ) -> ProviderIntent:
        """Make an intent that the buyer can pay, or find the one that was made under our id.

        `paid_like` names an authorized intent: the new one is paid at once in the same way, without the
        buyer, or declined.
        """
        ...

    async def cancel(self, intent: ProviderIntent, key: str) -> ProviderIntent:
        """Give back what is open and let nobody pay it any more. Unavailable while the bank decides."""
        ...

    async def capture(self, intent: ProviderIntent, capture_id: UUID, amount: int, key: str) -> str:
        """Take part of what is authorized, without multicapture letting the rest go; gives the provider's
        reference."""
        ...

    async def refund(self, intent: ProviderIntent, refund_id: UUID, amount: int, key: str) -> str:
        """Give captured money back; gives the provider's reference. `refund_id` is once per intent."""
        ...


class NoticeKind(StrEnum):
    """What a provider tells unasked."""

    AUTHORIZED = "AUTHORIZED"
    DECLINED = "DECLINED"
    CAPTURED = "CAPTURED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One webhook, read. `order_id` and `intent_id` are None if it names none of ours; `claimed_order` is
    what it names as the order, whatever that is."""

    notice_id: str
    kind: NoticeKind | None
    order_id: UUID | None
    intent_id: UUID | None
    claimed_order: str | None
    amount: int
    currency: str
    provider_ref: str
    capture_id: UUID | None
    method_label: str
    risk: Risk
    multicapture: bool
    authorized_until: datetime | None
    decline: DeclineCode


class BadSignature(Exception):  # noqa: N818
    """The webhook was not signed with a secret that we share, or too long ago."""


class NoticeReader(Protocol):
    """Understands a provider's webhooks."""

    signature_header: str

    def verify(self, signature: str, body: bytes, now: datetime) -> None:
        """Raise BadSignature unless the provider signed exactly this body not long before `now`."""
        ...

    def read(self, body: bytes) -> Notice:
        """What the webhook says. Raises ValueError if it is not as agreed."""
        ...

    def kept(self, body: bytes) -> str:
        """What may be stored of a webhook that can be read: nothing of a card or a person, and `read` makes
        the same of it."""
        ...
