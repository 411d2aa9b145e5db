"""The law of what others are told about stock: at rest, the last word on a sku is how its ledger stands."""

from typing import Any

from cli.laws.law import Law, Place
from services.inventory.domain import ledger
from services.inventory.domain.availability import Assess
from services.inventory.domain.stock import sku_and_location
from services.inventory.readmodels.stock_levels import STOCK_LEVELS, StockLevel
from shared.domain import key_of
from shared.domain.ids import MAIN_LOCATION
from shared.events.envelope import Recorded
from shared.events.inventory import Scarcity, StockRanLow, StockReplenished


class AvailabilityIsTold(Law):
    """L2: a sku was told to be low or out if and only if few or none of it are available."""

    number = "L2"
    claim = "the last that was told of a sku, low, out or replenished, is how many units are available"
    listens = (*ledger.EVENTS, StockRanLow, StockReplenished)

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, Scarcity] = {}
        self._levels: dict[str, StockLevel] = {}
        self._last: dict[str, Place] = {}

    def see(self, event: Recorded[Any]) -> None:
        match event.data:
            case StockRanLow(level=level):
                self._told[key_of(event.stream)] = level
            case StockReplenished():
                self._told.pop(key_of(event.stream), None)
            case _:
                sku, location = key = sku_and_location(event.stream)
                if location == MAIN_LOCATION:
                    row = STOCK_LEVELS.fold(self._levels.get(sku), event, key)
                    assert row is not None
                    self._levels[sku], self._last[sku] = row, Place.of(event)

    def finish(self) -> None:
        for sku in self._levels.keys() | self._told.keys():
            row, told = self._levels.get(sku), self._told.get(sku)
            level = Assess(available=row.available, threshold=row.low_threshold).level if row else None
            if level is not told:
                detail = f"told {told or 'nothing'}, {row.available if row else 'no'} units are available"
                self.blame(f"sku {sku}", detail, self._last.get(sku))


LAWS: tuple[type[Law], ...] = (AvailabilityIsTold,)
