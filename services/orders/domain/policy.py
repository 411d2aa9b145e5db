"""How long an order waits for what, and how often it tries: one immutable record, every value overridable."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from services.orders.domain.state import Shipment
from shared.events.common import CaptureMode
from shared.events.orders import PartialStock


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPolicy:
    """The processing policy of the shop; the defaults are those of a real shop, a demo shortens them."""

    provider: str = "sandbox"
    capture: CaptureMode = CaptureMode.ON_SHIP
    partial_stock: PartialStock = PartialStock.ALL_OR_NOTHING

    stock_answer_within: timedelta = timedelta(hours=2)

    payment_window: timedelta = timedelta(minutes=30)
    max_payment_attempts: int = 3
    balance_window: timedelta = timedelta(days=7)
    late_authorization_ends_after: timedelta = timedelta(days=7)
    reauthorize_before_expiry: timedelta = timedelta(hours=24)
    max_reauthorizations: int = 3

    process_working_days: int = 2
    cancel_unprocessed_after: timedelta = timedelta(days=30)
    ship_within: timedelta = timedelta(days=3)

    capture_retry_after: timedelta = timedelta(hours=1)
    capture_give_up_after: timedelta = timedelta(hours=24)
    refund_answer_within: timedelta = timedelta(hours=24)
    refund_retry_after: timedelta = timedelta(days=1)
    max_refund_attempts: int = 5
    orphan_refund_after: timedelta = timedelta(hours=24)

    usual_transit: timedelta = timedelta(days=5)
    delivery_assumed_after: timedelta = timedelta(days=7)

    def process_by(self, now: datetime) -> datetime:
        """The instant by which a person should have started the processing; weekends do not count."""
        day = now
        for _ in range(self.process_working_days):
            day += timedelta(days=1)
            while day.weekday() >= 5:
                day += timedelta(days=1)
        return day

    def delivered_by(self, shipment: Shipment) -> datetime:
        """The instant at which a parcel that nobody complained about is taken to have arrived."""
        if shipment.estimated_delivery is None:
            expected = shipment.shipped_at + self.usual_transit
        else:
            expected = datetime.combine(shipment.estimated_delivery, time(), UTC)
        return expected + self.delivery_assumed_after
