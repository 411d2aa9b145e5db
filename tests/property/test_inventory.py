"""Inventory's StockItem and Reservation: decisions over several streams, whatever comes in whatever order.

Two depots, three articles and four orders, few enough that everything meets: double scans, cancellations that
overtake reservations, parcels that nobody reserved, goods that come back from nowhere.
"""

from collections import Counter, defaultdict
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from services.inventory.domain import ledger
from services.inventory.domain.availability import SKU_AVAILABILITY, AssessAvailability, Availability
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
from services.inventory.domain.reservation import RESERVATION, LineUnits, Reservation, reservation_stream
from services.inventory.domain.reserving import ReserveStock
from services.inventory.domain.restocking import RestockReturn
from services.inventory.domain.revising import ReviseReservation
from services.inventory.domain.stock import (
    MAX_QUANTITY,
    STOCK_ITEM,
    AdjustStock,
    ReceiveStock,
    SetStockTerms,
    StockItem,
    stock_item_stream,
)
from services.inventory.readmodels.reservations import RESERVATIONS
from services.inventory.readmodels.stock_levels import STOCK_LEVELS
from services.inventory.readmodels.stock_movements import STOCK_MOVEMENTS
from shared.domain.ids import MAIN_LOCATION
from shared.events import inventory
from shared.events.inventory import (
    Scarcity,
    StockDeducted,
    StockRanLow,
    StockReleased,
    StockReplenished,
    StockReserved,
    StockRestocked,
)
from shared.events.registry import Registry
from shared.events.returns import Disposition, ReceivedLine
from tests.property.machine import ACCEPTED, AggregateMachine, Decision, uid
from tests.property.profiles import PROFILE
from tests.unit.inventory.world import Command, World
from tests.unit.orders.samples import CONFIRMED, PLACED

DEPOTS = (MAIN_LOCATION, uid("south"))
SKUS = ("CUP", "BAG", "HAT")
ORDERS = tuple(uid("order", n) for n in range(8))
LINES = (("1", "CUP"), ("2", "CUP"), ("3", "BAG"), ("4", "HAT"))
SHELVES = tuple((sku, depot) for sku in SKUS for depot in DEPOTS)

depots, skus, orders = st.sampled_from((DEPOTS[0], *DEPOTS)), st.sampled_from(SKUS), st.sampled_from(ORDERS)
documents = st.integers(1, 4)
nearly = st.sampled_from([None, None, -1, 0, 1])
few = st.sampled_from([1, 1, 2, 3, 4])
units = st.lists(st.tuples(st.sampled_from(LINES), few), max_size=3)

Shelf = tuple[str, UUID]
Held = tuple[UUID, UUID, str, UUID]
"""Order, line, sku and depot."""


