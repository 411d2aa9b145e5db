"""Orders over HTTP: parse, run the command, answer. Buyers see and stop their own orders, staff work on all.

An order of somebody else is the same 404 as one that does not exist.
"""

from collections.abc import Callable
from datetime import date
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from services.orders import answers
from services.orders.commands import Commands
from services.orders.domain import (
    CancelOrder,
    CapturePayment,
    ConfirmDelivery,
    Order,
    OrderCommand,
    OrderStatus,
    RequestPayment,
    RetryRefund,
    Ship,
    StartProcessing,
)
from services.orders.domain.state import IntentStatus
from services.orders.psp import PaymentProvider
from services.orders.readmodels import orders_tab
from services.orders.readmodels.order_tracking import ORDER_TRACKING, TrackedParcel
from services.orders.readmodels.order_view import ORDER_VIEW, OrderView, TimelineEntry
from services.orders.readmodels.orders_tab import OrdersTabRow
from services.orders.readmodels.payments_ledger import PAYMENTS_LEDGER, LedgerEntry
from services.orders.readmodels.processing_queue import PROCESSING_QUEUE, QueuedOrder
from shared.domain import Rejected, ids
from shared.events.common import CancelReason, Qty
from shared.events.envelope import Actor, ActorKind
from shared.events.orders import DeliveryProof
from shared.service.auth import ANYONE, STAFF, Authenticator
from shared.service.commands import Outcome, require_version, respond, run_command
from shared.service.fields import LongText, ShortText
from shared.service.problems import Problem
from shared.service.vault import Vault
from shared.store.connection import Connection
from shared.store.unit_of_work import Store, UnitOfWork
from shared.store.worker import Unavailable


class Cancellation(BaseModel):
    """Why the order ends; a buyer's reason is always CUSTOMER."""

    reason: CancelReason | None = None
    detail: ShortText | None = None


class ParcelLine(BaseModel):
    """Units of a line in a parcel."""

    line_id: UUID
    quantity: int


class Parcel(BaseModel):
    """A parcel that leaves the house; the same number again is the same parcel."""

    fulfillment_id: UUID
    parcel_no: int = Field(ge=1, le=1000)
    lines: list[ParcelLine] = Field(min_length=1, max_length=1000)
    carrier: ShortText
    tracking_number: ShortText
    tracking_url: LongText | None = Field(None, pattern="^https?://")
    estimated_delivery: date | None = None


class Arrival(BaseModel):
    """When a parcel arrived (now, if not said) and who says so."""

    proof: DeliveryProof | None = None
    delivered_at: AwareDatetime | None = None


class CaptureWish(BaseModel):
    """Minor units to take now; sending the same `request_id` again takes nothing twice."""

    request_id: UUID = Field(default_factory=uuid4)
    amount: int


Limit = Annotated[int, Query(ge=1, le=500)]


