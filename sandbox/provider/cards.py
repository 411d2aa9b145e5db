"""What each test card does. This table is the provider's whole behaviour that a caller can choose."""

from dataclasses import dataclass
from enum import StrEnum


class Answer(StrEnum):
    """When the buyer's confirmation is answered, seen from the provider's decision."""

    AT_ONCE = "AT_ONCE"
    DECIDED_SLOWLY = "DECIDED_SLOWLY"
    NEVER_IN_TIME = "NEVER_IN_TIME"
    PENDING = "PENDING"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A test card: what the payment, its captures, its refunds and its webhooks go through.

    `late_webhooks` names kinds of webhooks; `tells_both`: what is captured at once is told as authorised too.
    """

    about: str
    decline_code: str | None = None
    answer: Answer = Answer.AT_ONCE
    capture_at_once: bool = False
    risk: str = "NORMAL"
    webhook_copies: int = 1
    late_webhooks: tuple[str, ...] = ()
    tells_both: bool = False
    multicapture: bool = True
    expires_soon: bool = False
    needs_the_buyer: bool = False
    away: bool = False
    failing_captures: int = 0
    capture_refused: bool = False
    failing_refunds: int = 0
    refund_refused: bool = False


CARDS = {
    "4242424242424242": Card(about="authorised at once"),
    "4000000000000002": Card(about="declined", decline_code="card_declined"),
    "4000000000009995": Card(about="declined, not enough money", decline_code="insufficient_funds"),
    "4100000000000019": Card(about="declined as fraud", decline_code="fraudulent"),
    "4000000000009235": Card(about="authorised with risk HIGH", risk="HIGH"),
    "4000000000000101": Card(
        about="authorised slowly: the answer comes when it is decided", answer=Answer.DECIDED_SLOWLY
    ),
    "4000000000000200": Card(
        about="authorised slowly, and the answer never comes in time", answer=Answer.NEVER_IN_TIME
    ),
    "4000000000000309": Card(
        about="late authorisation: processing at first, cannot be cancelled, authorised later",
        answer=Answer.PENDING,
    ),
    "4000000000000408": Card(
        about="late capture: the same, but then captured at once, whatever the capture method",
        answer=Answer.PENDING,
        capture_at_once=True,
    ),
    "4000000000000507": Card(about="authorised; every webhook comes twice", webhook_copies=2),
    "4000000000000606": Card(
        about="declined, and the webhook comes late, after those of a second attempt",
        decline_code="card_declined",
        late_webhooks=("declined",),
    ),
    "4000000000000705": Card(about="authorised; two captures fail with 503, then work", failing_captures=2),
    "4000000000000804": Card(about="authorised; captures are refused for good", capture_refused=True),
    "4000000000000903": Card(about="authorised; two refunds fail with 503, then work", failing_refunds=2),
    "4000000000001000": Card(about="authorised; refunds are refused for good", refund_refused=True),
    "4000000000001109": Card(
        about="authorised for one capture only, which lets the rest go", multicapture=False
    ),
    "4000000000001208": Card(
        about="authorised for a short time; authorised anew it holds as long as others", expires_soon=True
    ),
    "4000000000001307": Card(
        about="authorised for a short time, and not anew without the buyer",
        expires_soon=True,
        needs_the_buyer=True,
    ),
    "4000000000001406": Card(
        about="authorised; then every call about the payment fails with 503 for a while", away=True
    ),
    "4000000000001505": Card(
        about="captured at once, and the webhooks come in the wrong order: captured, authorised late",
        capture_at_once=True,
        tells_both=True,
        late_webhooks=("authorized",),
    ),
}
"""By card number; every number passes the Luhn check."""


def label(number: str) -> str:
    """What may be kept and shown of a card: brand and last four digits."""
    return f"Visa ending in {number[-4:]}"
