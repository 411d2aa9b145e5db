"""`order_tracking`: the parcels of an order and where to follow them. For buyers and support."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from shared.domain import key_of
from shared.events.common import Qty
from shared.events.envelope import Recorded
from shared.events.orders import Delivered, Shipped
from shared.store.readmodel import Key, ReadModel


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedParcel:
    """A parcel; `status` is SHIPPED or DELIVERED, `eta` what was announced."""

    shipment_id: UUID
    order_id: UUID
    fulfillment_id: UUID
    lines: tuple[Qty, ...]
    carrier: str | None
    tracking_number: str | None
    tracking_url: str | None
    status: str
    eta: date | None
    shipped_at: datetime
    delivered_at: datetime | None
    proof: str | None


def _keys(event: Recorded[Any]) -> Sequence[Key]:
    return [(event.data.shipment_id,)]


def _fold(row: TrackedParcel | None, event: Recorded[Any], key: Key) -> TrackedParcel | None:
    match event.data:
        case Shipped() as shipped:
            return TrackedParcel(
                shipment_id=shipped.shipment_id,
                order_id=UUID(key_of(event.stream)),
                fulfillment_id=shipped.fulfillment_id,
                lines=tuple(Qty(line_id=line.line_id, quantity=line.quantity) for line in shipped.lines),
                carrier=shipped.carrier,
                tracking_number=shipped.tracking_number,
                tracking_url=shipped.tracking_url,
                status="SHIPPED",
                eta=shipped.estimated_delivery,
                shipped_at=event.occurred_at,
                delivered_at=None,
                proof=None,
            )
        case Delivered(delivered_at=at, proof=proof) if row:
            return replace(row, status="DELIVERED", delivered_at=at, proof=str(proof))
        case _:
            return row


ORDER_TRACKING = ReadModel(
    name="order_tracking",
    row=TrackedParcel,
    key=("shipment_id",),
    events=frozenset({Shipped, Delivered}),
    keys=_keys,
    fold=_fold,
)
