"""The order axis: placed, stock secured, confirmed, cancelled, completed; and what follows by itself."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never
from uuid import UUID

from services.orders.domain import captures, handing_over, payment, refunds
from services.orders.domain.policy import OrderPolicy
from services.orders.domain.state import Order, OrderLine, OrderStatus
from shared.domain import Rejected, ids
from shared.events.cart import CartCheckedOut
from shared.events.common import CancelReason, PlacedQty, ShortLine
from shared.events.envelope import ActorKind
from shared.events.orders import (
    FulfillmentCancelCause,
    IntentPurpose,
    NextStep,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderEvent,
    OrderPaid,
    OrderPlaced,
    OrderProcessingStarted,
    OrderSource,
    OrderStockSecured,
    PaymentBasis,
    ProcessingMode,
    SourceKind,
    VoidCause,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrder:
    """A cart was checked out: it becomes exactly one order, whose id is derived from `cart_id`."""

    order_id: UUID
    cart_id: UUID
    checkout: CartCheckedOut
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SecureStock:
    """Inventory holds the order's units, as it was placed."""

    order_id: UUID
    placed: tuple[PlacedQty, ...]
    short: tuple[ShortLine, ...] = ()
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder:
    """End the order before anything ships; a customer can only do so before the processing starts."""

    order_id: UUID
    reason: CancelReason
    detail: str | None = None
    by: ActorKind = ActorKind.SYSTEM
    now: datetime


OrderAxisCommand = SecureStock | CancelOrder
OrderAxisEvent = (
    OrderPlaced
    | OrderStockSecured
    | OrderConfirmed
    | OrderProcessingStarted
    | OrderCancelled
    | OrderCompleted
    | OrderPaid
)


def place(command: PlaceOrder, policy: OrderPolicy) -> list[OrderEvent]:
    """The first events of an order; without stock-tracked lines the stock counts as secured."""
    checkout = command.checkout
    placed = OrderPlaced(
        order_number=ids.order_number(command.order_id),
        source=OrderSource(kind=SourceKind.CART, ref_id=command.cart_id),
        cart_id=command.cart_id,
        customer_id=checkout.customer_id,
        contact=checkout.contact,
        destination=checkout.destination,
        billing=checkout.billing,
        pickup_location_id=checkout.pickup_location_id,
        lines=checkout.lines,
        shipping=checkout.shipping,
        totals=checkout.totals,
        currency=checkout.currency,
        locale=checkout.locale,
        pricing_version=checkout.pricing_version,
        capture=policy.capture,
        partial_stock=policy.partial_stock,
        create_account=checkout.create_account,
        marketing_consent=checkout.marketing_consent,
        customer_note=checkout.customer_note,
        stock_answer_by=command.now + policy.stock_answer_within,
    )
    order = evolve(None, placed, command.now)
    if order.stock_tracked:
        return [placed]
    secure = SecureStock(order_id=command.order_id, placed=(), now=command.now)
    return [placed, *_secure(order, secure, policy)]


def decide(order: Order, command: OrderAxisCommand, policy: OrderPolicy) -> list[OrderEvent]:
    """The events of a command on a placed order; raises Rejected."""
    match command:
        case SecureStock():
            return _secure(order, command, policy)
        case CancelOrder():
            return _cancel(order, command)
        case _:
            assert_never(command)


def _secure(order: Order, command: SecureStock, policy: OrderPolicy) -> list[OrderEvent]:
    if order.cancelled or order.stock_secured:
        return []
    events: list[OrderEvent] = [
        OrderStockSecured(
            reservation_id=ids.reservation_id(order.order_id),
            revision=0,
            placed=command.placed,
            short=command.short,
        )
    ]
    if order.totals.total:
        events.append(payment.ask(order, IntentPurpose.ORDER, order.totals.total, command.now, policy))
    return events


def _cancel(order: Order, command: CancelOrder) -> list[OrderEvent]:
    if order.cancelled:
        return []
    if order.shipments or order.status is OrderStatus.COMPLETED:
        raise Rejected("already_shipped", "something left already: ask for a return instead")
    if command.by is ActorKind.CUSTOMER and order.status is OrderStatus.PROCESSING:
        raise Rejected("already_processing", "the order is being packed: ask the shop to cancel it")
    return cancellation(order, command.reason, command.detail)


