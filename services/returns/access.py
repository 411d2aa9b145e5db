"""Whose an order and its returns are, and who a person is. What is another customer's does not exist."""

from uuid import UUID

from services.returns.readmodels.return_view import RETURN_VIEW, ReturnRow
from services.returns.readmodels.returnable import RETURNABLE_ROWS, ReturnableRow
from shared.domain import Rejected
from shared.domain.ids import derive
from shared.events.envelope import Actor
from shared.service.auth import STAFF
from shared.store.session import Session


async def order_for(session: Session, actor: Actor, order_id: UUID) -> ReturnableRow:
    """The order, if it is known and the actor's or the actor is staff. Raises Rejected unknown_order."""
    row = await RETURNABLE_ROWS.find(session, order_id)
    owners = {str(row.customer_id), str(row.subject_id)} if row and row.subject_id else set()
    if row is None or not (actor.kind in STAFF or actor.id in owners):
        raise Rejected(
            "unknown_order", "No such order of yours is known here; a new one takes a moment to arrive."
        )
    return row


async def return_for(session: Session, actor: Actor, return_id: UUID) -> ReturnRow:
    """The return, if it is the actor's or the actor is staff. Raises Rejected unknown_return."""
    row = await RETURN_VIEW.find(session, return_id)
    if row is not None:
        try:
            await order_for(session, actor, row.order_id)
        except Rejected:
            row = None
    if row is None:
        raise Rejected("unknown_return", "There is no such return of yours.")
    return row


def person(actor: Actor) -> UUID:
    """The id under which a person stands behind refunds: the token's subject, or derived from it."""
    try:
        return UUID(actor.id)
    except ValueError:
        return derive("person", actor.id)
