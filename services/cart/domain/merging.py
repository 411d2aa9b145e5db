"""Merging at sign-in: a guest's cart closes, and its lines arrive in the customer's cart one by one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from services.cart.domain.cart_state import Cart, CartStatus
from shared.domain import Rejected
from shared.events.cart import CartMerged
from shared.events.common import Qty

LEFT_BEHIND: Final = frozenset(
    {
        "cart_closed",
        "currency_mismatch",
        "customization_required",
        "line_limit",
        "product_unavailable",
        "sold_out",
    }
)
"""Why a merged line may not arrive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeCart:
    """Close a guest's cart in favour of a customer's. Refused: unknown_cart, cart_closed, not_mergeable."""

    cart_id: UUID
    into_cart_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeLines:
    """Put the lines of a merged cart into this one, each under an id of its own that derives from both.

    What cannot be bought (LEFT_BEHIND) stays behind; what is there already is not added again.
    """

    cart_id: UUID
    from_cart_id: UUID
    lines: tuple[Qty, ...]


def merge(cart: Cart, command: MergeCart) -> Sequence[CartMerged]:
    """The end of the guest's cart; raises Rejected with one of the codes that MergeCart names."""
    if cart.status is CartStatus.MERGED and cart.merged_into == command.into_cart_id:
        return []
    cart.demand_open()
    if cart.customer_id is not None or command.into_cart_id == command.cart_id:
        raise Rejected("not_mergeable", "Only a guest's cart is merged, and only into another cart.")
    lines = tuple(Qty(line_id=item.line_id, quantity=item.quantity) for item in cart.items)
    return [CartMerged(into_cart_id=command.into_cart_id, lines=lines)]
