"""Returns over HTTP: parse, run the command, answer. The policy and refunds are in files of their own."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from services.returns.access import order_for, return_for
from services.returns.answers import return_answers, return_written, returnable_answer
from services.returns.commands import execute, policy_of
from services.returns.domain.return_state import ReturnStatus
from services.returns.domain.returnable import RETURNABLE
from services.returns.domain.returns import (
    RETURN,
    ApproveReturn,
    CancelReturn,
    DeclineReturn,
    ReceiveReturn,
    RequestReturn,
    ReturnCommand,
)
from services.returns.http_policy import policy_routes
from services.returns.http_refunds import refund_routes
from services.returns.readmodels.return_policies import current
from services.returns.readmodels.return_view import RETURN_VIEW, ReturnRow
from shared.domain import Rejected, Sealed, ids
from shared.domain.ids import MAIN_LOCATION
from shared.events.envelope import Actor
from shared.events.returns import (
    DeclineReason,
    Disposition,
    ReceivedLine,
    RequestedLine,
    ReturnOrigin,
    ReturnReason,
)
from shared.service.auth import ANYONE, STAFF, Authenticator
from shared.service.commands import Outcome, require_version, respond, run_command
from shared.service.fields import LongText
from shared.service.http import joined
from shared.service.problems import Problem
from shared.service.vault import Vault
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork

MOST_LINES = 1000


class WantedLine(BaseModel):
    """Units that are to come back, and why."""

    line_id: UUID
    quantity: int
    reason: ReturnReason
    note: LongText | None = None


class Wish(BaseModel):
    """A return that somebody asks for."""

    order_id: UUID
    lines: list[WantedLine] = Field(min_length=1, max_length=MOST_LINES)


class Decline(BaseModel):
    """Why a return is declined."""

    reason: DeclineReason
    note: LongText | None = None


class ScannedLine(BaseModel):
    """Units that the warehouse found."""

    line_id: UUID
    quantity: int
    disposition: Disposition


class Scan(BaseModel):
    """Goods that came; the same `scan_id` again counts nothing twice. `resolves` names the receipt whose
    units, inspected by now, get their disposition here."""

    scan_id: UUID = Field(default_factory=uuid4)
    lines: list[ScannedLine] = Field(min_length=1, max_length=MOST_LINES)
    location_id: UUID = MAIN_LOCATION
    resolves: UUID | None = None


def routes(store: Store, auth: Authenticator, vault: Vault, *, auto_approve: bool) -> APIRouter:
    """All routes of the service. `auto_approve`: what the policy allows needs no person."""
    return joined(
        policy_routes(store, auth),
        _request_routes(store, auth, vault, auto_approve),
        _answer_routes(store, auth, vault),
        refund_routes(store, auth, vault),
    )


def _request_routes(store: Store, auth: Authenticator, vault: Vault, auto_approve: bool) -> APIRouter:
    """What can come back, asking for it, and looking at it."""
    router = APIRouter(tags=["returns"])
    anyone = Depends(auth.require(ANYONE))

    @router.get("/orders/{order_id}/returnable")
    async def returnable(order_id: UUID, actor: Actor = anyone) -> dict[str, Any]:
        """What of an order can come back."""
        async with store.session() as session:
            row = await order_for(session, actor, order_id)
            return returnable_answer(row, await current(session))

    @router.post("/returns", status_code=201)
    async def request_return(wish: Wish, request: Request, actor: Actor = anyone) -> Response:
        """Ask to send units back; approved at once if the policy has nothing against it."""
        return_id = uuid4()
        _countable(wish.lines)

        async def work(uow: UnitOfWork) -> Outcome:
            order = await order_for(uow.session, actor, wish.order_id)
            await uow.state(RETURNABLE, wish.order_id)
            command = RequestReturn(
                return_id=return_id,
                order_id=wish.order_id,
                lines=tuple(
                    RequestedLine(
                        line_id=line.line_id,
                        quantity=line.quantity,
                        reason=line.reason,
                        note=_sealed(vault, order.subject_id, line.note),
                    )
                    for line in wish.lines
                ),
                origin=ReturnOrigin.STAFF if actor.kind in STAFF else ReturnOrigin.CUSTOMER,
                policy=await policy_of(uow),
                auto_approve=auto_approve,
                now=uow.now,
            )
            await execute(uow, command)
            body = await return_written(uow, vault, return_id)
            return Outcome(
                body=body,
                version=body["version"],
                status=201,
                headers={"Location": f"/returns/{return_id}"},
            )

        return await run_command(request, store, actor, work)

    @router.get("/returns")
    async def list_returns(
        status: ReturnStatus | None = None,
        order_id: UUID | None = None,
        after: UUID | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        actor: Actor = anyone,
    ) -> list[dict[str, Any]]:
        """Returns in order of id; continue with `after` = the last return_id. Customers name their order."""
        async with store.session() as session:
            if order_id is not None:
                await order_for(session, actor, order_id)
            elif actor.kind not in STAFF:
                raise Problem(403, "forbidden", "Say of which order of yours: ?order_id=…")
            rows = await RETURN_VIEW.query(
                session,
                "($1::uuid IS NULL OR return_id > $1) AND ($2::text IS NULL OR status = $2) "
                "AND ($3::uuid IS NULL OR order_id = $3) ORDER BY return_id LIMIT $4",
                after,
                status,
                order_id,
                limit,
            )
            return await return_answers(session, vault, rows)

    @router.get("/returns/{return_id}")
    async def read_return(return_id: UUID, actor: Actor = anyone) -> Response:
        """One return with its refunds."""
        async with store.session() as session:
            row = await return_for(session, actor, return_id)
            (body,) = await return_answers(session, vault, [row])
        return respond(Outcome(body=body, version=row.version))

    return router


Decide = Callable[[UnitOfWork, ReturnRow], Awaitable[ReturnCommand]]


def _answer_routes(store: Store, auth: Authenticator, vault: Vault) -> APIRouter:
    """What happens to a return that was asked for."""
    router = APIRouter(tags=["returns"])
    anyone, staff = Depends(auth.require(ANYONE)), Depends(auth.require(STAFF))

    async def _run(
        request: Request, actor: Actor, return_id: UUID, command: Decide, status: int = 200
    ) -> Response:
        async def work(uow: UnitOfWork) -> Outcome:
            row = await return_for(uow.session, actor, return_id)
            await uow.state(RETURN, return_id)
            require_version(request, uow.version(RETURN, return_id))
            await execute(uow, await command(uow, row))
            body = await return_written(uow, vault, return_id)
            return Outcome(body=body, version=body["version"], status=status)

        return await run_command(request, store, actor, work)

    @router.post("/returns/{return_id}/approve")
    async def approve(return_id: UUID, request: Request, actor: Actor = staff) -> Response:
        """Let the units come."""

        async def command(uow: UnitOfWork, _row: ReturnRow) -> ReturnCommand:
            return ApproveReturn(return_id=return_id, policy=await policy_of(uow), now=uow.now)

        return await _run(request, actor, return_id, command)

    @router.post("/returns/{return_id}/decline")
    async def decline(return_id: UUID, decline: Decline, request: Request, actor: Actor = staff) -> Response:
        """Refuse the units; they can be asked for again."""

        async def command(uow: UnitOfWork, row: ReturnRow) -> ReturnCommand:
            order = await order_for(uow.session, actor, row.order_id)
            note = _sealed(vault, order.subject_id, decline.note)
            return DeclineReturn(return_id=return_id, reason=decline.reason, note=note)

        return await _run(request, actor, return_id, command)

    @router.post("/returns/{return_id}/cancel")
    async def cancel(return_id: UUID, request: Request, actor: Actor = anyone) -> Response:
        """Call the return off before anything came."""

        async def command(_uow: UnitOfWork, _row: ReturnRow) -> ReturnCommand:
            return CancelReturn(return_id=return_id)

        return await _run(request, actor, return_id, command)

    @router.post("/returns/{return_id}/receipts", status_code=201)
    async def receive(return_id: UUID, scan: Scan, request: Request, actor: Actor = staff) -> Response:
        """Count goods in; what they are worth is then proposed as a refund."""
        _countable(scan.lines)

        async def command(uow: UnitOfWork, _row: ReturnRow) -> ReturnCommand:
            return ReceiveReturn(
                return_id=return_id,
                receipt_id=ids.receipt_id(return_id, scan.scan_id),
                location_id=scan.location_id,
                lines=tuple(
                    ReceivedLine(
                        line_id=line.line_id, sku="", quantity=line.quantity, disposition=line.disposition
                    )
                    for line in scan.lines
                ),
                resolves=scan.resolves,
                policy=await policy_of(uow),
            )

        return await _run(request, actor, return_id, command, status=201)

    return router


def _countable(lines: Sequence[WantedLine] | Sequence[ScannedLine]) -> None:
    """Raises Rejected invalid_quantity; more than there are is the domain's to refuse."""
    for line in lines:
        if line.quantity < 1:
            raise Rejected("invalid_quantity", "Name at least one unit of each line.", line_id=line.line_id)


def _sealed(vault: Vault, subject: UUID | None, note: str | None) -> Sealed | None:
    return vault.seal(subject, "note", note) if subject and note else None
