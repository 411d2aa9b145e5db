"""What left with a shipment leaves stock, once, whatever the ledger believed."""

import pytest

from services.inventory.domain.ledger import AdjustmentReason, StockAdjusted
from services.inventory.domain.reservation import ReservationStatus
from services.inventory.domain.reserving import ReserveStock
from shared.events.inventory import StockDeducted
from tests.unit.inventory.builders import (
    BAG,
    CUP,
    ORDER,
    Units,
    deduct,
    follow_up,
    moved,
    placed,
    receive,
    release,
    reserve,
    units_deducted,
)
from tests.unit.inventory.world import Command, World, uid


def reserved(*units: Units) -> World:
    """Five cups and two bags, and an order that holds these units."""
    return World().run(receive("CUP", 5), receive("BAG", 2), reserve(*units))


def deducted(shipment: str, *units: Units, unexpected: bool = False) -> StockDeducted:
    return StockDeducted(
        order_id=uid("order"), shipment_id=uid(shipment), lines=placed(*units), unexpected=unexpected
    )


def corrected(sku: str, shipment: str, delta: int) -> StockAdjusted:
    movement = moved(f"shipped {shipment}", sku)
    return StockAdjusted(
        movement_id=follow_up(movement, sku),
        cause_id=movement,
        delta=delta,
        reason=AdjustmentReason.CORRECTION,
        alert=True,
    )


def test_a_parcel_takes_held_units_and_the_last_one_ends_the_reservation() -> None:
    world = reserved(("1", "CUP", 3), ("2", "BAG", 1))
    world.then(
        deduct("first", ("1", "CUP", 2), ("2", "BAG", 1)),
        (CUP, units_deducted("CUP", "first", 2, ("1", 2))),
        (BAG, units_deducted("BAG", "first", 1, ("2", 1))),
        (ORDER, deducted("first", ("1", "CUP", 2), ("2", "BAG", 1))),
    )
    assert world.reservation("order").status is ReservationStatus.RESERVED
    world.then(
        deduct("second", ("1", "CUP", 1)),
        (CUP, units_deducted("CUP", "second", 1, ("1", 1))),
        (ORDER, deducted("second", ("1", "CUP", 1))),
    )
    assert world.reservation("order").status is ReservationStatus.DEDUCTED
    assert (world.item("CUP").on_hand, world.item("CUP").held, world.item("CUP").available) == (2, 0, 2)


def test_lines_of_one_sku_leave_by_one_movement() -> None:
    reserved(("1", "CUP", 2), ("2", "CUP", 3)).then(
        deduct("parcel", ("1", "CUP", 2), ("2", "CUP", 1)),
        (CUP, units_deducted("CUP", "parcel", 3, ("1", 2), ("2", 1))),
        (ORDER, deducted("parcel", ("1", "CUP", 2), ("2", "CUP", 1))),
    )


def test_units_beyond_those_held_come_from_what_no_order_holds() -> None:
    world = reserved(("1", "CUP", 3)).then(
        deduct("parcel", ("1", "CUP", 5)),
        (CUP, units_deducted("CUP", "parcel", 5, ("1", 3))),
        (ORDER, deducted("parcel", ("1", "CUP", 3))),
        (ORDER, deducted("parcel", ("1", "CUP", 2), unexpected=True)),
    )
    assert world.reservation("order").out == {uid("parcel"): {uid("1"): 5}}


def other_order_holds(quantity: int) -> ReserveStock:
    return reserve(("x", "CUP", quantity), order="other", cause="other placed")


@pytest.mark.parametrize("end", [release(), reserve(("1", "CUP", 9))])
def test_a_parcel_of_an_order_that_holds_nothing_never_takes_what_another_order_holds(end: Command) -> None:
    world = World().run(receive("CUP", 5), other_order_holds(4), end)
    status = world.reservation("order").status
    world.then(
        deduct("parcel", ("1", "CUP", 3)),
        (CUP, corrected("CUP", "parcel", 2)),
        (CUP, units_deducted("CUP", "parcel", 3)),
        (ORDER, deducted("parcel", ("1", "CUP", 3), unexpected=True)),
    )
    assert (world.item("CUP").on_hand, world.item("CUP").held, world.item("CUP").available) == (4, 4, 0)
    assert world.reservation("order").status is status


def test_a_parcel_with_a_sku_that_was_never_kept_is_a_fact_too() -> None:
    world = World().then(
        deduct("parcel", ("1", "CUP", 3)),
        (CUP, corrected("CUP", "parcel", 3)),
        (CUP, units_deducted("CUP", "parcel", 3)),
        (ORDER, deducted("parcel", ("1", "CUP", 3), unexpected=True)),
    )
    assert world.item("CUP").on_hand == 0


def test_a_parcel_before_its_reservation_leaves_the_order_free_to_reserve() -> None:
    world = World().run(receive("CUP", 5), deduct("parcel", ("1", "CUP", 1)), reserve(("1", "CUP", 2)))
    assert world.reservation("order").status is ReservationStatus.RESERVED
    assert world.item("CUP").available == 2


def test_the_same_parcel_counts_once_even_if_told_otherwise() -> None:
    world = reserved(("1", "CUP", 3)).run(deduct("parcel", ("1", "CUP", 1)))
    world.then(deduct("parcel", ("1", "CUP", 2)))


def test_a_parcel_without_tracked_lines_moves_nothing() -> None:
    reserved(("1", "CUP", 3)).then(deduct("parcel"))
