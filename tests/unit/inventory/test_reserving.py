"""An order's units are held as a whole or refused as a whole, and let go once."""

from services.inventory.domain.reservation import RESERVATION, Place, Reservation, ReservationStatus
from services.inventory.domain.stock import SetStockTerms
from shared.events.inventory import (
    RefusedLine,
    RejectionCode,
    RejectionPhase,
    ReleaseCause,
    StockReleased,
    StockReservationRejected,
    StockReserved,
)
from shared.testing.scenario import given
from tests.unit.inventory.builders import (
    BAG,
    CUP,
    ORDER,
    Units,
    deduct,
    moved,
    placed,
    receive,
    release,
    reserve,
    units_released,
    units_reserved,
)
from tests.unit.inventory.world import HERE, World, uid


def stocked() -> World:
    """Five cups and two bags."""
    return World().run(receive("CUP", 5), receive("BAG", 2))


def reserved(*units: Units) -> StockReserved:
    return StockReserved(order_id=uid("order"), placed=placed(*units))


def refused(code: RejectionCode, *refused_lines: tuple[str, str, int, int]) -> StockReservationRejected:
    return StockReservationRejected(
        order_id=uid("order"),
        code=code,
        lines=tuple(
            RefusedLine(line_id=uid(line), sku=sku, requested=requested, available=available)
            for line, sku, requested, available in refused_lines
        ),
    )


TOMBSTONE = StockReleased(order_id=uid("order"), cause=ReleaseCause.CANCELLED, tombstone=True)


def test_every_line_of_an_order_is_held() -> None:
    world = stocked().then(
        reserve(("1", "CUP", 5), ("2", "BAG", 1)),
        (CUP, units_reserved("CUP", ("1", 5))),
        (BAG, units_reserved("BAG", ("2", 1))),
        (ORDER, reserved(("1", "CUP", 5), ("2", "BAG", 1))),
    )
    assert (world.item("CUP").available, world.item("BAG").available) == (0, 1)
    assert world.reservation("order").status is ReservationStatus.RESERVED
    assert world.reservation("order").item_streams == (CUP, BAG)


def test_lines_of_one_sku_are_held_by_one_movement() -> None:
    stocked().then(
        reserve(("1", "CUP", 2), ("2", "CUP", 3)),
        (CUP, units_reserved("CUP", ("1", 2), ("2", 3))),
        (ORDER, reserved(("1", "CUP", 2), ("2", "CUP", 3))),
    )


def test_one_line_out_of_stock_refuses_the_order() -> None:
    world = stocked().then(
        reserve(("1", "CUP", 5), ("2", "BAG", 3)),
        (ORDER, refused(RejectionCode.OUT_OF_STOCK, ("2", "BAG", 3, 2))),
    )
    assert world.item("CUP").held == 0
    assert world.reservation("order").status is ReservationStatus.REJECTED


def test_lines_of_one_sku_are_refused_when_only_their_sum_is_too_much() -> None:
    stocked().then(
        reserve(("1", "CUP", 3), ("2", "CUP", 3), ("3", "BAG", 1)),
        (ORDER, refused(RejectionCode.OUT_OF_STOCK, ("1", "CUP", 3, 5), ("2", "CUP", 3, 5))),
    )


def test_units_held_for_another_order_are_not_available() -> None:
    stocked().run(reserve(("x", "CUP", 4), order="other", cause="other placed")).then(
        reserve(("1", "CUP", 2)), (ORDER, refused(RejectionCode.OUT_OF_STOCK, ("1", "CUP", 2, 1)))
    )


def test_safety_stock_is_not_sold() -> None:
    keep = SetStockTerms(sku="CUP", location_id=HERE, change_id=uid("terms"), safety_stock=2)
    stocked().run(keep).then(
        reserve(("1", "CUP", 4)), (ORDER, refused(RejectionCode.OUT_OF_STOCK, ("1", "CUP", 4, 3)))
    )


def test_a_sku_that_was_never_kept_is_unknown() -> None:
    stocked().then(
        reserve(("1", "CUP", 9), ("2", "HAT", 1)),
        (ORDER, refused(RejectionCode.UNKNOWN_SKU, ("2", "HAT", 1, 0))),
    )


def test_an_order_without_tracked_lines_needs_no_answer() -> None:
    stocked().then(reserve())


