"""Orders' OrphanPayment: money that fits no order goes to one order or back, never both."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import rule

from services.orders.domain import OrderPolicy
from services.orders.domain.orphan import (
    MatchOrphanPayment,
    OrphanCommand,
    OrphanPayment,
    RecordOrphanPayment,
    RecordOrphanRefundResult,
    RefundOrphanPayment,
    orphan_decider,
)
from services.orders.readmodels.orphan_payments import ORPHAN_PAYMENTS
from shared.domain import ids
from shared.events import orphan_payments
from shared.events.orphan_payments import OrphanPaymentKind
from shared.events.registry import Registry
from tests.property.machine import ACCEPTED, AggregateMachine, Decision, uid
from tests.property.profiles import PROFILE

POLICY = OrderPolicy()
ORPHAN = orphan_decider(POLICY)
REFERENCES = ("pay_1", "pay_2")
ORPHANS = tuple(ids.orphan_payment_id("sandbox", reference) for reference in REFERENCES)
orphans = st.sampled_from(ORPHANS)
SETTLED = frozenset({"orphan_settled"})


@dataclass
class Money:
    """One payment: where it is, and how often it was sent back."""

    amount: int
    status: str = "RECEIVED"
    tries: int = 0
    order: UUID | None = None


class NaiveOrphans:
    """Where each payment is."""

    def __init__(self) -> None:
        self.known: dict[UUID, Money] = {}

    def tell(self, command: OrphanCommand) -> frozenset[str]:
        if isinstance(command, RecordOrphanPayment):
            if command.amount:
                self.known.setdefault(command.orphan_id, Money(command.amount))
            return ACCEPTED
        money = self.known.get(command.orphan_id)
        if money is None:
            return frozenset({"unknown_orphan_payment"})
        match command:
            case MatchOrphanPayment(order_id=order):
                if money.order != order and money.status != "RECEIVED":
                    return SETTLED
                money.status, money.order = "MATCHED", order
            case RefundOrphanPayment():
                if money.status in {"REFUNDED", "MATCHED"}:
                    return SETTLED
                money.tries += money.status != "REFUNDING"
                money.status = "REFUNDING"
            case RecordOrphanRefundResult(ok=True):
                if money.status != "MATCHED":
                    money.status = "REFUNDED"
            case RecordOrphanRefundResult(attempt=attempt):
                if money.status == "REFUNDING" and attempt in {None, money.tries}:
                    money.status = "FAILED"
        return ACCEPTED


class OrphanMachine(AggregateMachine):
    deciders = (ORPHAN,)
    registry = Registry.of(orphan_payments)
    read_models = (ORPHAN_PAYMENTS,)

    def __init__(self) -> None:
        super().__init__()
        self.model: NaiveOrphans = NaiveOrphans()

    def decide(self, command: Any) -> Decision:
        stream = ORPHAN.stream(command.orphan_id)
        return [(stream, event) for event in ORPHAN.decide(self.states.get(stream), command)]

    @rule(
        reference=st.sampled_from(REFERENCES),
        kind=st.sampled_from(OrphanPaymentKind),
        amount=st.integers(0, 10_000),
        claimed=st.none() | st.text(max_size=10),
    )
    def the_provider_tells_of_it(
        self, reference: str, kind: OrphanPaymentKind, amount: int, claimed: str | None
    ) -> None:
        self.tell(
            RecordOrphanPayment(
                kind=kind,
                provider="sandbox",
                provider_ref=reference,
                amount=amount,
                currency="GBP",
                claimed_order=claimed,
                now=self.now,
            )
        )

    @rule(orphan=orphans, order=st.integers(1, 2))
    def an_order_fits(self, orphan: UUID, order: int) -> None:
        self.tell(MatchOrphanPayment(orphan_id=orphan, order_id=uid("order", order), now=self.now))

    @rule(orphan=orphans)
    def it_is_sent_back(self, orphan: UUID) -> None:
        self.tell(RefundOrphanPayment(orphan_id=orphan, now=self.now))

    @rule(orphan=orphans, ok=st.booleans(), attempt=st.none() | st.integers(1, 6))
    def the_provider_answers(self, orphan: UUID, ok: bool, attempt: int | None) -> None:
        self.tell(RecordOrphanRefundResult(orphan_id=orphan, ok=ok, attempt=attempt, now=self.now))

    def compare(self) -> None:
        for orphan in ORPHANS:
            state: OrphanPayment | None = self.states.get(ORPHAN.stream(orphan))
            money = self.model.known.get(orphan)
            if state is None or money is None:
                assert (state, money) == (None, None)
                continue
            assert (state.status, state.amount, state.attempts, state.order_id) == (
                money.status,
                money.amount,
                money.tries,
                money.order,
            )
            assert state.retryable == (money.status == "FAILED" and money.tries < POLICY.max_refund_attempts)


TestOrphan = OrphanMachine.TestCase
TestOrphan.settings = PROFILE
