"""Laws of orders: every checkout is one order, its sums add up, it gets its answers in time, and it ends."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from cli.laws.law import Balance, Kind, Law, Place, order_of
from shared.domain import key_of
from shared.events.cart import CartCheckedOut
from shared.events.common import Totals
from shared.events.envelope import Recorded
from shared.events.inventory import StockReleased, StockReservationRejected, StockReserved
from shared.events.orders import (
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderEdited,
    OrderPlaced,
    OrderProcessingStarted,
    OrderStockSecured,
    SourceKind,
)

STOCK_ANSWER_WITHIN = timedelta(hours=2)
DECISION_WITHIN = timedelta(hours=3)


class SumsAddUp(Law):
    """L12: what the buyer saw is what was ordered, and its lines and shipping add up to the total."""

    number = "L12"
    claim = "lines + shipping = total in checkout, order and edit; the first two have the same totals"
    listens = (CartCheckedOut, OrderPlaced, OrderEdited)

    def __init__(self) -> None:
        super().__init__()
        self._other: dict[UUID, tuple[Totals, Place]] = {}

    def see(self, event: Recorded[Any]) -> None:
        data: CartCheckedOut | OrderPlaced | OrderEdited = event.data
        total = data.totals
        gross = sum(line.gross for line in data.lines) + data.shipping.gross
        parts = total.items_net + total.items_tax + total.shipping_net + total.shipping_tax
        if gross != total.total or parts != total.total:
            told = f"lines and shipping give {gross}, the totals' parts {parts}, the total is {total.total}"
            self.blame(event.stream, told, event)
        if isinstance(data, OrderEdited):
            return
        order = data.order_id if isinstance(data, CartCheckedOut) else order_of(event)
        other, place = self._other.pop(order, (None, None))
        if other is None:
            self._other[order] = total, Place.of(event)
        elif other != total:
            placed = event if isinstance(data, OrderPlaced) else place
            self.blame(f"order {order}", "its totals are not those of the checkout", placed)


class CheckoutIsOrder(Law):
    """L14: every checkout became exactly one order, and no order came from nowhere."""

    number = "L14"
    claim = "CartCheckedOut and OrderPlaced from a cart, one to one"
    listens = (CartCheckedOut, OrderPlaced)

    def __init__(self) -> None:
        super().__init__()
        self._balance: Balance[tuple[UUID, UUID]] = Balance()

    def see(self, event: Recorded[Any]) -> None:
        match event.data:
            case CartCheckedOut(order_id=order):
                self._balance.plus((UUID(key_of(event.stream)), order), 1, Place.of(event))
            case OrderPlaced(source=source) if source.kind is SourceKind.CART:
                self._balance.minus((source.ref_id, order_of(event)), 1, Place.of(event))

    def finish(self) -> None:
        for (cart, order), difference, place in self._balance.uneven():
            subject = f"cart {cart}, order {order}"
            if difference > 0:
                self.blame(subject, "checked out and not placed", place, Kind.LOST)
            else:
                self.blame(subject, "placed without a checkout of its own", place, Kind.DUPLICATED)


class StockIsAnswered(Law):
    """L15: inventory answers every order that needs stock, in time."""

    number = "L15"
    claim = "OrderPlaced with tracked lines is answered by inventory within 2 h"
    listens = (OrderPlaced, StockReserved, StockReservationRejected, StockReleased)

    def __init__(self) -> None:
        super().__init__()
        self._waiting: dict[UUID, Place] = {}
        self._answers: dict[UUID, Place] = {}

    def see(self, event: Recorded[Any]) -> None:
        order = order_of(event)
        match event.data:
            case OrderPlaced(lines=lines):
                if any(line.stock_tracked for line in lines):
                    self._waiting[order] = Place.of(event)
            case StockReleased(tombstone=False):
                pass
            case _:
                self._answers.setdefault(order, Place.of(event))
        if order in self._waiting and order in self._answers:
            placed, answer = self._waiting.pop(order), self._answers.pop(order)
            if answer.at - placed.at > STOCK_ANSWER_WITHIN:
                self.blame(f"order {order}", f"stock was answered after {answer.at - placed.at}", answer)

    def finish(self) -> None:
        for order, place in self._waiting.items():
            self.blame(f"order {order}", "inventory never answered", place, Kind.LOST)


class OrdersEnd(Law):
    """L15: every order is confirmed or cancelled in time, and in the end completed or cancelled, once."""

    number = "L15"
    claim = "OrderConfirmed or OrderCancelled within 3 h, and in the end OrderCompleted or OrderCancelled"
    listens = (
        OrderPlaced,
        OrderStockSecured,
        OrderConfirmed,
        OrderProcessingStarted,
        OrderCancelled,
        OrderCompleted,
    )

    def __init__(self) -> None:
        super().__init__()
        self._undecided: dict[UUID, datetime] = {}
        self._open: dict[UUID, Place] = {}

    def see(self, event: Recorded[Any]) -> None:
        order = order_of(event)
        subject = f"order {order}"
        if isinstance(event.data, OrderPlaced):
            self._undecided[order] = event.occurred_at
        elif order not in self._open:
            self.blame(subject, "goes on after its end or before its beginning", event)
            return
        if isinstance(event.data, OrderConfirmed | OrderCancelled):
            since = self._undecided.pop(order, event.occurred_at)
            if event.occurred_at - since > DECISION_WITHIN:
                self.blame(subject, f"decided only after {event.occurred_at - since}", event)
        self._open[order] = Place.of(event)
        if isinstance(event.data, OrderCancelled | OrderCompleted):
            del self._open[order]

    def finish(self) -> None:
        for order, place in self._open.items():
            self.blame(f"order {order}", f"never ended; it stands at {place.type}", place, Kind.LOST)


LAWS: tuple[type[Law], ...] = (SumsAddUp, CheckoutIsOrder, StockIsAnswered, OrdersEnd)
