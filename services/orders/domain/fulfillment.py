"""The fulfilment axis: hand-off to the own warehouse, parcels and their delivery."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import assert_never
from uuid import UUID

from services.orders.domain import captures, handing_over
from services.orders.domain.policy import OrderPolicy
from services.orders.domain.state import Fulfillment, Order, OrderLine, OrderStatus, Shipment
from shared.domain import Rejected, ids
from shared.events.common import Qty
from shared.events.orders import (
    Delivered,
    DeliveryProof,
    FulfillmentCancelled,
    FulfillmentRequested,
    GateCheck,
    OrderEvent,
    OrderProcessingStarted,
    ProcessingMode,
    ShipmentMethod,
    Shipped,
    ShippedLine,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StartProcessing:
    """A person looked at the order and found it complete: the warehouse may pack."""

    order_id: UUID
    started_by: UUID | None = None
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Ship:
    """Parcel `parcel_no` (from 1) of a fulfillment left the house with these units."""

    order_id: UUID
    fulfillment_id: UUID
    parcel_no: int
    lines: tuple[Qty, ...]
    location_id: UUID | None = None
    carrier: str | None = None
    tracking_number: str | None = None
    tracking_url: str | None = None
    estimated_delivery: date | None = None
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmDelivery:
    """A parcel arrived, or nobody missed it for long enough."""

    order_id: UUID
    shipment_id: UUID
    proof: DeliveryProof
    delivered_at: datetime | None = None
    now: datetime


FulfillmentCommand = StartProcessing | Ship | ConfirmDelivery
FulfillmentEvent = FulfillmentRequested | FulfillmentCancelled | Shipped | Delivered


def decide(order: Order, command: FulfillmentCommand, policy: OrderPolicy) -> list[OrderEvent]:
    """The events of a fulfilment command; raises Rejected."""
    match command:
        case StartProcessing():
            return _start(order, command, policy)
        case Ship():
            return _ship(order, command)
        case ConfirmDelivery():
            return _deliver(order, command)
        case _:
            assert_never(command)


def _start(order: Order, command: StartProcessing, policy: OrderPolicy) -> list[OrderEvent]:
    if order.cancelled:
        raise Rejected("order_cancelled", "the order is cancelled")
    if order.status is OrderStatus.PLACED:
        raise Rejected("not_confirmed", "the order still waits for its stock or its payment")
    if order.status is not OrderStatus.CONFIRMED:
        return []
    must_not_be_held(order)
    gate = _gate(order, command.now)
    if missing := [check.check for check in gate if not check.ok]:
        raise Rejected("incomplete", f"the order lacks: {', '.join(missing)}", missing=missing)
    started = OrderProcessingStarted(mode=ProcessingMode.MANUAL, gate=gate, started_by=command.started_by)
    ship_by = command.now + policy.ship_within
    return [
        started,
        *(
            handing_over.requested(order, place, lines, ship_by)
            for place, lines in handing_over.by_location(order)
        ),
    ]


def must_not_be_held(order: Order) -> None:
    """Raises Rejected (on_hold) while a hold covers the order."""
    if reasons := sorted(set(order.holds.values())):
        raise Rejected("on_hold", f"the order is held: {', '.join(reasons)}", reasons=reasons)


def _gate(order: Order, now: datetime) -> tuple[GateCheck, ...]:
    reachable = order.destination.complete or order.pickup_location_id is not None
    return (
        GateCheck(check="address", ok=reachable),
        GateCheck(check="stock", ok=not order.waits_for_stock),
        GateCheck(check="payment", ok=order.secured(now) >= order.totals.total),
    )


def _ship(order: Order, command: Ship) -> list[OrderEvent]:
    shipment_id = ids.shipment_id(command.fulfillment_id, command.parcel_no)
    lines = _parcel(command.lines)
    if known := order.shipments.get(shipment_id):
        if set(known.lines) == set(lines):
            return []
        raise Rejected("parcel_exists", f"parcel {command.parcel_no} left with other units")
    if order.cancelled:
        raise Rejected("order_cancelled", "the order is cancelled: nothing may leave")
    fulfillment = order.fulfillments.get(command.fulfillment_id)
    if fulfillment is None or fulfillment.cancelled:
        raise Rejected("not_requested", "nobody was asked to ship this: start the processing first")
    must_not_be_held(order)
    if order.waits_for_stock:
        raise Rejected("stock_not_secured", "the order was changed, and its new units are not held yet")
    _check_units(order, fulfillment, lines)
    shipped = Shipped(
        shipment_id=shipment_id,
        fulfillment_id=fulfillment.fulfillment_id,
        method=ShipmentMethod.CARRIER,
        location_id=command.location_id or fulfillment.location_id,
        lines=tuple(_shipped_line(order.lines[line.line_id], line.quantity) for line in lines),
        carrier=command.carrier,
        tracking_number=command.tracking_number,
        tracking_url=command.tracking_url,
        estimated_delivery=command.estimated_delivery,
        last=sum(e.ordered - e.shipped for e in order.lines.values()) == sum(q.quantity for q in lines),
    )
    after = evolve(order, shipped, command.now)
    if after.due > after.secured(command.now):
        raise Rejected("payment_not_secured", "these units are neither paid nor authorized")
    return [shipped, *captures.captures_due(after, shipment_id, command.now)]


def _parcel(lines: Iterable[Qty]) -> tuple[Qty, ...]:
    counted: Counter[UUID] = Counter()
    for line in lines:
        if line.quantity <= 0:
            raise Rejected("invalid_quantity", "ship at least one unit of a line")
        counted[line.line_id] += line.quantity
    if not counted:
        raise Rejected("invalid_quantity", "a parcel holds at least one unit")
    return handing_over.quantities(counted)


def _check_units(order: Order, fulfillment: Fulfillment, lines: Iterable[Qty]) -> None:
    asked = Counter({line.line_id: line.quantity for line in fulfillment.lines})
    for parcel in order.shipments.values():
        if parcel.fulfillment_id == fulfillment.fulfillment_id:
            asked.subtract({line.line_id: line.quantity for line in parcel.lines})
    for line in lines:
        if line.line_id not in order.lines:
            raise Rejected("unknown_line", f"the order has no line {line.line_id}")
        if line.quantity > asked[line.line_id]:
            raise Rejected(
                "exceeds_ordered", f"only {asked[line.line_id]} units of this line are left to ship"
            )
        entry = order.lines[line.line_id]
        if entry.line.stock_tracked and entry.shipped + line.quantity > _in_stock(order, line.line_id):
            raise Rejected("stock_not_secured", "these units are promised but not there yet")


def _in_stock(order: Order, line_id: UUID) -> int:
    return sum(p.quantity - p.backordered for p in order.placed if p.line_id == line_id)


def _shipped_line(entry: OrderLine, quantity: int) -> ShippedLine:
    line = entry.line
    return ShippedLine(
        line_id=line.line_id, sku=line.sku, quantity=quantity, stock_tracked=line.stock_tracked
    )


def _deliver(order: Order, command: ConfirmDelivery) -> list[OrderEvent]:
    parcel = order.shipments.get(command.shipment_id)
    if parcel is None:
        raise Rejected("unknown_shipment", f"the order has no shipment {command.shipment_id}")
    if parcel.delivered_at:
        return []
    return [
        Delivered(
            shipment_id=parcel.shipment_id,
            lines=parcel.lines,
            delivered_at=command.delivered_at or command.now,
            proof=command.proof,
        )
    ]


def evolve(order: Order, event: FulfillmentEvent, at: datetime) -> Order:
    """The order after a fulfilment event."""
    match event:
        case FulfillmentRequested():
            fulfillment = Fulfillment(
                fulfillment_id=event.fulfillment_id,
                location_id=event.location_id,
                lines=event.lines,
                ship_by=event.ship_by,
            )
            return _with_fulfillment(_count(order, "requested", event.lines, 1), fulfillment)
        case FulfillmentCancelled():
            fulfillment = replace(order.fulfillments[event.fulfillment_id], cancelled=True)
            return _with_fulfillment(_count(order, "requested", event.lines, -1), fulfillment)
        case Shipped():
            lines = tuple(Qty(line_id=line.line_id, quantity=line.quantity) for line in event.lines)
            parcel = Shipment(
                shipment_id=event.shipment_id,
                fulfillment_id=event.fulfillment_id,
                lines=lines,
                shipped_at=at,
                estimated_delivery=event.estimated_delivery,
            )
            return _with_shipment(_count(order, "shipped", lines, 1), parcel)
        case Delivered():
            parcel = replace(order.shipments[event.shipment_id], delivered_at=event.delivered_at)
            return _with_shipment(_count(order, "delivered", event.lines, 1), parcel)
        case _:
            assert_never(event)


def _count(order: Order, counter: str, lines: Iterable[Qty], sign: int) -> Order:
    entries = dict(order.lines)
    for line in lines:
        entry = entries[line.line_id]
        changed = {counter: getattr(entry, counter) + sign * line.quantity}
        entries[line.line_id] = replace(entry, **changed)
    return replace(order, lines=entries)


def _with_fulfillment(order: Order, fulfillment: Fulfillment) -> Order:
    return replace(order, fulfillments={**order.fulfillments, fulfillment.fulfillment_id: fulfillment})


def _with_shipment(order: Order, parcel: Shipment) -> Order:
    return replace(order, shipments={**order.shipments, parcel.shipment_id: parcel})
