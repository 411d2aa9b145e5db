"""Changing what is in an order over HTTP: its buyer can until it is packed, staff until something ships."""

from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from services.orders import answers
from services.orders.commands import Commands
from services.orders.desk import Desk
from services.orders.domain import EditOrder
from services.orders.pages import visible
from shared.domain import ids
from shared.events.common import Quote
from shared.events.envelope import Actor
from shared.service.auth import ANYONE, Authenticator
from shared.service.quotes import QuoteKeys
from shared.store.store import Store


class Edit(BaseModel):
    """The order's whole new content; sending the same `edit_id` again changes nothing twice."""

    edit_id: UUID = Field(default_factory=uuid4)
    quote: Quote = Field(
        description="as POST /quotes gave it: the order's line_ids for what stays, new ones for what is added"
    )


def routes(store: Store, commands: Commands, auth: Authenticator, keys: QuoteKeys) -> APIRouter:
    """The route of edits; `keys` are those that sign quotes."""
    router = APIRouter(tags=["orders"])
    desk, anyone = Desk(store, commands), Depends(auth.require(ANYONE))

    @router.post("/orders/{order_id}/edits", status_code=201)
    async def edit(order_id: UUID, wish: Edit, request: Request, actor: Actor = anyone) -> Response:
        """Make the order what the quote says, before anything ships. What is dearer waits for its money, what
        has more units for its stock: if one of them does not come, the order is again what it was."""
        async with store.session() as session:
            currency = (await visible(session, order_id, actor)).currency
        keys.check(wish.quote, currency)
        edit_id = ids.edit_id(order_id, wish.edit_id)
        command = EditOrder(
            order_id=order_id,
            edit_id=edit_id,
            quote=wish.quote,
            currency=currency,
            by=actor.kind,
            now=store.clock(),
        )
        return await desk.do(
            request,
            actor,
            command,
            lambda order: {**answers.edited(order), "edit_id": edit_id},
            status=201,
        )

    return router
