"""The least that does the job without FastStream and asyncpg: confluent-kafka's consumer and psycopg's COPY.

It keeps no marks: an event that comes again after a crash is applied again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from time import perf_counter, process_time
from typing import Any

import orjson
import psycopg
from confluent_kafka import Consumer, Message

BATCH = 1000
LEDGER = ("kind", "id", "order_id", "intent_id", "amount", "status", "late", "provider_ref", "at")
_MERGE = f"""
INSERT INTO payments_ledger ({", ".join(LEDGER)}) SELECT {", ".join(LEDGER)} FROM came
ON CONFLICT (kind, id) DO UPDATE SET
    amount = excluded.amount, status = excluded.status, at = excluded.at,
    provider_ref = coalesce(excluded.provider_ref, payments_ledger.provider_ref)
"""
_COPY = "COPY {} (" + ", ".join(LEDGER) + ") FROM STDIN"

Row = tuple[Any, ...]


def hear(
    database_url: str, bootstrap: str, topic: str, group: str, count: int, *, merge: bool
) -> tuple[float, float]:
    """Consume `count` events into payments_ledger, a transaction a batch, then commit the offsets.

    `merge`: fold them into the rows of the read model; otherwise COPY a row an event straight into a table
    `payments_heard` without any key. Gives the seconds, and those of the processor, from the first event on.
    """
    with _consumer(bootstrap, topic, group) as consumer, psycopg.connect(database_url) as connection:
        cursor = connection.cursor()
        if merge:
            cursor.execute("CREATE TEMP TABLE came (LIKE payments_ledger) ON COMMIT DELETE ROWS")
            connection.commit()
        heard, started = 0, (0.0, 0.0)
        while heard < count:
            messages = consumer.consume(BATCH, timeout=0.1)
            if not heard:
                started = perf_counter(), process_time()
            rows = [_row(message) for message in messages]
            if merge:
                rows = list({row[:2]: row for row in rows}.values())
            with cursor.copy(_COPY.format("came" if merge else "payments_heard")) as copy:
                for row in rows:
                    copy.write_row(row)
            if merge:
                cursor.execute(_MERGE)
            connection.commit()
            if messages:
                consumer.commit(asynchronous=True)
            heard += len(messages)
        return perf_counter() - started[0], process_time() - started[1]


@contextmanager
def _consumer(bootstrap: str, topic: str, group: str) -> Iterator[Consumer]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([topic])
    try:
        yield consumer
    finally:
        consumer.close()


def _row(message: Message) -> Row:
    """The row of payments_ledger as it is after this event."""
    if message.error():
        raise RuntimeError(message.error())
    headers = dict(message.headers())
    data = orjson.loads(message.value())
    order, at = headers["ce_subject"][6:].decode(), datetime.fromisoformat(headers["ce_time"].decode())
    amount, intent = data["amount"], data["intent_id"]
    match headers["ce_type"]:
        case b"PaymentRequested":
            return ("INTENT", intent, order, intent, amount, "OPEN", False, None, at)
        case b"PaymentAuthorized":
            return ("INTENT", intent, order, intent, amount, "AUTHORIZED", False, data["provider_ref"], at)
        case b"CaptureRequested":
            return ("CAPTURE", data["capture_id"], order, intent, amount, "REQUESTED", False, None, at)
        case b"PaymentCaptured":
            return (
                "CAPTURE",
                data["capture_id"],
                order,
                intent,
                amount,
                "DONE",
                False,
                data["provider_ref"],
                at,
            )
        case other:
            raise ValueError(f"unknown event {other!r}")
