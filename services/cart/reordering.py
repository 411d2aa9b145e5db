"""Buying an earlier order once more: what is still sold of it, in a new cart, at today's prices."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from services.cart.buyers import owns
from services.cart.commands import PriceList, execute
from services.cart.domain.cart import AddItem
from services.cart.readmodels.cart_view import CartView, cart_of_order
from shared.domain import Rejected, ids
from shared.events.cart import CartItemCause
from shared.events.common import Line
from shared.events.envelope import Actor
from shared.store.session import Session
from shared.store.unit_of_work import UnitOfWork


async def earlier_cart(session: Session, order_id: UUID, bearer: Actor | None) -> CartView:
    """The cart that became this order of the bearer's. Raises Rejected `unknown_order`."""
    found = await cart_of_order(session, order_id)
    if found is None or not owns(bearer, found.cart):
        raise Rejected("unknown_order", f"There is no order {order_id} of yours.")
    return found


def lines_of(earlier: CartView) -> Sequence[Line]:
    """What was bought."""
    assert earlier.checkout is not None, "a cart that became an order was checked out"
    return earlier.checkout.lines


async def put_in_again(
    uow: UnitOfWork, cart_id: UUID, earlier: CartView, prices: PriceList
) -> list[dict[str, Any]]:
    """Add the lines of an earlier order; gives those that could not be taken, each with its reason."""
    left_behind: list[dict[str, Any]] = []
    for line in lines_of(earlier):
        add = AddItem(
            cart_id=cart_id,
            line_id=ids.copied_line_id(cart_id, earlier.cart_id, line.line_id),
            sku=line.sku,
            quantity=line.quantity,
            customization=line.customization,
            product=prices.products.get(line.sku),
            availability=prices.availability.get(line.sku),
            rules=prices.rules,
            cause=CartItemCause.REORDER,
        )
        try:
            await execute(uow, add)
        except Rejected as refusal:
            left_behind.append(
                {
                    "sku": line.sku,
                    "title": line.title,
                    "quantity": line.quantity,
                    "code": refusal.code,
                    "detail": refusal.detail,
                }
            )
    return left_behind
