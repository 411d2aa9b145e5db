"""`processing_queue`: confirmed orders that wait for a person to start the processing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.domain import key_of
from shared.events.envelope import Recorded
from shared.events.orders import OrderCancelled, OrderConfirmed, OrderProcessingStarted
from shared.service.metrics import OVERDUE
from shared.store.connection import Connection
from shared.store.readmodel import Key, ReadModel


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedOrder:
    """An order in the queue and the instant by which it should have left it."""

    order_id: UUID
    confirmed_at: datetime
    process_by: datetime


def _keys(event: Recorded[Any]) -> Sequence[Key]:
    return [(UUID(key_of(event.stream)),)]


def _fold(_row: QueuedOrder | None, event: Recorded[Any], key: Key) -> QueuedOrder | None:
    match event.data:
        case OrderConfirmed(process_by=process_by):
            return QueuedOrder(
                order_id=UUID(key_of(event.stream)), confirmed_at=event.occurred_at, process_by=process_by
            )
        case _:
            return None


PROCESSING_QUEUE = ReadModel(
    name="processing_queue",
    row=QueuedOrder,
    key=("order_id",),
    events=frozenset({OrderConfirmed, OrderProcessingStarted, OrderCancelled}),
    keys=_keys,
    fold=_fold,
)


async def sample(connection: Connection) -> None:
    """How many orders wait in the queue for longer than they should."""
    late = await connection.fetchval("SELECT count(*) FROM processing_queue WHERE process_by < now()")
    OVERDUE.labels("orders", "WAITING_FOR_PROCESSING").set(late)
