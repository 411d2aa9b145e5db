"""What others are told of a sku: once for each threshold that is crossed, in either direction."""

from collections.abc import Iterator
from itertools import product

import pytest

from services.inventory.commands import streams
from services.inventory.domain.availability import (
    SKU_AVAILABILITY,
    Assess,
    AssessAvailability,
    assess,
    crossed,
)
from services.inventory.domain.stock import StockItem, stock_item_stream
from services.inventory.reactions import follow_up
from shared.domain.ids import MAIN_LOCATION
from shared.events import inventory
from shared.events.inventory import Scarcity, StockRanLow, StockReplenished
from shared.store import todo
from shared.testing.scenario import NOW, given
from tests.contract.golden import example
from tests.property.folds import recorded

LOW = StockRanLow(level=Scarcity.LOW, available=3, threshold=5)
OUT = StockRanLow(level=Scarcity.OUT, available=0, threshold=5)
BACK = StockReplenished(was=Scarcity.OUT, available=9)


def units(available: int) -> Assess:
    return Assess(available=available, threshold=5)


def test_plenty_is_no_news() -> None:
    given(SKU_AVAILABILITY).when(units(6)).then()


def test_few_units_are() -> None:
    given(SKU_AVAILABILITY).when(units(5)).then(StockRanLow(level=Scarcity.LOW, available=5, threshold=5))


def test_the_last_unit_goes() -> None:
    given(SKU_AVAILABILITY).when(units(0)).then(OUT)
    given(SKU_AVAILABILITY, LOW).when(units(0)).then(OUT)


def test_without_a_threshold_nothing_is_low() -> None:
    given(SKU_AVAILABILITY).when(Assess(available=1, threshold=0)).then()
    given(SKU_AVAILABILITY).when(Assess(available=0, threshold=0)).then(
        StockRanLow(level=Scarcity.OUT, available=0, threshold=0)
    )


def test_within_a_level_nothing_is_told() -> None:
    given(SKU_AVAILABILITY, LOW).when(units(1)).then()
    given(SKU_AVAILABILITY, OUT).when(units(0)).then()
    given(SKU_AVAILABILITY, OUT, BACK).when(units(100)).then()


def test_goods_arrive() -> None:
    given(SKU_AVAILABILITY, OUT).when(units(9)).then(BACK)
    given(SKU_AVAILABILITY, LOW).when(units(6)).then(StockReplenished(was=Scarcity.LOW, available=6))


def test_a_few_goods_arrive_where_there_were_none() -> None:
    given(SKU_AVAILABILITY, OUT).when(units(2)).then(
        StockReplenished(was=Scarcity.OUT, available=2),
        StockRanLow(level=Scarcity.LOW, available=2, threshold=5),
    )


def test_whatever_was_told_before_the_last_word_is_what_there_is() -> None:
    for before, after in product((0, 3, 9), repeat=2):
        told = given(SKU_AVAILABILITY, *SKU_AVAILABILITY.decide(None, units(before)))
        told.when(units(after)).then(*SKU_AVAILABILITY.decide(told.state, units(after)))
        level = told.state.level if told.state else None
        assert level is units(after).level


def items() -> Iterator[tuple[StockItem | None, StockItem | None, bool]]:
    few, many, none = (StockItem(on_hand=n, low_threshold=2) for n in (2, 3, 0))
    yield None, StockItem(), True
    yield None, many, False
    yield None, few, True
    yield None, none, True
    yield many, few, True
    yield few, none, True
    yield none, many, True
    yield many, many, False
    yield few, StockItem(on_hand=1, low_threshold=2), False
    yield many, StockItem(on_hand=3, held=3), True
    yield many, StockItem(on_hand=9, safety_stock=9), True


@pytest.mark.parametrize(("before", "after", "is_crossed"), [*items()])
def test_what_counts_is_what_a_new_order_can_have(
    before: StockItem | None, after: StockItem | None, is_crossed: bool
) -> None:
    assert crossed(before, after) is is_crossed


def test_an_assessment_is_of_the_main_location() -> None:
    assert assess(None) == Assess(available=0, threshold=0)
    assert assess(StockItem(on_hand=7, safety_stock=2, low_threshold=1)) == Assess(available=5, threshold=1)
    assert set(streams(AssessAvailability(sku="CUP"))) == {
        "skuavailability-CUP",
        stock_item_stream("CUP", MAIN_LOCATION),
    }


def test_what_was_told_is_looked_at_once_more() -> None:
    for told in (OUT, BACK):
        (event,) = recorded([("skuavailability-A-1", told, NOW)])
        assert list(follow_up(event)) == [todo.command(AssessAvailability(sku="A-1"), "skuavailability-A-1")]


def test_no_other_own_event_asks_for_anything() -> None:
    others = [
        example(kind, kind.__name__)
        for kind in inventory.EVENTS
        if kind not in (StockRanLow, StockReplenished)
    ]
    told = recorded([("reservation-00000000-0000-0000-0000-000000000001", event, NOW) for event in others])
    assert [list(follow_up(event)) for event in told] == [[]] * len(others)
