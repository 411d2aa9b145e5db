"""Whatever comes in whatever order and however often: nothing is oversold and no unit is lost or made up."""

from collections import Counter
from itertools import pairwise
from typing import TypeVar
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from services.inventory.domain.deducting import DeductStock
from services.inventory.domain.ledger import (
    AdjustmentReason,
    StockAdjusted,
    StockReceived,
    UnitsDeducted,
    UnitsRestocked,
    UnitsWrittenOff,
)
from services.inventory.domain.releasing import ReleaseStock
from services.inventory.domain.reservation import LineUnits, Reservation
from services.inventory.domain.reserving import ReserveStock
from services.inventory.domain.restocking import RestockReturn
from services.inventory.domain.stock import (
    AdjustStock,
    ReceiveStock,
    SetStockTerms,
    StockCommand,
    StockItem,
    stock_item_stream,
)
from shared.events.inventory import StockDeducted, StockReleased, StockReserved, StockRestocked
from shared.events.returns import Disposition, ReceivedLine
from tests.unit.inventory.world import HERE, Command, World, uid

E = TypeVar("E")

SKUS = ("CUP", "BAG", "HAT")
ORDERS = ("first order", "second order", "third order", "fourth order")
LINES = (("1", "CUP"), ("2", "CUP"), ("3", "BAG"), ("4", "HAT"))
OPENING = tuple(
    ReceiveStock(sku=sku, location_id=HERE, receipt_id=uid("opening"), quantity=8) for sku in ("CUP", "BAG")
)

skus, orders = st.sampled_from(SKUS), st.sampled_from(ORDERS)
few = st.integers(min_value=1, max_value=4)
documents = st.integers(min_value=1, max_value=4)


def line_id(order: str, line: str) -> UUID:
    return uid(f"{order}, line {line}")


@st.composite
def reserving(draw: st.DrawFn) -> Command:
    order = draw(orders)
    return ReserveStock(
        order_id=uid(order), location_id=HERE, lines=_some_lines(draw, order), cause_event_id=uid(order)
    )


@st.composite
def deducting(draw: st.DrawFn) -> Command:
    order, n = draw(orders), draw(documents)
    return DeductStock(
        order_id=uid(order),
        shipment_id=uid(f"{order}, parcel {n}"),
        location_id=HERE,
        lines=_some_lines(draw, order),
        cause_event_id=uid(f"{order}, parcel {n} shipped"),
    )


@st.composite
def restocking(draw: st.DrawFn) -> Command:
    order, n = draw(orders), draw(documents)
    return RestockReturn(
        order_id=uid(order),
        source_id=uid(f"{order}, return"),
        receipt_id=uid(f"{order}, scan {n}"),
        location_id=HERE,
        lines=tuple(
            ReceivedLine(
                line_id=line.line_id,
                sku=line.sku,
                quantity=line.quantity,
                disposition=draw(st.sampled_from(Disposition)),
            )
            for line in _some_lines(draw, order)
        ),
        cause_event_id=uid(f"{order}, scan {n} received"),
    )


def _some_lines(draw: st.DrawFn, order: str) -> tuple[LineUnits, ...]:
    chosen = draw(st.lists(st.sampled_from(LINES), min_size=1, max_size=3, unique=True))
    return tuple(LineUnits(line_id=line_id(order, n), sku=sku, quantity=draw(few)) for n, sku in chosen)


commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(
        lambda sku, n, quantity: ReceiveStock(
            sku=sku, location_id=HERE, receipt_id=uid(f"delivery {n}"), quantity=quantity
        ),
        skus,
        documents,
        st.integers(min_value=1, max_value=9),
    ),
    st.builds(
        lambda sku, n, delta: AdjustStock(
            sku=sku,
            location_id=HERE,
            adjustment_id=uid(f"count {n}"),
            delta=delta,
            reason=AdjustmentReason.CYCLE_COUNT_AVAILABLE,
        ),
        skus,
        documents,
        st.integers(min_value=-5, max_value=3),
    ),
    st.builds(
        lambda sku, n: SetStockTerms(sku=sku, location_id=HERE, change_id=uid(f"terms {n}"), safety_stock=n),
        skus,
        documents,
    ),
    reserving(),
    reserving(),
    deducting(),
    st.builds(
        lambda order: ReleaseStock(order_id=uid(order), cause_event_id=uid(f"{order} cancelled")), orders
    ),
    deducting(),
    restocking(),
)


