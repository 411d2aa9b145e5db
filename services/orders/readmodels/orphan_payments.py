"""`orphan_payments`: money from the provider that belongs to no known order, and what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from prometheus_client import Gauge

from services.orders.domain.orphan import OrphanStatus
from shared.domain import key_of
from shared.events import orphan_payments
from shared.events.envelope import Recorded
from shared.events.orphan_payments import (
    OrphanPaymentKind,
    OrphanPaymentMatched,
    OrphanPaymentReceived,
    OrphanPaymentRefunded,
    OrphanPaymentRefundFailed,
    OrphanPaymentRefundRequested,
    OrphanRefundFailureCode,
)
from shared.service.metrics import OVERDUE
from shared.store.connection import Connection
from shared.store.readmodel import Key, ReadModel

ORPHANS = Gauge("orderflow_orphan_payments", "Payments that fit no order, by what became of them", ["status"])


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanRow:
    """One payment. `refund_at` is when it goes back unless its order turns up; `refunded` is what went back,
    `order_id` the order that it fits after all, `claimed_order` what the provider says that it is for."""

    orphan_id: UUID
    provider: str
    provider_ref: str
    kind: OrphanPaymentKind
    amount: int
    currency: str
    claimed_order: str | None
    status: OrphanStatus
    received_at: datetime
    refund_at: datetime
    attempts: int = 0
    last_failure: OrphanRefundFailureCode | None = None
    refunded: int = 0
    refund_ref: str | None = None
    order_id: UUID | None = None


def _keys(event: Recorded[Any]) -> Sequence[Key]:
    return [(UUID(key_of(event.stream)),)]


def _fold(row: OrphanRow | None, event: Recorded[Any], key: Key) -> OrphanRow:
    data = event.data
    if isinstance(data, OrphanPaymentReceived):
        return OrphanRow(
            orphan_id=UUID(key_of(event.stream)),
            provider=data.provider,
            provider_ref=data.provider_ref,
            kind=data.kind,
            amount=data.amount,
            currency=data.currency,
            claimed_order=data.claimed_order,
            status=OrphanStatus.RECEIVED,
            received_at=event.occurred_at,
            refund_at=data.refund_at,
        )
    assert row is not None
    match data:
        case OrphanPaymentMatched(order_id=order_id):
            return replace(row, status=OrphanStatus.MATCHED, order_id=order_id)
        case OrphanPaymentRefundRequested(attempt=attempt):
            return replace(row, status=OrphanStatus.REFUNDING, attempts=attempt)
        case OrphanPaymentRefunded(amount=amount, refund_ref=ref):
            return replace(row, status=OrphanStatus.REFUNDED, refunded=amount, refund_ref=ref)
        case OrphanPaymentRefundFailed(code=code):
            return replace(row, status=OrphanStatus.FAILED, last_failure=code)
        case _:
            return row


ORPHAN_PAYMENTS = ReadModel(
    name="orphan_payments",
    row=OrphanRow,
    key=("orphan_id",),
    events=frozenset(orphan_payments.EVENTS),
    keys=_keys,
    fold=_fold,
)


async def sample(connection: Connection) -> None:
    """Orphan payments by status, and those that should be on their way back and are not."""
    counted = await connection.fetch("SELECT status, count(*) AS n FROM orphan_payments GROUP BY 1")
    by_status = {row["status"]: row["n"] for row in counted}
    for status in OrphanStatus:
        ORPHANS.labels(status).set(by_status.get(status, 0))
    late = await connection.fetchval(
        "SELECT count(*) FROM orphan_payments WHERE status = 'FAILED' "
        "OR (status = 'RECEIVED' AND refund_at < now() - interval '5 minutes')"
    )
    OVERDUE.labels("orders", "ORPHAN_PAYMENT_NOT_REFUNDED").set(late)
