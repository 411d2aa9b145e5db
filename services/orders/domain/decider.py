"""The order as one aggregate: every command and event goes to its axis, then what follows is decided."""

from datetime import datetime
from functools import partial
from typing import assert_never

from services.orders.domain import captures, edits, fulfillment, holds, order, payment, refunds
from services.orders.domain.deadlines import deadlines
from services.orders.domain.policy import OrderPolicy
from services.orders.domain.state import Order
from shared.domain import Decider, Rejected
from shared.events.orders import (
    CaptureFailed,
    CaptureRequested,
    Delivered,
    FulfillmentCancelled,
    FulfillmentHeld,
    FulfillmentHoldReleased,
    FulfillmentRequested,
    LatePaymentReceived,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderEdited,
    OrderEvent,
    OrderPaid,
    OrderPlaced,
    OrderProcessingStarted,
    OrderStockSecured,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRequested,
    PaymentVoided,
    RefundFailed,
    RefundIssued,
    RefundRequested,
    Shipped,
)

OrderCommand = (
    order.PlaceOrder
    | order.OrderAxisCommand
    | edits.EditCommand
    | payment.PaymentCommand
    | captures.CaptureCommand
    | refunds.RefundCommand
    | fulfillment.FulfillmentCommand
)


def order_decider(policy: OrderPolicy) -> Decider[Order, OrderCommand, OrderEvent]:
    """The order aggregate under a processing policy."""
    return Decider(
        category="order",
        decide=partial(decide, policy),
        evolve=evolve,
        deadlines=partial(deadlines, policy=policy),
    )


def decide(policy: OrderPolicy, state: Order | None, command: OrderCommand) -> list[OrderEvent]:
    """The events of a command, none if its outcome is there already. Raises Rejected."""
    if isinstance(command, order.PlaceOrder):
        events = [] if state else order.place(command, policy)
    elif state is None:
        raise Rejected("unknown_order", f"there is no order {command.order_id}")
    else:
        events = _on_axis(policy, state, command)
    decided: list[OrderEvent] = []
    while events:
        for event in events:
            state = evolve(state, event, command.now)
        decided += events
        assert state is not None
        events = _consequences(policy, state, command.now)
    return decided


def _consequences(policy: OrderPolicy, state: Order, now: datetime) -> list[OrderEvent]:
    """What follows by itself from where the order is now, one step at a time."""
    return order.consequences(state, now, policy) or edits.consequences(state, now, policy)


def _on_axis(policy: OrderPolicy, state: Order, command: OrderCommand) -> list[OrderEvent]:
    if isinstance(command, order.OrderAxisCommand):
        return order.decide(state, command, policy)
    if isinstance(command, edits.EditCommand):
        return edits.decide(state, command, policy)
    if isinstance(command, payment.PaymentCommand):
        return payment.decide(state, command, policy)
    if isinstance(command, captures.CaptureCommand):
        return captures.decide(state, command, policy)
    if isinstance(command, refunds.RefundCommand):
        return refunds.decide(state, command, policy)
    if isinstance(command, fulfillment.FulfillmentCommand):
        return fulfillment.decide(state, command, policy)
    raise TypeError(command)


def evolve(state: Order | None, event: OrderEvent, at: datetime) -> Order:
    """The order after an event that happened at `at`."""
    match event:
        case (
            OrderPlaced()
            | OrderStockSecured()
            | OrderConfirmed()
            | OrderProcessingStarted()
            | OrderCancelled()
            | OrderCompleted()
            | OrderPaid()
        ):
            return order.evolve(state, event, at)
        case _:
            assert state is not None, f"{type(event).__name__} before OrderPlaced"
    match event:
        case OrderEdited():
            return edits.evolve(state, event, at)
        case FulfillmentHeld() | FulfillmentHoldReleased():
            return holds.evolve(state, event)
        case (
            PaymentRequested()
            | PaymentAuthorized()
            | PaymentDeclined()
            | PaymentVoided()
            | LatePaymentReceived()
        ):
            return payment.evolve(state, event, at)
        case CaptureRequested() | PaymentCaptured() | CaptureFailed():
            return captures.evolve(state, event, at)
        case RefundRequested() | RefundIssued() | RefundFailed():
            return refunds.evolve(state, event, at)
        case FulfillmentRequested() | FulfillmentCancelled() | Shipped() | Delivered():
            return fulfillment.evolve(state, event, at)
        case _:
            assert_never(event)
