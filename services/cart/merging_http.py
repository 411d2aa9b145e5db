"""Merging over HTTP: who signs in brings the cart that they filled as a guest, and proves it by its token."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from services.cart.buyers import owns
from services.cart.commands import execute
from services.cart.domain.cart import CART
from services.cart.domain.cart_state import Cart
from services.cart.domain.merging import MergeCart
from services.cart.personal_data import PersonalData
from services.cart.showing import outcome, prices_of, unknown_cart
from shared.domain import ids
from shared.events.envelope import Actor, ActorKind
from shared.service.auth import Authenticator
from shared.service.commands import Outcome, require_version, run_command
from shared.service.problems import Problem
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork


class GuestsCart(BaseModel):
    """The cart to take over, and the token that its guest got when they began it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"cart_id": "0b4d3c3e-52a4-4b6e-9d0c-6f1f6f7f2a11", "token": "eyJhbGciOiJIUzI1NiIs..."}
            ]
        }
    )

    cart_id: UUID
    token: str = Field(max_length=4096)


def routes(store: Store, auth: Authenticator, personal: PersonalData) -> APIRouter:
    """The route by which carts are merged."""
    router = APIRouter(tags=["carts"])
    customer = Depends(auth.require(frozenset({ActorKind.CUSTOMER})))

    @router.post("/carts/{cart_id}/merge", status_code=202)
    async def merge(cart_id: UUID, body: GuestsCart, request: Request, actor: Actor = customer) -> Response:
        """Take a guest's cart into the cart of the customer who has signed in.

        The guest's cart is closed at once. Its lines arrive in this one soon after, under the ids that
        `merged` names, as far as they are still sold; repeated, it names the same.
        """
        guest = _guest(auth, body.token)

        async def work(uow: UnitOfWork) -> Outcome:
            into, source = await uow.state(CART, cart_id), await uow.state(CART, body.cart_id)
            if into is None or not owns(actor, into):
                raise unknown_cart(cart_id)
            if into.customer_id is None:
                raise Problem(403, "forbidden", "Sign in first: this cart is a guest's too.")
            if source is None or not owns(guest, source):
                raise unknown_cart(body.cart_id)
            require_version(request, uow.version(CART, cart_id))
            if source.merged_into != cart_id:
                into.demand_open()
            await execute(uow, MergeCart(cart_id=body.cart_id, into_cart_id=cart_id))
            merged = {"cart_id": body.cart_id, "lines": _arriving(cart_id, body.cart_id, source)}
            prices = await prices_of(uow, into)
            return await outcome(uow, cart_id, prices, personal, status=202, merged=merged)

        streams = [CART.stream(cart_id), CART.stream(body.cart_id)]
        return await run_command(request, store, actor, work, streams=streams)

    return router


def _guest(auth: Authenticator, token: str) -> Actor:
    try:
        return auth.bearer(token)
    except Problem as problem:
        raise Problem(422, "invalid_guest_token", problem.detail) from problem


def _arriving(into_cart_id: UUID, from_cart_id: UUID, source: Cart) -> list[dict[str, Any]]:
    return [
        {
            "line_id": ids.copied_line_id(into_cart_id, from_cart_id, item.line_id),
            "sku": item.sku,
            "quantity": item.quantity,
        }
        for item in source.items
    ]
