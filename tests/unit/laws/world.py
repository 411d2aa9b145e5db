"""A small day of a shop as bare events, and the means to spoil it: change, drop or add single events.

Three orders: one in two parcels with a return and its refund, edited before to no effect, one cancelled with
money that came late, one for which there is no stock.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from cli.laws import Laws, Violation
from cli.laws.mail import MailIsLedger
from cli.laws.provider import ProviderAgrees
from services.cart.domain.coupon_use import CouponUseGivenBack, CouponUseTaken
from services.inventory.domain.ledger import (
    EntryQty,
    StockReceived,
    UnitsDeducted,
    UnitsReleased,
    UnitsReserved,
    UnitsRestocked,
    UnitsWrittenOff,
)
from services.notifications.domain.occasions import occasions
from shared.domain import Sealed, ids, key_of
from shared.events.cart import CartCheckedOut, CartItemAdded, CartStarted
from shared.events.common import (
    Breakdown,
    CancelReason,
    CaptureMode,
    Charge,
    Contact,
    Destination,
    Line,
    Money,
    PlacedQty,
    Qty,
    RefundLine,
    RefundLineKind,
    RefundSource,
    Totals,
)
from shared.events.envelope import SYSTEM, Recorded, event_id
from shared.events.inventory import (
    RefusedLine,
    RejectionCode,
    RejectionPhase,
    ReleaseCause,
    RestockedLine,
    RestockedTo,
    ReversedDeduction,
    StockDeducted,
    StockReleased,
    StockReservationRejected,
    StockReserved,
    StockRestocked,
)
from shared.events.notifications import Locale, MessageSent
from shared.events.orders import (
    Allocation,
    CaptureRequested,
    Delivered,
    DeliveryProof,
    EditCause,
    FulfillmentHeld,
    FulfillmentHoldReleased,
    HoldReason,
    IntentPurpose,
    LatePaymentCause,
    LatePaymentKind,
    LatePaymentReceived,
    NextStep,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderEdited,
    OrderPaid,
    OrderPlaced,
    OrderProcessingStarted,
    OrderSource,
    OrderStockSecured,
    PaidAllocation,
    PaymentAuthorized,
    PaymentBasis,
    PaymentCaptured,
    PaymentRequested,
    PaymentVoided,
    ProcessingMode,
    RefundCause,
    RefundIssued,
    RefundRequested,
    ShipmentMethod,
    Shipped,
    ShippedLine,
    SourceKind,
    VoidCause,
)
from shared.events.returns import (
    Disposition,
    PolicyText,
    ReceivedLine,
    RefundApproved,
    RefundProposed,
    RefundShipping,
    RequestedLine,
    ReturnApproved,
    ReturnClosed,
    ReturnOrigin,
    ReturnOutcome,
    ReturnPolicyAdopted,
    ReturnReason,
    ReturnReceived,
    ReturnRequested,
)

T = TypeVar("T")
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
LATER = START + timedelta(days=2)
LOCATION = ids.MAIN_LOCATION
MUG, TIN = ids.derive("line", "mug"), ids.derive("line", "tin")
ANNA, BEN = ids.derive("person", "anna"), ids.derive("person", "ben")
SEALED = Sealed("v1.x.y.z")


def cart(name: str) -> UUID:
    return ids.derive("cart", name)


def order(name: str) -> UUID:
    return ids.order_id(cart(name))


def intent(name: str) -> UUID:
    return ids.intent_id(order(name), 1)


def capture(name: str, parcel: str) -> UUID:
    return ids.capture_id(intent(name), shipment(parcel))


def shipment(name: str) -> UUID:
    return ids.derive("shipment", name)


def refund(name: str) -> UUID:
    return ids.derive("refund", name)


class World:
    """Events of several services, one after the other; each gets the next version of its stream."""

    def __init__(self, events: Iterable[Recorded[Any]] = ()) -> None:
        self.events = list(events)
        self._clock = max((event.occurred_at for event in self.events), default=START)

    def add(self, stream: str, *many: object) -> Recorded[Any]:
        """One decision: events of one stream with one time and one cause; gives the last."""
        self._clock += timedelta(seconds=1)
        cause = ids.derive("cause", stream, self._clock)
        for data in many:
            version = 1 + max((e.version for e in self.events if e.stream == stream), default=0)
            self.events.append(
                Recorded(
                    stream=stream,
                    version=version,
                    event_id=event_id(1, stream, version),
                    type=type(data).__name__,
                    schema_version=1,
                    occurred_at=self._clock,
                    correlation_id=cause,
                    causation_id=cause,
                    actor=SYSTEM,
                    epoch=1,
                    data=data,
                )
            )
        return self.events[-1]

    def all(self, kind: type, about: str = "") -> list[Recorded[Any]]:
        """The events of a type, in streams whose id has `about` in it."""
        return [event for event in self.events if isinstance(event.data, kind) and about in event.stream]

    def one(self, kind: type, about: object = "", n: int = 0) -> Recorded[Any]:
        """The n-th of them."""
        return self.all(kind, str(about))[n]

    def change(self, event: Recorded[Any], **fields: Any) -> Recorded[Any]:
        """The event with other contents, in its old place."""
        return self.swap(event, event._replace(data=replace(event.data, **fields)))

    def move(self, event: Recorded[Any], at: datetime) -> Recorded[Any]:
        """The event, and all that follow in its stream, at another time."""
        for other in self.all(object, event.stream):
            if other.version >= event.version:
                self.swap(other, other._replace(occurred_at=at))
        return next(e for e in self.events if e.event_id == event.event_id)

    def swap(self, old: Recorded[Any], new: Recorded[Any]) -> Recorded[Any]:
        """Another event in the place of this one."""
        self.events[self.events.index(old)] = new
        return new

    def drop(self, *events: Recorded[Any]) -> None:
        """Take events out; those that follow in their streams move up."""
        for gone_id in [event.event_id for event in events]:
            gone = next(event for event in self.events if event.event_id == gone_id)
            self.events.remove(gone)
            for event in self.all(object, gone.stream):
                if event.stream == gone.stream and event.version > gone.version:
                    self.swap(event, event._replace(version=event.version - 1))

    def repeat(self, event: Recorded[Any]) -> Recorded[Any]:
        """The same happens once more at the end of its stream."""
        return self.add(event.stream, event.data)


def line(line_id: UUID, sku: str, quantity: int, unit: int, *, tracked: bool = True) -> Line:
    gross = quantity * unit
    return Line(
        line_id=line_id,
        sku=sku,
        title=sku,
        quantity=quantity,
        unit_price=unit,
        net=gross,
        tax=0,
        gross=gross,
        tax_class="standard",
        tax_rate_bp=0,
        stock_tracked=tracked,
    )


LINES = (line(MUG, "mug", 3, 100), line(TIN, "tin", 1, 250))
SHIPPING = Charge(method_id="post", title="Post", net=50, tax=0, gross=50)
TOTALS = Totals(items_net=550, items_tax=0, shipping_net=50, shipping_tax=0, discount=0, total=600)
COUPON = "TENTH"
CONTACT = Contact(subject_id=ANNA, name=SEALED, email=SEALED)
DESTINATION = Destination(country="GB", complete=True, address=SEALED)


def placed_units(*units: tuple[UUID, str, int]) -> tuple[PlacedQty, ...]:
    return tuple(PlacedQty(line_id=i, sku=sku, location_id=LOCATION, quantity=q) for i, sku, q in units)


def item(sku: str) -> str:
    return f"stockitem-{sku}@{LOCATION}"


def entries(name: str, line_id: UUID, quantity: int) -> tuple[EntryQty, ...]:
    return (EntryQty(order_id=order(name), line_id=line_id, quantity=quantity),)


def movement(*parts: object) -> dict[str, Any]:
    return {"movement_id": ids.derive("movement", *parts), "cause_id": ids.derive("cause", *parts)}


def breakdown(total: int) -> Breakdown:
    return Breakdown(items_net=total, items_tax=0, shipping_net=0, shipping_tax=0, total=total)


def the_day() -> World:
    """The whole day; every law holds."""
    return World(_the_day())


@cache
def _the_day() -> tuple[Recorded[Any], ...]:
    world = World()
    world.add("returnpolicy-shop", policy(threshold=500, since=START - timedelta(days=1)))
    for sku in ("mug", "tin"):
        world.add(item(sku), StockReceived(**movement("receipt", sku), quantity=10))
    _delivered(world, "good")
    _returned(world, "good")
    _cancelled_with_late_money(world, "late")
    _out_of_stock(world, "none")
    for event in list(world.events):
        for occasion in occasions(event.data):
            effect = ids.derive("effect", event.event_id, occasion.template)
            world.add(
                f"message-{effect}",
                MessageSent(
                    template=occasion.template,
                    cause_event_id=event.event_id,
                    recipient_hash="h",
                    locale=Locale.EN,
                    provider_ref=f"<{effect}@shop.example>",
                ),
            )
    return tuple(world.events)


def policy(threshold: int, version: int = 1, since: datetime = START) -> ReturnPolicyAdopted:
    return ReturnPolicyAdopted(
        policy_version=version,
        effective_from=since,
        window_days=30,
        exclusions=(),
        restocking_fee_bp=0,
        return_shipping_fee=(),
        refund_shipping=RefundShipping.NEVER,
        answer_days=3,
        ship_days=14,
        receive_days=30,
        refund_days=14,
        dual_control_above=(Money(amount=threshold, currency="GBP"),),
        auto_refund=True,
        text=PolicyText(en="Send it back."),
    )


def _placed(world: World, name: str) -> None:
    about: dict[str, Any] = {
        "contact": CONTACT,
        "destination": DESTINATION,
        "lines": LINES,
        "shipping": SHIPPING,
        "totals": TOTALS,
        "currency": "GBP",
        "locale": "en",
        "pricing_version": 1,
    }
    world.add(f"couponuse-{COUPON}", CouponUseTaken(code=COUPON, order_id=order(name)))
    world.add(f"cart-{cart(name)}", CartStarted(subject_id=ANNA, currency="GBP", locale="en"))
    for each in LINES:
        world.add(
            f"cart-{cart(name)}",
            CartItemAdded(
                line_id=each.line_id, sku=each.sku, quantity=each.quantity, unit_price=each.unit_price
            ),
        )
    bought = CartCheckedOut(order_id=order(name), terms_version="1", coupons=(COUPON,), **about)
    world.add(f"cart-{cart(name)}", bought)
    world.add(
        f"order-{order(name)}",
        OrderPlaced(
            order_number=ids.order_number(order(name)),
            source=OrderSource(kind=SourceKind.CART, ref_id=cart(name)),
            cart_id=cart(name),
            stock_answer_by=START,
            **about,
        ),
    )


def _reserved(world: World, name: str) -> None:
    units = placed_units((MUG, "mug", 3), (TIN, "tin", 1))
    for each in units:
        world.add(
            item(each.sku),
            UnitsReserved(
                **movement("reserve", name, each.sku), entries=entries(name, each.line_id, each.quantity)
            ),
        )
    world.add(f"reservation-{order(name)}", StockReserved(order_id=order(name), placed=units))
    world.add(
        f"order-{order(name)}",
        OrderStockSecured(reservation_id=ids.reservation_id(order(name)), revision=0, placed=units),
        PaymentRequested(
            intent_id=intent(name),
            purpose=IntentPurpose.ORDER,
            amount=600,
            capture=CaptureMode.ON_SHIP,
            provider="sandbox",
            expires_at=LATER,
        ),
    )


def _delivered(world: World, name: str) -> None:
    stream = f"order-{order(name)}"
    _placed(world, name)
    _reserved(world, name)
    world.add(
        stream,
        PaymentAuthorized(
            intent_id=intent(name),
            amount=600,
            provider_ref=f"pi_{name}",
            method_label="Visa",
            multicapture=True,
            expires_at=LATER,
        ),
        OrderConfirmed(
            payment=PaymentBasis.AUTHORIZED,
            mode=ProcessingMode.MANUAL,
            mode_reason="POLICY",
            next=NextStep.MANUAL,
            process_by=LATER,
        ),
    )
    _edited_in_vain(world, name)
    world.add(stream, OrderProcessingStarted(mode=ProcessingMode.MANUAL, gate=()))
    _parcel(world, name, "p1", 250, (MUG, "mug", 2))
    _parcel(world, name, "p2", 350, (MUG, "mug", 1), (TIN, "tin", 1))
    world.add(stream, OrderPaid(total=600, captured=600, revision=0))
    for parcel in ("p1", "p2"):
        arrived = Delivered(
            shipment_id=shipment(parcel), lines=(), delivered_at=START, proof=DeliveryProof.STAFF
        )
        world.add(stream, arrived)
    world.add(stream, OrderCompleted(delivered_units=4, lost_units=0))


def _edited_in_vain(world: World, name: str) -> None:
    """One mug more, for which there is no stock."""
    stream, hold = f"order-{order(name)}", ids.derive("hold", name)
    edit = OrderEdited(
        edit_id=ids.derive("edit", name, 1),
        revision=1,
        cause=EditCause.STAFF,
        lines=(line(MUG, "mug", 4, 100), LINES[1]),
        shipping=SHIPPING,
        total_before=600,
        totals=replace(TOTALS, items_net=650, total=700),
        raises_stock=True,
    )
    world.add(
        stream, edit, FulfillmentHeld(hold_id=hold, reason=HoldReason.AWAITING_PAYMENT, review_by=LATER)
    )
    world.add(
        f"reservation-{order(name)}",
        StockReservationRejected(
            order_id=order(name),
            revision=1,
            phase=RejectionPhase.REVISION,
            code=RejectionCode.OUT_OF_STOCK,
            lines=(RefusedLine(line_id=MUG, sku="mug", requested=4, available=3),),
        ),
    )
    reverted = replace(
        edit,
        edit_id=ids.derive("edit", name, 2),
        revision=2,
        cause=EditCause.REVERT,
        reverts_edit_id=edit.edit_id,
        lines=LINES,
        total_before=700,
        totals=TOTALS,
        raises_stock=False,
    )
    released = FulfillmentHoldReleased(
        hold_id=hold, reason=HoldReason.AWAITING_PAYMENT, cause="EDIT_REVERTED", next=NextStep.MANUAL
    )
    world.add(stream, reverted, released)


def _parcel(world: World, name: str, parcel: str, amount: int, *units: tuple[UUID, str, int]) -> None:
    stream = f"order-{order(name)}"
    world.add(
        stream,
        Shipped(
            shipment_id=shipment(parcel),
            fulfillment_id=ids.derive("fulfillment", name),
            method=ShipmentMethod.CARRIER,
            lines=tuple(
                ShippedLine(line_id=i, sku=sku, quantity=q, stock_tracked=True) for i, sku, q in units
            ),
            last=parcel == "p2",
        ),
        CaptureRequested(
            capture_id=capture(name, parcel),
            intent_id=intent(name),
            amount=amount,
            shipment_id=shipment(parcel),
        ),
    )
    for line_id, sku, quantity in units:
        world.add(
            item(sku),
            UnitsDeducted(
                **movement("deduct", parcel, sku),
                order_id=order(name),
                shipment_id=shipment(parcel),
                quantity=quantity,
                entries=entries(name, line_id, quantity),
            ),
        )
    world.add(
        f"reservation-{order(name)}",
        StockDeducted(order_id=order(name), shipment_id=shipment(parcel), lines=placed_units(*units)),
    )
    world.add(
        stream,
        PaymentCaptured(
            capture_id=capture(name, parcel),
            intent_id=intent(name),
            amount=amount,
            shipment_id=shipment(parcel),
            provider_ref=f"cap_{parcel}",
        ),
    )


def _returned(world: World, name: str) -> None:
    """Two mugs come back, one of them broken; both are paid back."""
    returned, receipt = ids.derive("return", name), ids.derive("receipt", name)
    stream = f"return-{returned}"
    lines = (Qty(line_id=MUG, quantity=3),)
    wish = RequestedLine(line_id=MUG, quantity=3, reason=ReturnReason.UNWANTED)
    world.add(
        stream,
        ReturnRequested(
            order_id=order(name),
            origin=ReturnOrigin.CUSTOMER,
            lines=(wish,),
            policy_version=1,
            answer_by=LATER,
        ),
        ReturnApproved(
            order_id=order(name), lines=lines, instructions_ref="1", ship_by=LATER, receive_by=LATER
        ),
    )
    scans = tuple(
        ReceivedLine(line_id=MUG, sku="mug", quantity=1, disposition=found)
        for found in (Disposition.RESTOCKED, Disposition.NOT_RESTOCKED, Disposition.MISSING)
    )
    world.add(
        stream,
        ReturnReceived(
            order_id=order(name), receipt_id=receipt, location_id=LOCATION, lines=scans, complete=True
        ),
    )
    world.add(
        item("mug"),
        UnitsRestocked(
            **movement("restock"), order_id=order(name), receipt_id=receipt, quantity=2, damaged=1
        ),
        UnitsWrittenOff(**movement("write off"), quantity=1),
    )
    back = ((1, RestockedTo.AVAILABLE), (1, RestockedTo.DAMAGED))
    world.add(
        f"reservation-{order(name)}",
        StockRestocked(
            order_id=order(name),
            source_id=returned,
            receipt_id=receipt,
            lines=tuple(
                RestockedLine(line_id=MUG, sku="mug", location_id=LOCATION, quantity=q, to=to)
                for q, to in back
            ),
            reverses=(ReversedDeduction(shipment_id=shipment("p1"), line_id=MUG, quantity=2),),
        ),
    )
    granted: dict[str, Any] = {
        "order_id": order(name),
        "source": RefundSource.RETURN,
        "source_id": returned,
        "amount": 200,
        "currency": "GBP",
        "breakdown": breakdown(200),
        "lines": (RefundLine(line_id=MUG, quantity=2, kind=RefundLineKind.RETURN),),
    }
    world.add(
        f"refundgrant-{refund(name)}",
        RefundProposed(**granted, approvals_needed=1, proposed_by=ANNA, decide_by=LATER),
        RefundApproved(**granted, approved_by=(ANNA,)),
    )
    _paid_back(world, name, refund(name), 200, RefundCause.RETURN, capture(name, "p1"), granted["lines"])
    world.add(stream, ReturnClosed(order_id=order(name), outcome=ReturnOutcome.COMPLETED))


def _paid_back(
    world: World,
    name: str,
    refund_id: UUID,
    amount: int,
    cause: RefundCause,
    over: UUID,
    lines: tuple[RefundLine, ...] = (),
) -> None:
    about: dict[str, Any] = {
        "refund_id": refund_id,
        "amount": amount,
        "breakdown": breakdown(amount),
        "lines": lines,
        "cause": cause,
        "ref_id": order(name),
    }
    asked = (Allocation(capture_id=over, amount=amount),)
    done = (PaidAllocation(capture_id=over, provider_ref=f"re_{name}", amount=amount),)
    world.add(f"order-{order(name)}", RefundRequested(**about, allocations=asked, attempt=1))
    world.add(f"order-{order(name)}", RefundIssued(**about, allocations=done))


def _cancelled_with_late_money(world: World, name: str) -> None:
    """Authorized and cancelled; the hold is let go, but a second intent is captured late."""
    stream, second = f"order-{order(name)}", ids.intent_id(order(name), 2)
    _placed(world, name)
    _reserved(world, name)
    world.add(
        stream,
        PaymentAuthorized(
            intent_id=intent(name),
            amount=600,
            provider_ref=f"pi_{name}",
            method_label="Visa",
            multicapture=True,
            expires_at=LATER,
        ),
        PaymentRequested(
            intent_id=second,
            purpose=IntentPurpose.BALANCE,
            amount=600,
            capture=CaptureMode.ON_SHIP,
            provider="sandbox",
            expires_at=LATER,
        ),
    )
    world.add(stream, OrderCancelled(reason=CancelReason.CUSTOMER, stock_tracked=True, revision=0))
    world.add(f"couponuse-{COUPON}", CouponUseGivenBack(code=COUPON, order_id=order(name)))
    reserving = tuple(movement("reserve", name, sku)["movement_id"] for sku in ("mug", "tin"))
    for line_id, sku, quantity in ((MUG, "mug", 3), (TIN, "tin", 1)):
        world.add(
            item(sku),
            UnitsReleased(
                **movement("release", name, sku), entries=entries(name, line_id, quantity), reverses=reserving
            ),
        )
    world.add(
        f"reservation-{order(name)}",
        StockReleased(
            order_id=order(name),
            cause=ReleaseCause.CANCELLED,
            lines=placed_units((MUG, "mug", 3), (TIN, "tin", 1)),
            reverses=reserving,
        ),
    )
    world.add(stream, PaymentVoided(intent_id=intent(name), amount=600, cause=VoidCause.ORDER_CANCELLED))
    late = ids.capture_id(second, 1)
    world.add(
        stream,
        LatePaymentReceived(
            intent_id=second,
            kind=LatePaymentKind.CAPTURED,
            capture_id=late,
            amount=600,
            provider_ref="cap_late",
            cause=LatePaymentCause.ORDER_CANCELLED,
        ),
    )
    _paid_back(world, name, ids.derive("refund", late), 600, RefundCause.LATE_PAYMENT, late)


def _out_of_stock(world: World, name: str) -> None:
    _placed(world, name)
    refused = RefusedLine(line_id=TIN, sku="tin", requested=1, available=0)
    world.add(
        f"reservation-{order(name)}",
        StockReservationRejected(order_id=order(name), code=RejectionCode.OUT_OF_STOCK, lines=(refused,)),
    )
    world.add(
        f"order-{order(name)}",
        OrderCancelled(reason=CancelReason.INVENTORY, stock_tracked=True, revision=0),
    )
    world.add(f"couponuse-{COUPON}", CouponUseGivenBack(code=COUPON, order_id=order(name)))


LEDGER: tuple[tuple[str, UUID, int], ...] = (
    ("AUTHORIZED", intent("good"), 600),
    ("CAPTURED", intent("good"), 250),
    ("CAPTURED", intent("good"), 350),
    ("REFUNDED", intent("good"), 200),
    ("AUTHORIZED", intent("late"), 600),
    ("VOIDED", intent("late"), 600),
    ("AUTHORIZED", ids.intent_id(order("late"), 2), 600),
    ("CAPTURED", ids.intent_id(order("late"), 2), 600),
    ("REFUNDED", ids.intent_id(order("late"), 2), 600),
)
"""What the provider wrote down that day."""


def mixed(events: Iterable[Recorded[Any]], chance: random.Random) -> list[Recorded[Any]]:
    """The same events in another mixture that keeps the order inside each stream."""
    streams: dict[str, list[Recorded[Any]]] = defaultdict(list)
    for event in events:
        streams[event.stream].append(event)
    picks = [stream for stream, of_stream in streams.items() for _ in of_stream]
    chance.shuffle(picks)
    return [streams[stream].pop(0) for stream in picks]


def judged(
    events: Sequence[Recorded[Any]],
    *,
    ledger: Iterable[tuple[str, UUID, int]] = LEDGER,
    mails: Iterable[str] | None = None,
    at_rest: bool = True,
    prepare: Callable[[Laws], None] = lambda _laws: None,
) -> list[Violation]:
    """What all laws find; without `mails` the server has each sent message once."""
    laws = Laws()
    prepare(laws)
    if mails is None:
        sent = [event for event in events if isinstance(event.data, MessageSent)]
        mails = [f"<{key_of(event.stream)}@shop.example>" for event in sent]
    for event in events:
        laws.see(event)
    for kind, reference, amount in ledger:
        laws[ProviderAgrees].entry(kind, str(reference), amount, "GBP", f"payment of {reference}")
    for mail in mails:
        laws[MailIsLedger].mail(mail)
    laws.finish(at_rest=at_rest)
    return laws.violations
