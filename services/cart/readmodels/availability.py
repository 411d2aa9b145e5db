"""`availability`: what inventory told of a sku. For adding, the checkout, and "sold out" on the cart page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.domain import key_of
from shared.events import inventory
from shared.events.envelope import Recorded
from shared.events.inventory import Scarcity, StockRanLow, StockReplenished
from shared.store.readmodel import Key, ReadModel


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailabilityRow:
    """How scarce a sku is (`level` None: not at all) since its stream's `version`, and its units then."""

    sku: str
    level: Scarcity | None
    available: int
    version: int


def _keys(event: Recorded[Any]) -> Sequence[Key]:
    return [(key_of(event.stream),)]


def _fold(_row: AvailabilityRow | None, event: Recorded[Any], key: Key) -> AvailabilityRow:
    told: StockRanLow | StockReplenished = event.data
    return AvailabilityRow(
        sku=key_of(event.stream),
        level=told.level if isinstance(told, StockRanLow) else None,
        available=told.available,
        version=event.version,
    )


AVAILABILITY = ReadModel(
    name="availability",
    row=AvailabilityRow,
    key=("sku",),
    events=frozenset(inventory.OF_AVAILABILITY),
    keys=_keys,
    fold=_fold,
)
