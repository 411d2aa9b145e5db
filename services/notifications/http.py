"""Notifications over HTTP, for staff: what was sent, and sending it again. Addresses are never shown."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from services.notifications.commands import resend
from services.notifications.readmodels.message_ledger import MESSAGE_LEDGER, LedgerRow, MessageStatus
from shared.domain import Rejected
from shared.events.envelope import Actor
from shared.service.auth import STAFF, Authenticator
from shared.service.commands import Outcome, run_command
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork

_PAGE = """
($1::uuid IS NULL OR order_id = $1) AND ($2::text IS NULL OR status = $2)
AND ($3::uuid IS NULL OR (at, message_id) < (SELECT l.at, l.message_id FROM message_ledger l
                                             WHERE l.message_id = $3))
ORDER BY at DESC, message_id DESC LIMIT $4
"""


def routes(store: Store, auth: Authenticator) -> APIRouter:
    """Notifications' routes."""
    router = APIRouter(tags=["notifications"])
    staff = Depends(auth.require(STAFF))

    @router.get("/messages")
    async def messages(
        order_id: UUID | None = None,
        status: MessageStatus | None = None,
        after: UUID | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        _actor: Actor = staff,
    ) -> list[LedgerRow]:
        """Messages that have an outcome, the newest first; continue with `after` = the last message_id."""
        async with store.session() as session:
            return await MESSAGE_LEDGER.query(session, _PAGE, order_id, status, after, limit)

    @router.get("/messages/{message_id}")
    async def message(message_id: UUID, _actor: Actor = staff) -> LedgerRow:
        """What became of one message."""
        async with store.session() as session:
            row = await MESSAGE_LEDGER.find(session, message_id)
        if row is None:
            raise Rejected("unknown_message", "There is no such message; it may not have been tried yet.")
        return row

    @router.post("/messages/{message_id}/resend", status_code=202)
    async def send_again(message_id: UUID, request: Request, actor: Actor = staff) -> Response:
        """Send a message once more; the answer names the new message, which GET shows once it is tried."""

        async def work(uow: UnitOfWork) -> Outcome:
            again = await resend(uow, message_id)
            return Outcome(body={"message_id": again, "resend_of": message_id}, status=202)

        return await run_command(request, store, actor, work)

    return router
