"""What follows from events: orders' facts are noted, receipts give refunds, returns end."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from services.returns.commands import DecideDue, ProposeForReceipt
from services.returns.domain.return_state import Return
from services.returns.domain.returnable import NoteOrderFact
from services.returns.domain.returns import RETURN, CloseReturn
from shared.domain import key_of
from shared.events.envelope import Recorded
from shared.events.orders import (
    Delivered,
    OrderCancelled,
    OrderEdited,
    OrderPlaced,
    RefundCause,
    RefundFailed,
    RefundIssued,
    Shipped,
)
from shared.events.returns import Disposition, ReturnReceived
from shared.messaging.subscription import Do
from shared.store import todo
from shared.store.todo import Wanted


def react(event: Recorded[Any]) -> Iterable[Do | Wanted]:
    """What follows from an event of orders; none of it can be refused.

    A paid refund may end its return. That is decided in a transaction of its own: a receipt and a payment
    that meet each look again after their commit, so the later one sees both.
    """
    match event.data:
        case (
            OrderPlaced()
            | OrderEdited()
            | Shipped()
            | Delivered()
            | OrderCancelled()
            | RefundFailed() as fact
        ):
            yield Do(NoteOrderFact(order_id=_key(event), fact=fact))
        case RefundIssued() as issued:
            yield Do(NoteOrderFact(order_id=_key(event), fact=issued))
            if issued.cause is RefundCause.RETURN:
                yield _close(issued.ref_id, event.occurred_at)


def follow_up(event: Recorded[Any]) -> Iterable[Wanted]:
    """What follows from an own event: a receipt is to be paid for, and a complete return may be over."""
    match event.data:
        case ReturnReceived() as received:
            if any(line.disposition in _PAID_FOR for line in received.lines):
                proposal = ProposeForReceipt(
                    order_id=received.order_id, return_id=_key(event), receipt_id=received.receipt_id
                )
                yield todo.command(proposal, event.stream)
            if received.complete:
                yield _close(_key(event), event.occurred_at)


def due(state: Return, timer: str, _now: datetime) -> DecideDue:
    """What a return's deadline asks for."""
    return DecideDue(order_id=state.order_id, timer=timer)


_PAID_FOR = frozenset({Disposition.RESTOCKED, Disposition.NOT_RESTOCKED})


def _close(return_id: UUID, now: datetime) -> Wanted:
    return todo.command(CloseReturn(return_id=return_id, now=now), RETURN.stream(return_id))


def _key(event: Recorded[Any]) -> UUID:
    return UUID(key_of(event.stream))
