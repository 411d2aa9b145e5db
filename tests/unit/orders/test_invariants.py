"""The laws of an order hold after any sequence of commands and timers, and every order comes to rest."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from services.orders.domain import (
    CancelOrder,
    CapturePayment,
    ConfirmDelivery,
    Order,
    OrderCommand,
    RecordCaptureResult,
    RecordPaymentAuthorized,
    RecordPaymentCaptured,
    RecordPaymentDeclined,
    RecordRefundResult,
    RecordVoided,
    RequestPayment,
    RequestRefund,
    RetryRefund,
    SecureStock,
    Ship,
    StartProcessing,
)
from services.orders.domain.deadlines import EffectKind, EffectWanted, deadlines, on_deadline
from services.orders.domain.state import CaptureStatus, IntentStatus, OrderStatus, RefundStatus
from shared.domain import Rejected
from shared.events.common import Breakdown, CancelReason, Qty, RefundLine, RefundLineKind
from shared.events.orders import (
    DeclineCode,
    DeliveryProof,
    IntentPurpose,
    OrderCancelled,
    OrderEvent,
    RefundCause,
    Shipped,
)
from shared.testing.scenario import NOW
from tests.unit.orders import samples as s

AMOUNTS = st.sampled_from([1, 333, 1000, s.DUE_1, s.TOTAL - s.DUE_1, s.TOTAL, s.TOTAL, s.TOTAL + 1])
PACES = st.sampled_from([timedelta(0), timedelta(0), timedelta(minutes=10), timedelta(days=1)])
UNITS = st.dictionaries(st.sampled_from([s.MUGS, s.PLATES]), st.integers(1, 3))
STARTS = (s.WAITING_FOR_STOCK, s.WAITING_FOR_PAYMENT, s.IN_PROCESSING, s.PARTLY_SHIPPED, s.AT_ITS_END)
KINDS = st.sampled_from([RefundLineKind.RETURN, RefundLineKind.RETURN, *RefundLineKind])
REFUNDS = (UUID(int=700), UUID(int=701), UUID(int=702))
REQUESTS = st.sampled_from([UUID(int=800), UUID(int=801)])


class Life:
    """An order that anything may happen to, and everything that did."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.now = NOW
        self.log: list[OrderEvent] = list(data.draw(st.sampled_from(STARTS)))
        self.order: Order = s.fold(*self.log)

    def apply(self, command: OrderCommand) -> list[OrderEvent]:
        """The command's events, none if it is refused; repeating it must not change anything known."""
        try:
            events = list(s.ORDER.decide(self.order, command))
        except Rejected:
            return []
        for event in events:
            self.order = s.ORDER.evolve(self.order, event, self.now)
        self.log += events
        return events

    def any_of(self, known: Iterable[UUID]) -> UUID:
        """One of the ids that the order knows, mostly."""
        drawn: UUID = self.data.draw(st.sampled_from([*known, s.OTHER_ID]))
        return drawn

    def one_of(self, commands: list[OrderCommand]) -> OrderCommand:
        """Whichever comes first."""
        return self.data.draw(st.sampled_from(commands))

    def money_in(self) -> OrderCommand:
        """What buyer, provider and operator may do about paying."""
        at: dict[str, Any] = {"order_id": s.ORDER_ID, "now": self.now}
        intent, capture = self.any_of(self.order.intents), self.any_of(self.order.captures)
        amount, coin = self.data.draw(AMOUNTS), self.data.draw(st.booleans())
        return self.one_of(
            [
                RequestPayment(purpose=IntentPurpose.ORDER, **at),
                RequestPayment(purpose=IntentPurpose.REAUTHORIZATION, **at),
                RecordPaymentAuthorized(
                    intent_id=intent,
                    amount=amount,
                    provider_ref="pi",
                    method_label="Visa",
                    multicapture=coin,
                    authorized_until=self.now + timedelta(days=7),
                    **at,
                ),
                RecordPaymentCaptured(intent_id=intent, amount=amount, provider_ref="ch", **at),
                RecordPaymentDeclined(intent_id=intent, code=DeclineCode.DECLINED, **at),
                RecordVoided(intent_id=intent, **at),
                CapturePayment(request_id=self.data.draw(REQUESTS), amount=amount, **at),
                RecordCaptureResult(capture_id=capture, ok=True, provider_ref="ch", **at),
                RecordCaptureResult(capture_id=capture, ok=False, final=coin, **at),
            ]
        )

    def money_back(self) -> OrderCommand:
        """What returns, operators and the provider may do about refunds."""
        at: dict[str, Any] = {"order_id": s.ORDER_ID, "now": self.now}
        refund, amount = self.any_of([*self.order.refunds, *REFUNDS]), self.data.draw(AMOUNTS)
        lines = tuple(
            RefundLine(line_id=line_id, quantity=quantity, kind=self.data.draw(KINDS))
            for line_id, quantity in self.data.draw(st.just({}) | UNITS).items()
        )
        ask = RequestRefund(
            refund_id=refund,
            amount=amount,
            breakdown=Breakdown(items_net=amount, items_tax=0, shipping_net=0, shipping_tax=0, total=amount),
            lines=lines,
            cause=RefundCause.RETURN,
            ref_id=s.RETURN_ID,
            **at,
        )
        return self.one_of(
            [
                ask,
                RetryRefund(refund_id=refund, **at),
                RecordRefundResult(refund_id=refund, ok=True, **at),
                RecordRefundResult(refund_id=refund, ok=False, **at),
            ]
        )

    def goods(self) -> OrderCommand:
        """What inventory, warehouse and carrier may do."""
        at: dict[str, Any] = {"order_id": s.ORDER_ID, "now": self.now}
        units = self.data.draw(UNITS)
        parcel = Ship(
            fulfillment_id=self.any_of(self.order.fulfillments),
            parcel_no=self.data.draw(st.integers(1, 4)),
            lines=tuple(Qty(line_id=line_id, quantity=quantity) for line_id, quantity in units.items()),
            **at,
        )
        arrived = ConfirmDelivery(
            shipment_id=self.any_of(self.order.shipments), proof=DeliveryProof.CARRIER, **at
        )
        secure, start = SecureStock(placed=s.HELD, **at), StartProcessing(**at)
        return self.one_of([secure, start, parcel, parcel, arrived])

    def timer(self) -> OrderCommand | None:
        """The answer of a timer that is due by its own clock, if it is a command."""
        timers = deadlines(self.order, s.POLICY)
        if not timers:
            return None
        name = self.data.draw(st.sampled_from(sorted(timers)))
        self.now = max(self.now, timers[name])
        answer = on_deadline(self.order, name, self.now, s.POLICY)
        return None if isinstance(answer, EffectWanted) else answer

    def step(self) -> None:
        """Something happens."""
        self.now += self.data.draw(PACES)
        what = self.data.draw(
            st.sampled_from(["in", "in", "back", "back", "goods", "goods", "timer", "cancel"])
        )
        command: OrderCommand | None
        match what:
            case "in":
                command = self.money_in()
            case "back":
                command = self.money_back()
            case "goods":
                command = self.goods()
            case "timer":
                command = self.timer()
            case _:
                command = CancelOrder(order_id=s.ORDER_ID, reason=CancelReason.STAFF, now=self.now)
        if command is not None:
            self.apply(command)