def test_an_order_gets_one_answer_whatever_event_asks() -> None:
    again = reserve(("1", "CUP", 1), cause="placed again")
    stocked().run(reserve(("1", "CUP", 1))).then(again)
    stocked().run(reserve(("1", "CUP", 9))).then(again)
    stocked().run(reserve(("1", "CUP", 1)), release()).then(again)
    stocked().run(reserve(("1", "CUP", 1)), deduct("parcel", ("1", "CUP", 1))).then(again)


def test_a_reservation_is_released_with_the_movements_it_reverses() -> None:
    world = (
        stocked()
        .run(reserve(("1", "CUP", 5), ("2", "BAG", 1)))
        .then(
            release(),
            (CUP, units_released("CUP", ("1", 5))),
            (BAG, units_released("BAG", ("2", 1))),
            (
                ORDER,
                StockReleased(
                    order_id=uid("order"),
                    cause=ReleaseCause.CANCELLED,
                    lines=placed(("1", "CUP", 5), ("2", "BAG", 1)),
                    reverses=(moved("placed", "CUP"), moved("placed", "BAG")),
                ),
            ),
        )
    )
    assert (world.item("CUP").available, world.item("BAG").available) == (5, 2)
    assert world.reservation("order") == Reservation(status=ReservationStatus.RELEASED)


def test_only_what_has_not_left_is_released() -> None:
    world = (
        stocked()
        .run(reserve(("1", "CUP", 5), ("2", "BAG", 1)), deduct("parcel", ("1", "CUP", 2), ("2", "BAG", 1)))
        .then(
            release(),
            (CUP, units_released("CUP", ("1", 3))),
            (
                ORDER,
                StockReleased(
                    order_id=uid("order"),
                    cause=ReleaseCause.CANCELLED,
                    lines=placed(("1", "CUP", 3)),
                    reverses=(moved("placed", "CUP"),),
                ),
            ),
        )
    )
    assert world.reservation("order").status is ReservationStatus.RELEASED


def test_a_release_that_comes_first_wins() -> None:
    world = stocked().then(release(), (ORDER, TOMBSTONE)).then(reserve(("1", "CUP", 1)))
    assert world.item("CUP").held == 0
    assert world.reservation("order").status is ReservationStatus.RELEASED


def test_nothing_is_released_twice_or_after_a_refusal_or_once_everything_left() -> None:
    late = release(cause="cancelled again")
    stocked().run(reserve(("1", "CUP", 1)), release()).then(late)
    stocked().run(release()).then(late)
    stocked().run(reserve(("1", "CUP", 9))).then(late)
    stocked().run(reserve(("1", "CUP", 1)), deduct("parcel", ("1", "CUP", 1))).then(late)


def test_a_release_touches_no_other_order() -> None:
    world = stocked().run(reserve(("x", "CUP", 2), order="other"), reserve(("1", "CUP", 3)), release())
    assert world.reservation("other").live == {Place(uid("x"), "CUP", HERE): 2}
    assert (world.item("CUP").held, world.item("CUP").available) == (2, 3)


def test_a_refused_revision_leaves_the_reservation_as_it_is() -> None:
    revision = StockReservationRejected(
        order_id=uid("order"),
        revision=1,
        phase=RejectionPhase.REVISION,
        code=RejectionCode.OUT_OF_STOCK,
        lines=(),
    )
    state = given(RESERVATION, reserved(("1", "CUP", 1)), revision).state
    assert (state.status, state.revision) == (ReservationStatus.RESERVED, 1)
    assert state.live == {Place(uid("1"), "CUP", HERE): 1}


def test_an_edit_that_drops_the_last_held_units_ends_the_reservation() -> None:
    drop = StockReleased(order_id=uid("order"), cause=ReleaseCause.EDITED, lines=placed(("1", "CUP", 1)))
    assert given(RESERVATION, reserved(("1", "CUP", 2)), drop).state.status is ReservationStatus.RESERVED
    assert given(RESERVATION, reserved(("1", "CUP", 1)), drop).state.status is ReservationStatus.DEDUCTED


def test_reservations_are_public_and_have_no_clock() -> None:
    assert RESERVATION.public
    assert RESERVATION.deadlines(Reservation()) == {}