def routes(
    store: Store, commands: Commands, provider: PaymentProvider, vault: Vault, auth: Authenticator
) -> APIRouter:
    """The routes of orders."""
    router = APIRouter(tags=["orders"])
    desk = _Desk(store, commands)
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
        async with store.pool.acquire() as connection:
            return await PROCESSING_QUEUE.query(
                connection, "true ORDER BY process_by, order_id LIMIT $1", limit
            )

    @router.get("/orders/{order_id}")
    async def read(order_id: UUID, actor: Actor = anyone) -> Response:
        """One order."""
        async with store.pool.acquire() as connection:
            row = await _visible(connection, order_id, actor)
            parcels = await _parcels(connection, order_id)
        return respond(Outcome(body=answers.page(row, parcels, vault), version=row.version))

    @router.get("/orders/{order_id}/timeline")
    async def timeline(order_id: UUID, actor: Actor = anyone) -> tuple[TimelineEntry, ...]:
        """What happened, oldest first."""
        async with store.pool.acquire() as connection:
            return (await _visible(connection, order_id, actor)).timeline

    @router.get("/orders/{order_id}/tracking")
    async def tracking(order_id: UUID, actor: Actor = anyone) -> list[TrackedParcel]:
        """The order's parcels."""
        async with store.pool.acquire() as connection:
            await _visible(connection, order_id, actor)
            return await _parcels(connection, order_id)

    @router.get("/orders/{order_id}/ledger")
    async def ledger(order_id: UUID, actor: Actor = staff) -> list[LedgerEntry]:
        """The movements of the order's money."""
        async with store.pool.acquire() as connection:
            await _visible(connection, order_id, actor)
            return await PAYMENTS_LEDGER.query(connection, "order_id = $1 ORDER BY at, kind, id", order_id)

    @router.get("/orders/{order_id}/payment")
    async def payment(order_id: UUID, actor: Actor = anyone) -> dict[str, Any]:
        """How to pay what is open, or how the last payment stands."""
        async with store.pool.acquire() as connection:
            row = await _visible(connection, order_id, actor)
        intents = {ids.intent_id(order_id, n): n for n in range(1, len(row.progress.intents) + 1)}
        intent = row.progress.open_intent or max(
            row.progress.intents.values(), key=lambda each: intents[each.intent_id], default=None
        )
        try:
            found = await provider.find(intent.intent_id) if intent else None
        except Unavailable as error:
            raise Problem(503, "provider_unavailable", "Try again.", {"Retry-After": "1"}) from error
        if intent is None or found is None:
            if row.progress.cancelled:
                raise Rejected("order_cancelled", "the order is cancelled and needs no payment")
            raise Problem(409, "payment_not_ready", "Nothing can be paid yet.", {"Retry-After": "1"})
        open_ = intent.status is IntentStatus.OPEN and not row.progress.cancelled
        return answers.payment(row, intent, found, open_=open_)

    @router.post("/orders/{order_id}/payment-attempts", status_code=201)
    async def pay_again(order_id: UUID, request: Request, actor: Actor = anyone) -> Response:
        """Ask for the money anew after a decline."""

        def answer(order: Order) -> dict[str, Any]:
            assert order.open_intent is not None
            intent = order.open_intent
            return {"intent_id": intent.intent_id, "amount": intent.amount, "expires_at": intent.expires_at}

        wish = RequestPayment(order_id=order_id, now=store.clock())
        return await desk.do(request, actor, wish, answer, status=201)

    @router.post("/orders/{order_id}/cancel")
    async def cancel(order_id: UUID, wish: Cancellation, request: Request, actor: Actor = anyone) -> Response:
        """End the order before anything ships; everything done for it is taken back."""
        buyer = actor.kind is ActorKind.CUSTOMER
        reason = CancelReason.CUSTOMER if buyer else wish.reason or CancelReason.STAFF
        command = CancelOrder(
            order_id=order_id, reason=reason, detail=wish.detail, by=actor.kind, now=store.clock()
        )
        return await desk.do(request, actor, command)

    @router.post("/orders/{order_id}/processing")
    async def start_processing(order_id: UUID, request: Request, actor: Actor = staff) -> Response:
        """The order is complete: hand it to the warehouse."""
        command = StartProcessing(order_id=order_id, started_by=_person(actor), now=store.clock())
        return await desk.do(
            request,
            actor,
            command,
            lambda order: {**answers.progress(order), "fulfillments": answers.fulfillments(order)},
        )

    @router.post("/orders/{order_id}/shipments", status_code=201)
    async def ship(order_id: UUID, parcel: Parcel, request: Request, actor: Actor = staff) -> Response:
        """A parcel left; what it is worth is captured."""
        shipment_id = ids.shipment_id(parcel.fulfillment_id, parcel.parcel_no)
        command = Ship(
            order_id=order_id,
            fulfillment_id=parcel.fulfillment_id,
            parcel_no=parcel.parcel_no,
            lines=tuple(Qty(line_id=line.line_id, quantity=line.quantity) for line in parcel.lines),
            carrier=parcel.carrier,
            tracking_number=parcel.tracking_number,
            tracking_url=parcel.tracking_url,
            estimated_delivery=parcel.estimated_delivery,
            now=store.clock(),
        )
        return await desk.do(
            request,
            actor,
            command,
            lambda order: {**answers.progress(order), "shipment_id": shipment_id},
            status=201,
        )

    @router.post("/orders/{order_id}/shipments/{shipment_id}/delivery")
    async def deliver(
        order_id: UUID, shipment_id: UUID, arrival: Arrival, request: Request, actor: Actor = anyone
    ) -> Response:
        """A parcel arrived."""
        now = store.clock()
        if arrival.delivered_at and arrival.delivered_at > now:
            raise Rejected("invalid_delivered_at", "a parcel cannot have arrived in the future")
        buyer = actor.kind is ActorKind.CUSTOMER
        command = ConfirmDelivery(
            order_id=order_id,
            shipment_id=shipment_id,
            proof=DeliveryProof.CUSTOMER if buyer else arrival.proof or DeliveryProof.STAFF,
            delivered_at=arrival.delivered_at,
            now=now,
        )
        return await desk.do(request, actor, command)

    @router.post("/orders/{order_id}/captures", status_code=201)
    async def capture(order_id: UUID, wish: CaptureWish, request: Request, actor: Actor = staff) -> Response:
        """Take authorized money before anything ships."""
        command = CapturePayment(
            order_id=order_id, request_id=wish.request_id, amount=wish.amount, now=store.clock()
        )
        return await desk.do(request, actor, command, status=201)

    @router.post("/orders/{order_id}/refunds/{refund_id}/retry")
    async def retry_refund(
        order_id: UUID, refund_id: UUID, request: Request, actor: Actor = staff
    ) -> Response:
        """Try a failed refund again, before its time."""
        command = RetryRefund(order_id=order_id, refund_id=refund_id, now=store.clock())
        return await desk.do(
            request,
            actor,
            command,
            lambda order: {"refund_id": refund_id, "status": order.refunds[refund_id].status},
        )

    return router


class _Desk:
    """Runs one command on one order for somebody who may see it."""

    def __init__(self, store: Store, commands: Commands) -> None:
        self._store = store
        self._commands = commands

    async def do(
        self,
        request: Request,
        actor: Actor,
        command: OrderCommand,
        answer: Callable[[Order], dict[str, Any]] = answers.progress,
        *,
        status: int = 200,
    ) -> Response:
        decider, order_id = self._commands.order, command.order_id

        async def work(uow: UnitOfWork) -> Outcome:
            await _visible(uow.connection, order_id, actor)
            await uow.state(decider, order_id)
            require_version(request, uow.version(decider, order_id))
            await self._commands(uow, command)
            order = await uow.state(decider, order_id)
            assert order is not None
            return Outcome(body=answer(order), version=uow.version(decider, order_id), status=status)

        return await run_command(request, self._store, actor, work)


async def _visible(connection: Connection, order_id: UUID, actor: Actor) -> OrderView:
    row = await ORDER_VIEW.find(connection, order_id)
    if row is None or not (actor.kind in STAFF or row.belongs_to(actor.id)):
        raise Rejected("unknown_order", f"there is no order {order_id}")
    return row


async def _parcels(connection: Connection, order_id: UUID) -> list[TrackedParcel]:
    return await ORDER_TRACKING.query(connection, "order_id = $1 ORDER BY shipped_at, shipment_id", order_id)


def _person(actor: Actor) -> UUID | None:
    try:
        return UUID(actor.id)
    except ValueError:
        return None
