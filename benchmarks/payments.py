"""What hearing and rebuilding are measured with: the payments of many orders, four events each, as the orders
service tells them, and its read model of them.

Orders pay side by side: a step of every order in a block comes before the next step of any.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import services.orders
from services.orders.readmodels.payments_ledger import PAYMENTS_LEDGER
from shared.events import orders
from shared.events.common import CaptureMode
from shared.events.envelope import SYSTEM, Recorded, event_id
from shared.events.orders import (
    CaptureRequested,
    IntentPurpose,
    OrderEvent,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentRequested,
)
from shared.events.registry import Registry
from shared.store import streams
from shared.store.connection import Connection

MODEL = PAYMENTS_LEDGER
REGISTRY = Registry.of(orders)
MIGRATIONS = Path(services.orders.__file__).parent / "migrations"
BLOCK = 500
"""Orders that pay side by side."""

_STEPS = 4
_START = datetime(2026, 1, 1, tzinfo=UTC)
_INTENT, _CAPTURE = UUID(int=1), UUID(int=2)
_SCATTER = 0x9E3779B97F4A7C15F39CC0605CEDC835  # odd: multiples of it modulo 2**128 are all different


def payments(count: int) -> Iterator[Recorded[bytes]]:
    """The first `count` events, the same every time, their data as JSON."""
    steps = [(type(step).__name__, *_cut(REGISTRY.encode(step))) for step in _payment()]
    for n in range(count):
        block, place = divmod(n, BLOCK * _STEPS)
        step, member = divmod(place, BLOCK)
        order = _id(block * BLOCK + member + 1)
        name, template, ids = steps[step]
        yield Recorded(
            stream=f"order-{order}",
            version=step + 1,
            event_id=event_id(1, f"order-{order}", step + 1),
            type=name,
            schema_version=1,
            occurred_at=_START + timedelta(milliseconds=n),
            correlation_id=order,
            causation_id=None,
            actor=SYSTEM,
            epoch=1,
            data=template % tuple(str(_id(order.int + which)).encode() for which in ids),
        )


async def store(connection: Connection, events: Iterable[Recorded[bytes]]) -> None:
    """COPY the events into the table of events, as the owner of the tables may; none goes to the outbox."""
    await connection.copy_records_to_table(
        "events",
        records=(
            (
                event.stream,
                event.version,
                event.event_id,
                event.type,
                event.schema_version,
                event.occurred_at,
                event.data,
                streams.encode_meta(event),
            )
            for event in events
        ),
        columns=("stream_id", "version", "event_id", "type", "schema_version", "occurred_at", "data", "meta"),
        timeout=300,
    )
    await connection.execute("ANALYZE events")


def _payment() -> tuple[OrderEvent, ...]:
    """Asked for, authorized, to be captured, captured."""
    return (
        PaymentRequested(
            intent_id=_INTENT,
            purpose=IntentPurpose.ORDER,
            amount=4_299,
            capture=CaptureMode.ON_SHIP,
            provider="sandbox",
            expires_at=_START,
        ),
        PaymentAuthorized(
            intent_id=_INTENT,
            amount=4_299,
            provider_ref="pi_3MtwBwLkdIwHu7ix28a3tqPa",
            method_label="Visa 4242",
            multicapture=True,
            expires_at=_START,
        ),
        CaptureRequested(capture_id=_CAPTURE, intent_id=_INTENT, amount=4_299),
        PaymentCaptured(
            capture_id=_CAPTURE, intent_id=_INTENT, amount=4_299, provider_ref="ch_3MmlLrLkdIwHu7ix0snN0B15"
        ),
    )


def _cut(encoded: bytes) -> tuple[bytes, list[int]]:
    """The JSON with a gap at each id, and which id (1 or 2 after the order's) belongs into each gap."""
    ids = {str(_INTENT).encode(): 1, str(_CAPTURE).encode(): 2}
    found = sorted((encoded.find(text), which) for text, which in ids.items() if text in encoded)
    for text in ids:
        encoded = encoded.replace(text, b"%s")
    return encoded, [which for _, which in found]


def _id(n: int) -> UUID:
    return UUID(int=n * _SCATTER % 2**128)
