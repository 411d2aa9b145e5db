"""What pages show of an order, whatever way its row went."""

from dataclasses import replace

from services.orders.answers import oldest_first
from tests.unit.orders import samples as s


def test_payments_come_as_they_were_asked_for_although_a_row_has_forgotten_it() -> None:
    order = s.fold(*s.WAITING_FOR_PAYMENT, s.DECLINED, s.REQUESTED_2)
    asked = [s.INTENT, s.REQUESTED_2.intent_id]

    for intents in (asked, asked[::-1]):
        kept = replace(order, intents={each: order.intents[each] for each in intents})
        assert [intent.intent_id for intent in oldest_first(kept)] == asked
