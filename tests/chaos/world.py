"""The final state as facts: one pass over every service's events and the provider's ledger."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli import evidence
from cli.platform import Platform
from services.inventory.domain.ledger import StockAdjusted, StockReceived
from shared.domain import key_of
from shared.events.cart import (
    CartCheckedOut,
    CartItemAdded,
    CartItemQuantityChanged,
    CartItemRemoved,
    CartStarted,
)
from shared.events.common import CancelReason, RefundSource
from shared.events.envelope import Recorded
from shared.events.orders import (
    Delivered,
    LatePaymentReceived,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderPlaced,
    OrderProcessingStarted,
    PaymentCaptured,
    RefundIssued,
    Shipped,
)
from shared.events.returns import RefundApproved, ReturnReceived, ReturnRequested
from tests.chaos.history import Place

ASKED = frozenset({CancelReason.CUSTOMER, CancelReason.STAFF})


@dataclass(slots=True)
class World:
    """What is there. `ends`: the orders' states, with the reason if cancelled; `captured`: their money."""

    found: Counter[Place] = field(default_factory=Counter)
    by_itself: set[Place] = field(default_factory=set)
    ends: dict[str, str] = field(default_factory=dict)
    captured: Counter[str] = field(default_factory=Counter)
    _line_skus: dict[tuple[str, str], str] = field(default_factory=dict)

    def see(self, event: Recorded[Any]) -> None:
        """Take in one event; each stream's come in order."""
        key = key_of(event.stream)
        match event.data:
            case CartStarted():
                self._plus("cart", key)
            case CartItemAdded(line_id=line, sku=sku, quantity=quantity):
                self._line_skus[key, str(line)] = sku
                self._plus("in cart", f"{key} {sku}", quantity)
            case CartItemQuantityChanged(line_id=line, from_quantity=before, to_quantity=after):
                self._plus("in cart", f"{key} {self._line_skus[key, str(line)]}", after - before)
            case CartItemRemoved(sku=sku, quantity=quantity):
                self._plus("in cart", f"{key} {sku}", -quantity)
            case CartCheckedOut():
                self._plus("checked out", key)
            case StockReceived(quantity=quantity):
                self._plus("received", key.partition("@")[0], quantity)
            case StockAdjusted(delta=delta, alert=False):
                self._plus("adjusted", key.partition("@")[0], delta)
            case ReturnRequested(order_id=order, lines=lines):
                for requested in lines:
                    self._plus("to return", f"{order} {requested.line_id}", requested.quantity)
            case ReturnReceived(lines=lines):
                for received in lines:
                    self._plus("returned", f"{key} {received.line_id}", received.quantity)
            case RefundApproved(order_id=order, source=RefundSource.GOODWILL, amount=amount):
                self._plus("goodwill", str(order), amount)
            case _:
                self._see_order(key, event.data)

    def _see_order(self, order: str, data: Any) -> None:
        match data:
            case OrderPlaced(cart_id=cart):
                self._plus("placed", str(cart))
                self.ends[order] = "PLACED"
            case OrderConfirmed():
                self.ends[order] = "CONFIRMED"
            case OrderProcessingStarted():
                self._plus("processing", order)
                self.ends[order] = "PROCESSING"
            case OrderCompleted():
                self.ends[order] = "COMPLETED"
            case OrderCancelled(reason=reason):
                self._plus("cancelled", order)
                if reason not in ASKED:
                    self.by_itself.add(Place("cancelled", order))
                self.ends[order] = f"CANCELLED {reason}"
            case Shipped(lines=lines):
                for line in lines:
                    self._plus("shipped", f"{order} {line.line_id}", line.quantity)
            case Delivered(shipment_id=shipment):
                self._plus("delivered", str(shipment))
            case PaymentCaptured(amount=amount):
                self.captured[order] += amount
            case LatePaymentReceived(capture_id=capture, amount=amount) if capture:
                self.captured[order] += amount
            case RefundIssued(refund_id=refund, amount=amount):
                self._plus("refunded", str(refund), amount)

    def paid(self, line: dict[str, Any]) -> None:
        """A line of the provider's ledger."""
        if line["kind"] == "AUTHORIZED":
            self._plus("authorized", line["reference"], line["amount"])

    def _plus(self, kind: str, where: str, amount: int = 1) -> None:
        self.found[Place(kind, where)] += amount


async def look_at(platform: Platform, copy: Path) -> World:
    """The state of a platform that has come to rest, with a copy of all its events, a line each, for people.

    Raises the drivers' errors if a server is away.
    """
    world = World()
    with copy.open("w", encoding="utf-8") as lines:
        async with evidence.open_books(platform) as books:
            async for _, event, data in evidence.all_events(books):
                world.see(event)
                when = f"{event.occurred_at:%H:%M:%S.%f}"
                lines.write(f"{when} {event.stream} {event.version} {event.type} {data.decode()}\n")
    async for line in evidence.ledger(platform.provider_url):
        world.paid(line)
    for place in [place for place, amount in world.found.items() if not amount]:
        del world.found[place]
    return world
