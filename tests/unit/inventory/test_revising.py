"""An edit changes what an order holds: lowering always, raising wholly or not at all, each revision once."""

from uuid import UUID

from services.inventory.domain.ledger import UnitsReleased, UnitsReserved
from services.inventory.domain.reservation import ReservationStatus
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
from tests.unit.inventory.builders import (
    BAG,
    CUP,
    ORDER,
    Units,
    deduct,
    entries,
    follow_up,
    moved,
    placed,
    receive,
    release,
    reserve,
    revise,
)
from tests.unit.inventory.world import HERE, World, uid


def held(*units: Units) -> World:
    """Five cups and two bags, some of them held for the order."""
    return World().run(receive("CUP", 5), receive("BAG", 2), reserve(*units))


def reserved(revision: int, *units: Units) -> StockReserved:
    return StockReserved(order_id=uid("order"), revision=revision, placed=placed(*units))


def released(revision: int, *units: Units, reverses: tuple[UUID, ...]) -> StockReleased:
    return StockReleased(
        order_id=uid("order"),
        revision=revision,
        cause=ReleaseCause.EDITED,
        lines=placed(*units),
        reverses=reverses,
    )


def refused(
    revision: int, code: RejectionCode, *lines: tuple[str, str, int, int]
) -> StockReservationRejected:
    return StockReservationRejected(
        order_id=uid("order"),
        revision=revision,
        phase=RejectionPhase.REVISION,
        code=code,
        lines=tuple(
            RefusedLine(line_id=uid(line), sku=sku, requested=requested, available=available)
            for line, sku, requested, available in lines
        ),
    )


def units_reserved(sku: str, revision: int, *units: tuple[str, int]) -> UnitsReserved:
    cause = f"edited {revision}"
    return UnitsReserved(movement_id=moved(cause, sku), cause_id=uid(cause), entries=entries(*units))


def units_released(
    sku: str, revision: int, *units: tuple[str, int], reverses: tuple[UUID, ...] = ()
) -> UnitsReleased:
    cause = f"edited {revision}"
    return UnitsReleased(
        movement_id=moved(cause, sku),
        cause_id=uid(cause),
        entries=entries(*units),
        reverses=reverses or (moved("placed", sku),),
    )


def test_only_what_is_missing_is_held() -> None:
    world = held(("1", "CUP", 2)).then(
        revise(1, ("1", "CUP", 4), ("2", "BAG", 1)),
        (CUP, units_reserved("CUP", 1, ("1", 2))),
        (BAG, units_reserved("BAG", 1, ("2", 1))),
        (ORDER, reserved(1, ("1", "CUP", 2), ("2", "BAG", 1))),
    )
    assert (world.item("CUP").available, world.item("BAG").available) == (1, 1)
    assert world.reservation("order").revision == 1


def test_what_an_edit_drops_is_free_again_even_when_nothing_else_is() -> None:
    world = held(("1", "CUP", 5), ("2", "BAG", 2)).then(
        revise(1, ("1", "CUP", 3)),
        (CUP, units_released("CUP", 1, ("1", 2))),
        (BAG, units_released("BAG", 1, ("2", 2))),
        (
            ORDER,
            released(
                1,
                ("1", "CUP", 2),
                ("2", "BAG", 2),
                reverses=(moved("placed", "CUP"), moved("placed", "BAG")),
            ),
        ),
    )
    assert (world.item("CUP").available, world.item("BAG").available) == (2, 2)
    assert world.reservation("order").status is ReservationStatus.RESERVED


def test_one_article_is_swapped_for_another() -> None:
    held(("1", "CUP", 2)).then(
        revise(1, ("2", "BAG", 2)),
        (CUP, units_released("CUP", 1, ("1", 2))),
        (BAG, units_reserved("BAG", 1, ("2", 2))),
        (ORDER, released(1, ("1", "CUP", 2), reverses=(moved("placed", "CUP"),))),
        (ORDER, reserved(1, ("2", "BAG", 2))),
    )


def test_the_units_of_a_dropped_line_serve_a_new_line_of_their_article() -> None:
    """Nothing is left on the shelf, and the safety stock would not be sold: the order needs neither."""
    keep = SetStockTerms(sku="CUP", location_id=HERE, change_id=uid("terms"), safety_stock=2)
    again = UnitsReserved(
        movement_id=follow_up(moved("edited 1", "CUP"), "CUP"),
        cause_id=moved("edited 1", "CUP"),
        entries=entries(("2", 5)),
    )
    held(("1", "CUP", 5)).run(keep).then(
        revise(1, ("2", "CUP", 5)),
        (CUP, units_released("CUP", 1, ("1", 5))),
        (CUP, again),
        (ORDER, released(1, ("1", "CUP", 5), reverses=(moved("placed", "CUP"),))),
        (ORDER, reserved(1, ("2", "CUP", 5))),
    )


