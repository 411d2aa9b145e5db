"""Commands of notifications: what became of a message, and the wish to send one again."""

from uuid import UUID

from services.notifications.domain.message import MESSAGE, MessageCommand
from services.notifications.reactions import email_send
from services.notifications.readmodels.message_ledger import MESSAGE_LEDGER, LedgerRow
from shared.domain import Rejected
from shared.domain.ids import message_id
from shared.store.unit_of_work import UnitOfWork

MOST_RESENDS = 100
"""A message that was sent again this often is not what its reader is waiting for."""


async def execute(uow: UnitOfWork, command: MessageCommand) -> None:
    """Record an outcome; a fact is never refused."""
    await uow.decide(MESSAGE, command.message_id, command)


async def resend(uow: UnitOfWork, original: UUID) -> UUID:
    """Want the same message once more, as a message of its own, and give its id.

    Asking again for a resend of the same original names the same message, so it is sent once. Raises
    Rejected unknown_message or resend_limit.
    """
    await uow.state(MESSAGE, original)
    row = await MESSAGE_LEDGER.find(uow.session, original)
    if row is None or row.order_id is None:
        raise Rejected("unknown_message", "There is no such message; it may not have been tried yet.")
    again = _resend_no(row) + 1
    if again > MOST_RESENDS:
        raise Rejected("resend_limit", f"This was sent {MOST_RESENDS} times already.")
    wanted = email_send(row.cause_event_id, row.order_id, row.template, resend_no=again, resend_of=original)
    uow.want(wanted, row.cause_event_id)
    return _id(row, again)


def _resend_no(row: LedgerRow) -> int:
    """Which resend this is, 0 for the first message: the number that its id is derived from."""
    return next((n for n in range(MOST_RESENDS) if _id(row, n) == row.message_id), MOST_RESENDS)


def _id(row: LedgerRow, resend_no: int) -> UUID:
    return message_id(row.cause_event_id, row.template, row.recipient_hash, row.channel, resend_no)