class Ledger:
    """The naive model: plain counts, written down as a shopkeeper would."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.there: Counter[str] = Counter()
        self.unclear: Counter[str] = Counter()
        self.safety: Counter[str] = Counter()
        self.held: Counter[tuple[UUID, UUID, str]] = Counter()
        self.answered: set[UUID] = set()
        self.seen_lines: set[UUID] = set()
        self.papers: set[object] = set()

    def free(self, sku: str) -> int:
        held = sum(quantity for (_, _, of), quantity in self.held.items() if of == sku)
        return self.there[sku] - held - self.unclear[sku]

    def available(self, sku: str) -> int:
        return max(0, self.free(sku) - self.safety[sku])

    def note(self, command: Command) -> None:
        match command:
            case ReserveStock():
                self._reserve(command)
            case ReleaseStock(order_id=order):
                self.answered.add(order)
                for key in [key for key in self.held if key[0] == order]:
                    del self.held[key]
            case DeductStock():
                self._deduct(command)
            case RestockReturn():
                self._restock(command)
            case _:
                self._staff(command)

    def _first_time(self, paper: object) -> bool:
        new = paper not in self.papers
        self.papers.add(paper)
        return new

    def _staff(self, command: StockCommand) -> None:
        sku = command.sku
        match command:
            case ReceiveStock(receipt_id=paper, quantity=quantity):
                if self._first_time((sku, paper)):
                    self.known.add(sku)
                    self.there[sku] += quantity
            case AdjustStock(adjustment_id=paper, delta=delta):
                fits = sku in self.known and delta and self.free(sku) + delta >= 0
                if fits and self._first_time((sku, paper)):
                    self.there[sku] += delta
            case SetStockTerms(change_id=paper, safety_stock=safety):
                if self._first_time((sku, paper)):
                    self.known.add(sku)
                    self.safety[sku] = safety

    def _reserve(self, command: ReserveStock) -> None:
        if command.order_id in self.answered:
            return
        self.answered.add(command.order_id)
        wanted: Counter[str] = Counter()
        for line in command.lines:
            wanted[line.sku] += line.quantity
        if all(sku in self.known and self.available(sku) >= wanted[sku] for sku in wanted):
            for line in command.lines:
                self.held[command.order_id, line.line_id, line.sku] += line.quantity
                self.seen_lines.add(line.line_id)

    def _deduct(self, command: DeductStock) -> None:
        if not self._first_time(command.shipment_id):
            return
        for line in command.lines:
            key = (command.order_id, line.line_id, line.sku)
            held = min(line.quantity, self.held[key])
            self.held[key] -= held
            self.there[line.sku] -= held
            self.there[line.sku] -= min(line.quantity - held, self.free(line.sku))
            self.known.add(line.sku)
            self.seen_lines.add(line.line_id)

    def _restock(self, command: RestockReturn) -> None:
        found = [
            line
            for line in command.lines
            if line.disposition is not Disposition.MISSING
            and (line.sku in self.known or line.line_id in self.seen_lines)
        ]
        if found and self._first_time(command.receipt_id):
            for line in found:
                self.known.add(line.sku)
                self.there[line.sku] += line.quantity * (line.disposition is not Disposition.NOT_RESTOCKED)
                self.unclear[line.sku] += line.quantity * (
                    line.disposition is Disposition.PROCESSING_REQUIRED
                )


def of_type(world: World, kind: type[E]) -> list[tuple[str, E]]:
    return [(stream, event) for stream, event in world.history if isinstance(event, kind)]


def check_stock_against(world: World, ledger: Ledger) -> None:
    """The items equal the naive counts; L1 and L2."""
    for sku in SKUS:
        stream = stock_item_stream(sku, HERE)
        item: StockItem | None = world.states.get(stream)
        assert (item is not None) == (sku in ledger.known)
        item = item or StockItem()
        assert (item.on_hand, item.available) == (ledger.there[sku], ledger.available(sku))
        came = sum(e.quantity for s, e in of_type(world, StockReceived) if s == stream)
        came += sum(e.delta for s, e in of_type(world, StockAdjusted) if s == stream)
        came += sum(e.quantity for s, e in of_type(world, UnitsRestocked) if s == stream)
        went = sum(e.quantity for s, e in of_type(world, UnitsDeducted) if s == stream)
        went += sum(e.quantity for s, e in of_type(world, UnitsWrittenOff) if s == stream)
        assert came == item.on_hand + went
        parts = (item.available, item.held, item.damaged, item.quality_control, item.held_back)
        assert item.on_hand == sum(parts)
        assert min(parts) >= 0
        assert item.held == sum(entry.quantity for _, live in item.entries.items() for entry in live)


def check_reservations_against(world: World, ledger: Ledger) -> None:
    """L3: what an order's public events say is held is what its reservation and the stock items hold."""
    balance: Counter[tuple[UUID, UUID, str]] = Counter()
    for _, reserved in of_type(world, StockReserved):
        balance.update(
            {(reserved.order_id, line.line_id, line.sku): line.quantity for line in reserved.placed}
        )
    for _, released in of_type(world, StockReleased):
        balance.subtract(
            {(released.order_id, line.line_id, line.sku): line.quantity for line in released.lines}
        )
    for _, gone in of_type(world, StockDeducted):
        if not gone.unexpected:
            balance.subtract({(gone.order_id, line.line_id, line.sku): line.quantity for line in gone.lines})
    live: Counter[tuple[UUID, UUID, str]] = Counter()
    entries: Counter[tuple[UUID, UUID, str]] = Counter()
    for order in ORDERS:
        reservation: Reservation = world.states.get(f"reservation-{uid(order)}") or Reservation()
        for place, quantity in reservation.live.items():
            live[uid(order), place.line_id, place.sku] = quantity
        for sku in SKUS:
            item: StockItem = world.states.get(stock_item_stream(sku, HERE)) or StockItem()
            for entry in item.entries.get(uid(order)) or ():
                entries[uid(order), entry.line_id, sku] += entry.quantity
    assert min(balance.values(), default=0) >= 0
    assert +balance == live == entries == +ledger.held