class NaiveDepots:
    """Plain counts as on a shopkeeper's paper: what lies where, what of it is spoken for, what left."""

    def __init__(self) -> None:
        self.known: set[Shelf] = set()
        self.there: Counter[Shelf] = Counter()
        self.unclear: Counter[Shelf] = Counter()
        self.safety: Counter[Shelf] = Counter()
        self.low: Counter[Shelf] = Counter()
        self.held: Counter[Held] = Counter()
        self.status: dict[UUID, str] = dict.fromkeys(ORDERS, "NONE")
        self.left: defaultdict[UUID, dict[UUID, Counter[UUID]]] = defaultdict(dict)
        self.revision: Counter[UUID] = Counter()
        """The last edit of each order that changed something or was refused."""
        self.papers: set[object] = set()
        """Everything with a number that counts once."""
        self.told: dict[str, Scarcity | None] = dict.fromkeys(SKUS)

    def spoken_for(self, shelf: Shelf) -> int:
        return sum(n for (_, _, sku, depot), n in self.held.items() if (sku, depot) == shelf)

    def free(self, shelf: Shelf) -> int:
        return self.there[shelf] - self.spoken_for(shelf) - self.unclear[shelf]

    def available(self, shelf: Shelf) -> int:
        return max(0, self.free(shelf) - self.safety[shelf])

    def tell(self, command: Command) -> frozenset[str]:
        match command:
            case ReserveStock():
                return self._reserve(command)
            case ReviseReservation():
                return self._revise(command)
            case ReleaseStock(order_id=order):
                return self._release(order)
            case DeductStock():
                return self._deduct(command)
            case RestockReturn():
                return self._restock(command)
            case ReceiveStock():
                if not 1 <= command.quantity <= MAX_QUANTITY:
                    return frozenset({"invalid_quantity"})
                if self._first_time(command.receipt_id, command.sku, command.location_id):
                    self.there[command.sku, command.location_id] += command.quantity
                    self.known.add((command.sku, command.location_id))
                return ACCEPTED
            case AdjustStock():
                return self._adjust(command)
            case AssessAvailability(sku=sku):
                left = self.available((sku, MAIN_LOCATION))
                few = Scarcity.LOW if left <= self.low[sku, MAIN_LOCATION] else None
                self.told[sku] = few if left else Scarcity.OUT
                return ACCEPTED
            case SetStockTerms():
                if not all(0 <= n <= MAX_QUANTITY for n in (command.low_threshold, command.safety_stock)):
                    return frozenset({"invalid_terms"})
                shelf = command.sku, command.location_id
                if self._first_time(command.change_id, *shelf):
                    self.known.add(shelf)
                    self.safety[shelf], self.low[shelf] = command.safety_stock, command.low_threshold
                return ACCEPTED

    def _first_time(self, *paper: object) -> bool:
        new = paper not in self.papers
        self.papers.add(paper)
        return new

    def _adjust(self, command: AdjustStock) -> frozenset[str]:
        shelf = command.sku, command.location_id
        if not 1 <= abs(command.delta) <= MAX_QUANTITY:
            return frozenset({"invalid_quantity"})
        if (command.adjustment_id, *shelf) in self.papers:
            return ACCEPTED
        if shelf not in self.known:
            return frozenset({"unknown_sku"})
        if self.free(shelf) + command.delta < 0:
            return frozenset({"below_commitments"})
        self._first_time(command.adjustment_id, *shelf)
        self.there[shelf] += command.delta
        return ACCEPTED

    def _reserve(self, command: ReserveStock) -> frozenset[str]:
        """All or nothing, once; after a cancellation never."""
        order = command.order_id
        if self.status[order] != "NONE" or self.revision[order] or not command.lines:
            return ACCEPTED
        wanted: Counter[Shelf] = Counter()
        for line in command.lines:
            wanted[line.sku, command.location_id] += line.quantity
        if any(shelf not in self.known or self.available(shelf) < n for shelf, n in wanted.items()):
            self.status[command.order_id] = "REJECTED"
            return ACCEPTED
        self.status[command.order_id] = "RESERVED"
        for line in command.lines:
            self.held[command.order_id, line.line_id, line.sku, command.location_id] += line.quantity
        return ACCEPTED

    def _revise(self, command: ReviseReservation) -> frozenset[str]:
        """Hold exactly what is wanted and did not leave; no article may need more than lies there for it."""
        order, depot = command.order_id, command.location_id
        if self.status[order] in ("REJECTED", "RELEASED") or command.revision <= self.revision[order]:
            return ACCEPTED
        after = {key: n for key, n in self.held.items() if key[0] == order and n}
        before = dict(after)
        wanted: Counter[tuple[UUID, str]] = Counter()
        for line in command.lines:
            gone = sum(parcel[line.line_id] for parcel in self.left[order].values())
            wanted[line.line_id, line.sku] = max(0, line.quantity - gone)
        for (_, line_id, sku, where), n in before.items():
            kept = min(n, wanted[line_id, sku])
            after[order, line_id, sku, where] = kept
            wanted[line_id, sku] -= kept
        for (line_id, sku), n in wanted.items():
            if n:
                key = (order, line_id, sku, depot)
                after[key] = after.get(key, 0) + n
        after = {key: n for key, n in after.items() if n}
        if after == before:
            return ACCEPTED
        self.revision[order] = command.revision
        for sku in {sku for (_, sku), n in wanted.items() if n}:
            shelf = sku, depot
            more = sum(n for (*_, s, d), n in after.items() if (s, d) == shelf)
            more -= sum(n for (*_, s, d), n in before.items() if (s, d) == shelf)
            if shelf not in self.known or more > self.available(shelf):
                return ACCEPTED
        for key in [key for key in self.held if key[0] == order]:
            del self.held[key]
        self.held.update(after)
        self.status[order] = "RESERVED" if after else "DEDUCTED"
        return ACCEPTED

    def _release(self, order: UUID) -> frozenset[str]:
        """Whatever is still held is free again; before any reservation this forbids it for good."""
        mine = [key for key in self.held if key[0] == order and self.held[key]]
        for key in mine:
            del self.held[key]
        if mine or self.status[order] == "NONE":
            self.status[order] = "RELEASED"
        return ACCEPTED

    def _deduct(self, command: DeductStock) -> frozenset[str]:
        """Gone: first what is held for the order, then what nobody holds; the rest was miscounted."""
        order = command.order_id
        if not command.lines or command.shipment_id in self.left[order]:
            return ACCEPTED
        gone, others = Counter[UUID](), Counter[Shelf]()
        for line in command.lines:
            shelf = line.sku, command.location_id
            key = (order, line.line_id, *shelf)
            held = min(line.quantity, self.held[key])
            self.held[key] -= held
            self.there[shelf] -= held
            others[shelf] += line.quantity - held
            gone[line.line_id] += line.quantity
            self.known.add(shelf)
        for shelf, quantity in others.items():
            self.there[shelf] -= min(quantity, self.free(shelf))
        self.left[order][command.shipment_id] = gone
        if self.status[order] == "RESERVED" and not any(n for key, n in self.held.items() if key[0] == order):
            self.status[order] = "DEDUCTED"
        return ACCEPTED

    def _restock(self, command: RestockReturn) -> frozenset[str]:
        """On the shelf, aside to be looked at, or thrown away; what was missing or never kept is nothing."""
        order, depot = command.order_id, command.location_id
        ours = {key[1] for key, n in self.held.items() if key[0] == order and n}
        ours.update(*self.left[order].values())
        found = [
            line
            for line in command.lines
            if line.disposition is not Disposition.MISSING
            and (line.line_id in ours or (line.sku, depot) in self.known)
        ]
        if not found or not self._first_time(command.receipt_id):
            return ACCEPTED
        for line in found:
            shelf = line.sku, depot
            self.known.add(shelf)
            self.there[shelf] += line.quantity * (line.disposition is not Disposition.NOT_RESTOCKED)
            self.unclear[shelf] += line.quantity * (line.disposition is Disposition.PROCESSING_REQUIRED)
            back = line.quantity
            for parcel in self.left[order].values():
                reversed_units = min(back, parcel[line.line_id])
                parcel[line.line_id] -= reversed_units
                back -= reversed_units
        return ACCEPTED


