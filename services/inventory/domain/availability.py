"""What others are told about a sku: that it runs low or out, and that it is there again.

Told only when a threshold is crossed, so that nobody has to follow every unit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from services.inventory.domain.stock import StockItem
from shared.domain import Decider
from shared.events.inventory import AvailabilityEvent, Scarcity, StockRanLow, StockReplenished


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """How scarce others think a sku is; None: not at all."""

    level: Scarcity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessAvailability:
    """Compare what is available of a sku with what was told, and tell what has changed."""

    sku: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Assess:
    """So many units are `available` now, and `threshold` are few."""

    available: int
    threshold: int

    @property
    def level(self) -> Scarcity | None:
        """How scarce that is."""
        if self.available <= 0:
            return Scarcity.OUT
        return Scarcity.LOW if self.available <= self.threshold else None


def assess(item: StockItem | None) -> Assess:
    """What there is at the location that orders are served from; what was never kept is not there."""
    item = item or StockItem()
    return Assess(available=item.available, threshold=item.low_threshold)


def crossed(before: StockItem | None, after: StockItem | None) -> bool:
    """Whether the level is another one; of what was never kept nothing is told, so it begins as plentiful."""
    was = assess(before).level if before else None
    return assess(after).level is not was


def decide(state: Availability | None, command: Assess) -> Sequence[AvailabilityEvent]:
    """Nothing, unless the level differs from the one that was told last; never refuses."""
    before, now = state.level if state else None, command.level
    if now is before:
        return []
    events: list[AvailabilityEvent] = []
    if before is Scarcity.OUT or now is None:
        assert before is not None
        events.append(StockReplenished(was=before, available=command.available))
    if now is not None:
        events.append(StockRanLow(level=now, available=command.available, threshold=command.threshold))
    return events


def evolve(_state: Availability | None, event: AvailabilityEvent, _at: datetime) -> Availability:
    """What others think after `event`."""
    match event:
        case StockRanLow(level=level):
            return Availability(level=level)
        case StockReplenished():
            return Availability()
        case _:
            assert_never(event)


SKU_AVAILABILITY: Decider[Availability, Assess, AvailabilityEvent] = Decider(
    "skuavailability", decide, evolve
)