def check(life: Life) -> None:
    """The invariants of an order."""
    order = life.order
    assert sum(i.status is IntentStatus.OPEN for i in order.intents.values()) <= 1
    for intent in order.intents.values():
        wanted = [c for c in order.captures_of(intent) if not c.late]
        assert sum(c.amount for c in wanted) + intent.voided <= intent.authorized
        assert intent.multicapture or len(wanted) <= 1
    taken: dict[UUID, int] = {
        c.capture_id: c.amount for c in order.captures.values() if c.status is CaptureStatus.DONE
    }
    assert order.captured + order.late == sum(taken.values())
    for refund in order.refunds.values():
        assert sum(part.amount for part in refund.allocations) in (0, refund.amount)
        for part in refund.allocations:
            taken[part.capture_id] -= part.amount
    assert all(left >= 0 for left in taken.values())
    for line_id, line in order.lines.items():
        assert line.delivered <= line.shipped <= line.requested <= line.ordered or order.cancelled
        back = order.refunding(line_id, RefundLineKind.RETURN, RefundLineKind.CLAIM)
        assert line.refunded <= back <= line.shipped
        removed = order.refunding(line_id, RefundLineKind.REMOVED)
        assert removed <= (line.ever_ordered if order.cancelled else 0)
    types = [type(event) for event in life.log]
    if OrderCancelled in types:
        assert Shipped not in types
        assert types.count(OrderCancelled) == 1
    if not order.cancelled and not any(i.void_cause for i in order.intents.values()):
        assert order.due <= order.captured + order.in_flight


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_laws_hold_whatever_happens(data: st.DataObject) -> None:
    life = Life(data)
    for _ in range(data.draw(st.integers(5, 40))):
        life.step()
        check(life)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_left_alone_with_a_willing_provider_every_order_comes_to_rest(data: st.DataObject) -> None:
    """From any state, timers and provider answers alone lead to a state that waits for nobody's money."""
    life = Life(data)
    for _ in range(data.draw(st.integers(0, 25))):
        life.step()
    for _ in range(200):
        if not (answer := next_answer(life)):
            break
        life.apply(answer)
        check(life)
    order = life.order
    assert not deadlines(order, s.POLICY)
    assert order.status not in {OrderStatus.PLACED, OrderStatus.CONFIRMED}
    assert order.open_intent is None
    assert all(c.status is not CaptureStatus.REQUESTED for c in order.captures.values())
    assert all(r.status is not RefundStatus.REQUESTED and not r.retryable for r in order.refunds.values())
    if order.cancelled:
        assert not any(order.rest(intent) for intent in order.intents.values())


def next_answer(life: Life) -> OrderCommand | None:
    """What the earliest timer calls for, or the provider's answer to the call that it makes."""
    timers = deadlines(life.order, s.POLICY)
    if not timers:
        return None
    name = min(timers, key=lambda timer: (timers[timer], timer))
    life.now = max(life.now, timers[name])
    answer = on_deadline(life.order, name, life.now, s.POLICY)
    assert answer is not None
    if not isinstance(answer, EffectWanted):
        return answer
    if answer.kind is EffectKind.CLOSE_INTENT:
        return RecordPaymentDeclined(
            order_id=s.ORDER_ID, intent_id=answer.target, code=DeclineCode.TIMEOUT, now=life.now
        )
    return RecordCaptureResult(order_id=s.ORDER_ID, capture_id=answer.target, ok=True, now=life.now)