def cancellation(order: Order, reason: CancelReason, detail: str | None = None) -> list[OrderEvent]:
    """The end of an order that nothing shipped of, and everything that it takes back."""
    cancelled = OrderCancelled(
        reason=reason,
        detail=detail,
        void_intents=tuple(i.intent_id for i in order.intents.values() if order.rest(i)),
        stock_tracked=order.stock_tracked,
        revision=order.revision,
    )
    recalled = handing_over.recall(order, order.lines, FulfillmentCancelCause.ORDER_CANCELLED)
    return [cancelled, *recalled, *refunds.cancellation_refund(order)]


def consequences(order: Order, now: datetime, policy: OrderPolicy) -> list[OrderEvent]:
    """What the order's new state calls for by itself, in the same decision."""
    if order.cancelled:
        return []
    if order.declined_for_good and order.status is OrderStatus.PLACED:
        return cancellation(order, CancelReason.DECLINED)
    events: list[OrderEvent] = []
    total, captured = order.totals.total, order.captured
    if order.status is OrderStatus.PLACED and order.stock_secured and order.secured(now) >= total:
        events.append(_confirmation(order, now, policy))
    events += captures.captures_due(order, None, now)
    if order.stock_secured and not order.paid and not order.edit_pending and captured >= total:
        events.append(OrderPaid(total=total, captured=captured, revision=order.revision))
    if order.status is OrderStatus.PROCESSING and order.all_delivered and captured >= total:
        delivered = sum(entry.delivered for entry in order.lines.values())
        events.append(OrderCompleted(delivered_units=delivered, lost_units=0))
    return events


def _confirmation(order: Order, now: datetime, policy: OrderPolicy) -> OrderConfirmed:
    if not order.totals.total:
        basis = PaymentBasis.NOTHING_DUE
    elif order.captured >= order.totals.total:
        basis = PaymentBasis.CAPTURED
    else:
        basis = PaymentBasis.AUTHORIZED
    return OrderConfirmed(
        payment=basis,
        mode=ProcessingMode.MANUAL,
        mode_reason="POLICY",
        next=NextStep.MANUAL,
        process_by=policy.process_by(now),
    )


def evolve(order: Order | None, event: OrderAxisEvent, at: datetime) -> Order:
    """The order after an event of the order axis."""
    if isinstance(event, OrderPlaced):
        return _placed(event)
    assert order is not None
    match event:
        case OrderStockSecured():
            edit = replace(order.edit, waits_for_stock=False) if order.edit else None
            return replace(order, stock_secured=True, placed=event.placed, edit=edit)
        case OrderConfirmed():
            return replace(order, status=OrderStatus.CONFIRMED, confirmed_at=at)
        case OrderProcessingStarted():
            return replace(order, status=OrderStatus.PROCESSING)
        case OrderCancelled():
            ended = replace(order, status=OrderStatus.CANCELLED, cancellation=event.reason)
            return replace(ended, edit=None, holds={})
        case OrderCompleted():
            return replace(order, status=OrderStatus.COMPLETED)
        case OrderPaid():
            rests = [i for i in order.intents.values() if order.rest(i) and not i.void_cause]
            for intent in rests:
                order = payment.with_intent(order, replace(intent, void_cause=VoidCause.REMAINDER))
            return replace(order, paid=True)
        case _:
            assert_never(event)


def _placed(event: OrderPlaced) -> Order:
    return Order(
        order_id=ids.order_id(event.source.ref_id),
        destination=event.destination,
        pickup_location_id=event.pickup_location_id,
        lines={line.line_id: OrderLine(line=line, ever_ordered=line.quantity) for line in event.lines},
        line_ids=tuple(line.line_id for line in event.lines),
        shipping=event.shipping,
        totals=event.totals,
        capture=event.capture,
        stock_answer_by=event.stock_answer_by,
    )
