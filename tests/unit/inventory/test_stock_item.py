"""What staff may change about one sku at one location, and what the ledger folds to."""

import pytest

from services.inventory.domain.ledger import (
    AdjustmentReason,
    EntryQty,
    StockAdjusted,
    StockReceived,
    StockTermsSet,
    UnitsDeducted,
    UnitsReleased,
    UnitsReserved,
    UnitsRestocked,
    UnitsWrittenOff,
)
from services.inventory.domain.stock import (
    MAX_QUANTITY,
    STOCK_ITEM,
    AdjustStock,
    LiveEntry,
    ReceiveStock,
    SetStockTerms,
    StockItem,
    sku_and_location,
    stock_item_stream,
)
from shared.domain.ids import movement_id
from shared.testing.scenario import NOW, given
from tests.unit.inventory.world import HERE, uid

CUP = "CUP-1"


def received(quantity: int, receipt: str = "delivery") -> StockReceived:
    return StockReceived(
        movement_id=movement_id(uid(receipt), CUP, HERE), cause_id=uid(receipt), quantity=quantity
    )


def entry(order: str, line: str, quantity: int) -> EntryQty:
    return EntryQty(order_id=uid(order), line_id=uid(line), quantity=quantity)


def reserved(*entries: EntryQty, cause: str = "placed") -> UnitsReserved:
    return UnitsReserved(movement_id=movement_id(uid(cause), CUP, HERE), cause_id=uid(cause), entries=entries)


def receive(quantity: int, receipt: str = "delivery") -> ReceiveStock:
    return ReceiveStock(sku=CUP, location_id=HERE, receipt_id=uid(receipt), quantity=quantity)


def adjust(delta: int, reason: AdjustmentReason = AdjustmentReason.SHRINKAGE) -> AdjustStock:
    return AdjustStock(sku=CUP, location_id=HERE, adjustment_id=uid("count"), delta=delta, reason=reason)


def adjusted(delta: int, reason: AdjustmentReason = AdjustmentReason.SHRINKAGE) -> StockAdjusted:
    return StockAdjusted(
        movement_id=movement_id(uid("count"), CUP, HERE), cause_id=uid("count"), delta=delta, reason=reason
    )


def folded(*events: object) -> StockItem:
    item = given(STOCK_ITEM, *events).state
    assert isinstance(item, StockItem)
    return item


def test_stock_is_received_into_a_new_item() -> None:
    given(STOCK_ITEM).when(receive(10)).then(received(10))


def test_a_second_delivery_is_a_new_movement() -> None:
    given(STOCK_ITEM, received(10)).when(receive(5, "next")).then(received(5, "next"))


@pytest.mark.parametrize("quantity", [0, -1, MAX_QUANTITY + 1])
def test_a_delivery_needs_a_sensible_quantity(quantity: int) -> None:
    given(STOCK_ITEM).when(receive(quantity)).rejected("invalid_quantity")


@pytest.mark.parametrize("delta", [-10, -1, 3])
def test_stock_is_adjusted_down_to_nothing_or_up(delta: int) -> None:
    given(STOCK_ITEM, received(10)).when(adjust(delta)).then(adjusted(delta))


@pytest.mark.parametrize("reason", AdjustmentReason)
def test_an_adjustment_states_its_reason(reason: AdjustmentReason) -> None:
    given(STOCK_ITEM, received(10)).when(adjust(-1, reason)).then(adjusted(-1, reason))


@pytest.mark.parametrize("delta", [0, MAX_QUANTITY + 1, -MAX_QUANTITY - 1])
def test_an_adjustment_needs_a_sensible_delta(delta: int) -> None:
    given(STOCK_ITEM, received(10)).when(adjust(delta)).rejected("invalid_quantity")


def test_an_adjustment_of_an_unknown_sku_is_refused() -> None:
    given(STOCK_ITEM).when(adjust(1)).rejected("unknown_sku")


def test_an_adjustment_never_takes_units_that_an_order_holds() -> None:
    stock = given(STOCK_ITEM, received(10), reserved(entry("o", "l", 7)))
    refusal = stock.when(adjust(-4)).rejected("below_commitments")
    assert refusal.extra == {"unheld": 3}
    stock.when(adjust(-3)).then(adjusted(-3))


