"""Returns' ReturnPolicy, Returnable, Return and RefundGrant around one order.

No unit comes back twice and no penny is granted twice, whatever customers, warehouse, Finance and orders say.
"""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from services.notifications.readmodels.mail_occasions import MAIL_OCCASIONS
from services.notifications.readmodels.return_policies import RETURN_POLICIES as TOLD_POLICIES
from services.returns.domain import returnable_events
from services.returns.domain.decisions import (
    ProposeGoodwill,
    ProposeReturnRefund,
    decide_refund,
    decide_return,
    on_deadline,
    refund_id,
)
from services.returns.domain.policy import (
    DEFAULT_TERMS,
    KEY,
    RETURN_POLICY,
    AdoptReturnPolicy,
    ReturnPolicy,
    ReturnTerms,
)
from services.returns.domain.refund import REFUND_GRANT, ApproveRefund, RefundGrant
from services.returns.domain.return_state import Return
from services.returns.domain.returnable import RETURNABLE, NoteOrderFact
from services.returns.domain.returnable_events import ReceiptValued
from services.returns.domain.returnable_state import Returnable
from services.returns.domain.returns import (
    RETURN,
    ApproveReturn,
    CancelReturn,
    CloseReturn,
    DeclineReturn,
    ReceiveReturn,
    RequestReturn,
)
from services.returns.readmodels.refund_queue import REFUND_QUEUE
from services.returns.readmodels.return_policies import RETURN_POLICIES
from services.returns.readmodels.return_view import RETURN_VIEW
from services.returns.readmodels.returnable import RETURNABLE_ROWS
from shared.domain import Sealed
from shared.events import returns
from shared.events.common import Breakdown, CancelReason, Line, Money, Qty, RefundMethod
from shared.events.orders import (
    Delivered,
    DeliveryProof,
    EditCause,
    OrderCancelled,
    OrderEdited,
    OrderPlaced,
    OrderSource,
    RefundCause,
    RefundFailed,
    RefundFailureCode,
    RefundIssued,
    ShipmentMethod,
    Shipped,
    ShippedLine,
    SourceKind,
)
from shared.events.registry import Registry
from shared.events.returns import (
    DeclineReason,
    Disposition,
    PolicyText,
    ReceivedLine,
    RefundApproved,
    RefundProposed,
    RefundShipping,
    RequestedLine,
    ReturnOrigin,
    ReturnReason,
    ReturnReceived,
)
from tests.property.machine import AggregateMachine, Decision, uid
from tests.property.profiles import PROFILE
from tests.property.returns_model import NaiveReturns
from tests.property.strategies import checkouts, one_of_known, paces

ORDER = uid("order")
RETURNS = tuple(uid("return", n) for n in range(3))
SCANS = tuple(uid("scan", n) for n in range(4))
CASES = (uid("case", 1), uid("case", 2))
STAFF = (uid("anna"), uid("ben"), uid("cleo"))
MOMENT = timedelta(microseconds=1)
FAULT = ReturnReason.DEFECTIVE


def pounds(amount: int) -> tuple[Money, ...]:
    return (Money(amount=amount, currency="GBP"),)


TERMS = (
    DEFAULT_TERMS,
    replace(
        DEFAULT_TERMS, refund_shipping=RefundShipping.NEVER, exclusions=(), dual_control_above=pounds(999)
    ),
    replace(
        DEFAULT_TERMS,
        refund_shipping=RefundShipping.PROPORTIONAL,
        restocking_fee_bp=1_500,
        return_shipping_fee=pounds(50),
        exclusions=("SKU-0",),
        auto_refund=False,
        dual_control_above=(),
        window_days=1,
        receive_days=15,
    ),
    replace(
        DEFAULT_TERMS, restocking_fee_bp=10_000, window_days=0, answer_days=0, refund_days=1, ship_days=0
    ),
)
BAD_TERMS = (
    replace(DEFAULT_TERMS, window_days=-1),
    replace(DEFAULT_TERMS, receive_days=13),
    replace(DEFAULT_TERMS, restocking_fee_bp=10_001),
    replace(DEFAULT_TERMS, return_shipping_fee=pounds(-1)),
    replace(DEFAULT_TERMS, dual_control_above=(*pounds(1), *pounds(2))),
    replace(DEFAULT_TERMS, text=PolicyText(en=" ")),
)

