"""Orders' Order: one aggregate on three axes, told whatever buyers, staff, warehouse and provider can say.

When the sequence ends the order is left alone with its timers and a willing provider, and has to come to
rest.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from services.notifications.readmodels.mail_occasions import MAIL_OCCASIONS
from services.notifications.readmodels.order_snippets import ORDER_SNIPPETS
from services.orders.domain import (
    CancelOrder,
    CapturePayment,
    ConfirmDelivery,
    EditOrder,
    EffectKind,
    EffectWanted,
    Order,
    OrderCommand,
    OrderPolicy,
    PlaceOrder,
    Reauthorize,
    RecordCaptureResult,
    RecordPaymentAuthorized,
    RecordPaymentCaptured,
    RecordPaymentDeclined,
    RecordRefundResult,
    RecordVoided,
    RequestPayment,
    RequestRefund,
    RetryRefund,
    RevertEdit,
    SecureEdit,
    SecureStock,
    Ship,
    StartProcessing,
    effects_of,
    fulfillment_status,
    on_deadline,
    order_decider,
    payment_status,
)
from services.orders.readmodels.order_tracking import ORDER_TRACKING
from services.orders.readmodels.order_view import ORDER_VIEW
from services.orders.readmodels.payments_ledger import PAYMENTS_LEDGER
from services.orders.readmodels.processing_queue import PROCESSING_QUEUE
from shared.domain import ids
from shared.events import orders
from shared.events.cart import CartCheckedOut
from shared.events.common import Breakdown, CancelReason, PlacedQty, Qty, Quote, RefundLine, RefundLineKind
from shared.events.envelope import ActorKind
from shared.events.orders import (
    CaptureRequested,
    DeclineCode,
    Delivered,
    DeliveryProof,
    FulfillmentHeld,
    FulfillmentHoldReleased,
    LatePaymentKind,
    LatePaymentReceived,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderEdited,
    OrderPaid,
    OrderPlaced,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentRequested,
    PaymentVoided,
    RefundCause,
    RefundFailed,
    RefundIssued,
    RefundRequested,
    Shipped,
    VoidCause,
)
from shared.events.registry import Registry
from tests.property.machine import AggregateMachine, Decision, uid
from tests.property.order_model import NaiveOrder, units_of
from tests.property.profiles import PROFILE
from tests.property.strategies import checkouts, one_of_known, paces, priced_line, prices

POLICY = OrderPolicy()
DECIDER = order_decider(POLICY)
CART = uid("cart")
ORDER_ID = ids.order_id(CART)
STREAM = DECIDER.stream(ORDER_ID)
DEPOTS = (uid("north"), uid("south"))
REFUNDS = tuple(uid("refund", n) for n in range(3))
LONG = timedelta(days=7)
MOMENT = timedelta(microseconds=1)
LATER = timedelta(hours=4)
"""A timer whose command came to nothing is looked at again."""

data = st.data()
coins = st.booleans()


class OrderMachine(AggregateMachine):
    deciders = (DECIDER,)
    registry = Registry.of(orders)
    read_models = (
        ORDER_VIEW,
        ORDER_TRACKING,
        PAYMENTS_LEDGER,
        PROCESSING_QUEUE,
        ORDER_SNIPPETS,
        MAIL_OCCASIONS,
    )
    new_wishes = (RequestPayment,)

    model: NaiveOrder
    overcharged = False
    """The provider took another sum than it was asked for."""

    @property
    def order(self) -> Order | None:
        """The order as the events say it is."""
        return self.states.get(STREAM)

    def decide(self, command: Any) -> Decision:
        return [(STREAM, event) for event in DECIDER.decide(self.order, command)]

    def tell(self, command: OrderCommand) -> list[Any]:
        """As ever; and whatever must now be let go at the provider is asked of it in the same decision."""
        known = self.to_void()
        events = super().tell(command)
        if self.order and events:
            wanted = {effect for event in events for effect in effects_of(self.order, event)}
            for intent_id in self.to_void() - known:
                void = EffectWanted(kind=EffectKind.VOID, order_id=ORDER_ID, target=intent_id)
                assert void in wanted, f"nobody lets {intent_id} go after {events}"
        return events

    def to_void(self) -> set[UUID]:
        """The intents whose rest is to be let go."""
        return (
            {i.intent_id for i in self.order.intents.values() if self.order.void_due(i)}
            if self.order
            else set()
        )

    # What is told

    @initialize(checkout=checkouts(ORDER_ID), steps=st.sampled_from([5, 4, 6, 6, 3, 2, 1, 0]), data=data)
    def begin(self, checkout: CartCheckedOut, steps: int, data: st.DataObject) -> None:
        """An order that already went some of the usual way."""
        self.model = NaiveOrder(ORDER_ID, POLICY)
        self.checkout = checkout
        usual = (self.place, self.secure, self.authorize_all, self.start, self.ship_all, self.take_all)
        for step in usual[:steps]:
            step(data)

    @rule(data=data)
    def place(self, data: st.DataObject) -> None:
        if self.order is None or data.draw(st.integers(0, 7)) == 0:
            self.tell(self.placing())

    def placing(self) -> PlaceOrder:
        return PlaceOrder(order_id=ORDER_ID, cart_id=CART, checkout=self.checkout, now=self.now)

    @rule(data=data)
    def secure(self, data: st.DataObject) -> None:
        """Inventory holds it all, perhaps in two places; units on backorder count but are not there."""
        if self.model.stock and data.draw(st.integers(0, 7)):
            return
        placed = []
        for line in self.checkout.lines:
            if line.stock_tracked:
                here = data.draw(st.sampled_from([line.quantity, line.quantity, line.quantity - 1]))
                late = data.draw(st.sampled_from([0, 0, 0, 1]))
                for depot, units in zip(DEPOTS, (here, line.quantity - here), strict=True):
                    if units:
                        placed.append(
                            PlacedQty(
                                line_id=line.line_id,
                                sku=line.sku,
                                location_id=depot,
                                quantity=units,
                                backordered=late,
                            )
                        )
        self.tell(SecureStock(order_id=ORDER_ID, placed=tuple(placed), now=self.now))

    @rule(data=data, reason=st.sampled_from(CancelReason), by=st.sampled_from(ActorKind))
    def cancel(self, data: st.DataObject, reason: CancelReason, by: ActorKind) -> None:
        if data.draw(st.integers(0, 7)) == 0:
            self.tell(CancelOrder(order_id=ORDER_ID, reason=reason, by=by, now=self.now))

    @rule(anew=coins)
    def ask_for_money(self, anew: bool) -> None:
        wish = Reauthorize if anew else RequestPayment
        self.tell(wish(order_id=ORDER_ID, now=self.now))

    def authorize_all(self, data: st.DataObject) -> None:
        """The buyer pays what is asked."""
        for intent_id, intent in list(self.model.intents.items()):
            self.authorize(intent_id, intent["amount"], multicapture=data.draw(coins))

    def authorize(self, intent_id: UUID, amount: int, *, multicapture: bool) -> None:
        self.tell(
            RecordPaymentAuthorized(
                order_id=ORDER_ID,
                intent_id=intent_id,
                amount=amount,
                provider_ref="pi",
                method_label="Visa",
                multicapture=multicapture,
                authorized_until=self.now + LONG,
                now=self.now,
            )
        )

    def amount(self, data: st.DataObject, *likely: int) -> int:
        """A sum of money at or near one that matters."""
        exact = sorted({n for n in (1, self.model.total, self.model.owed(), *likely) if n > 0})
        near = [n + d for n in exact for d in (-1, 1) if n + d > 0]
        return data.draw(st.sampled_from([*exact, *exact, *near]), label="amount")

    def intent(self, data: st.DataObject) -> UUID:
        return one_of_known(data, self.model.intents, "intent")

    @precondition(lambda self: self.model.intents)
    @rule(data=data, multicapture=coins)
    def provider_holds_money(self, data: st.DataObject, multicapture: bool) -> None:
        intent_id = self.intent(data)
        asked = self.model.intents.get(intent_id, {"amount": 1})["amount"]
        amount = data.draw(st.sampled_from([asked, asked, 0])) or self.amount(data, asked)
        self.authorize(intent_id, amount, multicapture=multicapture)

    @precondition(lambda self: self.model.intents)
    @rule(data=data)
    def provider_takes_money_by_itself(self, data: st.DataObject) -> None:
        intent_id = self.intent(data)
        asked = self.model.intents.get(intent_id, {"amount": 1})["amount"]
        amount = data.draw(st.sampled_from([asked, asked, 0])) or self.amount(data, asked)
        self.overcharged = self.overcharged or amount != asked
        self.tell(
            RecordPaymentCaptured(
                order_id=ORDER_ID,
                intent_id=intent_id,
                amount=amount,
                provider_ref="ch",
                now=self.now,
            )
        )

    @precondition(lambda self: self.model.intents)
    @rule(data=data, code=st.sampled_from(DeclineCode))
    def provider_declines(self, data: st.DataObject, code: DeclineCode) -> None:
        self.tell(
            RecordPaymentDeclined(order_id=ORDER_ID, intent_id=self.intent(data), code=code, now=self.now)
        )

    @precondition(lambda self: self.model.intents)
    @rule(data=data, cause=st.none() | st.sampled_from([VoidCause.EXPIRED, VoidCause.REMAINDER]))
    def provider_lets_go(self, data: st.DataObject, cause: VoidCause | None) -> None:
        if self.to_void() or data.draw(st.integers(0, 3)) == 0:
            self.tell(RecordVoided(order_id=ORDER_ID, intent_id=self.intent(data), cause=cause, now=self.now))

    @rule(data=data, request=st.integers(0, 1), bad=st.integers(0, 9))
    def staff_take_money(self, data: st.DataObject, request: int, bad: int) -> None:
        usable = sum(self.model.usable(intent_id, self.now) for intent_id in self.model.intents)
        missing = self.model.total - self.model.captured("DONE", "REQUESTED")
        likely = (usable, missing, usable // 2)
        amount = self.amount(data, *likely) if bad < 9 else data.draw(st.sampled_from([0, -1]))
        self.tell(
            CapturePayment(order_id=ORDER_ID, request_id=uid("request", request), amount=amount, now=self.now)
        )

    def take_all(self, data: st.DataObject) -> None:
        """Every capture under way succeeds."""
        for capture_id in list(self.model.captures):
            self.tell(
                RecordCaptureResult(
                    order_id=ORDER_ID, capture_id=capture_id, ok=True, provider_ref="ch", now=self.now
                )
            )

    @precondition(lambda self: self.model.captures)
    @rule(data=data, ok=coins, final=coins, attempt=st.sampled_from([1, 1, 2, 3]))
    def provider_answers_a_capture(self, data: st.DataObject, ok: bool, final: bool, attempt: int) -> None:
        in_flight = [key for key, c in self.model.captures.items() if c["status"] == "REQUESTED"]
        if data.draw(st.booleans()):
            in_flight = []
        self.tell(
            RecordCaptureResult(
                order_id=ORDER_ID,
                capture_id=one_of_known(data, in_flight or self.model.captures, "capture"),
                ok=ok,
                provider_ref="ch",
                final=final,
                attempt=attempt,
                now=self.now,
            )
        )

    @precondition(lambda self: bool(self.model.captures) or self.model.cancelled)
    @rule(data=data, refund=st.sampled_from(REFUNDS), kind=st.sampled_from(RefundLineKind))
    def returns_grants_a_refund(self, data: st.DataObject, refund: UUID, kind: RefundLineKind) -> None:
        there = sum(self.model.refundable().values())
        amount = self.amount(data, there, there // 2, self.model.captured("DONE", "REQUESTED"))
        if data.draw(st.integers(0, 9)) == 9:
            amount = data.draw(st.sampled_from([0, -1]))
        units = st.tuples(st.sampled_from([*self.model.lines]), st.sampled_from([1, 1, 2, 3, 0]))
        wanted = data.draw(st.just([]) | st.lists(units, max_size=2))
        self.tell(
            RequestRefund(
                order_id=ORDER_ID,
                refund_id=refund,
                amount=amount,
                breakdown=Breakdown(
                    items_net=amount, items_tax=0, shipping_net=0, shipping_tax=0, total=amount
                ),
                lines=tuple(RefundLine(line_id=line, quantity=n, kind=kind) for line, n in wanted),
                cause=RefundCause.RETURN,
                ref_id=uid("return"),
                now=self.now,
            )
        )

    @precondition(lambda self: self.model.refunds)
    @rule(data=data)
    def somebody_tries_a_refund_again(self, data: st.DataObject) -> None:
        refund_id = one_of_known(data, self.model.refunds, "refund")
        self.tell(RetryRefund(order_id=ORDER_ID, refund_id=refund_id, now=self.now))

    @precondition(lambda self: self.model.refunds)
    @rule(data=data, ok=coins, attempt=st.sampled_from([None, None, None, 1, 2, 5]))
    def provider_answers_a_refund(self, data: st.DataObject, ok: bool, attempt: int | None) -> None:
        asked = [key for key, refund in self.model.refunds.items() if refund["status"] == "REQUESTED"]
        refund_id = one_of_known(data, asked or self.model.refunds, "refund")
        self.tell(
            RecordRefundResult(order_id=ORDER_ID, refund_id=refund_id, ok=ok, attempt=attempt, now=self.now)
        )

    def new_content(self, data: st.DataObject) -> Quote:
        """Lines that stay, with other units and prices, lines that go, new ones; now and then a mistake."""
        made = []
        for line_id, line in self.model.lines.items():
            units = data.draw(st.sampled_from([line["ordered"], line["ordered"], 1, 2, 5, 0]), label="units")
            if units:
                sku = data.draw(st.sampled_from([line["sku"]] * 9 + ["OTHER"]), label="sku")
                price = data.draw(st.sampled_from([line["gross"] // line["ordered"]] * 2) | prices)
                made.append(priced_line(line_id, sku, units, price, 2000, tracked=line["tracked"]))
        new = uid("line", data.draw(st.integers(3, 5)))
        if new not in self.model.lines and data.draw(coins):
            made.append(priced_line(new, "NEW", 2, data.draw(prices), 500, tracked=data.draw(coins)))
        shipping = data.draw(st.sampled_from([self.model.shipping] * 3 + [0, 700]))
        total = shipping + sum(line.gross for line in made)
        until = self.now + timedelta(minutes=data.draw(st.sampled_from([30, 30, 30, 0])))
        what = tuple((line.line_id, line.sku, line.quantity, None) for line in made)
        return Quote(
            quote_id=ids.quote_id(None, "GBP", until, ("GB", None, None), ("standard", None), what),
            lines=tuple(made),
            shipping=replace(self.checkout.shipping, net=shipping, tax=0, gross=shipping),
            totals=replace(
                self.checkout.totals,
                items_net=sum(line.net for line in made),
                items_tax=sum(line.tax for line in made),
                shipping_net=shipping,
                shipping_tax=0,
                total=total,
            ),
            policy_version=1,
            valid_until=until,
            signature="checked",
        )

    @precondition(lambda self: self.model.status is not None)
    @rule(data=data, n=st.integers(0, 9), by=st.sampled_from([ActorKind.OPERATOR, ActorKind.CUSTOMER]))
    def somebody_edits(self, data: st.DataObject, n: int, by: ActorKind) -> None:
        quote = self.new_content(data)
        self.tell(
            EditOrder(
                order_id=ORDER_ID, edit_id=uid("edit", n), quote=quote, currency="GBP", by=by, now=self.now
            )
        )

    @precondition(lambda self: self.model.revision)
    @rule(data=data, held=coins, off=st.sampled_from([0, 0, 0, 0, -1, 1]))
    def inventory_answers_an_edit(self, data: st.DataObject, held: bool, off: int) -> None:
        """It holds all that the edit added, or nothing of it; or answers about another revision."""
        revision = self.model.revision + off
        if not held:
            self.tell(RevertEdit(order_id=ORDER_ID, revision=revision, refused=True, now=self.now))
            return
        before = self.model.edit["before"]["lines"] if self.model.edit else {}
        added = []
        for line_id, line in self.model.lines.items():
            there = before[line_id]["ordered"] if line_id in before and before[line_id]["tracked"] else 0
            if line["tracked"] and line["ordered"] > there:
                units, depot = line["ordered"] - there, data.draw(st.sampled_from(DEPOTS))
                added.append(PlacedQty(line_id=line_id, sku=line["sku"], location_id=depot, quantity=units))
        self.tell(SecureEdit(order_id=ORDER_ID, revision=revision, added=tuple(added), now=self.now))

    @rule(data=data)
    def start(self, data: st.DataObject) -> None:
        self.tell(StartProcessing(order_id=ORDER_ID, started_by=uid("staff"), now=self.now))

    def ship_all(self, data: st.DataObject) -> None:
        """Every warehouse sends all it holds in one parcel."""
        for job_id, job in list(self.model.jobs.items()):
            self.ship(job_id, 1, job["units"].items())

    def ship(self, job_id: UUID, parcel_no: int, units: Any) -> None:
        self.tell(
            Ship(
                order_id=ORDER_ID,
                fulfillment_id=job_id,
                parcel_no=parcel_no,
                lines=tuple(Qty(line_id=line_id, quantity=quantity) for line_id, quantity in units),
                now=self.now,
            )
        )

    @precondition(lambda self: self.model.jobs)
    @rule(data=data, parcel_no=st.integers(1, 3))
    def warehouse_ships(self, data: st.DataObject, parcel_no: int) -> None:
        job_id = one_of_known(data, self.model.jobs, "fulfillment")
        wanted = self.model.jobs.get(job_id, {"units": {uid("no line"): 1}})["units"]
        line_ids = st.sampled_from([*wanted, *wanted, *self.model.lines])
        quantities = st.sampled_from([1, 1, 1, 2, 3, 0])
        units = st.lists(st.tuples(line_ids, quantities), max_size=3, min_size=1)
        self.ship(job_id, parcel_no, data.draw(st.just(list(wanted.items())) | units))

    @precondition(lambda self: self.model.parcels)
    @rule(data=data, turned=st.booleans(), more=st.integers(0, 3))
    def warehouse_tells_a_parcel_again(self, data: st.DataObject, turned: bool, more: int) -> None:
        """In another order of its lines, or with other units."""
        job_id, n = data.draw(st.sampled_from([(job, n) for job in self.model.jobs for n in (1, 2, 3)]))
        known = self.model.parcels.get(ids.shipment_id(job_id, n))
        if known:
            units = list(known["units"].items())[:: -1 if turned else 1]
            self.ship(job_id, n, units if more else [(units[0][0], units[0][1] + 1), *units[1:]])

    @precondition(lambda self: self.model.parcels)
    @rule(data=data, proof=st.sampled_from(DeliveryProof))
    def carrier_delivers(self, data: st.DataObject, proof: DeliveryProof) -> None:
        shipment_id = one_of_known(data, self.model.parcels, "shipment")
        self.tell(ConfirmDelivery(order_id=ORDER_ID, shipment_id=shipment_id, proof=proof, now=self.now))

    @rule(pace=paces)
    def time_passes(self, pace: timedelta) -> None:
        self.now += pace

    @precondition(lambda self: bool(self.timers()))
    @rule(data=data)
    def a_timer_fires(self, data: st.DataObject) -> None:
        self.fire(data.draw(st.sampled_from(sorted(self.timers()))))

    def timers(self) -> Mapping[str, datetime]:
        """Every instant that the order waits for."""
        return DECIDER.deadlines(self.order) if self.order else {}

    def fire(self, name: str) -> bool:
        """The timer at its instant, or now if that is over; only a wish for money may come to nothing."""
        assert self.order
        self.now = max(self.now, self.timers()[name])
        answer = on_deadline(self.order, name, self.now, POLICY)
        assert answer is not None
        command = self.willing_provider(answer) if isinstance(answer, EffectWanted) else answer
        done = self.tell(command)
        assert done or isinstance(command, Reauthorize), f"{name} calls for {command}: nothing changes"
        return bool(done)

    def willing_provider(self, call: EffectWanted) -> OrderCommand:
        """An open payment ends without money, everything else succeeds."""
        if call.kind is EffectKind.CLOSE_INTENT:
            code = DeclineCode.TIMEOUT
            return RecordPaymentDeclined(order_id=ORDER_ID, intent_id=call.target, code=code, now=self.now)
        assert call.kind is EffectKind.CAPTURE
        return RecordCaptureResult(order_id=ORDER_ID, capture_id=call.target, ok=True, now=self.now)

    def teardown(self) -> None:
        """Left alone, every order ends."""
        if self.order:
            self.wait()
        super().teardown()

    def wait(self) -> None:
        """Timers fire one after the other, until there is none."""
        asleep: dict[str, datetime] = {}
        for _ in range(300):
            timers = {name: asleep.get(name, due) for name, due in self.timers().items()}
            if not timers:
                break
            name = min(timers, key=lambda name: (timers[name], name))
            self.now = max(self.now, timers[name])
            if not self.fire(name):
                asleep[name] = self.now + LATER
            self.compare()
        assert not self.timers()
        assert self.model.status not in {"PLACED", "CONFIRMED"}
        assert not self.model.open_intent()
        assert not self.model.captured("REQUESTED")
        assert not any(r["status"] == "REQUESTED" or r["again"] for r in self.model.refunds.values())
        self.the_books_are_closed()

    # What has to hold

    def compare(self) -> None:
        order, model = self.order, self.model
        assert (order is not None) == (model.status is not None)
        if order is None:
            return
        assert order.status == model.status
        assert payment_status(order) == model.payment_axis()
        assert fulfillment_status(order) == model.fulfillment_axis()
        assert (order.stock_secured, order.paid) == (model.stock, model.paid)
        assert (order.revision, order.totals.total, set(order.edit_ids)) == (
            model.revision,
            model.total,
            model.edits,
        )
        assert (order.edit_pending, order.waits_for_stock) == (model.pending(), model.waits())
        assert set(order.holds) == model.holds
        assert {
            k: (e.ordered, e.requested, e.shipped, e.delivered, e.refunded) for k, e in order.lines.items()
        } == {
            k: (e["ordered"], e["requested"], e["shipped"], e["delivered"], e["refunded"])
            for k, e in model.lines.items()
        }
        assert {
            k: (i.purpose, i.amount, i.status, i.authorized, i.voided) for k, i in order.intents.items()
        } == {
            k: (i["purpose"], i["amount"], i["status"], i["authorized"], i["voided"])
            for k, i in model.intents.items()
        }
        assert {k: (c.intent_id, c.amount, c.status, c.late) for k, c in order.captures.items()} == {
            k: (c["intent"], c["amount"], c["status"], c["late"]) for k, c in model.captures.items()
        }
        assert {k: (r.amount, r.status, r.attempt, r.retryable) for k, r in order.refunds.items()} == {
            k: (r["amount"], r["status"], r["attempt"], r["again"]) for k, r in model.refunds.items()
        }
        assert {k: (f.cancelled, units_of(f.lines)) for k, f in order.fulfillments.items()} == {
            k: (job["cancelled"], job["units"]) for k, job in model.jobs.items()
        }
        assert {k: (p.delivered_at is not None, units_of(p.lines)) for k, p in order.shipments.items()} == {
            k: (p["delivered"], p["units"]) for k, p in model.parcels.items()
        }

    @invariant()
    def every_timer_has_an_answer(self) -> None:
        """At its instant and not before."""
        for name, due in self.timers().items():
            assert self.order
            assert on_deadline(self.order, name, due, POLICY) is not None
            assert on_deadline(self.order, name, due - MOMENT, POLICY) is None

    @invariant()
    def no_money_comes_back_twice(self) -> None:
        """L7, and per capture: refunds asked for or paid never exceed what was taken."""
        taken = {e.capture_id: e.amount for e in self.of_type(PaymentCaptured)}
        late = [e for e in self.of_type(LatePaymentReceived) if e.kind is LatePaymentKind.CAPTURED]
        assert not taken.keys() & {e.capture_id for e in late}
        taken |= {e.capture_id: e.amount for e in late}
        claims: dict[UUID, int] = {}
        for event in self.of_type(RefundRequested, RefundIssued, RefundFailed):
            claims[event.refund_id] = 0 if isinstance(event, RefundFailed) else event.amount
        issued = self.of_type(RefundIssued)
        assert len({event.refund_id for event in issued}) == len(issued)
        assert sum(event.amount for event in issued) <= sum(claims.values()) <= sum(taken.values())
        back: Counter[UUID] = Counter()
        for event in issued:
            assert sum(part.amount for part in event.allocations) == event.amount
            back.update({part.capture_id: part.amount for part in event.allocations})
        assert all(amount <= taken[capture_id] for capture_id, amount in back.items())

    @invariant()
    def no_authorization_is_used_twice(self) -> None:
        """L9: what was wanted of an intent, and what was let go, fits what the provider held."""
        held, used, captures, once = Counter[UUID](), Counter[UUID](), Counter[UUID](), set[UUID]()
        for _, event, _ in self.history:
            match event:
                case PaymentAuthorized():
                    held[event.intent_id] += event.amount
                    once |= set() if event.multicapture else {event.intent_id}
                case PaymentCaptured(intent_id=UUID() as intent_id):
                    held.setdefault(intent_id, event.amount)
                    used[intent_id] += event.amount
                    captures[intent_id] += 1
                case LatePaymentReceived(kind=LatePaymentKind.AUTHORIZED):
                    held[event.intent_id] += event.amount
                case PaymentVoided():
                    used[event.intent_id] += event.amount
        assert all(amount <= held[intent_id] for intent_id, amount in used.items())
        assert all(captures[intent_id] <= 1 for intent_id in once)
        assert sum(intent["status"] == "OPEN" for intent in self.model.intents.values()) <= 1

    @invariant()
    def what_is_over_is_over(self) -> None:
        """L16 and the one-way streets: nothing ships after a cancellation, milestones happen once."""
        types = [type(event) for _, event, _ in self.history]
        for once in (OrderPlaced, OrderConfirmed, OrderCancelled, OrderCompleted):
            assert types.count(once) <= 1
        assert types.count(OrderPaid) <= 1 + types.count(OrderEdited)
        assert not {OrderCancelled, Shipped} <= set(types)
        assert types.count(Delivered) == len({e.shipment_id for e in self.of_type(Delivered)})
        for kind, key in (
            (PaymentRequested, "intent_id"),
            (CaptureRequested, "capture_id"),
            (Shipped, "shipment_id"),
            (FulfillmentHeld, "hold_id"),
            (FulfillmentHoldReleased, "hold_id"),
        ):
            minted = [getattr(event, key) for event in self.of_type(kind)]
            assert len(set(minted)) == len(minted)

    @invariant()
    def no_unit_ships_or_comes_back_twice(self) -> None:
        """L6 and L16: per line refunded ≤ shipped ≤ ordered, and what left is paid or being paid."""
        shipped, back = Counter[UUID](), Counter[UUID]()
        for event in self.of_type(Shipped):
            shipped.update(units_of(event.lines))
        for event in self.of_type(RefundIssued):
            back.update(units_of(q for q in event.lines if q.kind in {"RETURN", "CLAIM"}))
        for line_id, entry in self.model.lines.items():
            assert back[line_id] <= shipped[line_id] <= entry["ordered"]

    def the_books_are_closed(self) -> None:
        """L8 and L9 at rest: a cancelled order keeps no money that it could give back and holds none."""
        assert self.order
        if self.model.cancelled:
            assert not any(self.model.held(intent_id) for intent_id in self.model.intents)
            asked = {e.refund_id for e in self.of_type(RefundRequested)}
            open_at_finance = [
                r["amount"] for k, r in self.model.refunds.items() if k in asked and r["status"] == "FAILED"
            ]
            taken = self.model.captured("DONE") + self.model.captured("DONE", late=True)
            assert taken - self.model.paid_back() == sum(open_at_finance)
        if self.model.status == "COMPLETED" and not self.overcharged:
            assert self.model.kept() == self.model.total


TestOrder = OrderMachine.TestCase
TestOrder.settings = PROFILE