def test_an_adjustment_never_takes_units_in_quality_control() -> None:
    restocked = UnitsRestocked(
        movement_id=uid("m"),
        cause_id=uid("c"),
        order_id=uid("o"),
        receipt_id=uid("r"),
        quantity=2,
        quality_control=2,
    )
    given(STOCK_ITEM, received(1), restocked).when(adjust(-2)).rejected("below_commitments")


def terms(low: int, safety: int) -> SetStockTerms:
    return SetStockTerms(
        sku=CUP, location_id=HERE, change_id=uid("terms"), low_threshold=low, safety_stock=safety
    )


def test_terms_are_set() -> None:
    given(STOCK_ITEM).when(terms(5, 2)).then(
        StockTermsSet(
            movement_id=movement_id(uid("terms"), CUP, HERE),
            cause_id=uid("terms"),
            low_threshold=5,
            safety_stock=2,
        )
    )


@pytest.mark.parametrize(("low", "safety"), [(-1, 0), (0, -1), (MAX_QUANTITY + 1, 0), (0, MAX_QUANTITY + 1)])
def test_thresholds_need_to_be_sensible(low: int, safety: int) -> None:
    given(STOCK_ITEM).when(terms(low, safety)).rejected("invalid_terms")


def test_safety_stock_is_held_back_as_far_as_it_is_there() -> None:
    set_terms = StockTermsSet(movement_id=uid("m"), cause_id=uid("t"), low_threshold=5, safety_stock=4)
    scarce, plenty = folded(set_terms, received(3)), folded(set_terms, received(10))
    assert (scarce.available, scarce.held_back, scarce.low_threshold) == (0, 3, 5)
    assert (plenty.available, plenty.held_back) == (6, 4)


def test_only_live_entries_are_kept() -> None:
    item = folded(
        received(10),
        reserved(entry("a", "a1", 2), entry("a", "a2", 3)),
        reserved(entry("b", "b1", 4), cause="placed b"),
        UnitsDeducted(
            movement_id=uid("m"),
            cause_id=uid("c"),
            order_id=uid("a"),
            shipment_id=uid("s"),
            quantity=4,
            entries=(entry("a", "a1", 2), entry("a", "a2", 2)),
        ),
        UnitsReleased(
            movement_id=uid("m2"),
            cause_id=uid("c2"),
            entries=(entry("b", "b1", 4),),
            reverses=(movement_id(uid("placed b"), CUP, HERE),),
        ),
    )
    live = LiveEntry(line_id=uid("a2"), quantity=1, movement_id=movement_id(uid("placed"), CUP, HERE))
    assert dict(item.entries.items()) == {uid("a"): (live,)}
    assert (item.on_hand, item.held, item.available) == (6, 1, 5)


def test_damaged_goods_come_back_and_are_written_off() -> None:
    restocked = UnitsRestocked(
        movement_id=uid("m"),
        cause_id=uid("c"),
        order_id=uid("o"),
        receipt_id=uid("r"),
        quantity=6,
        damaged=1,
        quality_control=2,
    )
    back = folded(restocked)
    assert (back.on_hand, back.available, back.damaged, back.quality_control) == (6, 3, 1, 2)
    rest = folded(restocked, UnitsWrittenOff(movement_id=uid("w"), cause_id=uid("m"), quantity=1))
    assert (rest.on_hand, rest.available, rest.damaged, rest.quality_control) == (5, 3, 0, 2)


def test_an_earlier_state_is_not_touched_by_a_later_event() -> None:
    before = folded(received(10), reserved(entry("a", "a1", 2)))
    after = STOCK_ITEM.evolve(before, reserved(entry("a", "a2", 1), entry("b", "b1", 1), cause="more"), NOW)
    assert (len(before.entries.get(uid("a")) or ()), len(before.entries), before.held) == (1, 1, 2)
    assert (len(after.entries.get(uid("a")) or ()), len(after.entries), after.held) == (2, 2, 4)


@pytest.mark.parametrize("sku", ["85123A", "A-B_c", "odd@sku"])
def test_a_stream_names_its_sku_and_location(sku: str) -> None:
    stream = stock_item_stream(sku, HERE)
    assert stream == f"stockitem-{sku}@{HERE}"
    assert sku_and_location(stream) == (sku, HERE)


def test_stock_items_are_private_and_wait_for_nothing() -> None:
    assert not STOCK_ITEM.public
    assert STOCK_ITEM.deadlines(StockItem()) == {}
