"""Holds: while one is there nothing of the order is packed or shipped."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from services.orders.domain.policy import OrderPolicy
from services.orders.domain.state import Order, OrderStatus
from shared.domain import ids
from shared.events.orders import (
    EditCause,
    FulfillmentHeld,
    FulfillmentHoldReleased,
    HoldReason,
    NextStep,
    OrderEvent,
)

HoldEvent = FulfillmentHeld | FulfillmentHoldReleased


def awaiting_payment(order: Order, cause: UUID, now: datetime, policy: OrderPolicy) -> FulfillmentHeld:
    """The hold until the money is there that `cause`, an edit or a capture that failed, leaves missing."""
    reason = HoldReason.AWAITING_PAYMENT
    return FulfillmentHeld(
        hold_id=ids.hold_id(order.order_id, reason, cause),
        reason=reason,
        review_by=now + policy.balance_window,
    )


def released(order: Order, now: datetime) -> list[OrderEvent]:
    """The end of the holds whose money is secured, or whose edit was taken back."""
    if order.waits_for_stock:
        return []
    paid = order.secured(now) >= order.totals.total
    reverted = order.edit.hold_id if order.edit and order.edit.cause is EditCause.REVERT else None
    following = NextStep.MANUAL if order.status is OrderStatus.CONFIRMED else NextStep.WAIT
    return [
        FulfillmentHoldReleased(
            hold_id=hold_id,
            reason=reason,
            cause="EDIT_REVERTED" if hold_id == reverted else "PAYMENT_SECURED",
            next=following,
        )
        for hold_id, reason in order.holds.items()
        if paid or hold_id == reverted
    ]


def evolve(order: Order, event: HoldEvent) -> Order:
    """The order after a hold began or ended."""
    if isinstance(event, FulfillmentHeld):
        return replace(order, holds={**order.holds, event.hold_id: event.reason})
    others = {hold_id: reason for hold_id, reason in order.holds.items() if hold_id != event.hold_id}
    return replace(order, holds=others)
