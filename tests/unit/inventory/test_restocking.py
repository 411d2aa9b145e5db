"""What came back counts where it now is, once, and undoes no more than what left."""

from services.inventory.domain.ledger import UnitsRestocked, UnitsWrittenOff
from services.inventory.domain.reservation import ReservationStatus
from shared.events.inventory import RestockedLine, RestockedTo, ReversedDeduction, StockRestocked
from shared.events.returns import Disposition
from tests.unit.inventory.builders import (
    BAG,
    CUP,
    ORDER,
    deduct,
    follow_up,
    moved,
    receive,
    reserve,
    restock,
)
from tests.unit.inventory.world import HERE, World, uid

GOOD, BROKEN = Disposition.RESTOCKED, Disposition.NOT_RESTOCKED
UNCLEAR, MISSING = Disposition.PROCESSING_REQUIRED, Disposition.MISSING


def shipped() -> World:
    """Three cups and a bag left in two parcels; two cups and a bag are still there."""
    return World().run(
        receive("CUP", 5),
        receive("BAG", 2),
        reserve(("1", "CUP", 3), ("2", "BAG", 1)),
        deduct("first", ("1", "CUP", 2)),
        deduct("second", ("1", "CUP", 1), ("2", "BAG", 1)),
    )


def units_back(
    sku: str, receipt: str, quantity: int, *, damaged: int = 0, unclear: int = 0
) -> UnitsRestocked:
    return UnitsRestocked(
        movement_id=moved(f"received {receipt}", sku),
        cause_id=uid(f"received {receipt}"),
        order_id=uid("order"),
        receipt_id=uid(receipt),
        quantity=quantity,
        damaged=damaged,
        quality_control=unclear,
    )


def written_off(sku: str, receipt: str, quantity: int) -> UnitsWrittenOff:
    movement = moved(f"received {receipt}", sku)
    return UnitsWrittenOff(movement_id=follow_up(movement, sku), cause_id=movement, quantity=quantity)


def restocked(
    receipt: str,
    lines: list[tuple[str, str, int, RestockedTo]],
    reverses: list[tuple[str, str, int]],
) -> StockRestocked:
    return StockRestocked(
        order_id=uid("order"),
        source_id=uid("return"),
        receipt_id=uid(receipt),
        lines=tuple(
            RestockedLine(line_id=uid(line), sku=sku, location_id=HERE, quantity=quantity, to=to)
            for line, sku, quantity, to in lines
        ),
        reverses=tuple(
            ReversedDeduction(shipment_id=uid(shipment), line_id=uid(line), quantity=quantity)
            for shipment, line, quantity in reverses
        ),
    )


def test_sound_units_are_available_again_and_the_oldest_parcel_is_reversed_first() -> None:
    world = shipped()
    world.then(
        restock("scan", ("1", "CUP", 1, GOOD)),
        (CUP, units_back("CUP", "scan", 1)),
        (ORDER, restocked("scan", [("1", "CUP", 1, RestockedTo.AVAILABLE)], [("first", "1", 1)])),
    )
    world.then(
        restock("next scan", ("1", "CUP", 2, GOOD), ("2", "BAG", 1, GOOD)),
        (CUP, units_back("CUP", "next scan", 2)),
        (BAG, units_back("BAG", "next scan", 1)),
        (
            ORDER,
            restocked(
                "next scan",
                [("1", "CUP", 2, RestockedTo.AVAILABLE), ("2", "BAG", 1, RestockedTo.AVAILABLE)],
                [("first", "1", 1), ("second", "1", 1), ("second", "2", 1)],
            ),
        ),
    )
    assert (world.item("CUP").available, world.item("BAG").available) == (5, 2)
    assert world.reservation("order").status is ReservationStatus.DEDUCTED


def test_each_unit_counts_by_its_disposition() -> None:
    world = shipped().then(
        restock(
            "scan",
            ("1", "CUP", 1, GOOD),
            ("1", "CUP", 1, BROKEN),
            ("1", "CUP", 1, UNCLEAR),
            ("2", "BAG", 1, MISSING),
        ),
        (CUP, units_back("CUP", "scan", 3, damaged=1, unclear=1)),
        (CUP, written_off("CUP", "scan", 1)),
        (
            ORDER,
            restocked(
                "scan",
                [
                    ("1", "CUP", 1, RestockedTo.AVAILABLE),
                    ("1", "CUP", 1, RestockedTo.DAMAGED),
                    ("1", "CUP", 1, RestockedTo.QUALITY_CONTROL),
                ],
                [("first", "1", 2), ("second", "1", 1)],
            ),
        ),
    )
    cup = world.item("CUP")
    assert (cup.on_hand, cup.available, cup.damaged, cup.quality_control) == (4, 3, 0, 1)


def test_a_receipt_in_which_everything_is_missing_moves_nothing() -> None:
    shipped().then(restock("scan", ("1", "CUP", 3, MISSING)))


def test_more_units_than_left_come_back_but_reverse_no_more_than_left() -> None:
    world = shipped().then(
        restock("scan", ("2", "BAG", 4, GOOD)),
        (BAG, units_back("BAG", "scan", 4)),
        (ORDER, restocked("scan", [("2", "BAG", 4, RestockedTo.AVAILABLE)], [("second", "2", 1)])),
    )
    assert world.reservation("order").out[uid("second")] == {uid("1"): 1, uid("2"): 0}
    world.then(
        restock("next scan", ("2", "BAG", 1, GOOD)),
        (BAG, units_back("BAG", "next scan", 1)),
        (ORDER, restocked("next scan", [("2", "BAG", 1, RestockedTo.AVAILABLE)], [])),
    )


def test_a_return_that_is_heard_of_before_its_shipment_is_restocked_all_the_same() -> None:
    world = (
        World()
        .run(receive("CUP", 5))
        .then(
            restock("scan", ("1", "CUP", 1, GOOD)),
            (CUP, units_back("CUP", "scan", 1)),
            (ORDER, restocked("scan", [("1", "CUP", 1, RestockedTo.AVAILABLE)], [])),
        )
    )
    assert world.reservation("order").status is ReservationStatus.NONE
    world.run(reserve(("1", "CUP", 1)), deduct("parcel", ("1", "CUP", 1)))
    assert world.reservation("order").status is ReservationStatus.DEDUCTED
    assert world.item("CUP").available == 5


def test_goods_that_were_never_kept_in_stock_count_nowhere() -> None:
    shipped().then(restock("scan", ("3", "MADE-TO-ORDER", 1, GOOD)))


def test_the_same_receipt_counts_once_even_if_told_otherwise() -> None:
    shipped().run(restock("scan", ("1", "CUP", 1, GOOD))).then(restock("scan", ("1", "CUP", 2, BROKEN)))
