"""What an order's own events say of its units and its money, noted once and never refused."""

from typing import TypeAlias, assert_never

from services.returns.domain.returnable_events import (
    CancellationNoted,
    DeliveryNoted,
    GrantPaid,
    GrantUnpaid,
    OrderedLine,
    PlacementNoted,
    ReturnableEvent,
    RevisionNoted,
    ShipmentNoted,
)
from services.returns.domain.returnable_state import GrantStatus, Returnable
from shared.events.common import DeliveryKind, Line, Qty
from shared.events.orders import (
    Delivered,
    OrderCancelled,
    OrderEdited,
    OrderPlaced,
    RefundFailed,
    RefundIssued,
    Shipped,
)

OrderFact: TypeAlias = (
    OrderPlaced | OrderEdited | Shipped | Delivered | OrderCancelled | RefundIssued | RefundFailed
)


def note(state: Returnable | None, fact: OrderFact) -> list[ReturnableEvent]:
    """What is new in `fact`, each shipment, delivery and edit once; nothing before the order was placed."""
    if isinstance(fact, OrderPlaced):
        return [] if state else [_placement_noted(fact)]
    if state is None:
        return []
    match fact:
        case OrderEdited():
            return [_revision_noted(fact)] if fact.revision > state.revision else []
        case Shipped():
            lines = tuple(Qty(line_id=line.line_id, quantity=line.quantity) for line in fact.lines)
            known = fact.shipment_id in state.shipments
            return [] if known else [ShipmentNoted(shipment_id=fact.shipment_id, lines=lines)]
        case Delivered():
            if fact.shipment_id in state.deliveries:
                return []
            return [
                DeliveryNoted(shipment_id=fact.shipment_id, lines=fact.lines, delivered_at=fact.delivered_at)
            ]
        case OrderCancelled():
            return [] if state.cancelled else [CancellationNoted()]
        case RefundIssued():
            open_grant = state.statuses.get(fact.refund_id) in {GrantStatus.OPEN, GrantStatus.UNPAID}
            return [GrantPaid(refund_id=fact.refund_id)] if open_grant else []
        case RefundFailed():
            given_up = not fact.retryable and state.statuses.get(fact.refund_id) is GrantStatus.OPEN
            return [GrantUnpaid(refund_id=fact.refund_id, code=fact.code)] if given_up else []
        case _:
            assert_never(fact)


def _placement_noted(order: OrderPlaced) -> PlacementNoted:
    return PlacementNoted(
        currency=order.currency,
        lines=tuple(map(_ordered, order.lines)),
        shipping_gross=order.shipping.gross,
        shipping_tax=order.shipping.tax,
    )


def _revision_noted(edit: OrderEdited) -> RevisionNoted:
    return RevisionNoted(
        revision=edit.revision,
        lines=tuple(map(_ordered, edit.lines)),
        shipping_gross=edit.shipping.gross,
        shipping_tax=edit.shipping.tax,
    )


def _ordered(line: Line) -> OrderedLine:
    return OrderedLine(
        line_id=line.line_id,
        sku=line.sku,
        ordered=line.quantity,
        gross=line.gross,
        tax=line.tax,
        digital=line.delivery is DeliveryKind.DIGITAL,
        custom=line.customization is not None,
        final_sale=line.final_sale,
    )
