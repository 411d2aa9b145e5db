"""The payments' read model with the `eventsourcing` library, as its documentation shows it: a Projection that
a ProjectionRunner feeds, and a view that records a row and the tracking of its event in one transaction.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from uuid import UUID, uuid4

from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL

AT_ONCE = 250
LIMIT_S = 100.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the payments are kept."""

    user: str
    database: str
    host: str

    @property
    def environment(self) -> dict[str, str]:
        """As the library wants them."""
        return {
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": self.database,
            "POSTGRES_HOST": self.host,
            "POSTGRES_PORT": "5432",
            "POSTGRES_USER": self.user,
            "POSTGRES_PASSWORD": "",
            "POSTGRES_PRE_PING": "n",
        }


class Payment(Aggregate):
    """The payment of one order."""

    @event("Requested")
    def __init__(self, order_id: UUID, amount: int) -> None:
        self.order_id, self.amount = order_id, amount

    @event("Authorized")
    def authorize(self, amount: int, provider_ref: str) -> None:
        """The provider holds the money."""

    @event("CaptureRequested")
    def ask_to_capture(self, capture_id: UUID, amount: int) -> None:
        """The provider is asked to take it."""

    @event("Captured")
    def capture(self, capture_id: UUID, amount: int, provider_ref: str) -> None:
        """It was taken."""


class Payments(Application[UUID]):
    """Keeps payments."""

    name = "payments"


class Ledger(PostgresTrackingRecorder):
    """The same table as our read model, and where the projection stands."""

    def __init__(self, datastore: PostgresDatastore, **more: Any) -> None:
        super().__init__(datastore, **more)
        self.sql_create_statements.append(
            SQL(
                "CREATE TABLE IF NOT EXISTS payments_ledger (kind text NOT NULL, id uuid NOT NULL, "
                "order_id uuid, intent_id uuid, amount bigint NOT NULL, status text NOT NULL, "
                "late boolean NOT NULL, provider_ref text, at timestamptz NOT NULL, PRIMARY KEY (kind, id))"
            )
        )
        self.sql_create_statements.append(
            SQL("CREATE INDEX IF NOT EXISTS payments_ledger_order ON payments_ledger (order_id, at)")
        )

    def note(self, tracking: Tracking, **row: Any) -> None:
        """Insert or change an entry."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                "INSERT INTO payments_ledger (kind, id, order_id, intent_id, amount, status, late, "
                "provider_ref, at) VALUES (%(kind)s, %(id)s, %(order_id)s, %(intent_id)s, %(amount)s, "
                "%(status)s, false, %(provider_ref)s, %(at)s) "
                "ON CONFLICT (kind, id) DO UPDATE SET amount = excluded.amount, status = excluded.status, "
                "provider_ref = excluded.provider_ref, at = excluded.at",
                {"order_id": None, "provider_ref": None, **row},
                prepare=True,
            )


class LedgerProjection(Projection[Ledger]):
    """Which event makes which entry."""

    name = "ledger"

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """No other event is told."""

    @process_event.register
    def requested(self, asked: Payment.Requested, tracking: Tracking) -> None:  # type: ignore[name-defined]
        """The entry of the intent begins."""
        payment = asked.originator_id
        self.view.note(
            tracking,
            kind="INTENT",
            id=payment,
            order_id=asked.order_id,
            intent_id=payment,
            amount=asked.amount,
            status="OPEN",
            at=asked.timestamp,
        )

    @process_event.register
    def authorized(self, held: Payment.Authorized, tracking: Tracking) -> None:  # type: ignore[name-defined]
        """It is authorized."""
        payment = held.originator_id
        self.view.note(
            tracking,
            kind="INTENT",
            id=payment,
            intent_id=payment,
            amount=held.amount,
            status="AUTHORIZED",
            provider_ref=held.provider_ref,
            at=held.timestamp,
        )

    @process_event.register
    def to_capture(
        self,
        asked: Payment.CaptureRequested,  # type: ignore[name-defined]
        tracking: Tracking,
    ) -> None:
        """The entry of the capture begins."""
        self.view.note(
            tracking,
            kind="CAPTURE",
            id=asked.capture_id,
            intent_id=asked.originator_id,
            amount=asked.amount,
            status="REQUESTED",
            at=asked.timestamp,
        )

    @process_event.register
    def captured(self, taken: Payment.Captured, tracking: Tracking) -> None:  # type: ignore[name-defined]
        """It is done."""
        self.view.note(
            tracking,
            kind="CAPTURE",
            id=taken.capture_id,
            intent_id=taken.originator_id,
            amount=taken.amount,
            status="DONE",
            provider_ref=taken.provider_ref,
            at=taken.timestamp,
        )


def fill(settings: Settings, events: int) -> None:
    """Store so many events, four a payment."""
    application = Payments(settings.environment)
    try:
        for start in range(0, events, 4 * AT_ONCE):
            payments = [_payment() for _ in range(min(AT_ONCE, (events - start) // 4))]
            application.save(*payments)
    finally:
        application.close()


def project(settings: Settings, events: int) -> float:
    """Project them all from the first on; gives the seconds that it took."""
    with _emptied(settings):
        start = perf_counter()
        with ProjectionRunner(
            application_class=Payments,
            projection_class=LedgerProjection,
            view_class=Ledger,
            env=settings.environment,
        ) as runner:
            runner.wait(runner.app.recorder.max_notification_id(), timeout=LIMIT_S)
            seconds = perf_counter() - start
            with runner.view.datastore.get_connection() as connection:
                rows = connection.execute("SELECT count(*) AS n FROM payments_ledger").fetchone()
            assert rows is not None
            assert rows["n"] == events // 2
    return seconds


@contextmanager
def _emptied(settings: Settings) -> Iterator[None]:
    """Whatever was projected before is gone."""
    datastore = PostgresDatastore(settings.database, settings.host, "5432", settings.user, "")
    try:
        with datastore.transaction(commit=True) as cursor:
            cursor.execute("DROP TABLE IF EXISTS payments_ledger, ledger_tracking")
        yield
    finally:
        datastore.close()


def _payment() -> Payment:
    capture = uuid4()
    payment: Payment = Payment(order_id=uuid4(), amount=4_299)
    payment.authorize(amount=4_299, provider_ref="pi_3MtwBwLkdIwHu7ix28a3tqPa")
    payment.ask_to_capture(capture_id=capture, amount=4_299)
    payment.capture(capture_id=capture, amount=4_299, provider_ref="ch_3MmlLrLkdIwHu7ix0snN0B15")
    return payment