def check_shipments_and_receipts(world: World) -> None:
    """L5: a restock names only what left and never more than that; movements and receipts count once."""
    out: Counter[tuple[UUID, UUID]] = Counter()
    for _, event in world.history:
        if isinstance(event, StockDeducted):
            for line in event.lines:
                out[event.shipment_id, line.line_id] += line.quantity
        if isinstance(event, StockRestocked):
            for back in event.reverses:
                out[back.shipment_id, back.line_id] -= back.quantity
                assert out[back.shipment_id, back.line_id] >= 0
            assert sum(b.quantity for b in event.reverses) <= sum(line.quantity for line in event.lines)
    receipts = [event.receipt_id for _, event in of_type(world, StockRestocked)]
    assert len(receipts) == len(set(receipts))
    movements = [event.movement_id for _, event in world.history if hasattr(event, "movement_id")]
    assert len(movements) == len(set(movements))


def check_every_parcel_left_whole(world: World, told: list[Command]) -> None:
    """L4: what was shipped first under a parcel's id is what was deducted for it."""
    shipped: dict[UUID, Counter[UUID]] = {}
    for command in told:
        if isinstance(command, DeductStock):
            lines = Counter({line.line_id: line.quantity for line in command.lines})
            shipped.setdefault(command.shipment_id, lines)
    deducted: dict[UUID, Counter[UUID]] = {}
    for _, event in of_type(world, StockDeducted):
        lines = Counter({line.line_id: line.quantity for line in event.lines})
        deducted[event.shipment_id] = deducted.get(event.shipment_id, Counter()) + lines
    assert deducted == shipped


def check_corrections(world: World) -> None:
    """Only goods that left without being held are ever added, and then the ledger says so aloud."""
    for (_, before), (_, after) in pairwise([*world.history, ("", None)]):
        if isinstance(before, StockAdjusted) and before.reason is AdjustmentReason.CORRECTION:
            assert before.alert
            assert isinstance(after, UnitsDeducted)
            assert after.quantity > sum(entry.quantity for entry in after.entries)


@settings(max_examples=150, deadline=None)
@given(st.lists(commands, min_size=8, max_size=40))
def test_every_interleaving_keeps_the_laws(told: list[Command]) -> None:
    world, ledger = World(), Ledger()
    for command in (*OPENING, *told):
        world.run(command)
        ledger.note(command)
        check_stock_against(world, ledger)
        check_reservations_against(world, ledger)
    check_shipments_and_receipts(world)
    check_every_parcel_left_whole(world, told)
    check_corrections(world)


@settings(max_examples=100, deadline=None)
@given(st.lists(commands, min_size=8, max_size=30))
def test_what_once_had_an_outcome_never_has_another(told: list[Command]) -> None:
    world = World()
    done: list[Command] = []
    for command in (*OPENING, *told):
        before = len(world.history)
        world.run(command)
        if len(world.history) > before:
            done.append(command)
        for repeated in done:
            assert world.decide(repeated) == []
