"""`payments_ledger`: every movement of an order's money, with the provider's reference. For audits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from shared.domain import key_of
from shared.events.envelope import Recorded
from shared.events.orders import (
    CaptureFailed,
    CaptureRequested,
    LatePaymentKind,
    LatePaymentReceived,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRequested,
    PaymentVoided,
    RefundFailed,
    RefundIssued,
    RefundRequested,
)
from shared.service.metrics import CONSERVATION, OVERDUE
from shared.store.connection import Connection
from shared.store.readmodel import Key, ReadModel


class EntryKind(StrEnum):
    """What money did; the id of an INTENT or VOID is the intent's."""

    INTENT = "INTENT"
    VOID = "VOID"
    CAPTURE = "CAPTURE"
    REFUND = "REFUND"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """`status`: OPEN, AUTHORIZED, CLOSED of an intent; REQUESTED, DONE, FAILED of the rest.

    `amount` of an AUTHORIZED intent is what was authorized, before that what was asked for. `late`: it came
    when it was no longer wanted.
    """

    kind: EntryKind
    id: UUID
    order_id: UUID
    intent_id: UUID | None = None
    amount: int
    status: str
    late: bool = False
    provider_ref: str | None = None
    at: datetime


def _keys(event: Recorded[Any]) -> Sequence[Key]:
    match event.data:
        case PaymentVoided(intent_id=intent_id):
            return [(EntryKind.VOID, intent_id)]
        case PaymentRequested() | PaymentAuthorized() | PaymentDeclined():
            return [(EntryKind.INTENT, event.data.intent_id)]
        case LatePaymentReceived(kind=LatePaymentKind.AUTHORIZED, intent_id=intent_id):
            return [(EntryKind.INTENT, intent_id)]
        case LatePaymentReceived() | CaptureRequested() | PaymentCaptured() | CaptureFailed():
            return [(EntryKind.CAPTURE, event.data.capture_id)]
        case _:
            return [(EntryKind.REFUND, event.data.refund_id)]


def _fold(row: LedgerEntry | None, event: Recorded[Any], key: Key) -> LedgerEntry:
    if row is not None:
        return replace(row, at=event.occurred_at, **_changes(row, event.data))
    kind, entry_id = key
    assert isinstance(kind, EntryKind)
    assert isinstance(entry_id, UUID)
    begun = {"amount": 0, "status": "OPEN", "intent_id": getattr(event.data, "intent_id", None)}
    return LedgerEntry(
        kind=kind,
        id=entry_id,
        order_id=UUID(key_of(event.stream)),
        at=event.occurred_at,
        **{**begun, **_changes(None, event.data)},
    )


def _changes(row: LedgerEntry | None, data: Any) -> dict[str, Any]:
    """What an event says about its entry, `at` left out."""
    match data:
        case PaymentRequested(amount=amount):
            return {"amount": amount}
        case PaymentAuthorized(amount=amount, provider_ref=ref):
            return {"amount": amount, "status": "AUTHORIZED", "provider_ref": ref}
        case LatePaymentReceived(kind=LatePaymentKind.AUTHORIZED, amount=amount, provider_ref=ref):
            return {"amount": amount, "status": "AUTHORIZED", "provider_ref": ref, "late": True}
        case LatePaymentReceived(amount=amount, provider_ref=ref):
            return {"amount": amount, "status": "DONE", "provider_ref": ref, "late": True}
        case PaymentDeclined():
            return {"status": "CLOSED"}
        case PaymentVoided(amount=amount, provider_ref=ref):
            before, its_ref = (row.amount, row.provider_ref) if row else (0, None)
            return {"amount": before + amount, "status": "DONE", "provider_ref": ref or its_ref}
        case CaptureRequested(amount=amount) | RefundRequested(amount=amount):
            return {"amount": amount, "status": "REQUESTED"}
        case PaymentCaptured(amount=amount, provider_ref=ref):
            return {"amount": amount, "status": "DONE", "provider_ref": ref}
        case CaptureFailed(final=final):
            return {"status": "FAILED" if final else "REQUESTED"}
        case RefundIssued(amount=amount, allocations=parts):
            refs = " ".join(dict.fromkeys(part.provider_ref for part in parts))
            return {"amount": amount, "status": "DONE", "provider_ref": refs or None}
        case RefundFailed(amount=amount):
            return {"amount": amount, "status": "FAILED"}
        case _:
            return {}


PAYMENTS_LEDGER = ReadModel(
    name="payments_ledger",
    row=LedgerEntry,
    key=("kind", "id"),
    events=frozenset(
        {
            PaymentRequested,
            PaymentAuthorized,
            PaymentDeclined,
            PaymentVoided,
            LatePaymentReceived,
            CaptureRequested,
            PaymentCaptured,
            CaptureFailed,
            RefundRequested,
            RefundIssued,
            RefundFailed,
        }
    ),
    keys=_keys,
    fold=_fold,
)

_BROKEN_L7 = """
SELECT count(*) FROM (
    SELECT order_id FROM payments_ledger GROUP BY order_id
    HAVING sum(amount) FILTER (WHERE kind = 'REFUND' AND status IN ('DONE', 'REQUESTED'))
         > coalesce(sum(amount) FILTER (WHERE kind = 'CAPTURE' AND status = 'DONE'), 0)
) AS broken
"""
_BROKEN_L9 = """
SELECT count(*) FROM (
    SELECT intent_id FROM payments_ledger WHERE intent_id IS NOT NULL GROUP BY intent_id
    HAVING bool_or(kind = 'INTENT' AND status = 'AUTHORIZED')
       AND sum(amount) FILTER (WHERE kind <> 'INTENT' AND status <> 'FAILED')
         > sum(amount) FILTER (WHERE kind = 'INTENT')
) AS broken
"""


_UNPAID = """
SELECT count(*) FROM order_view AS o
WHERE order_status = 'PROCESSING' AND fulfillment_status IN ('FULFILLED', 'DELIVERED')
  AND payment_status IN ('PENDING', 'AUTHORIZED', 'PARTIALLY_PAID', 'VOIDED', 'EXPIRED')
  AND NOT EXISTS (SELECT 1 FROM payments_ledger AS l
                  WHERE l.order_id = o.order_id AND l.at > now() - interval '7 days')
"""


async def sample(connection: Connection) -> None:
    """Orders that paid more back than they took (L7), intents that gave more than they had (L9): always 0;
    and orders that have shipped and brought no money for a week: a person's to collect."""
    CONSERVATION.labels("orders", "L7").set(await connection.fetchval(_BROKEN_L7))
    CONSERVATION.labels("orders", "L9").set(await connection.fetchval(_BROKEN_L9))
    OVERDUE.labels("orders", "AWAITING_PAYMENT").set(await connection.fetchval(_UNPAID))
