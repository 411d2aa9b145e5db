"""Whose cart it is: a customer's, or that of a guest who got a token for the subject of their first cart."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

from services.cart.domain.cart_state import Cart
from services.cart.readmodels.cart_view import is_guest
from shared.events.envelope import Actor, ActorKind
from shared.service.problems import Problem
from shared.store.session import Session

GUEST_TOKEN_FOR: Final = timedelta(days=90)
NEW_GUEST: Final = Actor(ActorKind.CUSTOMER, "guest")
"""Who begins a cart without a token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Buyer:
    """Who a new cart is for: `subject_id` names whose key seals their data; a guest is no customer."""

    customer_id: UUID | None
    subject_id: UUID


async def buyer_of(session: Session, bearer: Actor | None) -> Buyer:
    """Who begins a cart with this token; without one it is a new guest. Raises Problem 403 for others."""
    if bearer is None:
        return Buyer(customer_id=None, subject_id=uuid4())
    person = _person(bearer)
    if person is None:
        raise Problem(
            403, "forbidden", "Carts are for customers; the token's subject is not a customer's id."
        )
    if await is_guest(session, person):
        return Buyer(customer_id=None, subject_id=person)
    return Buyer(customer_id=person, subject_id=person)


def owns(bearer: Actor | None, cart: Cart) -> bool:
    """Whether the cart is the bearer's own."""
    person = bearer and _person(bearer)
    return person is not None and person in (cart.customer_id, cart.subject_id)


def _person(bearer: Actor) -> UUID | None:
    if bearer.kind is not ActorKind.CUSTOMER:
        return None
    try:
        return UUID(bearer.id)
    except ValueError:
        return None
