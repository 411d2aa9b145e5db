"""Laws of money: what was taken is kept or paid back, and nothing stays authorized in the end."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import UUID

from cli.laws.law import Kind, Law, Place, order_of
from shared.events.envelope import Recorded
from shared.events.orders import (
    LatePaymentKind,
    LatePaymentReceived,
    OrderCancelled,
    OrderCompleted,
    OrderEdited,
    OrderPlaced,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRequested,
    PaymentVoided,
    RefundCause,
    RefundFailed,
    RefundIssued,
    RefundRequested,
)


@dataclass(slots=True)
class _Till:
    """One order's money: taken, paid back, and what each refund claims of it."""

    taken: int = 0
    paid_back: int = 0
    claims: dict[UUID, int] = field(default_factory=dict)
    issued: set[UUID] = field(default_factory=set)


class NoMoreBackThanTaken(Law):
    """L7: an order's refunds never exceed what was taken, and each refund is paid once."""

    number = "L7"
    claim = "captured + captured late - refunded >= 0; refunds requested and not failed <= captured"
    listens = (PaymentCaptured, LatePaymentReceived, RefundRequested, RefundIssued, RefundFailed)

    def __init__(self) -> None:
        super().__init__()
        self._tills: defaultdict[UUID, _Till] = defaultdict(_Till)

    def see(self, event: Recorded[Any]) -> None:
        order = order_of(event)
        till = self._tills[order]
        match event.data:
            case (
                PaymentCaptured(amount=amount)
                | LatePaymentReceived(kind=LatePaymentKind.CAPTURED, amount=amount)
            ):
                till.taken += amount
            case RefundRequested(refund_id=refund, amount=amount):
                till.claims[refund] = amount
            case RefundFailed(refund_id=refund):
                till.claims.pop(refund, None)
            case RefundIssued(refund_id=refund, amount=amount):
                till.paid_back += amount
                till.claims[refund] = amount
                if refund in till.issued:
                    self.blame(
                        f"order {order}", f"refund {refund} is paid a second time", event, Kind.DUPLICATED
                    )
                till.issued.add(refund)
        if till.paid_back > till.taken:
            told = f"{till.paid_back} paid back of {till.taken} taken"
            self.blame(f"order {order}", told, event, Kind.DUPLICATED)
        if sum(till.claims.values()) > till.taken:
            told = f"refunds of {sum(till.claims.values())} asked for, {till.taken} taken"
            self.blame(f"order {order}", told, event)


@dataclass(slots=True)
class _Intent:
    """One payment intent: what the provider held for us and what became of it."""

    multicapture: bool = True
    held: int = 0
    used: int = 0
    captures: int = 0

    def take(self, amount: int) -> None:
        """Money was captured; where nothing was authorized before, this did both."""
        if not self.held:
            self.held = amount
        self.used += amount


class _IntentLaw(Law):
    """What the laws about authorizations share: the intents of each order and the event that ended it."""

    listens: ClassVar[tuple[type, ...]] = (
        PaymentRequested,
        PaymentAuthorized,
        PaymentDeclined,
        PaymentCaptured,
        PaymentVoided,
        LatePaymentReceived,
        OrderCancelled,
        OrderCompleted,
    )

    def __init__(self) -> None:
        super().__init__()
        self._intents: defaultdict[UUID, dict[UUID, _Intent]] = defaultdict(dict)
        self._ended: dict[UUID, Place] = {}

    def see(self, event: Recorded[Any]) -> None:
        order, intents = order_of(event), self._intents[order_of(event)]
        match event.data:
            case PaymentAuthorized(intent_id=intent) as authorized:
                entry = intents.setdefault(intent, _Intent())
                entry.multicapture = authorized.multicapture
                entry.held += authorized.amount
            case PaymentCaptured(intent_id=UUID() as intent, amount=amount):
                entry = intents.setdefault(intent, _Intent())
                entry.captures += 1
                entry.take(amount)
            case LatePaymentReceived(kind=LatePaymentKind.CAPTURED) as late:
                intents.setdefault(late.intent_id, _Intent()).take(late.amount)
            case LatePaymentReceived() as late:
                intents.setdefault(late.intent_id, _Intent()).held += late.amount
            case PaymentVoided(intent_id=intent, amount=amount):
                intents.setdefault(intent, _Intent()).used += amount
            case OrderCancelled() | OrderCompleted():
                self._ended.setdefault(order, Place.of(event))


