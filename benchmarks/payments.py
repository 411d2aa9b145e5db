"""What hearing and rebuilding are measured with: the payment of many orders, four events each, as the orders
service tells them. Orders pay side by side: the same step of a whole block comes before its next step.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.orders.readmodels.payments_ledger import PAYMENTS_LEDGER
from shared.domain.ids import derive
from shared.events import orders
from shared.events.common import CaptureMode
from shared.events.envelope import SYSTEM, Recorded, event_id
from shared.events.orders import (
    CaptureRequested,
    IntentPurpose,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentRequested,
)
from shared.events.registry import Registry

MODEL = PAYMENTS_LEDGER
REGISTRY = Registry.of(orders)
BLOCK = 500
STEPS = 4
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Told:
    """One event with its JSON, ready to be stored or sent."""

    event: Recorded[bytes]


def told(events: int, *, block: int = BLOCK) -> Iterator[Recorded[bytes]]:
    """The first `events` events, each with its JSON as data; the same every time."""
    templates = [_template(step) for step in range(STEPS)]
    names = [type(step).__name__ for step in _SAMPLES]
    for n in range(events):
        first = n // (block * STEPS) * block
        step, order_no = n // block % STEPS, first + n % block
        order, intent, capture = _ids(order_no)
        stream = f"order-{order}"
        yield Recorded(
            stream=stream,
            version=step + 1,
            event_id=UUID(int=(order.int + step + 1) % 2**128),
            type=names[step],
            schema_version=1,
            occurred_at=START + timedelta(milliseconds=n),
            correlation_id=order,
            causation_id=None,
            actor=SYSTEM,
            epoch=1,
            data=templates[step] % {b"intent": str(intent).encode(), b"capture": str(capture).encode()},
        )
