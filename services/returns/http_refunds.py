"""Refunds over HTTP, for staff: goodwill, a second person's approval, and the queue."""

from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from services.returns.access import order_for, person
from services.returns.answers import refund_answer, written
from services.returns.commands import execute, policy_of
from services.returns.domain.decisions import ProposeGoodwill, refund_id
from services.returns.domain.refund import REFUND_GRANT, ApproveRefund
from services.returns.domain.returnable import RETURNABLE
from services.returns.readmodels.refund_queue import REFUND_QUEUE, RefundStatus
from shared.domain import Rejected
from shared.events.envelope import Actor
from shared.service.auth import STAFF, Authenticator
from shared.service.commands import Outcome, require_version, respond, run_command
from shared.service.fields import LongText
from shared.service.vault import Vault
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork


class Goodwill(BaseModel):
    """Money to pay back without goods; the same `refund_case_id` again grants nothing twice."""

    order_id: UUID
    amount: int
    note: LongText | None = None
    refund_case_id: UUID = Field(default_factory=uuid4)


def refund_routes(store: Store, auth: Authenticator, vault: Vault) -> APIRouter:
    """The routes of refunds."""
    router = APIRouter(tags=["refunds"])
    staff = Depends(auth.require(STAFF))

    @router.post("/refunds", status_code=201)
    async def grant_goodwill(goodwill: Goodwill, request: Request, actor: Actor = staff) -> Response:
        """Propose a goodwill refund; up to the policy's threshold the proposer's word is enough."""
        if goodwill.amount < 1:
            raise Rejected("invalid_amount", "A refund pays back at least one minor unit.")

        async def work(uow: UnitOfWork) -> Outcome:
            order = await order_for(uow.session, actor, goodwill.order_id)
            await uow.state(RETURNABLE, goodwill.order_id)
            note = goodwill.note
            command = ProposeGoodwill(
                order_id=goodwill.order_id,
                case_id=goodwill.refund_case_id,
                amount=goodwill.amount,
                note=vault.seal(order.subject_id, "note", note) if note and order.subject_id else None,
                proposed_by=person(actor),
                policy=await policy_of(uow),
                now=uow.now,
            )
            await execute(uow, command)
            return await _outcome(uow, refund_id(command), status=201)

        return await run_command(request, store, actor, work)

    @router.post("/refunds/{refund}/approve")
    async def approve(refund: UUID, request: Request, actor: Actor = staff) -> Response:
        """Stand behind a proposed refund; it is paid once enough people do."""

        async def work(uow: UnitOfWork) -> Outcome:
            if await uow.state(REFUND_GRANT, refund) is None:
                raise _unknown()
            require_version(request, uow.version(REFUND_GRANT, refund))
            await execute(uow, ApproveRefund(refund_id=refund, approver=person(actor)))
            return await _outcome(uow, refund)

        return await run_command(request, store, actor, work)

    @router.get("/refunds")
    async def queue(
        status: RefundStatus | None = None,
        order_id: UUID | None = None,
        source_id: UUID | None = None,
        after: UUID | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        _actor: Actor = staff,
    ) -> list[dict[str, Any]]:
        """Refunds in order of id, as far as the filters say; continue with `after` = the last refund_id."""
        async with store.session() as session:
            rows = await REFUND_QUEUE.query(
                session,
                "($1::uuid IS NULL OR refund_id > $1) AND ($2::text IS NULL OR status = $2) "
                "AND ($3::uuid IS NULL OR order_id = $3) AND ($4::uuid IS NULL OR source_id = $4) "
                "ORDER BY refund_id LIMIT $5",
                after,
                status,
                order_id,
                source_id,
                limit,
            )
        return [refund_answer(vault, row) for row in rows]

    @router.get("/refunds/{refund}")
    async def read(refund: UUID, _actor: Actor = staff) -> Response:
        """One refund."""
        async with store.session() as session:
            row = await REFUND_QUEUE.find(session, refund)
        if row is None:
            raise _unknown()
        return respond(Outcome(body=refund_answer(vault, row), version=row.version))

    async def _outcome(uow: UnitOfWork, refund: UUID, *, status: int = 200) -> Outcome:
        row = await written(uow, REFUND_QUEUE, refund)
        version = uow.version(REFUND_GRANT, refund)
        return Outcome(body=refund_answer(vault, row), version=version, status=status)

    return router


def _unknown() -> Rejected:
    return Rejected("unknown_refund", "There is no such refund.")