class AuthorizationsAreUsedUp(_IntentLaw):
    """L9: an authorization is captured or let go, never beyond its amount, and one intent is open at a time.

    Money authorized late is held like any other and let go as LATE. A provider that captures at once
    authorizes with the same event.
    """

    number = "L9"
    claim = "per intent, authorized >= captured + voided, equal once the order is finished; one intent open"

    def __init__(self) -> None:
        super().__init__()
        self._open: dict[UUID, UUID] = {}

    def see(self, event: Recorded[Any]) -> None:
        super().see(event)
        order, data = order_of(event), event.data
        intent_id: UUID | None = getattr(data, "intent_id", None)
        if intent_id is None:
            return
        if isinstance(data, PaymentRequested):
            if order in self._open:
                told = f"intent {intent_id} asked for while {self._open[order]} is open"
                self.blame(f"order {order}", told, event, Kind.DUPLICATED)
            self._open[order] = intent_id
        elif self._open.get(order) == intent_id:
            del self._open[order]
        intent = self._intents[order].get(intent_id)
        if intent is None:
            return
        if intent.used > intent.held:
            told = f"{intent.used} captured and voided of {intent.held} authorized"
            self.blame(f"intent {intent_id}", told, event)
        if intent.captures > 1 and not intent.multicapture:
            self.blame(f"intent {intent_id}", "captured twice without multicapture", event, Kind.DUPLICATED)

    def finish(self) -> None:
        for order, place in self._ended.items():
            for intent_id, intent in self._intents[order].items():
                if intent.held != intent.used:
                    told = (
                        f"{intent.held - intent.used} of {intent.held} neither captured nor voided at the end"
                    )
                    self.blame(f"intent {intent_id}", told, place)


@dataclass(slots=True)
class _Account:
    """One order's end in money. `given_up`: refunds that cannot be paid and wait for a person; `of_edits`:
    refunds of what an edit made cheaper."""

    total: int = 0
    captured: int = 0
    late: int = 0
    paid_back: int = 0
    edited: int = 0
    asked: dict[UUID, int] = field(default_factory=dict)
    of_edits: set[UUID] = field(default_factory=set)
    given_up: dict[UUID, int] = field(default_factory=dict)
    completed: bool = False


class EndedOrdersAreSquare(_IntentLaw):
    """L8: a cancelled order keeps no money and holds none, a completed order was paid exactly its total.

    Money of a cancelled order, or of an edit, whose refund the provider refuses for good is a person's to pay
    back; it counts as open there, not as kept.
    """

    number = "L8"
    claim = "cancelled: balance 0 and nothing authorized; completed: captured - edit refunds = last total"
    listens = (*_IntentLaw.listens, OrderPlaced, OrderEdited, RefundRequested, RefundIssued, RefundFailed)

    def __init__(self) -> None:
        super().__init__()
        self._accounts: defaultdict[UUID, _Account] = defaultdict(_Account)

    def see(self, event: Recorded[Any]) -> None:
        super().see(event)
        account = self._accounts[order_of(event)]
        match event.data:
            case OrderPlaced(totals=totals) | OrderEdited(totals=totals):
                account.total = totals.total
            case PaymentCaptured(amount=amount):
                account.captured += amount
            case LatePaymentReceived(kind=LatePaymentKind.CAPTURED, amount=amount):
                account.late += amount
            case RefundRequested(refund_id=refund, amount=amount, cause=cause):
                account.asked[refund] = amount
                account.given_up.pop(refund, None)
                if cause is RefundCause.EDIT:
                    account.of_edits.add(refund)
            case RefundIssued(refund_id=refund, amount=amount, cause=cause):
                account.paid_back += amount
                account.edited += amount if cause is RefundCause.EDIT else 0
                account.given_up.pop(refund, None)
            case RefundFailed(refund_id=refund, retryable=False) if refund in account.asked:
                account.given_up[refund] = account.asked[refund]
            case OrderCompleted():
                account.completed = True

    def finish(self) -> None:
        for order, place in self._ended.items():
            account = self._accounts[order]
            open_edits = sum(account.given_up.get(refund, 0) for refund in account.of_edits)
            kept = account.captured - account.edited - open_edits
            if account.completed:
                if kept != account.total:
                    self.blame(f"order {order}", f"{kept} paid of {account.total}", place)
                continue
            balance = account.captured + account.late - account.paid_back - sum(account.given_up.values())
            held = sum(intent.held - intent.used for intent in self._intents[order].values())
            if balance or held:
                told = f"cancelled with {balance} kept and {held} authorized"
                self.blame(f"order {order}", told, place, Kind.LOST)


LAWS: tuple[type[Law], ...] = (NoMoreBackThanTaken, EndedOrdersAreSquare, AuthorizationsAreUsedUp)
