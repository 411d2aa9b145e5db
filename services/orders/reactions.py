"""What orders does about events: others' become commands, its own become calls to the payment provider."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from services.orders.domain import (
    CancelOrder,
    EffectWanted,
    Order,
    PlaceOrder,
    RequestRefund,
    RevertEdit,
    SecureEdit,
    SecureStock,
    effects_of,
)
from shared.domain import key_of
from shared.events.cart import CartCheckedOut
from shared.events.common import CancelReason
from shared.events.envelope import Recorded
from shared.events.inventory import RejectionPhase, StockReservationRejected, StockReserved
from shared.events.orders import RefundCause
from shared.events.orphan_payments import OrphanPaymentRefundRequested
from shared.events.returns import RefundApproved
from shared.messaging.subscription import Do
from shared.store import todo
from shared.store.todo import Kind, Wanted

_CALL = TypeAdapter(EffectWanted)


def react(event: Recorded[Any]) -> Iterable[Do | Wanted]:
    """What follows from another service's event.

    A granted refund becomes a command of its own, which is tried again until its order is placed here and
    the money to pay back is captured: topics promise no order between streams.
    """
    match event.data:
        case CartCheckedOut() as checkout:
            yield Do(
                PlaceOrder(
                    order_id=checkout.order_id,
                    cart_id=UUID(key_of(event.stream)),
                    checkout=checkout,
                    now=event.occurred_at,
                )
            )
        case StockReserved() as reserved if reserved.revision:
            yield Do(
                SecureEdit(
                    order_id=reserved.order_id,
                    revision=reserved.revision,
                    added=reserved.placed,
                    now=event.occurred_at,
                )
            )
        case StockReserved() as reserved:
            yield Do(
                SecureStock(
                    order_id=reserved.order_id,
                    placed=reserved.placed,
                    short=reserved.short,
                    now=event.occurred_at,
                )
            )
        case StockReservationRejected(phase=RejectionPhase.INITIAL) as rejected:
            yield Do(
                CancelOrder(
                    order_id=rejected.order_id,
                    reason=CancelReason.INVENTORY,
                    detail=rejected.code,
                    now=event.occurred_at,
                )
            )
        case StockReservationRejected() as rejected:
            yield Do(
                RevertEdit(
                    order_id=rejected.order_id,
                    revision=rejected.revision,
                    refused=True,
                    now=event.occurred_at,
                )
            )
        case RefundApproved() as approved:
            wanted = RequestRefund(
                order_id=approved.order_id,
                refund_id=UUID(key_of(event.stream)),
                amount=approved.amount,
                breakdown=approved.breakdown,
                lines=approved.lines,
                cause=RefundCause(approved.source),
                ref_id=approved.source_id,
                method=approved.method,
                target_order_id=approved.target_order_id,
                now=event.occurred_at,
            )
            yield todo.command(wanted, f"order-{approved.order_id}", target=wanted.refund_id)


def calls(order: Order, events: Sequence[Recorded[Any]]) -> Iterable[tuple[Wanted, UUID]]:
    """The provider calls that the events of one decision want, each once, with the event that causes it.

    `order` is the state after the decision.
    """
    causes: dict[EffectWanted, UUID] = {}
    for event in events:
        for wanted in effects_of(order, event.data):
            causes.setdefault(wanted, event.event_id)
    return [(call(wanted), cause) for wanted, cause in causes.items()]


def call(wanted: EffectWanted) -> Wanted:
    """A provider call as a todo row."""
    return Wanted(
        kind=Kind.EFFECT,
        name=wanted.kind,
        stream=f"order-{wanted.order_id}",
        payload=_CALL.dump_python(wanted, mode="json"),
        target=f"{wanted.target}/{wanted.attempt}",
    )


REFUND_ORPHAN = "psp.refund_orphan"
"""The call that gives an orphan payment back."""


def orphan_calls(events: Sequence[Recorded[Any]]) -> Iterable[tuple[Wanted, UUID]]:
    """The provider calls that new events of an orphan payment want, each with the event that causes it."""
    for event in events:
        if isinstance(event.data, OrphanPaymentRefundRequested):
            attempt = event.data.attempt
            yield todo.effect(REFUND_ORPHAN, event.stream, target=attempt, attempt=attempt), event.event_id


def call_of(row: todo.Todo) -> EffectWanted:
    """The provider call that a todo row stands for."""
    return _CALL.validate_python(row.payload)
