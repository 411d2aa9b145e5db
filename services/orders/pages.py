"""What people see of orders over HTTP. Buyers see their own orders, staff see all.

An order of somebody else is the same 404 as one that does not exist.
"""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from services.orders import answers
from services.orders.domain import OrderStatus
from services.orders.psp import PaymentProvider
from services.orders.readmodels import orders_tab
from services.orders.readmodels.order_tracking import ORDER_TRACKING, TrackedParcel
from services.orders.readmodels.order_view import ORDER_VIEW, OrderView, TimelineEntry
from services.orders.readmodels.orders_tab import OrdersTabRow
from services.orders.readmodels.payments_ledger import PAYMENTS_LEDGER, LedgerEntry
from services.orders.readmodels.processing_queue import PROCESSING_QUEUE, QueuedOrder
from shared.domain import Rejected, ids
from shared.events.envelope import Actor
from shared.service.auth import ANYONE, STAFF, Authenticator
from shared.service.commands import Outcome, respond
from shared.service.problems import Problem
from shared.service.vault import Vault
from shared.store.session import Session
from shared.store.store import Store
from shared.store.worker import Unavailable

Limit = Annotated[int, Query(ge=1, le=500)]


def routes(store: Store, provider: PaymentProvider, vault: Vault, auth: Authenticator) -> APIRouter:
    """The routes that only read."""
    router = APIRouter(tags=["orders"])
    staff, anyone = Depends(auth.require(STAFF)), Depends(auth.require(ANYONE))

    @router.get("/orders")
    async def list_orders(
        status: OrderStatus | None = None, after: UUID | None = None, limit: Limit = 100, _: Actor = staff
    ) -> list[OrdersTabRow]:
        """Orders, newest first; continue with `after` = the last order_id."""
        async with store.pool.acquire() as connection:
            return await orders_tab.page(connection, status, after, limit)

    @router.get("/processing-queue")
    async def queue(limit: Limit = 100, _: Actor = staff) -> list[QueuedOrder]:
        """Confirmed orders to be looked at, the most urgent first."""
        async with store.session() as session:
            return await PROCESSING_QUEUE.query(session, "true ORDER BY process_by, order_id LIMIT $1", limit)

    @router.get("/orders/{order_id}")
    async def read(order_id: UUID, actor: Actor = anyone) -> Response:
        """One order."""
        async with store.session() as session:
            row = await visible(session, order_id, actor)
            parcels = await _parcels(session, order_id)
        return respond(Outcome(body=answers.page(row, parcels, vault), version=row.version))

    @router.get("/orders/{order_id}/timeline")
    async def timeline(order_id: UUID, actor: Actor = anyone) -> tuple[TimelineEntry, ...]:
        """What happened, oldest first."""
        async with store.session() as session:
            return (await visible(session, order_id, actor)).timeline

    @router.get("/orders/{order_id}/tracking")
    async def tracking(order_id: UUID, actor: Actor = anyone) -> list[TrackedParcel]:
        """The order's parcels."""
        async with store.session() as session:
            await visible(session, order_id, actor)
            return await _parcels(session, order_id)

    @router.get("/orders/{order_id}/ledger")
    async def ledger(order_id: UUID, actor: Actor = staff) -> list[LedgerEntry]:
        """The movements of the order's money."""
        async with store.session() as session:
            await visible(session, order_id, actor)
            return await PAYMENTS_LEDGER.query(session, "order_id = $1 ORDER BY at, kind, id", order_id)

    @router.get("/orders/{order_id}/payment")
    async def payment(order_id: UUID, actor: Actor = anyone) -> dict[str, Any]:
        """How to pay what is open, or how the last payment stands."""
        async with store.session() as session:
            row = await visible(session, order_id, actor)
        intents = row.progress.intents
        intent = intents[ids.intent_id(order_id, len(intents))] if intents else None
        try:
            found = await provider.find(intent.intent_id) if intent else None
        except Unavailable as error:
            raise Problem(503, "provider_unavailable", "Try again.", {"Retry-After": "1"}) from error
        if intent is None or found is None:
            if row.progress.cancelled:
                raise Rejected("order_cancelled", "the order is cancelled and needs no payment")
            raise Problem(409, "payment_not_ready", "Nothing can be paid yet.", {"Retry-After": "1"})
        open_ = intent.payable and not row.progress.cancelled
        return answers.payment(row, intent, found, open_=open_)

    return router


async def visible(session: Session, order_id: UUID, actor: Actor) -> OrderView:
    """The order as this actor may see it. Raises Rejected (unknown_order)."""
    row = await ORDER_VIEW.find(session, order_id)
    if row is None or not (actor.kind in STAFF or row.belongs_to(actor.id)):
        raise unknown(order_id)
    return row


def unknown(order_id: UUID) -> Rejected:
    """There is no such order, or none that this actor may know of."""
    return Rejected("unknown_order", f"there is no order {order_id}")


async def _parcels(session: Session, order_id: UUID) -> list[TrackedParcel]:
    return await ORDER_TRACKING.query(session, "order_id = $1 ORDER BY shipped_at, shipment_id", order_id)
