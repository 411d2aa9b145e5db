"""What people do to orders over HTTP: parse, run the command, answer. What they see is in pages.py."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Request, Response
from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from services.orders import answers
from services.orders.commands import Commands
from services.orders.desk import Desk
from services.orders.domain import (
    CancelOrder,
    CapturePayment,
    ConfirmDelivery,
    Order,
    Reauthorize,
    RequestPayment,
    RetryRefund,
    Ship,
    StartProcessing,
)
from shared.domain import Rejected, ids
from shared.events.common import CancelReason, Qty
from shared.events.envelope import Actor, ActorKind
from shared.events.orders import DeliveryProof
from shared.service.auth import ANYONE, STAFF, Authenticator
from shared.service.fields import ShortText
from shared.store.store import Store

WebAddress = Annotated[str, StringConstraints(max_length=2000, pattern=r"^https?://[^\s\x00-\x1f\x7f<>\"]+$")]


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
    tracking_url: WebAddress | None = None
    estimated_delivery: date | None = None


class Arrival(BaseModel):
    """When a parcel arrived (now, if not said) and who says so."""

    proof: DeliveryProof | None = None
    delivered_at: AwareDatetime | None = None


class CaptureWish(BaseModel):
    """Minor units to take now; sending the same `request_id` again takes nothing twice."""

    request_id: UUID = Field(default_factory=uuid4)
    amount: int


LONGEST_TRANSIT = timedelta(days=366)


def routes(store: Store, commands: Commands, auth: Authenticator) -> APIRouter:
    """The routes that change orders; a buyer's only reach the buyer's own."""
    router = APIRouter(tags=["orders"])
    desk = Desk(store, commands)
    staff, anyone = Depends(auth.require(STAFF)), Depends(auth.require(ANYONE))

    @router.post("/orders/{order_id}/payment-attempts", status_code=201)
    async def pay_again(order_id: UUID, request: Request, actor: Actor = anyone) -> Response:
        """Ask for the money anew after a decline."""

        wish = RequestPayment(order_id=order_id, now=store.clock())
        return await desk.do(request, actor, wish, asked_for, status=201)

    @router.post("/orders/{order_id}/reauthorizations", status_code=201)
    async def reauthorize(order_id: UUID, request: Request, actor: Actor = staff) -> Response:
        """Secure what is not captured yet anew, without the buyer: before the next parcel of a payment that
        was captured once and can be no more, or before it lapses."""
        return await desk.do(
            request, actor, Reauthorize(order_id=order_id, now=store.clock()), asked_for, status=201
        )

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
        if parcel.estimated_delivery:
            _check_estimate(parcel.estimated_delivery, store.clock())
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
        """A parcel arrived; a buyer can only say so of this moment."""
        now, buyer = store.clock(), actor.kind is ActorKind.CUSTOMER
        if arrival.delivered_at and not now - LONGEST_TRANSIT < arrival.delivered_at <= now:
            raise Rejected("invalid_delivered_at", "a parcel arrived in the past year, not in the future")
        command = ConfirmDelivery(
            order_id=order_id,
            shipment_id=shipment_id,
            proof=DeliveryProof.CUSTOMER if buyer else arrival.proof or DeliveryProof.STAFF,
            delivered_at=None if buyer else arrival.delivered_at,
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


def asked_for(order: Order) -> dict[str, Any]:
    """The payment that is open now."""
    intent = order.open_intent
    assert intent is not None
    return {"intent_id": intent.intent_id, "amount": intent.amount, "expires_at": intent.expires_at}


def _check_estimate(estimate: date, now: datetime) -> None:
    today = now.date()
    if not today - timedelta(days=1) <= estimate <= today + LONGEST_TRANSIT:
        raise Rejected("invalid_estimated_delivery", "a parcel arrives within a year from today")


def _person(actor: Actor) -> UUID | None:
    try:
        return UUID(actor.id)
    except ValueError:
        return None
