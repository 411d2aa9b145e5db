"""Orphan payments over HTTP, for staff: what came that fits no order, and giving it back before its time."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from services.orders.commands import Commands
from services.orders.domain.orphan import OrphanStatus, RefundOrphanPayment
from services.orders.readmodels.orphan_payments import ORPHAN_PAYMENTS, OrphanRow
from shared.domain import Rejected
from shared.events.envelope import Actor
from shared.service.auth import STAFF, Authenticator
from shared.service.commands import Outcome, require_version, run_command
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork

_PAGE = (
    "($1::text IS NULL OR status = $1) AND ($2::uuid IS NULL OR (received_at, orphan_id) < "
    "(SELECT o.received_at, o.orphan_id FROM orphan_payments o WHERE o.orphan_id = $2)) "
    "ORDER BY received_at DESC, orphan_id DESC LIMIT $3"
)


def routes(store: Store, commands: Commands, auth: Authenticator) -> APIRouter:
    """The page of orphan payments and what can be done about one."""
    router = APIRouter(tags=["orphan payments"])
    staff = Depends(auth.require(STAFF))

    @router.get("/orphan-payments")
    async def page(
        status: OrphanStatus | None = None,
        after: UUID | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        _: Actor = staff,
    ) -> list[OrphanRow]:
        """Payments that fit no order, newest first; continue with `after` = the last orphan_id."""
        async with store.session() as session:
            return await ORPHAN_PAYMENTS.query(session, _PAGE, status, after, limit)

    @router.get("/orphan-payments/{orphan_id}")
    async def read(orphan_id: UUID, _: Actor = staff) -> OrphanRow:
        """One payment."""
        async with store.session() as session:
            row = await ORPHAN_PAYMENTS.find(session, orphan_id)
        if row is None:
            raise _unknown(orphan_id)
        return row

    @router.post("/orphan-payments/{orphan_id}/refund")
    async def refund(orphan_id: UUID, request: Request, actor: Actor = staff) -> Response:
        """Give it back now; what the provider answers shows on the page."""

        async def work(uow: UnitOfWork) -> Outcome:
            if await uow.state(commands.orphan, orphan_id) is None:
                raise _unknown(orphan_id)
            require_version(request, uow.version(commands.orphan, orphan_id))
            await commands(uow, RefundOrphanPayment(orphan_id=orphan_id, now=uow.now))
            state = await uow.state(commands.orphan, orphan_id)
            assert state is not None
            body = {"orphan_id": orphan_id, "status": state.status, "attempts": state.attempts}
            return Outcome(body=body, version=uow.version(commands.orphan, orphan_id))

        stream = commands.orphan.stream(orphan_id)
        return await run_command(request, store, actor, work, streams=[stream])

    return router


def _unknown(orphan_id: UUID) -> Rejected:
    return Rejected("unknown_orphan_payment", f"there is no orphan payment {orphan_id}")