data = st.data()
returns_ = st.sampled_from([RETURNS[0], *RETURNS])
scans = st.sampled_from(SCANS)
scanned = st.sampled_from([1, 1, 1, 1, 2, 3, 0])
people = st.sampled_from(STAFF)


class ReturnsMachine(AggregateMachine):
    deciders = (RETURN_POLICY, RETURNABLE, RETURN, REFUND_GRANT)
    registry = Registry.of(returns, returnable_events)
    read_models = (RETURN_VIEW, RETURNABLE_ROWS, REFUND_QUEUE, RETURN_POLICIES, TOLD_POLICIES, MAIL_OCCASIONS)

    model: NaiveReturns

    def __init__(self) -> None:
        super().__init__()
        self.model = NaiveReturns()
        self.edits: list[OrderEdited] = []
        self.to_ship: Counter[UUID] = Counter()
        self.parcels: dict[UUID, tuple[Qty, ...]] = {}
        self.said: set[object] = set()

    @property
    def order(self) -> Returnable | None:
        return self.states.get(RETURNABLE.stream(ORDER))

    @property
    def policy(self) -> ReturnPolicy:
        policy: ReturnPolicy = self.states[RETURN_POLICY.stream(KEY)]
        return policy

    def return_(self, return_id: UUID) -> Return | None:
        return self.states.get(RETURN.stream(return_id))

    def grant(self, key: UUID) -> RefundGrant | None:
        return self.states.get(REFUND_GRANT.stream(key))

    def decide(self, command: Any) -> Decision:
        match command:
            case AdoptReturnPolicy():
                stream = RETURN_POLICY.stream(KEY)
                return [(stream, event) for event in RETURN_POLICY.decide(self.states.get(stream), command)]
            case NoteOrderFact():
                stream = RETURNABLE.stream(ORDER)
                return [(stream, event) for event in RETURNABLE.decide(self.order, command)]
            case ApproveRefund():
                stream = REFUND_GRANT.stream(command.refund_id)
                grant = self.grant(command.refund_id)
                return [(stream, event) for event in REFUND_GRANT.decide(grant, command)]
            case ProposeReturnRefund() | ProposeGoodwill():
                return decide_refund(self.order, self.grant(refund_id(command)), command)
            case _:
                return decide_return(self.order, self.return_(command.return_id), command)

    # What orders say, in the order of their stream, some of it twice

    @initialize(
        checkout=checkouts(ORDER),
        terms=st.sampled_from(TERMS),
        far=st.integers(0, 9),
        data=data,
    )
    def begin(self, checkout: Any, terms: ReturnTerms, far: int, data: st.DataObject) -> None:
        """An order that was placed, shipped, delivered and is about to come back, or not yet."""
        lines = tuple(self.odd(line, data) for line in checkout.lines)
        self.placement = OrderPlaced(
            order_number="A",
            source=OrderSource(kind=SourceKind.CART, ref_id=uid("cart")),
            contact=checkout.contact,
            destination=checkout.destination,
            lines=lines,
            shipping=checkout.shipping,
            totals=checkout.totals,
            currency="GBP",
            locale="en",
            pricing_version=1,
            stock_answer_by=self.now,
        )
        self.tell(AdoptReturnPolicy(terms=terms, now=self.now))
        self.to_ship = Counter({line.line_id: line.quantity for line in lines})
        if far < 9:
            self.fact(self.placement)
        if far < 8:
            self.ship(1, dict(self.to_ship))
        if far < 7:
            self.it_arrives(1)
        if far < 5:
            all_of_it = (
                RequestedLine(line_id=line.line_id, quantity=line.quantity, reason=FAULT) for line in lines
            )
            self.request(RETURNS[0], tuple(all_of_it), auto=far < 4)

    def odd(self, line: Line, data: st.DataObject) -> Line:
        """Some lines are on final sale or made to order, so a policy may exclude them."""
        odd = data.draw(st.integers(0, 7))
        seal = Sealed("v1.anna.nonce.engraved") if odd == 7 else None
        return replace(line, final_sale=odd == 6, customization=seal)

    def fact(self, fact: Any) -> None:
        """Orders' stream holds each of its events once, though it may be heard twice."""
        which = (getattr(fact, name, None) for name in ("shipment_id", "refund_id", "revision"))
        kinds = (type(fact), *which)
        if kinds not in self.said:
            self.said.add(kinds)
            self.heard.append((f"order-{ORDER}", fact, self.now))
        self.tell(NoteOrderFact(order_id=ORDER, fact=fact))

    @rule()
    def the_order_is_placed(self) -> None:
        self.fact(self.placement)

    @precondition(lambda self: self.model.placed and not self.model.cancelled and not self.parcels)
    @rule(checkout=checkouts(ORDER), again=st.booleans(), data=data)
    def the_order_is_edited(self, checkout: Any, again: bool, data: st.DataObject) -> None:
        """Before anything left; an edit that is heard again after a later one says nothing new."""
        lines = tuple(self.odd(line, data) for line in checkout.lines)
        edit = OrderEdited(
            edit_id=uid("edit", len(self.edits)),
            revision=len(self.edits) + 1,
            cause=EditCause.STAFF,
            lines=lines,
            shipping=checkout.shipping,
            total_before=0,
            totals=checkout.totals,
            raises_stock=True,
        )
        self.edits.append(edit)
        self.to_ship = Counter({line.line_id: line.quantity for line in lines})
        self.fact(edit)
        if again:
            self.fact(self.edits[0])

    @precondition(lambda self: self.model.placed and not self.model.cancelled)
    @rule(n=st.integers(1, 3), data=data)
    def a_parcel_leaves(self, n: int, data: st.DataObject) -> None:
        left = [line_id for line_id, units in self.to_ship.items() if units]
        if left and uid("parcel", n) not in self.parcels:
            line_id = data.draw(st.sampled_from(left))
            self.ship(n, {line_id: data.draw(st.integers(1, self.to_ship[line_id]))})

    def ship(self, n: int, units: dict[UUID, int]) -> None:
        self.to_ship.subtract(units)
        self.parcels[uid("parcel", n)] = tuple(Qty(line_id=k, quantity=q) for k, q in units.items())
        lines = [ShippedLine(line_id=k, sku="?", quantity=q, stock_tracked=True) for k, q in units.items()]
        shipped = Shipped(
            shipment_id=uid("parcel", n),
            fulfillment_id=uid("job"),
            method=ShipmentMethod.CARRIER,
            lines=tuple(lines),
            last=False,
        )
        self.fact(shipped)
        self.fact(shipped)

    @rule(n=st.integers(1, 3))
    def it_arrives(self, n: int) -> None:
        parcel = uid("parcel", n)
        if parcel in self.parcels:
            self.fact(
                Delivered(
                    shipment_id=parcel,
                    lines=self.parcels[parcel],
                    delivered_at=self.now,
                    proof=DeliveryProof.CARRIER,
                )
            )

    @precondition(lambda self: not self.parcels)
    @rule()
    def the_order_is_cancelled(self) -> None:
        self.fact(OrderCancelled(reason=CancelReason.STAFF, stock_tracked=True, revision=0))

    @precondition(lambda self: bool(self.model.grants))
    @rule(data=data, ok=st.booleans(), final=st.booleans())
    def orders_answer_a_refund(self, data: st.DataObject, ok: bool, final: bool) -> None:
        key = one_of_known(data, self.model.grants, "refund")
        amount = self.model.grants.get(key, {"amount": 1})["amount"]
        failed = RefundFailed(
            refund_id=key,
            amount=amount,
            code=RefundFailureCode.PROVIDER_REFUSED,
            retryable=not final,
            attempt=1,
        )
        issued = RefundIssued(
            refund_id=key,
            amount=amount,
            breakdown=Breakdown(items_net=amount, items_tax=0, shipping_net=0, shipping_tax=0, total=amount),
            lines=(),
            cause=RefundCause.RETURN,
            ref_id=key,
            method=RefundMethod.ORIGINAL,
            allocations=(),
        )
        self.fact(issued if ok else failed)

    # What customers and the warehouse do

    @rule(good=st.sampled_from(TERMS), bad=st.sampled_from(BAD_TERMS), which=st.integers(0, 5))
    def an_admin_adopts_a_policy(self, good: ReturnTerms, bad: ReturnTerms, which: int) -> None:
        if which > 3:
            self.tell(AdoptReturnPolicy(terms=bad if which == 5 else good, now=self.now))

    @rule(
        return_id=returns_,
        data=data,
        auto=st.booleans(),
        reason=st.sampled_from(ReturnReason),
        units=st.lists(st.sampled_from([1, 1, 2, 3, 4, 0]), min_size=1, max_size=3),
    )
    def a_customer_wants_to_return(
        self, return_id: UUID, data: st.DataObject, auto: bool, reason: ReturnReason, units: list[int]
    ) -> None:
        wishes = tuple(
            RequestedLine(
                line_id=one_of_known(data, self.model.lines, "line"),
                quantity=quantity,
                reason=data.draw(st.sampled_from([reason, FAULT])),
            )
            for quantity in units
        )
        self.request(return_id, wishes, auto=auto)

    def request(self, return_id: UUID, wishes: tuple[RequestedLine, ...], *, auto: bool) -> None:
        self.tell(
            RequestReturn(
                return_id=return_id,
                order_id=ORDER,
                lines=wishes,
                origin=ReturnOrigin.CUSTOMER,
                policy=self.policy,
                auto_approve=auto,
                now=self.now,
            )
        )

    @precondition(lambda self: bool(self.model.returns))
    @rule(return_id=returns_)
    def staff_approve(self, return_id: UUID) -> None:
        self.tell(ApproveReturn(return_id=return_id, policy=self.policy, now=self.now))

    @precondition(lambda self: bool(self.model.returns))
    @rule(return_id=returns_, reason=st.sampled_from(DeclineReason), really=st.integers(0, 3))
    def staff_decline(self, return_id: UUID, reason: DeclineReason, really: int) -> None:
        if not really:
            self.tell(DeclineReturn(return_id=return_id, reason=reason))

    @precondition(lambda self: bool(self.model.returns))
    @rule(return_id=returns_, really=st.integers(0, 3))
    def the_customer_keeps_it(self, return_id: UUID, really: int) -> None:
        if not really:
            self.tell(CancelReturn(return_id=return_id))

    @precondition(lambda self: bool(self.model.returns))
    @rule(
        return_id=returns_,
        scan=scans,
        data=data,
        found=st.lists(st.tuples(scanned, st.sampled_from(Disposition)), min_size=1, max_size=3),
        resolving=st.booleans(),
    )
    def the_warehouse_scans(
        self, return_id: UUID, scan: UUID, data: st.DataObject, found: list[Any], resolving: bool
    ) -> None:
        paper = self.model.returns.get(return_id, {"wanted": {}, "looked_at": {}})
        resolves = (
            one_of_known(data, paper["looked_at"], "receipt") if resolving and paper["looked_at"] else None
        )
        lines = tuple(
            ReceivedLine(
                line_id=one_of_known(data, paper["wanted"], "line"),
                sku="",
                quantity=quantity,
                disposition=disposition,
            )
            for quantity, disposition in found
        )
        self.scan(return_id, uid("receipt", return_id, scan), lines, resolves)

    @precondition(lambda self: any(self.model.awaited(paper) for paper in self.model.returns.values()))
    @rule(scan=scans, disposition=st.sampled_from([Disposition.RESTOCKED, *Disposition]))
    def all_that_is_awaited_comes(self, scan: UUID, disposition: Disposition) -> None:
        for return_id, paper in list(self.model.returns.items()):
            lines = tuple(
                ReceivedLine(line_id=line_id, sku="", quantity=quantity, disposition=disposition)
                for line_id, quantity in self.model.awaited(paper).items()
            )
            if lines:
                self.scan(return_id, uid("receipt", return_id, scan), lines, None)

    def scan(
        self, return_id: UUID, receipt: UUID, lines: tuple[ReceivedLine, ...], resolves: UUID | None
    ) -> None:
        self.tell(
            ReceiveReturn(
                return_id=return_id,
                receipt_id=receipt,
                location_id=uid("depot"),
                lines=lines,
                resolves=resolves,
                policy=self.policy,
            )
        )

    @precondition(lambda self: bool(self.model.returns))
    @rule(return_id=returns_)
    def it_may_be_over(self, return_id: UUID) -> None:
        self.tell(CloseReturn(return_id=return_id, now=self.now))

    # What Finance does

    @precondition(lambda self: bool(self.model.receipts))
    @rule(data=data, by=st.none() | people, off=st.sampled_from([0, 0, 0, 0, 1, -1]))
    def somebody_proposes_a_refund(self, data: st.DataObject, by: UUID | None, off: int) -> None:
        receipt = one_of_known(data, self.model.receipts, "receipt")
        known = self.model.receipts.get(receipt)
        most = known["worth"].goods - known["worth"].fee - known["worth"].deduction if known else 0
        self.tell(
            ProposeReturnRefund(
                order_id=ORDER,
                return_id=known["return"] if known else RETURNS[0],
                receipt_id=receipt,
                deduction=data.draw(st.sampled_from([0, 0, 0, most])) + off,
                proposed_by=by,
                policy=self.policy,
                now=self.now,
            )
        )

    @rule(case=st.sampled_from(CASES), data=data, by=people, really=st.integers(0, 2))
    def somebody_is_generous(self, case: UUID, data: st.DataObject, by: UUID, really: int) -> None:
        left = self.model.left()
        if really:
            return
        amount = data.draw(st.sampled_from([1, left // 2, left, left + 1, 0, -1]))
        self.tell(
            ProposeGoodwill(
                order_id=ORDER, case_id=case, amount=amount, proposed_by=by, policy=self.policy, now=self.now
            )
        )

    @precondition(lambda self: bool(self.model.grants))
    @rule(data=data, by=people)
    def somebody_approves_a_refund(self, data: st.DataObject, by: UUID) -> None:
        self.tell(ApproveRefund(refund_id=one_of_known(data, self.model.grants, "refund"), approver=by))

    @rule(pace=paces)
    def time_passes(self, pace: timedelta) -> None:
        self.now += pace

    @precondition(lambda self: bool(self.model.returns))
    @rule(return_id=returns_)
    def a_timer_fires(self, return_id: UUID) -> None:
        """What it calls for is never refused and never in vain."""
        state = self.return_(return_id)
        timers = RETURN.deadlines(state) if state else {}
        for name, due in timers.items():
            self.now = max(self.now, due)
            command = on_deadline(return_id, state, self.order, name, now=self.now, policy=self.policy)
            assert self.tell(command)

    # What has to hold

    def compare(self) -> None:
        model = self.model
        assert [p.policy_version for p in self.policy.adopted] == list(range(1, len(model.policies) + 1))
        assert (self.order is not None) == model.placed
        if self.order:
            self.same_order(self.order)
        for return_id in RETURNS:
            state, paper = self.return_(return_id), model.returns.get(return_id)
            assert (state is None) == (paper is None)
            if state and paper:
                self.same_return(state, paper)
        for key, grant in model.grants.items():
            found = self.grant(key)
            assert found
            assert self.order
            assert (found.proposal.amount, list(found.approved_by), found.approved) == (
                grant["amount"],
                grant["people"],
                grant["approved"],
            )
            assert found.proposal.approvals_needed == grant["needed"]
            assert self.order.statuses[key] == grant["money"]
            assert self.order.grants[key].amount == grant["amount"]

    def same_order(self, order: Returnable) -> None:
        model = self.model
        assert order.cancelled == model.cancelled
        assert {k: (e.shipped, e.delivered, e.delivered_at, e.refunded) for k, e in order.lines.items()} == {
            k: (e["shipped"], e["delivered"], e["at"], e["paid_back"]) for k, e in model.lines.items()
        }
        assert {k: +Counter(units) for k, units in order.claims.items()} == {
            k: +paper["holds"] for k, paper in model.returns.items()
        }
        assert {k: self.parts(receipt.breakdown) for k, receipt in order.receipts.items()} == {
            k: (w.goods, w.goods_tax, w.shipping, w.shipping_tax, w.fee, w.deduction, w.total)
            for k, w in ((key, receipt["worth"]) for key, receipt in model.receipts.items())
        }
        assert order.grants.keys() == model.grants.keys()
        assert (order.granted(), order.left()) == (model.granted(), model.left())

    @staticmethod
    def parts(b: Breakdown) -> tuple[int, ...]:
        goods, shipping = b.items_net + b.items_tax, b.shipping_net + b.shipping_tax
        return goods, b.items_tax, shipping, b.shipping_tax, b.fee, b.deduction, b.total

    def same_return(self, state: Return, paper: dict[str, Any]) -> None:
        assert state.status == paper["status"]
        assert (state.policy_version, state.answer_by, state.receive_by) == (
            paper["version"],
            paper["answer_by"],
            paper["receive_by"],
        )
        assert state.receipts == paper["scans"]
        assert {k: (e.requested, e.came, e.missing, e.fault) for k, e in state.lines.items()} == {
            k: (n, paper["came"][k], paper["missing"][k], k in paper["faulty"])
            for k, n in paper["wanted"].items()
        }
        waiting = {k: +left for k, left in paper["looked_at"].items()}
        assert state.inspecting == {k: left for k, left in waiting.items() if left}
        assert state.complete == self.model.complete(paper)

    @invariant()
    def every_timer_has_an_answer(self) -> None:
        """At its instant and not before."""
        for return_id in RETURNS:
            state = self.return_(return_id)
            for name, due in (RETURN.deadlines(state) if state else {}).items():
                at = {"policy": self.policy}
                assert on_deadline(return_id, state, self.order, name, now=due, **at) is not None
                assert on_deadline(return_id, state, self.order, name, now=due - MOMENT, **at) is None

    @invariant()
    def no_unit_comes_back_twice(self) -> None:
        """L6, from the events alone: what came, and what is held to come, was delivered."""
        came, paid = Counter[UUID](), Counter[UUID]()
        for event in self.of_type(ReturnReceived):
            if event.resolves_receipt_id is None:
                came.update({q.line_id: 0 for q in event.lines})
                for line in event.lines:
                    came[line.line_id] += line.quantity * (line.disposition is not Disposition.MISSING)
        for event in self.of_type(ReceiptValued):
            for line in event.lines:
                paid[line.line_id] += line.quantity
        for line_id, entry in self.model.lines.items():
            assert (
                paid[line_id] <= came[line_id] <= entry["delivered"] <= entry["shipped"] <= entry["ordered"]
            )
            assert came[line_id] <= self.model.held(line_id) <= entry["delivered"]

    @invariant()
    def no_penny_is_granted_twice(self) -> None:
        """L7 and L11: grants stay within what the order owed; a large one has two people behind it."""
        assert 0 <= self.model.granted() <= self.model.charged()
        proposed: dict[str, RefundProposed] = {}
        granted: set[str] = set()
        for stream, event, _ in self.history:
            if isinstance(event, RefundProposed):
                assert 0 < event.amount == event.breakdown.total
                proposed.setdefault(stream, event)
            if isinstance(event, RefundApproved):
                assert stream not in granted
                assert event.amount == proposed[stream].amount
                assert (
                    len(set(event.approved_by)) == len(event.approved_by) >= proposed[stream].approvals_needed
                )
                granted.add(stream)


TestReturns = ReturnsMachine.TestCase
TestReturns.settings = PROFILE
