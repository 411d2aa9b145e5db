"""What a Returnable adds up to: where each unit is, which return holds it, what is granted and paid."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import assert_never
from uuid import UUID

from services.returns.domain.amounts import PricedLine, ShippingPaid, charged
from services.returns.domain.returnable_events import (
    CancellationNoted,
    DeliveryNoted,
    GrantNoted,
    GrantPaid,
    GrantUnpaid,
    OrderedLine,
    PlacementNoted,
    ReceiptValued,
    ReturnableEvent,
    RevisionNoted,
    ShipmentNoted,
    UnitsClaimed,
    UnitsGivenBack,
)
from shared.events.common import Qty


class GrantStatus(StrEnum):
    """What orders made of a granted refund."""

    OPEN = "OPEN"
    PAID = "PAID"
    UNPAID = "UNPAID"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineState:
    """An order line and where its units are."""

    line: OrderedLine
    shipped: int = 0
    delivered: int = 0
    delivered_at: datetime | None = None
    refunded: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Returnable:
    """The order as returns knows it. `claims` counts units per return and line, given back ones taken off."""

    currency: str
    shipping_gross: int
    shipping_tax: int
    lines: Mapping[UUID, LineState]
    revision: int = 0
    shipments: frozenset[UUID] = frozenset()
    deliveries: frozenset[UUID] = frozenset()
    cancelled: bool = False
    claims: Mapping[UUID, Mapping[UUID, int]]
    receipts: Mapping[UUID, ReceiptValued]
    grants: Mapping[UUID, GrantNoted]
    statuses: Mapping[UUID, GrantStatus]

    def claimed(self, line_id: UUID) -> int:
        """Units of a line that live or finished returns hold."""
        return sum(units.get(line_id, 0) for units in self.claims.values())

    def returnable(self, line_id: UUID) -> int:
        """Delivered units of a line that no return holds."""
        line = self.lines.get(line_id)
        return line.delivered - self.claimed(line_id) if line else 0

    def granted(self) -> int:
        """Money that is promised or paid: every valued receipt, less deductions, and every goodwill grant."""
        by_receipt = {grant.receipt_id: grant.amount for grant in self.grants.values() if grant.receipt_id}
        receipts = sum(
            by_receipt.get(receipt_id, receipt.breakdown.total)
            for receipt_id, receipt in self.receipts.items()
        )
        return receipts + sum(grant.amount for grant in self.grants.values() if not grant.receipt_id)

    def paid(self) -> tuple[int, int]:
        """What the order owed for everything that left, (gross, tax): with capture on ship, what it paid."""
        states = list(self.lines.values())
        return charged(self.priced(), [state.shipped for state in states], self.shipping())

    def left(self) -> int:
        """Money that can still be granted."""
        return max(0, self.paid()[0] - self.granted())

    def settled(self, return_id: UUID) -> bool:
        """Every receipt of the return that is worth money has a grant that orders paid."""
        paid = {
            grant.receipt_id
            for refund_id, grant in self.grants.items()
            if self.statuses[refund_id] is GrantStatus.PAID
        }
        return all(
            receipt_id in paid
            for receipt_id, receipt in self.receipts.items()
            if receipt.return_id == return_id and receipt.breakdown.total > 0
        )

    def priced(self) -> list[PricedLine]:
        """The lines as `amounts` wants them."""
        return [
            PricedLine(
                line_id=state.line.line_id,
                ordered=state.line.ordered,
                gross=state.line.gross,
                tax=state.line.tax,
                refunded=state.refunded,
            )
            for state in self.lines.values()
        ]

    def shipping(self) -> ShippingPaid:
        """The shipping charge and what of it went back with earlier receipts."""
        parts = [receipt.breakdown for receipt in self.receipts.values()]
        return ShippingPaid(
            gross=self.shipping_gross,
            tax=self.shipping_tax,
            refunded_gross=sum(part.shipping_net + part.shipping_tax for part in parts),
            refunded_tax=sum(part.shipping_tax for part in parts),
        )


def evolve(state: Returnable | None, event: ReturnableEvent, at: datetime) -> Returnable:
    """The stream opens with PlacementNoted."""
    if isinstance(event, PlacementNoted):
        return Returnable(
            currency=event.currency,
            shipping_gross=event.shipping_gross,
            shipping_tax=event.shipping_tax,
            lines={line.line_id: LineState(line=line) for line in event.lines},
            claims={},
            receipts={},
            grants={},
            statuses={},
        )
    assert state is not None, f"{event} before PlacementNoted"
    match event:
        case RevisionNoted():
            return replace(
                state,
                revision=event.revision,
                lines={line.line_id: _revised(state, line) for line in event.lines},
                shipping_gross=event.shipping_gross,
                shipping_tax=event.shipping_tax,
            )
        case ShipmentNoted():
            return replace(
                _moved(state, event.lines, shipped=True), shipments=state.shipments | {event.shipment_id}
            )
        case DeliveryNoted():
            return replace(
                _moved(state, event.lines, delivered_at=event.delivered_at),
                deliveries=state.deliveries | {event.shipment_id},
            )
        case CancellationNoted():
            return replace(state, cancelled=True)
        case UnitsClaimed():
            return _claims(state, event.return_id, event.lines, 1)
        case UnitsGivenBack():
            return _claims(state, event.return_id, event.lines, -1)
        case ReceiptValued():
            return replace(
                _moved(state, event.lines, refunded=True),
                receipts={**state.receipts, event.receipt_id: event},
            )
        case GrantNoted():
            return replace(
                state,
                grants={**state.grants, event.refund_id: event},
                statuses={**state.statuses, event.refund_id: GrantStatus.OPEN},
            )
        case GrantPaid():
            return replace(state, statuses={**state.statuses, event.refund_id: GrantStatus.PAID})
        case GrantUnpaid():
            return replace(state, statuses={**state.statuses, event.refund_id: GrantStatus.UNPAID})
        case _:
            assert_never(event)


def _revised(state: Returnable, line: OrderedLine) -> LineState:
    known = state.lines.get(line.line_id)
    return replace(known, line=line) if known else LineState(line=line)


def _moved(
    state: Returnable,
    units: Sequence[Qty],
    *,
    shipped: bool = False,
    delivered_at: datetime | None = None,
    refunded: bool = False,
) -> Returnable:
    lines = dict(state.lines)
    for unit in units:
        line = lines.get(unit.line_id)
        if line is None:
            continue
        lines[unit.line_id] = replace(
            line,
            shipped=line.shipped + (unit.quantity if shipped else 0),
            delivered=line.delivered + (unit.quantity if delivered_at else 0),
            delivered_at=max(filter(None, (line.delivered_at, delivered_at)), default=None),
            refunded=line.refunded + (unit.quantity if refunded else 0),
        )
    return replace(state, lines=lines)


def _claims(state: Returnable, return_id: UUID, units: Sequence[Qty], sign: int) -> Returnable:
    held = Counter(state.claims.get(return_id, {}))
    for unit in units:
        held[unit.line_id] += sign * unit.quantity
    return replace(state, claims={**state.claims, return_id: dict(held)})
