"""given / when / then for decisions over several streams: a whole inventory in memory."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from services.inventory.domain.availability import SKU_AVAILABILITY, AssessAvailability, assess
from services.inventory.domain.deducting import DeductStock, decide_deduction
from services.inventory.domain.releasing import ReleaseStock, decide_release
from services.inventory.domain.reservation import RESERVATION, Reservation, reservation_stream
from services.inventory.domain.reserving import ReserveStock, decide_reservation
from services.inventory.domain.restocking import RestockReturn, decide_restock
from services.inventory.domain.revising import ReviseReservation, decide_revision
from services.inventory.domain.stock import STOCK_ITEM, StockCommand, StockItem, stock_item_stream
from shared.domain import Decider, Rejected, category_of
from shared.domain.ids import MAIN_LOCATION, derive
from shared.testing.scenario import NOW

HERE = derive("test-location", "main warehouse")
Command = (
    StockCommand
    | ReserveStock
    | ReviseReservation
    | ReleaseStock
    | DeductStock
    | RestockReturn
    | AssessAvailability
)
DECIDERS: dict[str, Decider[Any, Any, Any]] = {
    decider.category: decider for decider in (STOCK_ITEM, RESERVATION, SKU_AVAILABILITY)
}


def uid(name: str) -> UUID:
    """A readable stand-in for an id."""
    return derive("test", name)


class World:
    """Streams as folded states, and every event that they hold in order."""

    def __init__(self) -> None:
        self.states: dict[str, Any] = {}
        self.history: list[tuple[str, Any]] = []

    def record(self, decision: Sequence[tuple[str, object]]) -> None:
        """Append these events."""
        for stream, event in decision:
            decider = DECIDERS[category_of(stream)]
            self.states[stream] = decider.evolve(self.states.get(stream), event, NOW)
            self.history.append((stream, event))

    def decide(self, command: Command) -> Sequence[tuple[str, object]]:
        """What the command would append."""
        match command:
            case ReserveStock():
                return decide_reservation(self._reservation(command.order_id), self._items(command), command)
            case DeductStock():
                return decide_deduction(self._reservation(command.order_id), self._items(command), command)
            case RestockReturn():
                return decide_restock(self._reservation(command.order_id), self._items(command), command)
            case ReviseReservation():
                reservation = self._reservation(command.order_id)
                streams = (*command.item_streams, *(reservation.item_streams if reservation else ()))
                return decide_revision(reservation, {s: self.states.get(s) for s in streams}, command)
            case ReleaseStock():
                reservation = self._reservation(command.order_id)
                streams = reservation.item_streams if reservation else ()
                return decide_release(reservation, {s: self.states.get(s) for s in streams}, command)
            case AssessAvailability(sku=sku):
                stream = SKU_AVAILABILITY.stream(sku)
                item = self.states.get(stock_item_stream(sku, MAIN_LOCATION))
                told = SKU_AVAILABILITY.decide(self.states.get(stream), assess(item))
                return [(stream, event) for event in told]
            case _:
                stream = stock_item_stream(command.sku, command.location_id)
                events = STOCK_ITEM.decide(self.states.get(stream), command)
                return [(stream, event) for event in events]

    def run(self, *commands: Command) -> "World":
        """Commands of the past; a refusal changes nothing."""
        for command in commands:
            try:
                self.record(self.decide(command))
            except Rejected:
                continue
        return self

    def then(self, command: Command, *expected: tuple[str, object]) -> "World":
        """The command appends exactly these events, and none when it is repeated."""
        decision = self.decide(command)
        assert decision == list(expected)
        self.record(decision)
        assert self.decide(command) == []
        return self

    def rejected(self, command: Command, code: str) -> Rejected:
        """The command is refused with exactly this code."""
        with pytest.raises(Rejected) as caught:
            self.decide(command)
        assert caught.value.code == code
        return caught.value

    def item(self, sku: str) -> StockItem:
        """The stock of `sku` in the main warehouse."""
        item = self.states[stock_item_stream(sku, HERE)]
        assert isinstance(item, StockItem)
        return item

    def reservation(self, order: str) -> Reservation:
        """The reservation of the order with this stand-in name."""
        state = self.states[reservation_stream(uid(order))]
        assert isinstance(state, Reservation)
        return state

    def _reservation(self, order_id: UUID) -> Reservation | None:
        return self.states.get(reservation_stream(order_id))

    def _items(self, command: ReserveStock | DeductStock | RestockReturn) -> dict[str, StockItem | None]:
        return {stream: self.states.get(stream) for stream in command.item_streams}
