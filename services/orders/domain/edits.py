"""The order's content changes before anything ships, and goes back if its stock or its balance does not come.

A quote is the order's whole new content. While an edit waits, the content is the new one already, but nothing
is packed: units that were handed over are recalled, and a dearer order is held. Nor does money go back before
the edit is settled, so that taking it back needs none.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never
from uuid import UUID

from services.orders.domain import content, handing_over, holds, payment, refunds
from services.orders.domain import order as whole
from services.orders.domain.edit_state import Edit
from services.orders.domain.policy import OrderPolicy
from services.orders.domain.state import IntentStatus, Order, OrderLine, OrderStatus
from shared.domain import Rejected, ids
from shared.events.common import CancelReason, Line, PlacedQty, Quote
from shared.events.envelope import ActorKind
from shared.events.orders import (
    EditCause,
    FulfillmentCancelCause,
    HoldReason,
    IntentPurpose,
    OrderEdited,
    OrderEvent,
    OrderStockSecured,
    VoidCause,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EditOrder:
    """Make the order what `quote` says, whose signature for its `currency` was checked. A customer can do so
    before the processing, with a quote for where the order goes and without coupons."""

    order_id: UUID
    edit_id: UUID
    quote: Quote
    currency: str
    by: ActorKind = ActorKind.OPERATOR
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SecureEdit:
    """Inventory holds the units that an edit, the order's `revision`, added: those in `added`."""

    order_id: UUID
    revision: int
    added: tuple[PlacedQty, ...]
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RevertEdit:
    """The edit that is the order's `revision` got no stock (`refused`), no answer in time, or no money."""

    order_id: UUID
    revision: int
    refused: bool = False
    now: datetime


EditCommand = EditOrder | SecureEdit | RevertEdit


def decide(order: Order, command: EditCommand, policy: OrderPolicy) -> list[OrderEvent]:
    """The events of a command on a placed order; raises Rejected."""
    match command:
        case EditOrder():
            return _edit(order, command, policy)
        case SecureEdit():
            return _secure(order, command, policy)
        case RevertEdit():
            return _revert(order, command)
        case _:
            assert_never(command)


def _edit(order: Order, command: EditOrder, policy: OrderPolicy) -> list[OrderEvent]:
    if command.edit_id in order.edit_ids:
        return []
    _must_be_editable(order, command)
    quote, lines = command.quote, content.kept(order, command.quote.lines)
    edited = OrderEdited(
        edit_id=command.edit_id,
        revision=order.revision + 1,
        cause=EditCause.CUSTOMER if command.by is ActorKind.CUSTOMER else EditCause.STAFF,
        lines=lines,
        shipping=quote.shipping,
        total_before=order.totals.total,
        totals=quote.totals,
        quote_id=quote.quote_id,
        raises_stock=content.raises(order, lines),
    )
    return [*_recalled(order, lines), edited, *_held_if_short(order, edited, command.now, policy)]


def _must_be_editable(order: Order, command: EditOrder) -> None:
    if order.cancelled:
        raise Rejected("order_cancelled", "the order is cancelled and cannot be changed")
    if order.status is OrderStatus.COMPLETED:
        raise Rejected("order_completed", "the order is complete: ask for a return instead")
    if order.status is OrderStatus.PLACED:
        raise Rejected("not_confirmed", "the order still waits for its stock or its payment")
    if order.shipments:
        raise Rejected("already_in_fulfillment", "something left already: the order stays as it is")
    if command.by is ActorKind.CUSTOMER and order.status is OrderStatus.PROCESSING:
        raise Rejected("already_in_fulfillment", "the order is being packed: ask the shop to change it")
    if order.edit_pending:
        raise Rejected("edit_pending", "the last change still waits for its stock or its payment")
    if order.open_intent:
        raise Rejected("payment_open", "a payment is open: finish it first")
    if command.now >= command.quote.valid_until:
        raise Rejected("quote_expired", "The quote's time is over; ask for another one.")
    if command.by is ActorKind.CUSTOMER and not content.is_for(order, command.quote, command.currency):
        detail = "the quote is not for these lines, without coupons, to where the order goes"
        raise Rejected("invalid_quote", detail)
    if not command.quote.lines:
        raise Rejected("use_cancel", "nothing would be left of the order: cancel it instead")
    for line in command.quote.lines:
        known = order.lines.get(line.line_id)
        if known and known.line.sku != line.sku:
            detail = f"line {line.line_id} is of {known.line.sku}: {line.sku} needs a line of its own"
            raise Rejected("line_differs", detail, line_id=str(line.line_id))


def _recalled(order: Order, lines: Iterable[Line]) -> list[OrderEvent]:
    """Warehouses leave what they hold of the lines that change; the rest of it is requested anew."""
    after = Counter({line.line_id: line.quantity for line in lines})
    changed = {line_id for line_id, entry in order.lines.items() if entry.ordered != after[line_id]}
    return handing_over.recall(order, changed, FulfillmentCancelCause.EDITED)


