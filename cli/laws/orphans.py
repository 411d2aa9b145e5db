"""Laws of money that fits no order: it goes back, or its order turns up; and how it shows in a ledger."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cli.laws.law import Kind, Law, Place
from shared.events.envelope import Recorded
from shared.events.orphan_payments import (
    OrphanPaymentKind,
    OrphanPaymentMatched,
    OrphanPaymentReceived,
    OrphanPaymentRefunded,
    OrphanPaymentRefundFailed,
    OrphanPaymentRefundRequested,
)

EVENTS = (
    OrphanPaymentReceived,
    OrphanPaymentMatched,
    OrphanPaymentRefundRequested,
    OrphanPaymentRefunded,
    OrphanPaymentRefundFailed,
)
_AT_LAST = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class Orphan:
    """One orphan payment: what came, what went back, and whether it is an order's by now."""

    received: OrphanPaymentReceived
    place: Place
    matched: bool = False
    back: list[tuple[int, Place]] = field(default_factory=list)
    given_up: bool = False

    @property
    def settled(self) -> bool:
        """Nothing is open any more, but perhaps for a person."""
        return self.matched or bool(self.back) or self.given_up


class Orphans:
    """The orphan payments of some events, by stream."""

    def __init__(self) -> None:
        self.all: dict[str, Orphan] = {}

    def see(self, event: Recorded[Any]) -> None:
        """Take an event of an orphan payment into account."""
        match event.data:
            case OrphanPaymentReceived() as received:
                self.all[event.stream] = Orphan(received, Place.of(event))
            case OrphanPaymentMatched():
                self.all[event.stream].matched = True
            case OrphanPaymentRefundRequested():
                self.all[event.stream].given_up = False
            case OrphanPaymentRefunded(amount=amount):
                self.all[event.stream].back.append((amount, Place.of(event)))
            case OrphanPaymentRefundFailed(retryable=retryable):
                self.all[event.stream].given_up = not retryable

    def entries(
        self, references: Mapping[str, str], authorized: set[str]
    ) -> Iterator[tuple[str, str, str, int, Place]]:
        """What the provider's ledger has to say of them: reference, kind, currency, amount, event.

        `references` gives the ledger's own reference for a payment; of those in `authorized` somebody else
        accounts for the authorization. What was captured was authorized before, with a webhook or without.
        """
        ours = [orphan for orphan in self.all.values() if not orphan.matched]
        for orphan in sorted(ours, key=lambda each: each.received.kind):
            received, place = orphan.received, orphan.place
            reference = references.get(received.provider_ref, received.provider_ref)
            captured = received.kind is OrphanPaymentKind.CAPTURED
            if reference not in authorized:
                yield reference, "AUTHORIZED", received.currency, received.amount, place
            if captured:
                yield reference, "CAPTURED", received.currency, received.amount, place
            else:
                authorized = authorized | {reference}
            for amount, at in orphan.back:
                yield reference, "REFUNDED" if captured else "VOIDED", received.currency, amount, at


class OrphansGoBack(Law):
    """L20: what came that fits no order went back in full, once, or a person has to see to it.

    Until its `refund_at`, compared with `now`, it may wait; what is matched is its order's.
    """

    number = "L20"
    claim = "per orphan payment, received = refunded once, or matched with an order, or given up for a person"
    listens = EVENTS

    def __init__(self) -> None:
        super().__init__()
        self.orphans = Orphans()
        self.now = _AT_LAST

    def see(self, event: Recorded[Any]) -> None:
        self.orphans.see(event)
        orphan = self.orphans.all[event.stream]
        subject = f"payment {orphan.received.provider_ref}"
        if len(orphan.back) > 1 or (orphan.back and orphan.matched):
            self.blame(subject, "it goes back and is gone already", event, Kind.DUPLICATED)
        captured = orphan.received.kind is OrphanPaymentKind.CAPTURED
        if isinstance(event.data, OrphanPaymentRefunded):
            amount, received = event.data.amount, orphan.received.amount
            if amount > received or (captured and amount != received):
                self.blame(subject, f"{amount} went back of {received}", event)

    def finish(self) -> None:
        for orphan in self.orphans.all.values():
            if not orphan.settled and orphan.received.refund_at < self.now:
                told = f"{orphan.received.amount} {orphan.received.currency} are still here"
                self.blame(f"payment {orphan.received.provider_ref}", told, orphan.place, Kind.LOST)


LAWS: tuple[type[Law], ...] = (OrphansGoBack,)
