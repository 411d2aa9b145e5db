"""Counts what happened, for the summary of a run."""

from collections import Counter
from typing import Any
from uuid import UUID

from cli.laws.law import order_of
from services.cart.domain.coupon_use import CouponUseGivenBack, CouponUseTaken
from shared.events.cart import CartCheckedOut, CartMerged
from shared.events.common import CancelReason
from shared.events.envelope import Recorded
from shared.events.orders import (
    EditCause,
    IntentPurpose,
    LatePaymentReceived,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderEdited,
    OrderPlaced,
    OrderProcessingStarted,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRequested,
    RefundCause,
    RefundIssued,
    Shipped,
)
from shared.events.orphan_payments import OrphanPaymentRefunded
from shared.events.returns import ReturnClosed, ReturnOutcome, ReturnRequested

STATES = {
    OrderPlaced: "PLACED",
    OrderConfirmed: "CONFIRMED",
    OrderProcessingStarted: "PROCESSING",
    OrderCancelled: "CANCELLED",
    OrderCompleted: "COMPLETED",
}


COUNTED = (
    "checkouts",
    "merged",
    "declined",
    "out_of_stock",
    "parcels",
    "edits",
    "edits_taken_back",
    "balances_asked",
    "captured_in_parts",
    "authorized_anew",
    "paid_after_a_decline",
    "outages_healed",
    "late_payments",
    "late_payments_refunded",
    "returns",
    "returns_completed",
    "refunds",
    "goodwill",
    "orphans_given_back",
    "coupons_used",
    "coupons_given_back",
)


AWAY = "1406"
"""How the sandbox's card ends that takes the provider away for a while."""


class Tally:
    """Orders by state and the numbers of what befell them; each stream in order, as for a law."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self._states: dict[UUID, str] = {}
        self._counts: Counter[str] = Counter()
        self._in_parcels: set[UUID] = set()
        self._declined: set[UUID] = set()
        self._away: set[UUID] = set()
        self._captures: Counter[UUID] = Counter()

    def see(self, service: str, event: Recorded[Any]) -> None:
        """Count one event of a service."""
        self.events[service] += 1
        data = event.data
        if state := STATES.get(type(data)):
            self._states[order_of(event)] = state
        match data:
            case CartCheckedOut():
                self._counts["checkouts"] += 1
            case CartMerged():
                self._counts["merged"] += 1
            case CouponUseTaken():
                self._counts["coupons_used"] += 1
            case CouponUseGivenBack():
                self._counts["coupons_given_back"] += 1
            case OrderCancelled(reason=CancelReason.DECLINED):
                self._counts["declined"] += 1
            case OrderCancelled(reason=CancelReason.INVENTORY):
                self._counts["out_of_stock"] += 1
            case Shipped(last=last):
                self._counts["parcels"] += 1
                if not last:
                    self._in_parcels.add(order_of(event))
            case OrderEdited(cause=cause):
                self._counts["edits_taken_back" if cause is EditCause.REVERT else "edits"] += 1
            case PaymentRequested(purpose=IntentPurpose.BALANCE):
                self._counts["balances_asked"] += 1
            case PaymentRequested(purpose=IntentPurpose.REAUTHORIZATION):
                self._counts["authorized_anew"] += 1
            case PaymentDeclined(final=False):
                self._declined.add(order_of(event))
            case PaymentAuthorized(method_label=label):
                if label.endswith(AWAY):
                    self._away.add(order_of(event))
                if order_of(event) in self._declined:
                    self._declined.discard(order_of(event))
                    self._counts["paid_after_a_decline"] += 1
            case PaymentCaptured(shipment_id=shipment):
                self._captured(order_of(event), for_a_parcel=shipment is not None)
            case OrphanPaymentRefunded():
                self._counts["orphans_given_back"] += 1
            case LatePaymentReceived():
                self._counts["late_payments"] += 1
            case ReturnRequested():
                self._counts["returns"] += 1
            case ReturnClosed(outcome=ReturnOutcome.COMPLETED):
                self._counts["returns_completed"] += 1
            case RefundIssued(cause=cause):
                self._counts["refunds"] += 1
                self._counts["goodwill"] += cause is RefundCause.GOODWILL
                self._counts["late_payments_refunded"] += cause is RefundCause.LATE_PAYMENT

    def _captured(self, order: UUID, *, for_a_parcel: bool) -> None:
        if for_a_parcel:
            self._captures[order] += 1
            self._counts["captured_in_parts"] += self._captures[order] == 2
        if order in self._away:
            self._away.discard(order)
            self._counts["outages_healed"] += 1

    @property
    def orders_by_state(self) -> dict[str, int]:
        """How many orders stand where on the order axis."""
        return dict(Counter(self._states.values()))

    @property
    def counters(self) -> dict[str, int]:
        """Plain numbers, zeros included. `declined` and `out_of_stock` are reasons of cancelled orders."""
        states = self.orders_by_state
        return {
            "orders": len(self._states),
            "delivered": states.get("COMPLETED", 0),
            "cancelled": states.get("CANCELLED", 0),
            "two_parcels": len(self._in_parcels),
            **{name: self._counts[name] for name in COUNTED},
        }