class InventoryMachine(AggregateMachine):
    deciders = (STOCK_ITEM, RESERVATION, SKU_AVAILABILITY)
    registry = Registry.of(inventory, ledger)
    read_models = (RESERVATIONS, STOCK_LEVELS, STOCK_MOVEMENTS)

    model: NaiveDepots

    def __init__(self) -> None:
        super().__init__()
        self.model = NaiveDepots()
        self.world = World()
        self.world.states = self.states
        self.parcels: dict[UUID, Counter[UUID]] = {}
        self.done: list[Any] = []
        self.edits: dict[tuple[UUID, int], ReviseReservation] = {}

    def decide(self, command: Any) -> Decision:
        return self.world.decide(command)

    # What is told

    @initialize(quantity=st.integers(4, 9))
    def open_the_shop(self, quantity: int) -> None:
        for sku in ("CUP", "BAG"):
            self.tell(
                ReceiveStock(sku=sku, location_id=DEPOTS[0], receipt_id=uid("opening"), quantity=quantity)
            )

    @rule(
        sku=skus,
        depot=depots,
        n=documents,
        quantity=st.integers(1, 9) | st.sampled_from([0, -1, MAX_QUANTITY, MAX_QUANTITY + 1]),
    )
    def goods_arrive(self, sku: str, depot: UUID, n: int, quantity: int) -> None:
        self.tell(ReceiveStock(sku=sku, location_id=depot, receipt_id=uid("delivery", n), quantity=quantity))

    @rule(
        sku=skus,
        depot=depots,
        n=documents,
        delta=st.integers(-5, 3),
        reason=st.sampled_from(AdjustmentReason),
    )
    def staff_count(self, sku: str, depot: UUID, n: int, delta: int, reason: AdjustmentReason) -> None:
        self.tell(
            AdjustStock(sku=sku, location_id=depot, adjustment_id=uid("count", n), delta=delta, reason=reason)
        )

    @rule(sku=skus, depot=depots, n=documents, safety=st.integers(-1, 4), low=st.integers(-1, 4))
    def staff_set_terms(self, sku: str, depot: UUID, n: int, safety: int, low: int) -> None:
        self.tell(
            SetStockTerms(
                sku=sku, location_id=depot, change_id=uid("terms", n), safety_stock=safety, low_threshold=low
            )
        )

    @rule(order=orders, depot=depots, chosen=units, near=nearly)
    def an_order_wants_units(self, order: UUID, depot: UUID, chosen: list[Any], near: int | None) -> None:
        """Some, or exactly what there is of the first article, or one more."""
        if near is not None and chosen:
            line, sku = chosen[0][0]
            chosen = [((line, sku), max(1, self.model.available((sku, depot)) + near))]
        self.tell(
            ReserveStock(
                order_id=order,
                location_id=depot,
                lines=of_order(order, chosen),
                cause_event_id=uid("placed", order),
            )
        )

    @rule(order=orders, depot=depots, revision=documents, chosen=units, near=nearly)
    def an_order_is_edited(
        self, order: UUID, depot: UUID, revision: int, chosen: list[Any], near: int | None
    ) -> None:
        """Other units of any lines, or all that it could have of the first article, or one more.

        An edit is heard again only as it was, as an event is.
        """
        lines = dict(chosen)
        if near is not None and chosen:
            line, sku = chosen[0][0]
            mine = sum(n for (o, _, s, d), n in self.model.held.items() if (o, s, d) == (order, sku, depot))
            lines = {(line, sku): max(1, self.model.available((sku, depot)) + mine + near)}
        command = ReviseReservation(
            order_id=order,
            revision=revision,
            location_id=depot,
            lines=of_order(order, list(lines.items())),
            cause_event_id=uid("edited", order, revision),
        )
        self.tell(self.edits.setdefault((order, revision), command))

    @rule(order=orders)
    def orders_tell_of_it(self, order: UUID) -> None:
        """Who the buyer is, and later that it will be carried out."""
        stream = f"order-{order}"
        told = sum(name == stream for name, _, _ in self.heard)
        if told < 2:
            self.heard.append((stream, (PLACED, CONFIRMED)[told], self.now))

    @rule(order=orders)
    def an_order_is_cancelled(self, order: UUID) -> None:
        self.tell(ReleaseStock(order_id=order, cause_event_id=uid("cancelled", order)))

    @rule(order=orders, depot=depots, n=documents, chosen=units, near=nearly)
    def any_parcel_leaves(
        self, order: UUID, depot: UUID, n: int, chosen: list[Any], near: int | None
    ) -> None:
        """Whatever was packed, or what nobody holds of the first article, or one more."""
        if near is not None and chosen:
            line, sku = chosen[0][0]
            chosen = [((line, sku), max(1, self.model.free((sku, depot)) + near))]
        self.ship(order, depot, n, of_order(order, chosen))

    @rule(order=orders, n=documents, some=st.booleans())
    def what_is_held_leaves(self, order: UUID, n: int, some: bool) -> None:
        held = [(key, left) for key, left in self.model.held.items() if key[0] == order and left]
        lines = tuple(
            LineUnits(line_id=line, sku=sku, quantity=1 if some else left) for (_, line, sku, _), left in held
        )
        self.ship(order, held[0][0][3] if held else DEPOTS[0], n, lines)

    def ship(self, order: UUID, depot: UUID, n: int, lines: tuple[LineUnits, ...]) -> None:
        shipment = uid("parcel", order, n)
        if lines:
            self.parcels.setdefault(shipment, count(lines))
        self.tell(
            DeductStock(
                order_id=order,
                shipment_id=shipment,
                location_id=depot,
                lines=lines,
                cause_event_id=uid("shipped", shipment),
            )
        )

    @rule(
        order=orders,
        depot=depots,
        n=documents,
        found=st.lists(st.tuples(st.sampled_from(LINES), few, st.sampled_from(Disposition)), max_size=3),
    )
    def goods_come_back(self, order: UUID, depot: UUID, n: int, found: list[Any]) -> None:
        receipt = uid("scan", order, n)
        lines = tuple(
            ReceivedLine(line_id=uid(order, line), sku=sku, quantity=quantity, disposition=disposition)
            for (line, sku), quantity, disposition in found
        )
        self.tell(
            RestockReturn(
                order_id=order,
                source_id=uid("return", order),
                receipt_id=receipt,
                location_id=depot,
                lines=lines,
                cause_event_id=uid("received", receipt),
            )
        )

    @rule(sku=skus)
    def somebody_looks_at_the_shelf(self, sku: str) -> None:
        self.tell(AssessAvailability(sku=sku))

    @precondition(lambda self: bool(self.done))
    @rule(data=st.data())
    def something_old_is_heard_again(self, data: st.DataObject) -> None:
        """What once had an outcome never has another, whatever happened since."""
        assert self.decide(data.draw(st.sampled_from(self.done))) == []

    def tell(self, command: Any) -> list[Any]:
        events = super().tell(command)
        if events and not isinstance(command, AssessAvailability):
            self.done.append(command)
        return events

    # What has to hold

    def compare(self) -> None:
        model = self.model
        for sku, depot in SHELVES:
            shelf = sku, depot
            item: StockItem | None = self.states.get(stock_item_stream(sku, depot))
            assert (item is not None) == (shelf in model.known)
            item = item or StockItem()
            assert (item.on_hand, item.held, item.available, item.quality_control, item.damaged) == (
                model.there[shelf],
                model.spoken_for(shelf),
                model.available(shelf),
                model.unclear[shelf],
                0,
            )
            assert (item.safety_stock, item.low_threshold) == (model.safety[shelf], model.low[shelf])
        for sku in SKUS:
            told: Availability | None = self.states.get(SKU_AVAILABILITY.stream(sku))
            assert (told.level if told else None) is model.told[sku]
        entries: Counter[Held] = Counter()
        live: Counter[Held] = Counter()
        for order in ORDERS:
            state: Reservation = self.states.get(reservation_stream(order)) or Reservation()
            assert (state.status, state.revision) == (model.status[order], model.revision[order])
            assert {s: +Counter(lines) for s, lines in state.out.items()} == {
                s: +lines for s, lines in model.left[order].items()
            }
            live.update({(order, *place): quantity for place, quantity in state.live.items()})
            for sku, depot in SHELVES:
                item = self.states.get(stock_item_stream(sku, depot)) or StockItem()
                for entry in item.entries.get(order) or ():
                    entries[order, entry.line_id, sku, depot] += entry.quantity
        assert live == entries == +model.held

    @invariant()
    def no_unit_is_lost_or_made_up(self) -> None:
        """L1 and L2, from the ledger alone."""
        came, went = Counter[str](), Counter[str]()
        for stream, event, _ in self.history:
            match event:
                case StockReceived() | UnitsRestocked():
                    came[stream] += event.quantity
                case StockAdjusted():
                    came[stream] += event.delta
                case UnitsDeducted() | UnitsWrittenOff():
                    went[stream] += event.quantity
        for sku, depot in SHELVES:
            item = self.states.get(stock_item_stream(sku, depot)) or StockItem()
            assert came[stock_item_stream(sku, depot)] == item.on_hand + went[stock_item_stream(sku, depot)]
            parts = (item.available, item.held, item.damaged, item.quality_control, item.held_back)
            assert item.on_hand == sum(parts)
            assert min(parts) >= 0

    @invariant()
    def others_are_told_what_is_held(self) -> None:
        """L3, from the public events alone; and every movement has an id of its own."""
        balance: Counter[Held] = Counter()
        for event in self.of_type(StockReserved, StockReleased, StockDeducted):
            sign = 1 if isinstance(event, StockReserved) else -1
            if not getattr(event, "unexpected", False):
                for line in event.placed if isinstance(event, StockReserved) else event.lines:
                    balance[event.order_id, line.line_id, line.sku, line.location_id] += sign * line.quantity
        assert min(balance.values(), default=0) >= 0
        assert +balance == +self.model.held
        movements = [event.movement_id for _, event, _ in self.history if hasattr(event, "movement_id")]
        assert len(movements) == len(set(movements))

    @invariant()
    def availability_is_told_only_when_it_changes(self) -> None:
        levels: dict[str, Scarcity | None] = {}
        for stream, event, _ in self.history:
            if isinstance(event, StockRanLow):
                assert levels.get(stream) not in (event.level, Scarcity.OUT)
                assert (event.available == 0) == (event.level is Scarcity.OUT)
                levels[stream] = event.level
            if isinstance(event, StockReplenished):
                assert levels[stream] is event.was
                assert event.available > 0
                levels[stream] = None

    @invariant()
    def parcels_leave_whole_and_come_back_once(self) -> None:
        """L4 and L5: what left first under a parcel's id is deducted; no more of it is restocked."""
        out: defaultdict[UUID, Counter[UUID]] = defaultdict(Counter)
        for event in self.of_type(StockDeducted):
            out[event.shipment_id].update(count(event.lines))
        assert out == self.parcels
        for event in self.of_type(StockRestocked):
            assert sum(back.quantity for back in event.reverses) <= sum(line.quantity for line in event.lines)
            for back in event.reverses:
                out[back.shipment_id][back.line_id] -= back.quantity
        assert all(quantity >= 0 for lines in out.values() for quantity in lines.values())
        receipts = [event.receipt_id for event in self.of_type(StockRestocked)]
        assert len(receipts) == len(set(receipts))

    @invariant()
    def nothing_is_corrected_in_silence(self) -> None:
        """Only goods that left without being held are ever made up, and the ledger says so at once."""
        events = [event for _, event, _ in self.history]
        for before, after in zip(events, [*events[1:], None], strict=True):
            if isinstance(before, StockAdjusted) and before.alert:
                assert before.reason is AdjustmentReason.CORRECTION
                assert isinstance(after, UnitsDeducted)
                assert after.quantity > sum(entry.quantity for entry in after.entries)


def of_order(order: UUID, chosen: list[Any]) -> tuple[LineUnits, ...]:
    """Units of an order's own lines."""
    return tuple(LineUnits(line_id=uid(order, line), sku=sku, quantity=n) for (line, sku), n in chosen)


def count(lines: Any) -> Counter[UUID]:
    """How many units of each line."""
    units: Counter[UUID] = Counter()
    for line in lines:
        units[line.line_id] += line.quantity
    return units


TestInventory = InventoryMachine.TestCase
TestInventory.settings = PROFILE
