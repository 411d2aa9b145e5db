"""`order_view`: an order as its page shows it, its three axes and its timeline. One row per stream.

The aggregate's own evolve is the fold; the columns in front of it are what lists are made of.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from prometheus_client import Gauge

from services.orders.domain import Order, OrderStatus, fulfillment_status, payment_status
from services.orders.domain.decider import evolve
from services.orders.domain.state import FulfillmentStatus, PaymentStatus
from shared.domain import key_of
from shared.events import orders
from shared.events.envelope import ActorKind, Recorded
from shared.events.orders import OrderEdited, OrderPlaced
from shared.service.metrics import OVERDUE
from shared.store.connection import Connection
from shared.store.readmodel import Key, ReadModel

ORDERS = Gauge("orderflow_orders_state", "Orders by state", ["state"])

_TOLD = (
    "amount",
    "code",
    "reason",
    "cause",
    "risk",
    "carrier",
    "tracking_number",
    "proof",
    "attempt",
    "final",
    "revision",
    "total_before",
)
"""Members of events that the timeline repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One event as people read it; nothing personal is in it."""

    at: datetime
    event: str
    by: ActorKind
    facts: dict[str, str | int | bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderView:
    """`version` is that of the stream, `ship_by` the first day by which a warehouse still has to ship,
    `placed` how the order was placed, with the content that it has now."""

    order_id: UUID
    order_number: str
    version: int
    placed_at: datetime
    order_status: OrderStatus
    payment_status: PaymentStatus
    fulfillment_status: FulfillmentStatus
    total: int
    currency: str
    ship_by: datetime | None
    delivered_at: datetime | None
    placed: OrderPlaced
    progress: Order
    timeline: tuple[TimelineEntry, ...]

    def belongs_to(self, actor_id: str) -> bool:
        """Whether this actor bought it, as a customer or as a guest."""
        buyers = (self.placed.customer_id, self.placed.contact.subject_id)
        return actor_id in {str(buyer) for buyer in buyers if buyer}


def _keys(event: Recorded[Any]) -> Sequence[Key]:
    return [(UUID(key_of(event.stream)),)]


def _fold(row: OrderView | None, event: Recorded[Any], key: Key) -> OrderView:
    order = evolve(row.progress if row else None, event.data, event.occurred_at)
    arrived = [parcel.delivered_at for parcel in order.shipments.values() if parcel.delivered_at]
    open_ones = [f.ship_by for f in order.fulfillments.values() if not f.cancelled]
    entry = TimelineEntry(
        at=event.occurred_at, event=event.type, by=event.actor.kind, facts=_facts_of(event.data)
    )
    if row is None:
        row = _first(order, event)
    if isinstance(event.data, OrderEdited):
        row = _edited(row, event.data)
    return replace(
        row,
        version=event.version,
        order_status=order.status,
        payment_status=payment_status(order),
        fulfillment_status=fulfillment_status(order),
        ship_by=min(open_ones) if open_ones and not order.all_shipped else None,
        delivered_at=max(arrived) if order.all_delivered and arrived else None,
        progress=order,
        timeline=(*row.timeline, entry),
    )


def _first(order: Order, event: Recorded[Any]) -> OrderView:
    placed: OrderPlaced = event.data
    return OrderView(
        order_id=order.order_id,
        order_number=placed.order_number,
        version=event.version,
        placed_at=event.occurred_at,
        order_status=order.status,
        payment_status=PaymentStatus.PENDING,
        fulfillment_status=FulfillmentStatus.UNFULFILLED,
        total=placed.totals.total,
        currency=placed.currency,
        ship_by=None,
        delivered_at=None,
        placed=placed,
        progress=order,
        timeline=(),
    )


def _edited(row: OrderView, edit: OrderEdited) -> OrderView:
    placed = replace(row.placed, lines=edit.lines, shipping=edit.shipping, totals=edit.totals)
    return replace(row, placed=placed, total=edit.totals.total)


def _facts_of(data: object) -> dict[str, str | int | bool]:
    told = {name: getattr(data, name, None) for name in _TOLD}
    return {
        name: value if isinstance(value, (int, bool)) else str(value)
        for name, value in told.items()
        if value is not None
    }


ORDER_VIEW = ReadModel(
    name="order_view",
    row=OrderView,
    key=("order_id",),
    events=frozenset(orders.ORDER_EVENTS),
    keys=_keys,
    fold=_fold,
)


async def sample(connection: Connection) -> None:
    """Orders by state, and those that wait too long for stock or for their parcels."""
    counted = await connection.fetch("SELECT order_status, count(*) AS n FROM order_view GROUP BY 1")
    by_state = {row["order_status"]: row["n"] for row in counted}
    for state in OrderStatus:
        ORDERS.labels(state).set(by_state.get(state, 0))
    row = await connection.fetchrow(
        "SELECT count(*) FILTER (WHERE order_status = 'PLACED' AND placed_at < now() - interval '5 minutes' "
        "AND NOT (progress->>'stock_secured')::boolean) AS stock, "
        "count(*) FILTER (WHERE order_status = 'PROCESSING' AND ship_by < now()) AS parcels "
        "FROM order_view WHERE order_status IN ('PLACED', 'PROCESSING')"
    )
    assert row is not None
    OVERDUE.labels("orders", "WAITING_FOR_STOCK").set(row["stock"])
    OVERDUE.labels("orders", "WAITING_FOR_SHIPMENT").set(row["parcels"])
