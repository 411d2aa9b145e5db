"""Returns' part of its OpenAPI document: what its routes answer, and with which problems.

The answers are written out here as types for the document; fuzzing holds what is really answered to them.
"""

from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from services.returns.domain.return_state import ReturnStatus
from services.returns.readmodels.refund_queue import RefundRow, RefundStatus
from services.returns.readmodels.return_view import Receipt
from shared.events.common import Qty
from shared.events.returns import (
    DeclineReason,
    LabelKind,
    RequestedLine,
    ReturnKind,
    ReturnOrigin,
    ReturnOutcome,
    ReturnPolicyAdopted,
)
from shared.service.openapi import Answer, Operation, Operations, examples_of


class ReturnableLine(Answer):
    """What of a line can come back; `until` is the last instant to ask for it."""

    line_id: UUID
    sku: str
    title: str | None
    ordered: int
    delivered: int
    returnable_quantity: int
    until: datetime | None
    excluded_reason: str | None


class ReturnablePage(Answer):
    """What of an order can come back under the policy in force."""

    order_id: UUID
    currency: str
    policy_version: int
    lines: list[ReturnableLine]


class RefundOfReturn(Answer):
    """A refund that a return led to."""

    refund_id: UUID
    receipt_id: UUID | None
    amount: int
    currency: str
    status: RefundStatus


class ReturnPage(Answer):
    """A return with its refunds; `promised_by`: when what came in is paid back at the latest."""

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
    approved: tuple[Qty, ...]
    instructions_ref: str | None
    label: LabelKind | None
    ship_by: datetime | None
    receive_by: datetime | None
    decline_reason: DeclineReason | None
    decline_note: str | None
    receipts: tuple[Receipt, ...]
    received_at: datetime | None
    complete: bool
    outcome: ReturnOutcome | None
    promised_by: datetime | None
    refund_status: RefundStatus | None
    refunds: list[RefundOfReturn]


_RETURN: Final = ("unknown_return",)


def _command(summary: str, *refusals: str) -> Operation:
    """A command on one return."""
    return Operation(
        summary=summary,
        refusals=(*_RETURN, *refusals),
        answer=ReturnPage,
        keyed=True,
        matched=True,
        tagged=True,
    )


OPERATIONS: Final[Operations] = {
    "GET /return-policy": Operation(
        summary="Read the return policy", answer=ReturnPolicyAdopted, tagged=True
    ),
    "PUT /return-policy": Operation(
        summary="Adopt a return policy",
        refusals=("invalid_policy",),
        answer=ReturnPolicyAdopted,
        keyed=True,
        matched=True,
        tagged=True,
    ),
    "GET /orders/{order_id}/returnable": Operation(
        summary="Read what can come back", refusals=("unknown_order",), answer=ReturnablePage
    ),
    "POST /returns": Operation(
        summary="Ask for a return",
        refusals=(
            "unknown_order",
            "invalid_quantity",
            "not_delivered",
            "exceeds_returnable",
            "period_ended",
            "excluded",
        ),
        answer=ReturnPage,
        keyed=True,
        tagged=True,
    ),
    "GET /returns": Operation(
        summary="List returns", refusals=("unknown_order", "forbidden"), answer=list[ReturnPage]
    ),
    "GET /returns/{return_id}": Operation(
        summary="Read a return", refusals=_RETURN, answer=ReturnPage, tagged=True
    ),
    "POST /returns/{return_id}/approve": _command("Approve a return", "not_requested"),
    "POST /returns/{return_id}/decline": _command("Decline a return", "not_requested", "unknown_order"),
    "POST /returns/{return_id}/cancel": _command("Cancel a return", "not_requested", "already_received"),
    "POST /returns/{return_id}/receipts": _command(
        "Count goods in", "invalid_quantity", "exceeds_approved", "not_requested"
    ),
    "POST /refunds": Operation(
        summary="Propose a goodwill refund",
        refusals=("unknown_order", "invalid_amount", "exceeds_refundable", "already_proposed"),
        answer=RefundRow,
        keyed=True,
        tagged=True,
    ),
    "POST /refunds/{refund}/approve": Operation(
        summary="Approve a refund",
        refusals=("unknown_refund", "same_approver"),
        answer=RefundRow,
        keyed=True,
        matched=True,
        tagged=True,
    ),
    "GET /refunds": Operation(summary="List refunds", answer=list[RefundRow]),
    "GET /refunds/{refund}": Operation(
        summary="Read a refund", refusals=("unknown_refund",), answer=RefundRow, tagged=True
    ),
}

EXAMPLES: Final = examples_of(Path(__file__).parent)
