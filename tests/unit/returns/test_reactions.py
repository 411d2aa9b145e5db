"""What returns does about an event of orders, and about its own."""

from dataclasses import replace
from typing import Any

import pytest

from services.returns.commands import DecideDue, ProposeForReceipt, streams
from services.returns.domain.return_state import Return, ReturnStatus
from services.returns.domain.returnable import NoteOrderFact
from services.returns.domain.returns import CloseReturn
from services.returns.reactions import due, follow_up, react
from shared.domain import Sealed
from shared.events.common import Breakdown, CancelReason, Charge, Contact, Destination, Qty, Totals
from shared.events.envelope import SYSTEM, Recorded, event_id
from shared.events.orders import (
    Delivered,
    DeliveryProof,
    EditCause,
    OrderCancelled,
    OrderCompleted,
    OrderEdited,
    OrderPlaced,
    OrderSource,
    RefundCause,
    RefundFailed,
    RefundFailureCode,
    RefundIssued,
    ShipmentMethod,
    Shipped,
    SourceKind,
)
from shared.events.returns import Disposition, ReturnOutcome, ReturnReceived
from shared.events.returns import ReturnClosed as Closed
from shared.messaging.subscription import Do
from shared.store import todo
from shared.testing.scenario import NOW
from tests.unit.returns.samples import LOCATION, MUGS, ORDER, PARCEL, RECEIPT, RETURN_ID, scan

PLACED = OrderPlaced(
    order_number="A7K3F-92QXM",
    source=OrderSource(kind=SourceKind.CART, ref_id=ORDER),
    contact=Contact(subject_id=ORDER, name=Sealed("n"), email=Sealed("e")),
    destination=Destination(country="GB", complete=True, address=Sealed("a")),
    lines=(),
    shipping=Charge(method_id="standard", title="Standard", net=0, tax=0, gross=0),
    totals=Totals(items_net=0, items_tax=0, shipping_net=0, shipping_tax=0, discount=0, total=0),
    currency="GBP",
    locale="en",
    pricing_version=1,
    stock_answer_by=NOW,
)
EDITED = OrderEdited(
    edit_id=RECEIPT,
    revision=1,
    cause=EditCause.CUSTOMER,
    lines=(),
    shipping=PLACED.shipping,
    total_before=0,
    totals=PLACED.totals,
    raises_stock=False,
)
SHIPPED = Shipped(
    shipment_id=PARCEL, fulfillment_id=ORDER, method=ShipmentMethod.CARRIER, lines=(), last=True
)
DELIVERED = Delivered(
    shipment_id=PARCEL,
    lines=(Qty(line_id=MUGS, quantity=3),),
    delivered_at=NOW,
    proof=DeliveryProof.CARRIER,
)
CANCELLED = OrderCancelled(reason=CancelReason.CUSTOMER, stock_tracked=True, revision=0)
ISSUED = RefundIssued(
    refund_id=RECEIPT,
    amount=10,
    breakdown=Breakdown(items_net=10, items_tax=0, shipping_net=0, shipping_tax=0, total=10),
    cause=RefundCause.RETURN,
    ref_id=RETURN_ID,
    allocations=(),
)
FAILED = RefundFailed(
    refund_id=RECEIPT, amount=10, code=RefundFailureCode.PROVIDER_REFUSED, retryable=False, attempt=5
)
RECEIVED = ReturnReceived(
    order_id=ORDER, receipt_id=RECEIPT, location_id=LOCATION, lines=(scan(),), complete=False
)
CLOSE = todo.command(CloseReturn(return_id=RETURN_ID, now=NOW), f"return-{RETURN_ID}")
PROPOSE = todo.command(
    ProposeForReceipt(order_id=ORDER, return_id=RETURN_ID, receipt_id=RECEIPT), f"return-{RETURN_ID}"
)


def recorded(data: Any, stream: str) -> Recorded[Any]:
    """The event as the first of its stream."""
    return Recorded(
        stream=stream,
        version=1,
        event_id=event_id(1, stream, 1),
        type=type(data).__name__,
        schema_version=1,
        occurred_at=NOW,
        correlation_id=ORDER,
        causation_id=None,
        actor=SYSTEM,
        epoch=1,
        data=data,
    )


@pytest.mark.parametrize("fact", [PLACED, EDITED, SHIPPED, DELIVERED, CANCELLED, FAILED])
def test_orders_facts_are_noted(fact: Any) -> None:
    note = NoteOrderFact(order_id=ORDER, fact=fact)

    assert list(react(recorded(fact, f"order-{ORDER}"))) == [Do(note)]
    assert list(streams(note)) == [f"returnable-{ORDER}"]


def test_a_paid_refund_is_noted_and_may_end_its_return() -> None:
    assert list(react(recorded(ISSUED, f"order-{ORDER}"))) == [
        Do(NoteOrderFact(order_id=ORDER, fact=ISSUED)),
        CLOSE,
    ]


@pytest.mark.parametrize("cause", [RefundCause.GOODWILL, RefundCause.CANCEL, RefundCause.LATE_PAYMENT])
def test_a_refund_for_no_return_ends_none(cause: RefundCause) -> None:
    issued = replace(ISSUED, cause=cause)

    assert list(react(recorded(issued, f"order-{ORDER}"))) == [Do(NoteOrderFact(order_id=ORDER, fact=issued))]


def test_other_events_of_orders_mean_nothing() -> None:
    completed = OrderCompleted(delivered_units=1, lost_units=0)

    assert list(react(recorded(completed, f"order-{ORDER}"))) == []


@pytest.mark.parametrize(
    ("dispositions", "complete", "wanted"),
    [
        ((Disposition.RESTOCKED,), False, [PROPOSE]),
        ((Disposition.RESTOCKED, Disposition.MISSING), True, [PROPOSE, CLOSE]),
        ((Disposition.NOT_RESTOCKED,), True, [PROPOSE, CLOSE]),
        ((Disposition.PROCESSING_REQUIRED,), False, []),
        ((Disposition.MISSING,), True, [CLOSE]),
    ],
)
def test_a_receipt_is_paid_for_and_a_complete_return_may_end(
    dispositions: tuple[Disposition, ...], complete: bool, wanted: list[todo.Wanted]
) -> None:
    lines = tuple(scan(disposition=disposition) for disposition in dispositions)
    received = replace(RECEIVED, lines=lines, complete=complete)

    assert list(follow_up(recorded(received, f"return-{RETURN_ID}"))) == wanted


def test_other_own_events_want_nothing() -> None:
    closed = Closed(order_id=ORDER, outcome=ReturnOutcome.COMPLETED)

    assert list(follow_up(recorded(closed, f"return-{RETURN_ID}"))) == []


def test_a_deadline_looks_at_the_orders_returns() -> None:
    state = Return(
        order_id=ORDER,
        status=ReturnStatus.OPEN,
        lines={},
        refundable=True,
        policy_version=1,
        answer_by=NOW,
        receive_by=NOW,
    )

    assert due(state, "receive_by", NOW) == DecideDue(order_id=ORDER, timer="receive_by")
