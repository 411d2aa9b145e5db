"""What returns answers over HTTP: rows of the read models, the notes opened for those who may read them."""

from collections.abc import Hashable, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from services.returns.domain.returnable import exclusion_of
from services.returns.readmodels.refund_queue import REFUND_QUEUE, RefundRow
from services.returns.readmodels.return_policies import RETURN_POLICIES, PolicyRow
from services.returns.readmodels.return_view import RETURN_VIEW, ReturnRow
from services.returns.readmodels.returnable import ReturnableRow
from shared.domain import Sealed
from shared.service.vault import Vault
from shared.store.readmodel import ReadModel
from shared.store.session import Session
from shared.store.unit_of_work import UnitOfWork

R = TypeVar("R")


async def written(uow: UnitOfWork, model: ReadModel[R], *key: Hashable) -> R:
    """The row as it is once this unit of work, which touches it, is written."""
    row = await model.find(uow.session, *key)
    for event in uow.events:
        if type(event.data) in model.events and key in model.keys(event):
            row = model.fold(row, event, key)
    assert row is not None, f"{model.name} has no row {key}"
    return row


async def return_answers(session: Session, vault: Vault, rows: Sequence[ReturnRow]) -> list[dict[str, Any]]:
    """Returns with their refunds and the promise that their receipts started."""
    refunds: dict[UUID, list[RefundRow]] = {}
    for refund in await REFUND_QUEUE.query(
        session,
        "source_id = ANY($1::uuid[]) ORDER BY proposed_at, refund_id",
        [row.return_id for row in rows],
    ):
        if refund.source_id:
            refunds.setdefault(refund.source_id, []).append(refund)
    versions = [row.policy_version for row in rows]
    terms = await RETURN_POLICIES.query(session, "policy_version = ANY($1::bigint[])", versions)
    refund_days = {policy.policy_version: policy.document.refund_days for policy in terms}
    return [
        _return(vault, row, refunds.get(row.return_id, []), refund_days[row.policy_version]) for row in rows
    ]


async def return_written(uow: UnitOfWork, vault: Vault, return_id: UUID) -> dict[str, Any]:
    """The answer about a return that this unit of work touches."""
    row = await written(uow, RETURN_VIEW, return_id)
    (answer,) = await return_answers(uow.session, vault, [row])
    return answer


def _return(vault: Vault, row: ReturnRow, refunds: Sequence[RefundRow], refund_days: int) -> dict[str, Any]:
    """`promised_by`: when what came in is paid back at the latest."""
    lines = [{**asdict(line), "note": _opened(vault, line.note)} for line in row.lines]
    return {
        **asdict(row),
        "lines": lines,
        "decline_note": _opened(vault, row.decline_note),
        "promised_by": row.received_at + timedelta(days=refund_days) if row.received_at else None,
        "refund_status": refunds[-1].status if refunds else None,
        "refunds": [
            {
                name: getattr(refund, name)
                for name in ("refund_id", "receipt_id", "amount", "currency", "status")
            }
            for refund in refunds
        ],
    }


def refund_answer(vault: Vault, row: RefundRow) -> dict[str, Any]:
    """A refund as Finance sees it."""
    return {**asdict(row), "note": _opened(vault, row.note)}


def policy_answer(row: PolicyRow) -> dict[str, Any]:
    """A policy as the shop shows it."""
    return asdict(row.document)


def returnable_answer(row: ReturnableRow, policy: PolicyRow) -> dict[str, Any]:
    """What of an order can come back under the policy in force; `until` is the last instant to ask for it."""
    terms = policy.document
    lines = [
        {
            "line_id": entry.line.line_id,
            "sku": entry.line.sku,
            "title": row.titles.get(entry.line.line_id),
            "ordered": entry.line.ordered,
            "delivered": entry.delivered,
            "returnable_quantity": 0 if row.cancelled else entry.delivered - entry.claimed,
            "until": entry.delivered_at + timedelta(days=terms.window_days) if entry.delivered_at else None,
            "excluded_reason": exclusion_of(entry.line, terms),
        }
        for entry in row.lines
    ]
    return {
        "order_id": row.order_id,
        "currency": row.currency,
        "policy_version": terms.policy_version,
        "lines": lines,
    }


def _opened(vault: Vault, note: Sealed | None) -> str | None:
    return vault.open(note, "note") if note else None
