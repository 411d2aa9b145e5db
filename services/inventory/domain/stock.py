"""One sku at one location: what is there, what is held for whom, and what staff may change about it.

Nothing is a counter: every number is folded from the ledger. At any time
on_hand = available + held + damaged + quality_control + held_back, and none is negative.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import TypeAlias, assert_never
from uuid import UUID

from services.inventory.domain.ledger import (
    AdjustmentReason,
    EntryQty,
    LedgerEvent,
    StockAdjusted,
    StockReceived,
    StockTermsSet,
    UnitsDeducted,
    UnitsReleased,
    UnitsReserved,
    UnitsRestocked,
    UnitsWrittenOff,
)
from services.inventory.domain.uuid_map import UuidMap
from shared.domain import Decider, Rejected, key_of
from shared.domain.ids import movement_id

MAX_QUANTITY = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveEntry:
    """Units held for a line of an order, and the movement that reserved them."""

    line_id: UUID
    quantity: int
    movement_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class StockItem:
    """`entries` holds the live entries by order, `held` is their sum; resolved entries are forgotten.

    `staff_movements` are the receipts, adjustments and terms already recorded.
    """

    on_hand: int = 0
    held: int = 0
    damaged: int = 0
    quality_control: int = 0
    safety_stock: int = 0
    low_threshold: int = 0
    entries: UuidMap[tuple[LiveEntry, ...]] = field(default_factory=UuidMap)
    staff_movements: UuidMap[None] = field(default_factory=UuidMap)

    @property
    def unheld(self) -> int:
        """Sound units that no order holds, the safety stock included."""
        return self.on_hand - self.held - self.damaged - self.quality_control

    @property
    def held_back(self) -> int:
        """Units of the safety stock that are really there."""
        return min(self.safety_stock, self.unheld)

    @property
    def available(self) -> int:
        """Units that a new order can have."""
        return self.unheld - self.held_back


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveStock:
    """Goods of one delivery arrived; the same receipt counts a sku once per location."""

    sku: str
    location_id: UUID
    receipt_id: UUID
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdjustStock:
    """A count, loss or find changes what is on hand by `delta`."""

    sku: str
    location_id: UUID
    adjustment_id: UUID
    delta: int
    reason: AdjustmentReason


@dataclass(frozen=True, slots=True, kw_only=True)
class SetStockTerms:
    """From now on, hold back `safety_stock` units and call stock low at `low_threshold`."""

    sku: str
    location_id: UUID
    change_id: UUID
    low_threshold: int = 0
    safety_stock: int = 0


StockCommand: TypeAlias = ReceiveStock | AdjustStock | SetStockTerms


def decide(item: StockItem | None, command: StockCommand) -> list[LedgerEvent]:
    """Refuses with invalid_quantity, unknown_sku, below_commitments{unheld} or invalid_terms."""
    match command:
        case ReceiveStock():
            cause = command.receipt_id
            if not 0 < command.quantity <= MAX_QUANTITY:
                raise Rejected("invalid_quantity", f"receive between 1 and {MAX_QUANTITY} units")
        case AdjustStock():
            cause = command.adjustment_id
            if command.delta == 0 or abs(command.delta) > MAX_QUANTITY:
                raise Rejected(
                    "invalid_quantity", f"adjust by between 1 and {MAX_QUANTITY} units, up or down"
                )
        case SetStockTerms():
            cause = command.change_id
            if not all(0 <= n <= MAX_QUANTITY for n in (command.low_threshold, command.safety_stock)):
                raise Rejected("invalid_terms", f"thresholds lie between 0 and {MAX_QUANTITY}")
        case _:
            assert_never(command)
    movement = movement_id(cause, command.sku, command.location_id)
    if item is not None and movement in item.staff_movements:
        return []
    match command:
        case ReceiveStock():
            return [StockReceived(movement_id=movement, cause_id=cause, quantity=command.quantity)]
        case AdjustStock():
            return [_adjust(item, command, movement)]
        case SetStockTerms(low_threshold=low, safety_stock=safety):
            return [
                StockTermsSet(movement_id=movement, cause_id=cause, low_threshold=low, safety_stock=safety)
            ]
        case _:
            assert_never(command)


def _adjust(item: StockItem | None, command: AdjustStock, movement: UUID) -> StockAdjusted:
    if item is None:
        raise Rejected("unknown_sku", f"no stock of {command.sku} was ever kept here", sku=command.sku)
    if item.unheld + command.delta < 0:
        raise Rejected(
            "below_commitments",
            f"only {item.unheld} units of {command.sku} are not held for orders or set aside",
            unheld=item.unheld,
        )
    return StockAdjusted(
        movement_id=movement, cause_id=command.adjustment_id, delta=command.delta, reason=command.reason
    )


def evolve(item: StockItem | None, event: LedgerEvent, _at: datetime) -> StockItem:
    """The item after one more line of its ledger."""
    item = item or StockItem()
    match event:
        case StockTermsSet():
            return replace(
                item,
                low_threshold=event.low_threshold,
                safety_stock=event.safety_stock,
                staff_movements=item.staff_movements.put(event.movement_id, None),
            )
        case StockReceived():
            return replace(
                item,
                on_hand=item.on_hand + event.quantity,
                staff_movements=item.staff_movements.put(event.movement_id, None),
            )
        case StockAdjusted():
            return replace(
                item,
                on_hand=item.on_hand + event.delta,
                staff_movements=item.staff_movements.put(event.movement_id, None),
            )
        case UnitsReserved():
            return _hold(item, event)
        case UnitsReleased():
            return _resolve(item, event.entries, leaving=0)
        case UnitsDeducted():
            return _resolve(item, event.entries, leaving=event.quantity)
        case UnitsRestocked():
            return replace(
                item,
                on_hand=item.on_hand + event.quantity,
                damaged=item.damaged + event.damaged,
                quality_control=item.quality_control + event.quality_control,
            )
        case UnitsWrittenOff():
            return replace(item, on_hand=item.on_hand - event.quantity, damaged=item.damaged - event.quantity)
        case _:
            assert_never(event)


def _hold(item: StockItem, event: UnitsReserved) -> StockItem:
    entries, held = item.entries, item.held
    for new in event.entries:
        live = LiveEntry(line_id=new.line_id, quantity=new.quantity, movement_id=event.movement_id)
        entries = entries.put(new.order_id, (*(entries.get(new.order_id) or ()), live))
        held += new.quantity
    return replace(item, entries=entries, held=held)


def _resolve(item: StockItem, resolved: Iterable[EntryQty], leaving: int) -> StockItem:
    entries, held = item.entries, item.held
    for gone in resolved:
        rest = _without(entries.get(gone.order_id) or (), gone.line_id, gone.quantity)
        entries = entries.put(gone.order_id, rest) if rest else entries.drop(gone.order_id)
        held -= gone.quantity
    return replace(item, on_hand=item.on_hand - leaving, entries=entries, held=held)


def _without(live: tuple[LiveEntry, ...], line_id: UUID, quantity: int) -> tuple[LiveEntry, ...]:
    kept: list[LiveEntry] = []
    for entry in live:
        taken = min(quantity, entry.quantity) if entry.line_id == line_id else 0
        quantity -= taken
        if taken == 0:
            kept.append(entry)
        elif taken < entry.quantity:
            kept.append(replace(entry, quantity=entry.quantity - taken))
    return tuple(kept)


STOCK_ITEM: Decider[StockItem, StockCommand, LedgerEvent] = Decider("stockitem", decide, evolve, public=False)


@lru_cache(maxsize=4096)
def stock_item_stream(sku: str, location_id: UUID) -> str:
    """The stream of a sku at a location."""
    return STOCK_ITEM.stream(f"{sku}@{location_id}")


@lru_cache(maxsize=4096)
def sku_and_location(stream: str) -> tuple[str, UUID]:
    """What a stock item's stream id names."""
    sku, _, location = key_of(stream).rpartition("@")
    return sku, UUID(location)
