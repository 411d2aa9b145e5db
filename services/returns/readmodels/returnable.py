"""`returnable`: what of an order can come back, whose it is and what was promised. For the return form.

Whose it is comes from orders' stream, everything else from our own `returnable-<order_id>`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from services.returns.domain.amounts import PricedLine, ShippingPaid, charged
from services.returns.domain.returnable_events import (
    CancellationNoted,
    DeliveryNoted,
    GrantNoted,
    OrderedLine,
    PlacementNoted,
    RevisionNoted,
    ShipmentNoted,
    UnitsClaimed,
    UnitsGivenBack,
)
from shared.domain import key_of
from shared.events.common import Qty
from shared.events.envelope import Recorded
from shared.events.orders import OrderEdited, OrderPlaced
from shared.service.metrics import CONSERVATION
from shared.store.connection import Connection
from shared.store.readmodel import Key, ReadModel


@dataclass(frozen=True, slots=True, kw_only=True)
class LineUnits:
    """An order line and how many of its units left, arrived and are held by returns."""

    line: OrderedLine
    shipped: int = 0
    delivered: int = 0
    delivered_at: datetime | None = None
    claimed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnableRow:
    """`charged` is what the order owes for what left, `granted` the refunds promised of it (minor units);
    `overclaimed` counts units held by returns that never arrived: always 0."""

    order_id: UUID
    customer_id: UUID | None = None
    subject_id: UUID | None = None
    titles: Mapping[UUID, str] = field(default_factory=dict)
    currency: str = ""
    cancelled: bool = False
    lines: tuple[LineUnits, ...] = ()
    shipping_gross: int = 0
    charged: int = 0
    granted: int = 0
    overclaimed: int = 0


def _keys(event: Recorded[Any]) -> Sequence[Key]:
    return [(UUID(key_of(event.stream)),)]


def _fold(row: ReturnableRow | None, event: Recorded[Any], key: Key) -> ReturnableRow:
    row = row or ReturnableRow(order_id=UUID(key_of(event.stream)))
    match event.data:
        case OrderPlaced() as placed:
            return replace(
                row,
                customer_id=placed.customer_id,
                subject_id=placed.contact.subject_id,
                titles={line.line_id: line.title for line in placed.lines},
            )
        case OrderEdited() as edited:
            return replace(row, titles={line.line_id: line.title for line in edited.lines})
        case PlacementNoted(currency=currency, lines=ordered, shipping_gross=shipping):
            lines = tuple(LineUnits(line=line) for line in ordered)
            return replace(row, currency=currency, lines=lines, shipping_gross=shipping)
        case RevisionNoted(lines=ordered, shipping_gross=shipping):
            known = {entry.line.line_id: entry for entry in row.lines}
            lines = tuple(
                replace(known.get(line.line_id, LineUnits(line=line)), line=line) for line in ordered
            )
            return _with(replace(row, lines=lines, shipping_gross=shipping), ())
        case ShipmentNoted(lines=units):
            return _with(row, units, shipped=1)
        case DeliveryNoted(lines=units, delivered_at=at):
            return _with(row, units, delivered=1, at=at)
        case UnitsClaimed(lines=units):
            return _with(row, units, claimed=1)
        case UnitsGivenBack(lines=units):
            return _with(row, units, claimed=-1)
        case GrantNoted(amount=amount):
            return replace(row, granted=row.granted + amount)
        case CancellationNoted():
            return replace(row, cancelled=True)
        case _:
            return row


def _with(
    row: ReturnableRow,
    units: Sequence[Qty],
    *,
    shipped: int = 0,
    delivered: int = 0,
    claimed: int = 0,
    at: datetime | None = None,
) -> ReturnableRow:
    """The row after these units, each counted so many times, left, arrived, or were claimed."""
    lines = {entry.line.line_id: entry for entry in row.lines}
    for unit in units:
        if entry := lines.get(unit.line_id):
            lines[unit.line_id] = replace(
                entry,
                shipped=entry.shipped + shipped * unit.quantity,
                delivered=entry.delivered + delivered * unit.quantity,
                claimed=entry.claimed + claimed * unit.quantity,
                delivered_at=max(filter(None, (entry.delivered_at, at)), default=None),
            )
    after = tuple(lines.values())
    priced = [
        PricedLine(line_id=e.line.line_id, ordered=e.line.ordered, gross=e.line.gross, tax=e.line.tax)
        for e in after
    ]
    owed, _ = charged(priced, [e.shipped for e in after], ShippingPaid(gross=row.shipping_gross, tax=0))
    overclaimed = sum(max(0, entry.claimed - entry.delivered) for entry in after)
    return replace(row, lines=after, charged=owed, overclaimed=overclaimed)


RETURNABLE_ROWS = ReadModel(
    name="returnable",
    row=ReturnableRow,
    key=("order_id",),
    events=frozenset(
        {
            OrderPlaced,
            OrderEdited,
            PlacementNoted,
            RevisionNoted,
            ShipmentNoted,
            DeliveryNoted,
            CancellationNoted,
            UnitsClaimed,
            UnitsGivenBack,
            GrantNoted,
        }
    ),
    keys=_keys,
    fold=_fold,
    shared_rows=True,
)


async def sample(connection: Connection) -> None:
    """Orders of which more was claimed than arrived (L6) or more granted than paid (L7): always 0."""
    row = await connection.fetchrow(
        "SELECT count(*) FILTER (WHERE overclaimed > 0) AS units, "
        "count(*) FILTER (WHERE granted > charged) AS money "
        "FROM returnable WHERE overclaimed > 0 OR granted > charged"
    )
    assert row is not None
    CONSERVATION.labels("returns", "L6").set(row["units"])
    CONSERVATION.labels("returns", "L7").set(row["money"])
