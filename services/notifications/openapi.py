"""Notifications' part of its OpenAPI document: what its routes answer, and with which problems."""

from pathlib import Path
from typing import Final
from uuid import UUID

from shared.service.openapi import Answer, Operation, Operations, examples_of


class SentAgain(Answer):
    """The new message, and the one that it repeats."""

    message_id: UUID
    resend_of: UUID


OPERATIONS: Final[Operations] = {
    "GET /messages": Operation(summary="List messages"),
    "GET /messages/{message_id}": Operation(summary="Read a message", refusals=("unknown_message",)),
    "POST /messages/{message_id}/resend": Operation(
        summary="Send a message again",
        refusals=("unknown_message", "resend_limit"),
        answer=SentAgain,
        keyed=True,
    ),
}

EXAMPLES: Final = examples_of(Path(__file__).parent)
