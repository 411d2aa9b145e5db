"""What cart does about others' events: a cancelled order gives its coupons back."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from services.cart.commands import GiveBackCoupons
from shared.domain import key_of
from shared.events.envelope import Recorded
from shared.events.orders import OrderCancelled
from shared.messaging.subscription import Do


def react(event: Recorded[Any]) -> Iterable[Do]:
    """The commands that follow from one event; none of them can be refused."""
    match event.data:
        case OrderCancelled():
            yield Do(GiveBackCoupons(order_id=UUID(key_of(event.stream))))
