"""`cart_view`: what is in a cart, or what it was bought as. For the cart page, which joins the prices."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from prometheus_client import Gauge

from services.cart.domain.cart import CART
from services.cart.domain.cart_state import Cart, CartStatus
from services.cart.domain.quote import Item
from shared.domain import key_of
from shared.events import cart
from shared.events.cart import CartCheckedOut, CartDeliveryChosen
from shared.events.envelope import Recorded
from shared.store.connection import Connection
from shared.store.readmodel import Key, ReadModel
from shared.store.session import Session

CARTS = Gauge("orderflow_carts", "Carts, by state", ["state"])


@dataclass(frozen=True, slots=True, kw_only=True)
class CartView:
    """A cart and the version of its stream; personal data stays sealed. `checkout` is what was bought."""

    cart_id: UUID
    version: int
    status: CartStatus
    customer_id: UUID | None
    subject_id: UUID
    currency: str
    locale: str
    items: tuple[Item, ...]
    delivery: CartDeliveryChosen
    coupons: tuple[str, ...]
    checkout: CartCheckedOut | None
    order_id: UUID | None
    merged_into: UUID | None
    changed_at: datetime

    @property
    def cart(self) -> Cart:
        """The cart as the pure core knows it, without the ids of lines that are gone."""
        return Cart(
            status=self.status,
            customer_id=self.customer_id,
            subject_id=self.subject_id,
            currency=self.currency,
            locale=self.locale,
            items=self.items,
            delivery=self.delivery,
            coupons=self.coupons,
            order_id=self.order_id,
            merged_into=self.merged_into,
            changed_at=self.changed_at,
        )


def _keys(event: Recorded[Any]) -> Sequence[Key]:
    return [(UUID(key_of(event.stream)),)]


def _fold(row: CartView | None, event: Recorded[Any], key: Key) -> CartView:
    after = CART.evolve(row.cart if row else None, event.data, event.occurred_at)
    frozen = event.data if isinstance(event.data, CartCheckedOut) else None
    return CartView(
        cart_id=UUID(key_of(event.stream)),
        version=event.version,
        status=after.status,
        customer_id=after.customer_id,
        subject_id=after.subject_id,
        currency=after.currency,
        locale=after.locale,
        items=after.items,
        delivery=after.delivery,
        coupons=after.coupons,
        checkout=frozen or (row.checkout if row else None),
        order_id=after.order_id,
        merged_into=after.merged_into,
        changed_at=after.changed_at,
    )


CART_VIEW = ReadModel(
    name="cart_view",
    row=CartView,
    key=("cart_id",),
    events=frozenset(cart.EVENTS),
    keys=_keys,
    fold=_fold,
)


async def is_guest(session: Session, subject_id: UUID) -> bool:
    """Whether this id was given to somebody who began a cart without being a customer."""
    carts = await CART_VIEW.query(session, "subject_id = $1 AND customer_id IS NULL LIMIT 1", subject_id)
    return bool(carts)


async def cart_of_order(session: Session, order_id: UUID) -> CartView | None:
    """The cart that became this order."""
    carts = await CART_VIEW.query(session, "order_id = $1 LIMIT 1", order_id)
    return carts[0] if carts else None


async def sample(connection: Connection) -> None:
    """How many carts are in which state."""
    counted = await connection.fetch("SELECT status, count(*) AS n FROM cart_view GROUP BY 1")
    by_state = {row["status"]: row["n"] for row in counted}
    for state in CartStatus:
        CARTS.labels(state).set(by_state.get(state, 0))
