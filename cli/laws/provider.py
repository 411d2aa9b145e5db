"""Laws between the orders and the payment provider: its own ledger agrees, and no payment counts twice."""

from collections import Counter, defaultdict
from typing import Any
from uuid import UUID

from cli.laws import orphans
from cli.laws.law import Balance, Kind, Law, Place, order_of
from cli.laws.orphans import Orphans
from shared.events.envelope import Recorded
from shared.events.orders import (
    LatePaymentKind,
    LatePaymentReceived,
    OrderPlaced,
    PaidAllocation,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentVoided,
    RefundFailed,
    RefundIssued,
)


class OnePaymentOneOrder(Law):
    """L20: each payment at the provider belongs to exactly one order, or is an orphan."""

    number = "L20"
    claim = "each provider payment belongs to exactly one order or orphan payment"
    listens = (PaymentAuthorized, PaymentCaptured, LatePaymentReceived, *orphans.EVENTS)

    needs_rest = False

    def __init__(self) -> None:
        super().__init__()
        self._first: dict[str, Place] = {}
        self._shared: defaultdict[str, set[Place]] = defaultdict(set)
        self._orphans = Orphans()

    def see(self, event: Recorded[Any]) -> None:
        if isinstance(event.data, orphans.EVENTS):
            self._orphans.see(event)
            return
        reference: str | None = event.data.provider_ref
        if not reference:
            return
        place = Place.of(event)
        first = self._first.setdefault(reference, place)
        if first.stream != event.stream:
            self._shared[reference] |= {first, place}

    def finish(self) -> None:
        for orphan in self._orphans.all.values():
            of_order = self._first.get(orphan.received.provider_ref)
            if of_order and not orphan.matched:
                self._shared[orphan.received.provider_ref] |= {of_order, orphan.place}
        for reference, places in self._shared.items():
            first, *later = sorted(places)
            second = next(place for place in later if place.stream != first.stream)
            self.blame(f"payment {reference}", f"belongs to {first.stream} already", second, Kind.DUPLICATED)


class ProviderAgrees(Law):
    """L10: the provider's own ledger says what the orders say, to the cent, for every intent.

    `entry` takes the ledger's lines, before, between or after the events. What fits no order counts as what
    it is, the refund or the release of an orphan payment included. `sums` tells what was compared.
    """

    number = "L10"
    claim = (
        "per intent, authorized, captured, voided and refunded = the provider's ledger; refunds <= captures"
    )
    listens = (
        OrderPlaced,
        PaymentAuthorized,
        PaymentCaptured,
        PaymentVoided,
        LatePaymentReceived,
        RefundIssued,
        RefundFailed,
        *orphans.EVENTS,
    )

    def __init__(self) -> None:
        super().__init__()
        self._orphans = Orphans()
        self._references: dict[str, str] = {}
        self._sums: Counter[str] = Counter()
        self._orders: set[str] = set()
        self._balance: Balance[tuple[str, str, str]] = Balance()
        self._currency: dict[UUID, str] = {}
        self._authorized: set[UUID] = set()
        self._intent_of: dict[UUID, UUID] = {}
        self._paid_back: set[tuple[UUID, UUID]] = set()
        self._left: defaultdict[str, int] = defaultdict(int)

    def see(self, event: Recorded[Any]) -> None:
        if isinstance(event.data, orphans.EVENTS):
            self._orphans.see(event)
            return
        match event.data:
            case OrderPlaced(currency=currency):
                self._currency[order_of(event)] = currency
            case PaymentAuthorized(intent_id=intent, amount=amount):
                self._authorized.add(intent)
                self._ours(event, intent, "AUTHORIZED", amount)
            case LatePaymentReceived(kind=LatePaymentKind.AUTHORIZED, intent_id=intent, amount=amount):
                self._authorized.add(intent)
                self._ours(event, intent, "AUTHORIZED", amount)
            case PaymentCaptured(intent_id=UUID()) | LatePaymentReceived() as taken:
                self._captured(event, taken)
            case PaymentVoided(intent_id=intent, amount=amount):
                self._ours(event, intent, "VOIDED", amount)
            case (
                RefundIssued(refund_id=refund, allocations=parts) | RefundFailed(refund_id=refund, paid=parts)
            ):
                for part in parts:
                    self._refunded(event, refund, part)

    def _captured(self, event: Recorded[Any], taken: PaymentCaptured | LatePaymentReceived) -> None:
        """What nobody had authorized before was authorized and captured at once."""
        assert taken.intent_id is not None
        assert taken.capture_id is not None
        if taken.intent_id not in self._authorized:
            self._authorized.add(taken.intent_id)
            self._ours(event, taken.intent_id, "AUTHORIZED", taken.amount)
        self._intent_of[taken.capture_id] = taken.intent_id
        self._ours(event, taken.intent_id, "CAPTURED", taken.amount)

    def _refunded(self, event: Recorded[Any], refund: UUID, part: PaidAllocation) -> None:
        """A part of a refund, which its failures may have told before."""
        captured_of = self._intent_of.get(part.capture_id)
        if captured_of and (refund, part.capture_id) not in self._paid_back:
            self._paid_back.add((refund, part.capture_id))
            self._ours(event, captured_of, "REFUNDED", part.amount)

    def _ours(self, event: Recorded[Any], intent: UUID, kind: str, amount: int) -> None:
        currency = self._currency.get(order_of(event), "?")
        self._orders.add(event.stream)
        self._sums[f"{kind.lower()} by orders"] += amount
        self._balance.plus((str(intent), kind, currency), amount, Place.of(event))

    def sums(self) -> dict[str, int]:
        """How many orders and orphan payments were compared, and their money by what became of it."""
        return {"orders": len(self._orders), "orphan payments": len(self._orphans.all), **self._sums}

    def entry(self, kind: str, reference: str, amount: int, currency: str, provider_ref: str) -> None:
        """A line of the provider's ledger; `reference` is the shop's intent id, `provider_ref` the payment's,
        capture's or refund's id there."""
        self._references[provider_ref] = reference
        self._balance.minus((reference, kind, currency), amount, None)
        if kind in {"CAPTURED", "REFUNDED"}:
            self._left[reference] += amount if kind == "CAPTURED" else -amount
            if self._left[reference] < 0:
                told = f"the provider paid back {-self._left[reference]} more than it captured"
                self.blame(f"intent {reference}", told, None, Kind.DUPLICATED)

    def finish(self) -> None:
        authorized = {str(intent) for intent in self._authorized}
        for reference, kind, currency, amount, place in self._orphans.entries(self._references, authorized):
            self._sums[f"{kind.lower()} by orphans"] += amount
            self._balance.plus((reference, kind, currency), amount, place)
        for (reference, kind, currency), amount, first in self._balance.uneven():
            who = "the shop says" if amount > 0 else "the provider's ledger says"
            told = f"{who} {abs(amount)} {currency} more {kind}"
            self.blame(f"intent {reference}, {kind} {currency}", told, first)


LAWS: tuple[type[Law], ...] = (ProviderAgrees, OnePaymentOneOrder)