def test_one_article_short_refuses_the_whole_edit() -> None:
    world = held(("1", "CUP", 2)).then(
        revise(1, ("1", "CUP", 1), ("2", "BAG", 3)),
        (ORDER, refused(1, RejectionCode.OUT_OF_STOCK, ("2", "BAG", 3, 2))),
    )
    assert world.item("CUP").held == 2
    assert world.reservation("order").status is ReservationStatus.RESERVED


def test_a_refusal_counts_what_the_order_holds_already() -> None:
    held(("1", "CUP", 2)).run(reserve(("x", "CUP", 1), order="other", cause="other placed")).then(
        revise(1, ("1", "CUP", 3), ("2", "CUP", 2)),
        (ORDER, refused(1, RejectionCode.OUT_OF_STOCK, ("1", "CUP", 3, 4), ("2", "CUP", 2, 4))),
    )


def test_an_article_that_was_never_kept_is_unknown() -> None:
    held(("1", "CUP", 2)).then(
        revise(1, ("1", "CUP", 9), ("2", "HAT", 1)),
        (ORDER, refused(1, RejectionCode.UNKNOWN_SKU, ("2", "HAT", 1, 0))),
    )


def test_an_edit_that_changes_no_units_needs_no_answer() -> None:
    held(("1", "CUP", 2)).then(revise(1, ("1", "CUP", 2)))


def test_a_refused_edit_that_is_taken_back_changes_nothing() -> None:
    world = held(("1", "CUP", 2)).run(revise(1, ("1", "CUP", 6))).then(revise(2, ("1", "CUP", 2)))
    assert world.item("CUP").held == 2


def test_an_edit_that_is_taken_back_releases_what_it_had_raised() -> None:
    """The longest held go first: a unit is a unit, and the ledger says which movements it takes back."""
    world = held(("1", "CUP", 2)).run(revise(1, ("1", "CUP", 5)))
    both = moved("placed", "CUP"), moved("edited 1", "CUP")
    world.then(
        revise(2, ("1", "CUP", 2)),
        (CUP, units_released("CUP", 2, ("1", 2), ("1", 1), reverses=both)),
        (ORDER, released(2, ("1", "CUP", 3), reverses=both)),
    )
    assert world.item("CUP").held == 2


def test_each_revision_counts_once_and_in_order() -> None:
    raised, lowered = revise(1, ("1", "CUP", 4)), revise(2, ("1", "CUP", 3))
    world = held(("1", "CUP", 2)).run(raised, lowered, revise(3, ("1", "CUP", 1)))
    world.then(raised).then(lowered)
    refusing = held(("1", "CUP", 2)).run(revise(1, ("1", "CUP", 6)))
    refusing.run(receive("CUP", 9)).then(revise(1, ("1", "CUP", 6)))


def test_an_order_without_tracked_units_may_get_some() -> None:
    world = World().run(receive("CUP", 5))
    world.then(
        revise(1, ("1", "CUP", 1)),
        (CUP, units_reserved("CUP", 1, ("1", 1))),
        (ORDER, reserved(1, ("1", "CUP", 1))),
    )
    assert world.reservation("order").status is ReservationStatus.RESERVED


def test_an_answered_edit_stands_for_what_was_placed() -> None:
    refusing = World().run(receive("CUP", 5), revise(1, ("1", "CUP", 6)))
    refusing.then(reserve(("1", "CUP", 1)))
    refusing.then(
        revise(2, ("1", "CUP", 2)),
        (CUP, units_reserved("CUP", 2, ("1", 2))),
        (ORDER, reserved(2, ("1", "CUP", 2))),
    )


def test_an_order_may_lose_all_its_units_and_get_some_again() -> None:
    world = held(("1", "CUP", 2)).run(revise(1))
    assert world.reservation("order").status is ReservationStatus.DEDUCTED
    world.then(
        revise(2, ("1", "CUP", 1)),
        (CUP, units_reserved("CUP", 2, ("1", 1))),
        (ORDER, reserved(2, ("1", "CUP", 1))),
    )
    assert world.reservation("order").status is ReservationStatus.RESERVED


def test_what_left_need_not_be_held_again() -> None:
    held(("1", "CUP", 3)).run(deduct("parcel", ("1", "CUP", 2))).then(
        revise(1, ("1", "CUP", 4)),
        (CUP, units_reserved("CUP", 1, ("1", 1))),
        (ORDER, reserved(1, ("1", "CUP", 1))),
    )


def test_a_refused_or_cancelled_order_wants_nothing() -> None:
    held(("1", "CUP", 9)).then(revise(1, ("1", "CUP", 1)))
    held(("1", "CUP", 1)).run(release()).then(revise(1, ("1", "CUP", 2)))
    held().run(release()).then(revise(1, ("1", "CUP", 2)))


def test_a_cancellation_after_an_edit_releases_everything() -> None:
    world = held(("1", "CUP", 2)).run(revise(1, ("1", "CUP", 4), ("2", "BAG", 1)), release())
    assert (world.item("CUP").held, world.item("BAG").held) == (0, 0)
    assert world.reservation("order").status is ReservationStatus.RELEASED
