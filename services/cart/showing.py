"""How a unit of work ends that changed a cart: with the whole cart, priced as it is now."""

from typing import Any
from uuid import UUID

from services.cart.answers import Json, bought_cart, open_cart
from services.cart.commands import PriceList, price_list
from services.cart.domain.cart import CART
from services.cart.domain.cart_state import Cart
from services.cart.personal_data import PersonalData
from services.cart.readmodels.cart_view import CART_VIEW
from shared.domain import Rejected
from shared.events.cart import CartCheckedOut
from shared.service.commands import Outcome
from shared.store.unit_of_work import UnitOfWork


async def prices_of(uow: UnitOfWork, cart: Cart | None, *skus: str) -> PriceList:
    """The prices of what is in the cart, and of some products more."""
    held = {item.sku for item in cart.items} if cart else set()
    return await price_list(uow.session, held.union(skus), uow.now)


async def outcome(
    uow: UnitOfWork,
    cart_id: UUID,
    prices: PriceList,
    personal: PersonalData,
    *,
    status: int = 200,
    **more: Any,
) -> Outcome:
    """The cart as this unit of work leaves it, with `more` members."""
    cart = await uow.state(CART, cart_id)
    assert cart is not None
    bought = await _bought(uow, cart, cart_id)
    body = {**seen(cart, bought, cart_id, prices, personal), **more}
    return Outcome(body=body, version=uow.version(CART, cart_id), status=status)


def seen(
    cart: Cart, bought: CartCheckedOut | None, cart_id: UUID, prices: PriceList, personal: PersonalData
) -> Json:
    """The cart as its buyer sees it: priced now, or as it was bought."""
    if bought is None:
        return open_cart(cart_id, cart, prices, personal)
    return bought_cart(cart_id, cart, bought, prices, personal)


async def _bought(uow: UnitOfWork, cart: Cart, cart_id: UUID) -> CartCheckedOut | None:
    """What the cart was checked out as, in this unit of work or before; None while it is open."""
    if cart.order_id is None:
        return None
    for event in uow.events:
        if isinstance(event.data, CartCheckedOut) and event.stream == CART.stream(cart_id):
            return event.data
    row = await CART_VIEW.find(uow.session, cart_id)
    return row.checkout if row else None


def unknown_cart(cart_id: UUID) -> Rejected:
    """The refusal of a cart that is not there, or not the caller's."""
    return Rejected("unknown_cart", f"There is no cart {cart_id} of yours.")
