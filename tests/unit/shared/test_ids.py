"""Derived ids: the same cause names the same thing again, and nothing else does."""

import re
from uuid import UUID

import pytest

from shared.domain import ids
from shared.events.envelope import event_id

CART = UUID("7d6f0d5a-0000-4000-8000-000000000001")
ORDER = ids.order_id(CART)
OTHER = ids.order_id(UUID("7d6f0d5a-0000-4000-8000-000000000002"))

DERIVED = {
    "order": ORDER,
    "other order": OTHER,
    "intent 1": ids.intent_id(ORDER, 1),
    "intent 2": ids.intent_id(ORDER, 2),
    "reservation": ids.reservation_id(ORDER),
    "fulfillment": ids.fulfillment_id(ORDER, "OWN", "main", 1),
    "shipment 1": ids.shipment_id(ORDER, 1),
    "shipment 2": ids.shipment_id(ORDER, 2),
    "capture of a shipment": ids.capture_id(ORDER, OTHER),
    "capture 1": ids.capture_id(ORDER, 1),
    "refund": ids.refund_id(ORDER, "RETURN", OTHER, "ORIGINAL"),
    "goodwill": ids.refund_id(ORDER, "GOODWILL", OTHER, "ORIGINAL"),
    "receipt": ids.receipt_id(ORDER, OTHER),
    "movement": ids.movement_id(ORDER, "85123A", OTHER),
    "message": ids.message_id(ORDER, "shipped", "hash", "EMAIL", 0),
    "resent message": ids.message_id(ORDER, "shipped", "hash", "EMAIL", 1),
    "event": event_id(1, f"order-{ORDER}", 1),
    "event of a later epoch": event_id(2, f"order-{ORDER}", 1),
}


def test_different_causes_give_different_ids() -> None:
    assert len(set(DERIVED.values())) == len(DERIVED)


def test_ids_never_change() -> None:
    """Stored events name these ids: whoever changes the derivation orphans every stream."""
    assert str(ORDER) == "836b9cce-c7b3-5a44-a573-471083b6c770"
    assert str(ids.intent_id(ORDER, 1)) == "81fea5dc-74d6-51f9-98c6-80f57dd95b02"
    assert str(event_id(1, "order-1", 1)) == "afa9984a-f7a0-5b81-8919-6d8de5d5cf4c"


def test_parts_do_not_run_into_each_other() -> None:
    assert ids.derive("x", "ab", "c") != ids.derive("x", "a", "bc")
    assert ids.derive("x", "a") != ids.derive("y", "a")


def test_a_number_is_a_part_like_any_other() -> None:
    assert ids.derive_numbered("x", ("ab", 7), 12) == ids.derive("x", "ab", 7, 12)
    assert ids.derive_numbered("x", (), 12) == ids.derive("x", 12)


@pytest.mark.parametrize("order", [ORDER, OTHER, UUID(int=0), UUID(int=2**128 - 1)])
def test_order_number_is_short_and_readable(order: UUID) -> None:
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}", ids.order_number(order))


def test_order_number_holds_the_first_50_bits() -> None:
    assert ids.order_number(UUID(int=2**128 - 1)) == "ZZZZZ-ZZZZZ"
    assert ids.order_number(UUID(int=1 << 78)) == "00000-00001"
    assert ids.order_number(UUID(int=(1 << 78) - 1)) == "00000-00000"
