"""What an order remembers of its edits: the content before the last one, and what that one waits for."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.events.common import Charge, Line, Totals
from shared.events.orders import EditCause


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What an order consists of and costs."""

    lines: tuple[Line, ...]
    shipping: Charge
    totals: Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """The last edit. `before` is what it took the place of; `hold_id` the hold that goes with it, if there is
    one; `intents` asked for its balance; `unpaid`: no further attempt to pay is possible."""

    edit_id: UUID
    cause: EditCause
    edited_at: datetime
    before: Content
    hold_id: UUID
    waits_for_stock: bool
    intents: tuple[UUID, ...] = ()
    unpaid: bool = False
