"""The public events of money that came from the provider and belongs to no known order.

Each such payment is a stream `orphanpayment-<id>`, the id derived from provider and provider reference; they
go to the topic of orders. Amounts are minor units in the payment's currency.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class OrphanPaymentKind(StrEnum):
    """What the provider did: holds the money, or took it."""

    AUTHORIZED = "AUTHORIZED"
    CAPTURED = "CAPTURED"


class OrphanRefundFailureCode(StrEnum):
    """Why an orphan payment was not given back."""

    PROVIDER_REFUSED = "PROVIDER_REFUSED"
    PROVIDER_UNREACHABLE = "PROVIDER_UNREACHABLE"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanPaymentReceived:
    """Money came that fits no order; unless one turns up that it fits, it goes back at `refund_at`.

    `claimed_order` is what the provider says it is for, word for word.
    """

    kind: OrphanPaymentKind
    provider: str
    provider_ref: str
    amount: int
    currency: str
    claimed_order: str | None = None
    refund_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanPaymentMatched:
    """The order turned up before the money went back: from here on the payment is that order's."""

    kind: OrphanPaymentKind
    amount: int
    order_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanPaymentRefundRequested:
    """The provider is asked to give it back; no order can have it any more. `attempt` counts from 1."""

    kind: OrphanPaymentKind
    amount: int
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanPaymentRefunded:
    """It went back, `amount` being what was there: AUTHORIZED money was let go, CAPTURED money refunded."""

    kind: OrphanPaymentKind
    amount: int
    refund_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanPaymentRefundFailed:
    """It did not go back; `retryable`: it will be tried again, else a person has to look at it."""

    kind: OrphanPaymentKind
    amount: int
    code: OrphanRefundFailureCode
    retryable: bool
    attempt: int


OrphanPaymentEvent = (
    OrphanPaymentReceived
    | OrphanPaymentMatched
    | OrphanPaymentRefundRequested
    | OrphanPaymentRefunded
    | OrphanPaymentRefundFailed
)

EVENTS: tuple[type, ...] = (
    OrphanPaymentReceived,
    OrphanPaymentMatched,
    OrphanPaymentRefundRequested,
    OrphanPaymentRefunded,
    OrphanPaymentRefundFailed,
)
