"""`refund_queue`: every refund that was proposed and what became of it, for Finance.

The proposal comes from the grant's stream, the note and a final failure from our own `returnable-<order_id>`,
what was paid from orders: each fills its own columns, and the status follows from all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from prometheus_client import Gauge

from services.returns.domain.returnable_events import GrantNoted, GrantUnpaid
from shared.domain import Sealed, key_of
from shared.events.common import Breakdown, RefundLine, RefundSource
from shared.events.envelope import Recorded
from shared.events.orders import RefundCause, RefundIssued
from shared.events.returns import RefundApproved, RefundProposed
from shared.service.metrics import CONSERVATION, OVERDUE
from shared.store.connection import Connection
from shared.store.readmodel import Key, ReadModel

REFUNDS = Gauge("orderflow_refunds", "Granted refunds, by status", ["status"])
GRANTED = frozenset({RefundCause.RETURN, RefundCause.CLAIM, RefundCause.GOODWILL})
"""Causes of refunds that returns grants; the others are orders' own."""


class RefundStatus(StrEnum):
    """Waits for people, waits for orders, paid, or given up by orders."""

    PROPOSED = "PROPOSED"
    APPROVED = "APPROVED"
    ISSUED = "ISSUED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRow:
    """A refund; amounts in minor units. `approved_by`: everybody who stands behind it so far."""

    refund_id: UUID
    order_id: UUID
    status: RefundStatus = RefundStatus.PROPOSED
    version: int = 0
    source: RefundSource | None = None
    source_id: UUID | None = None
    receipt_id: UUID | None = None
    amount: int = 0
    currency: str = ""
    breakdown: Breakdown | None = None
    lines: tuple[RefundLine, ...] = ()
    proposed_by: UUID | None = None
    proposed_at: datetime | None = None
    approvals_needed: int = 0
    decide_by: datetime | None = None
    approved_by: tuple[UUID, ...] = ()
    approved_at: datetime | None = None
    note: Sealed | None = None
    failure: str | None = None
    paid: int = 0
    paid_at: datetime | None = None


def _keys(event: Recorded[Any]) -> Sequence[Key]:
    match event.data:
        case RefundIssued(cause=cause) if cause not in GRANTED:
            return []
        case RefundIssued(refund_id=refund) | GrantNoted(refund_id=refund) | GrantUnpaid(refund_id=refund):
            return [(refund,)]
        case _:
            return [(UUID(key_of(event.stream)),)]


def _fold(row: RefundRow | None, event: Recorded[Any], key: Key) -> RefundRow:
    match event.data:
        case RefundProposed(order_id=order_id) | RefundApproved(order_id=order_id):
            row = row or RefundRow(refund_id=UUID(key_of(event.stream)), order_id=order_id)
        case data:
            row = row or RefundRow(refund_id=data.refund_id, order_id=UUID(key_of(event.stream)))
    row = _told(row, event)
    return replace(row, status=_status(row))


def _told(row: RefundRow, event: Recorded[Any]) -> RefundRow:
    match event.data:
        case RefundProposed() as proposed:
            return _proposed(replace(row, version=event.version), proposed, event.occurred_at)
        case RefundApproved(approved_by=approved_by):
            return replace(row, version=event.version, approved_by=approved_by, approved_at=event.occurred_at)
        case GrantNoted(note=note):
            return replace(row, note=note)
        case GrantUnpaid(code=code):
            return replace(row, failure=code)
        case RefundIssued(amount=amount):
            return replace(row, paid=row.paid + amount, paid_at=event.occurred_at)
        case _:
            return row


def _proposed(row: RefundRow, event: RefundProposed, at: datetime) -> RefundRow:
    """A repeated proposal adds the person who stands behind it too."""
    people = (event.proposed_by,) if event.proposed_by else ()
    if row.proposed_at:
        return replace(row, approved_by=(*row.approved_by, *people))
    return replace(
        row,
        source=event.source,
        source_id=event.source_id,
        receipt_id=event.receipt_id,
        amount=event.amount,
        currency=event.currency,
        breakdown=event.breakdown,
        lines=event.lines,
        proposed_by=event.proposed_by,
        proposed_at=at,
        approvals_needed=event.approvals_needed,
        decide_by=event.decide_by,
        approved_by=people,
    )


def _status(row: RefundRow) -> RefundStatus:
    if row.paid_at:
        return RefundStatus.ISSUED
    if row.failure:
        return RefundStatus.FAILED
    return RefundStatus.APPROVED if row.approved_at else RefundStatus.PROPOSED


REFUND_QUEUE = ReadModel(
    name="refund_queue",
    row=RefundRow,
    key=("refund_id",),
    events=frozenset({RefundProposed, RefundApproved, GrantNoted, GrantUnpaid, RefundIssued}),
    keys=_keys,
    fold=_fold,
    shared_rows=True,
)


async def sample(connection: Connection) -> None:
    """Refunds by status, those that wait too long, and those that break L11 (paid otherwise than granted)."""
    rows = await connection.fetch(
        "SELECT status, count(*) AS n, count(*) FILTER (WHERE status = 'PROPOSED' AND decide_by < now() "
        "OR status = 'APPROVED' AND approved_at < now() - interval '24 hours') AS late, "
        "count(*) FILTER (WHERE paid_at IS NOT NULL AND (approved_at IS NULL OR paid <> amount) "
        "OR approved_at IS NOT NULL AND jsonb_array_length(approved_by) < approvals_needed) AS broken "
        "FROM refund_queue GROUP BY status"
    )
    found = {row["status"]: row for row in rows}
    for status in RefundStatus:
        REFUNDS.labels(status).set(found[status]["n"] if status in found else 0)
    for status in (RefundStatus.PROPOSED, RefundStatus.APPROVED):
        late = found[status]["late"] if status in found else 0
        OVERDUE.labels("returns", f"REFUND_{status}").set(late)
    CONSERVATION.labels("returns", "L11").set(sum(row["broken"] for row in rows))
