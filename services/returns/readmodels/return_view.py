"""`return_view`: one return with its promises, for the customer and for Care; refunds are joined at query."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from prometheus_client import Gauge

from services.returns.domain.return_state import ReturnStatus
from shared.domain import Sealed, key_of
from shared.events import returns
from shared.events.common import Qty
from shared.events.envelope import Recorded
from shared.events.returns import (
    DeclineReason,
    LabelKind,
    ReceivedLine,
    RequestedLine,
    ReturnApproved,
    ReturnClosed,
    ReturnDeclined,
    ReturnKind,
    ReturnOrigin,
    ReturnOutcome,
    ReturnReceived,
    ReturnRequested,
)
from shared.service.metrics import OVERDUE
from shared.store.connection import Connection
from shared.store.readmodel import Key, ReadModel

RETURNS = Gauge("orderflow_returns", "Returns, by status", ["status"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Goods that the warehouse scanned."""

    receipt_id: UUID
    lines: tuple[ReceivedLine, ...]
    resolves_receipt_id: UUID | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnRow:
    """A return; `version` is its stream's, notes stay sealed."""

    return_id: UUID
    order_id: UUID
    version: int
    kind: ReturnKind
    origin: ReturnOrigin
    status: ReturnStatus
    lines: tuple[RequestedLine, ...]
    policy_version: int
    requested_at: datetime
    answer_by: datetime
    approved: tuple[Qty, ...] = ()
    instructions_ref: str | None = None
    label: LabelKind | None = None
    ship_by: datetime | None = None
    receive_by: datetime | None = None
    decline_reason: DeclineReason | None = None
    decline_note: Sealed | None = None
    receipts: tuple[Receipt, ...] = ()
    received_at: datetime | None = None
    complete: bool = False
    outcome: ReturnOutcome | None = None


def _keys(event: Recorded[Any]) -> Sequence[Key]:
    return [(UUID(key_of(event.stream)),)]


def _fold(row: ReturnRow | None, event: Recorded[Any], key: Key) -> ReturnRow:
    if isinstance(event.data, ReturnRequested):
        return _requested(event.data, event)
    assert row is not None, f"{event.type} before ReturnRequested"
    row = replace(row, version=event.version)
    match event.data:
        case ReturnApproved() as approved:
            return replace(
                row,
                status=ReturnStatus.OPEN,
                approved=approved.lines,
                instructions_ref=approved.instructions_ref,
                label=approved.label,
                ship_by=approved.ship_by,
                receive_by=approved.receive_by,
            )
        case ReturnDeclined(reason=reason, note=note):
            return replace(row, status=ReturnStatus.DECLINED, decline_reason=reason, decline_note=note)
        case ReturnReceived() as received:
            receipt = Receipt(
                receipt_id=received.receipt_id,
                lines=received.lines,
                resolves_receipt_id=received.resolves_receipt_id,
                at=event.occurred_at,
            )
            return replace(
                row,
                receipts=(*row.receipts, receipt),
                received_at=row.received_at or event.occurred_at,
                complete=received.complete,
            )
        case ReturnClosed(outcome=outcome):
            closed = outcome is ReturnOutcome.COMPLETED
            return replace(
                row, status=ReturnStatus.CLOSED if closed else ReturnStatus.CANCELED, outcome=outcome
            )
        case _:
            return row


def _requested(event: ReturnRequested, recorded: Recorded[Any]) -> ReturnRow:
    return ReturnRow(
        return_id=UUID(key_of(recorded.stream)),
        order_id=event.order_id,
        version=recorded.version,
        kind=event.kind,
        origin=event.origin,
        status=ReturnStatus.REQUESTED,
        lines=event.lines,
        policy_version=event.policy_version,
        requested_at=recorded.occurred_at,
        answer_by=event.answer_by,
    )


RETURN_VIEW = ReadModel(
    name="return_view",
    row=ReturnRow,
    key=("return_id",),
    events=frozenset(
        {
            returns.ReturnRequested,
            returns.ReturnApproved,
            returns.ReturnDeclined,
            returns.ReturnReceived,
            returns.ReturnClosed,
        }
    ),
    keys=_keys,
    fold=_fold,
)


async def sample(connection: Connection) -> None:
    """Returns by status, and those that wait for an answer for longer than promised."""
    rows = await connection.fetch(
        "SELECT status, count(*) AS n, count(*) FILTER (WHERE answer_by < now()) AS late "
        "FROM return_view GROUP BY status"
    )
    found = {row["status"]: row for row in rows}
    for status in ReturnStatus:
        RETURNS.labels(status).set(found[status]["n"] if status in found else 0)
    asked = found.get(ReturnStatus.REQUESTED)
    OVERDUE.labels("returns", ReturnStatus.REQUESTED).set(asked["late"] if asked else 0)