def _held_if_short(order: Order, edited: OrderEdited, now: datetime, policy: OrderPolicy) -> list[OrderEvent]:
    dearer = edited.totals.total > edited.total_before
    if dearer and edited.totals.total > order.secured(now):
        return [holds.awaiting_payment(order, edited.edit_id, now, policy)]
    return []


def _secure(order: Order, command: SecureEdit, policy: OrderPolicy) -> list[OrderEvent]:
    edit = order.edit
    if edit is None or not edit.waits_for_stock or command.revision != order.revision:
        return []
    secured = OrderStockSecured(
        reservation_id=ids.reservation_id(order.order_id),
        revision=command.revision,
        placed=content.placed_after(order.placed, order.content.lines, command.added),
    )
    short = order.totals.total > max(order.secured(command.now), edit.before.totals.total)
    if short and edit.hold_id not in order.holds and edit.cause is not EditCause.REVERT:
        return [secured, holds.awaiting_payment(order, edit.edit_id, command.now, policy)]
    return [secured]


def _revert(order: Order, command: RevertEdit) -> list[OrderEvent]:
    edit = order.edit
    if edit is None or not order.edit_pending:
        return []
    if command.refused and not edit.waits_for_stock:
        return []
    if edit.cause is EditCause.REVERT and command.refused and command.revision == order.revision - 1:
        return [_still_held(order)]
    if command.revision != order.revision:
        return []
    if edit.cause is EditCause.REVERT:
        detail = "OUT_OF_STOCK" if command.refused else "NO_ANSWER"
        return whole.cancellation(order, CancelReason.INVENTORY, detail)
    return _reverted(order, edit, refused=command.refused)


def _still_held(order: Order) -> OrderStockSecured:
    """The edit that is being taken back was refused after all: inventory holds what it held before."""
    return OrderStockSecured(
        reservation_id=ids.reservation_id(order.order_id), revision=order.revision, placed=order.placed
    )


def _reverted(order: Order, edit: Edit, *, refused: bool) -> list[OrderEvent]:
    """Everything as before the edit. What it gave up has to be held anew, unless inventory refused it."""
    before = edit.before
    edited = OrderEdited(
        edit_id=ids.reverting_edit_id(order.order_id, edit.edit_id),
        revision=order.revision + 1,
        cause=EditCause.REVERT,
        reverts_edit_id=edit.edit_id,
        lines=before.lines,
        shipping=before.shipping,
        total_before=order.totals.total,
        totals=before.totals,
        raises_stock=not refused and content.raises(order, before.lines),
    )
    return [*_recalled(order, before.lines), edited]


def consequences(order: Order, now: datetime, policy: OrderPolicy) -> list[OrderEvent]:
    """What an order that was edited, or is held, calls for next."""
    edit = order.edit
    if order.cancelled:
        return []
    if freed := holds.released(order, now):
        return freed
    if edit is None or edit.waits_for_stock:
        return []
    if order.edit_pending:
        if edit.unpaid:
            return _reverted(order, edit, refused=False)
        missing = order.totals.total - order.secured(now)
        declined = any(order.intents[i].status is IntentStatus.CLOSED for i in edit.intents)
        if order.open_intent or declined or missing <= 0:
            return []
        return [payment.ask(order, IntentPurpose.BALANCE, missing, now, policy)]
    events = refunds.excess_refund(order)
    if order.status is OrderStatus.PROCESSING and not order.holds:
        events += handing_over.rest_requested(order, now + policy.ship_within)
    return events


def evolve(order: Order, event: OrderEdited, at: datetime) -> Order:
    """The order after an edit."""
    reverts = order.edit if event.cause is EditCause.REVERT else None
    held_for = ids.hold_id(order.order_id, HoldReason.AWAITING_PAYMENT, event.edit_id)
    for intent_id in reverts.intents if reverts else ():
        given_up = replace(order.intents[intent_id], void_cause=VoidCause.EDIT_REVERTED)
        order = payment.with_intent(order, given_up)
    return replace(
        order,
        revision=event.revision,
        edit=Edit(
            edit_id=event.edit_id,
            cause=event.cause,
            edited_at=at,
            before=order.content,
            hold_id=reverts.hold_id if reverts else held_for,
            waits_for_stock=event.raises_stock,
        ),
        edit_ids=(*order.edit_ids, event.edit_id),
        lines={line.line_id: _entry(order, line) for line in event.lines},
        line_ids=tuple(line.line_id for line in event.lines),
        shipping=event.shipping,
        totals=event.totals,
        placed=order.placed if event.raises_stock else content.placed_after(order.placed, event.lines),
        once_tracked=order.stock_tracked,
        paid=order.paid and order.captured >= event.totals.total,
    )


def _entry(order: Order, line: Line) -> OrderLine:
    known = order.lines.get(line.line_id)
    if known is None:
        return OrderLine(line=line, ever_ordered=line.quantity)
    return replace(known, line=line, ever_ordered=max(known.ever_ordered, line.quantity))
