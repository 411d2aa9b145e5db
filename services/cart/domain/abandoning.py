"""When a cart counts as abandoned, and what is told about it then."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from services.cart.domain.cart_state import Cart, CartStatus
from shared.events.cart import CartAbandoned, CheckoutStep

ABANDONED_AFTER: Final = timedelta(hours=24)
TIMER: Final = "abandoned"


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkAbandoned:
    """Nobody touched the cart for long. Nothing happens unless it is open and holds something."""

    cart_id: UUID


def deadlines(cart: Cart, after: timedelta) -> Mapping[str, datetime]:
    """An open cart with items waits for its buyer for so long after its last change."""
    return {TIMER: cart.changed_at + after} if _waits(cart) else {}


def mark_abandoned(cart: Cart) -> Sequence[CartAbandoned]:
    """The news that the cart waits in vain; none if it does not wait. Never refuses."""
    if not _waits(cart):
        return []
    return [
        CartAbandoned(
            item_count=sum(item.quantity for item in cart.items),
            value=sum(item.quantity * (item.seen_price or 0) for item in cart.items),
            last_step=_last_step(cart),
        )
    ]


def _waits(cart: Cart) -> bool:
    return cart.status is CartStatus.OPEN and bool(cart.items)


def _last_step(cart: Cart) -> CheckoutStep:
    chosen = cart.delivery
    parts = (chosen.contact, chosen.destination, chosen.method_id or chosen.pickup_location_id)
    if all(parts):
        return CheckoutStep.REVIEW
    return CheckoutStep.DELIVERY if any(parts) else CheckoutStep.ITEMS
