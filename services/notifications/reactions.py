"""What notifications does about others' events: every occasion wants its mails, nothing else happens."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from services.notifications.domain.occasions import occasions
from services.notifications.readmodels.mail_occasions import order_of
from shared.events.envelope import Recorded
from shared.store import todo
from shared.store.todo import Wanted

EMAIL_SEND = "email.send"
"""The name of the one effect of this service."""


def react(event: Recorded[Any]) -> Iterable[Wanted]:
    """One effect for each message that an event is the occasion for."""
    return tuple(
        email_send(event.event_id, order_of(event), occasion.template) for occasion in occasions(event.data)
    )


def email_send(
    cause_event_id: UUID, order_id: UUID, template: str, *, resend_no: int = 0, resend_of: UUID | None = None
) -> Wanted:
    """The wish to send one mail about an event. Wanting the same cause, template and number twice is once."""
    return todo.effect(
        EMAIL_SEND,
        f"order-{order_id}",
        target=f"{template}/{resend_no}",
        cause_event_id=cause_event_id,
        order_id=order_id,
        template=str(template),
        resend_no=resend_no,
        resend_of=resend_of,
    )
