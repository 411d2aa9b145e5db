"""What cart's own events ask for, each in a transaction of its own."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from services.cart.domain.abandoning import MarkAbandoned
from services.cart.domain.cart import CART
from services.cart.domain.cart_state import Cart
from services.cart.domain.merging import TakeLines
from shared.domain import key_of
from shared.events.cart import CartMerged
from shared.events.envelope import Recorded
from shared.store import todo
from shared.store.todo import Wanted


def follow_up(event: Recorded[Any]) -> Iterable[Wanted]:
    """A merged cart's lines go where it was merged into."""
    match event.data:
        case CartMerged(into_cart_id=into, lines=lines) if lines:
            take = TakeLines(cart_id=into, from_cart_id=UUID(key_of(event.stream)), lines=lines)
            yield todo.command(take, CART.stream(into))


def on_deadline(_cart: Cart, _timer: str, _now: datetime) -> Any:
    """A cart has one timer: nobody came back to it."""
    return lambda key: MarkAbandoned(cart_id=UUID(key))
