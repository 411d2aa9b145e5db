"""One order of three mugs and two plates, with every event of its usual life, for the tests to start from."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from services.orders.domain import (
    CancelOrder,
    ConfirmDelivery,
    Order,
    OrderPolicy,
    PlaceOrder,
    RecordCaptureResult,
    RecordPaymentAuthorized,
    RecordPaymentDeclined,
    SecureStock,
    Ship,
    StartProcessing,
    order_decider,
)
from shared.domain import Sealed, ids
from shared.events.cart import CartCheckedOut
from shared.events.common import (
    Breakdown,
    CancelReason,
    CaptureMode,
    Charge,
    Contact,
    Destination,
    Line,
    PlacedQty,
    Qty,
    RefundLine,
    RefundLineKind,
    Totals,
)
from shared.events.orders import (
    Allocation,
    CaptureRequested,
    DeclineCode,
    Delivered,
    DeliveryProof,
    FulfillmentRequested,
    FulfillmentService,
    GateCheck,
    IntentPurpose,
    NextStep,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderEvent,
    OrderPaid,
    OrderPlaced,
    OrderProcessingStarted,
    OrderSource,
    OrderStockSecured,
    PaidAllocation,
    PaymentAuthorized,
    PaymentBasis,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRequested,
    ProcessingMode,
    RefundCause,
    RefundIssued,
    RefundRequested,
    ShipmentMethod,
    Shipped,
    ShippedLine,
    SourceKind,
)
from shared.testing.scenario import NOW

POLICY = OrderPolicy()
ORDER = order_decider(POLICY)

CART_ID = UUID(int=1)
ORDER_ID = ids.order_id(CART_ID)
OTHER_ID = UUID(int=99)
STAFF = UUID(int=7)
MUGS, PLATES = UUID(int=10), UUID(int=11)
DEPOT = UUID(int=20)
INTENT = ids.intent_id(ORDER_ID, 1)
INTENT_2 = ids.intent_id(ORDER_ID, 2)
INTENT_3 = ids.intent_id(ORDER_ID, 3)
FULFILLMENT = ids.fulfillment_id(ORDER_ID, "OWN", str(DEPOT), 1)
PARCEL_1 = ids.shipment_id(FULFILLMENT, 1)
PARCEL_2 = ids.shipment_id(FULFILLMENT, 2)
CAPTURE_1 = ids.capture_id(INTENT, PARCEL_1)
CAPTURE_2 = ids.capture_id(INTENT, PARCEL_2)
WINDOW_END = NOW + POLICY.payment_window
AUTHORIZED_UNTIL = NOW + timedelta(days=7)


def line(line_id: UUID, sku: str, quantity: int, gross: int, *, tracked: bool = True) -> Line:
    """A line without tax; `gross` is the price of all its units."""
    return Line(
        line_id=line_id,
        sku=sku,
        title=sku.title(),
        quantity=quantity,
        unit_price=gross // quantity,
        net=gross,
        tax=0,
        gross=gross,
        tax_class="standard",
        tax_rate_bp=0,
        stock_tracked=tracked,
    )


def placed(*lines: Line, shipping: int = 500, **changes: Any) -> OrderPlaced:
    """An order of these lines, placed at NOW; by default three mugs for 10.00 and two plates for 8.00."""
    lines = lines or (line(MUGS, "MUG", 3, 1000), line(PLATES, "PLATE", 2, 800))
    items = sum(entry.gross for entry in lines)
    event = OrderPlaced(
        order_number=ids.order_number(ORDER_ID),
        source=OrderSource(kind=SourceKind.CART, ref_id=CART_ID),
        cart_id=CART_ID,
        contact=Contact(subject_id=UUID(int=2), name=Sealed("v1.s.n.name"), email=Sealed("v1.s.n.mail")),
        destination=Destination(country="GB", complete=True, address=Sealed("v1.s.n.address")),
        lines=lines,
        shipping=Charge(method_id="standard", title="Standard", net=shipping, tax=0, gross=shipping),
        totals=Totals(
            items_net=items,
            items_tax=0,
            shipping_net=shipping,
            shipping_tax=0,
            discount=0,
            total=items + shipping,
        ),
        currency="GBP",
        locale="en",
        pricing_version=4,
        stock_answer_by=NOW + POLICY.stock_answer_within,
    )
    return replace(event, **changes)


def checkout(order: OrderPlaced) -> CartCheckedOut:
    """The checkout that becomes `order`."""
    return CartCheckedOut(
        order_id=ORDER_ID,
        contact=order.contact,
        destination=order.destination,
        lines=order.lines,
        shipping=order.shipping,
        totals=order.totals,
        currency=order.currency,
        locale=order.locale,
        pricing_version=order.pricing_version,
        terms_version="1",
    )


PLACED = placed()
FREE = placed(line(MUGS, "MUG", 3, 0), shipping=0)
TOTAL = PLACED.totals.total
HELD = (
    PlacedQty(line_id=MUGS, sku="MUG", location_id=DEPOT, quantity=3),
    PlacedQty(line_id=PLATES, sku="PLATE", location_id=DEPOT, quantity=2),
)
STOCK_SECURED = OrderStockSecured(reservation_id=ids.reservation_id(ORDER_ID), revision=0, placed=HELD)
REQUESTED = PaymentRequested(
    intent_id=INTENT,
    purpose=IntentPurpose.ORDER,
    amount=TOTAL,
    capture=CaptureMode.ON_SHIP,
    provider="sandbox",
    expires_at=WINDOW_END,
)
REQUESTED_2 = replace(REQUESTED, intent_id=INTENT_2)
REQUESTED_3 = replace(REQUESTED, intent_id=INTENT_3)
AUTHORIZED = PaymentAuthorized(
    intent_id=INTENT,
    amount=TOTAL,
    provider_ref="pi_1",
    method_label="Visa 4242",
    multicapture=True,
    expires_at=AUTHORIZED_UNTIL,
)
DECLINED = PaymentDeclined(intent_id=INTENT, code=DeclineCode.DECLINED, attempt=1, final=False)
DECLINED_2 = replace(DECLINED, intent_id=INTENT_2, attempt=2)
CONFIRMED = OrderConfirmed(
    payment=PaymentBasis.AUTHORIZED,
    mode=ProcessingMode.MANUAL,
    mode_reason="POLICY",
    next=NextStep.MANUAL,
    process_by=NOW + timedelta(days=2),
)
GATE = tuple(GateCheck(check=check, ok=True) for check in ("address", "stock", "payment"))
STARTED = OrderProcessingStarted(mode=ProcessingMode.MANUAL, gate=GATE, started_by=STAFF)
ALL_UNITS = (Qty(line_id=MUGS, quantity=3), Qty(line_id=PLATES, quantity=2))
HANDED_OVER = FulfillmentRequested(
    fulfillment_id=FULFILLMENT,
    service=FulfillmentService.OWN,
    location_id=DEPOT,
    lines=ALL_UNITS,
    ship_by=NOW + POLICY.ship_within,
)
MUG_AND_PLATE = (Qty(line_id=MUGS, quantity=1), Qty(line_id=PLATES, quantity=1))
THE_REST = (Qty(line_id=MUGS, quantity=2), Qty(line_id=PLATES, quantity=1))


def shipped(shipment_id: UUID, lines: tuple[Qty, ...], *, last: bool) -> Shipped:
    """A parcel of mugs and plates."""
    skus = {MUGS: "MUG", PLATES: "PLATE"}
    return Shipped(
        shipment_id=shipment_id,
        fulfillment_id=FULFILLMENT,
        method=ShipmentMethod.CARRIER,
        location_id=DEPOT,
        lines=tuple(
            ShippedLine(line_id=q.line_id, sku=skus[q.line_id], quantity=q.quantity, stock_tracked=True)
            for q in lines
        ),
        carrier="DHL",
        tracking_number="JD01",
        last=last,
    )


SHIPPED_1 = shipped(PARCEL_1, MUG_AND_PLATE, last=False)
SHIPPED_2 = shipped(PARCEL_2, THE_REST, last=True)
SHIPPED_ALL = shipped(PARCEL_1, ALL_UNITS, last=True)
DUE_1 = 500 + 333 + 400
TO_CAPTURE_1 = CaptureRequested(capture_id=CAPTURE_1, intent_id=INTENT, amount=DUE_1, shipment_id=PARCEL_1)
TO_CAPTURE_2 = CaptureRequested(
    capture_id=CAPTURE_2, intent_id=INTENT, amount=TOTAL - DUE_1, shipment_id=PARCEL_2
)
TO_CAPTURE_ALL = replace(TO_CAPTURE_1, amount=TOTAL)


def captured(request: CaptureRequested) -> PaymentCaptured:
    """The money that a capture brought."""
    return PaymentCaptured(
        capture_id=request.capture_id,
        intent_id=request.intent_id,
        amount=request.amount,
        shipment_id=request.shipment_id,
        provider_ref="ch_1",
    )


PAID = OrderPaid(total=TOTAL, captured=TOTAL, revision=0)
DELIVERED_ALL = Delivered(shipment_id=PARCEL_1, lines=ALL_UNITS, delivered_at=NOW, proof=DeliveryProof.STAFF)
COMPLETED = OrderCompleted(delivered_units=5, lost_units=0)

WAITING_FOR_STOCK: tuple[OrderEvent, ...] = (PLACED,)
WAITING_FOR_PAYMENT = (*WAITING_FOR_STOCK, STOCK_SECURED, REQUESTED)
IN_QUEUE = (*WAITING_FOR_PAYMENT, AUTHORIZED, CONFIRMED)
IN_PROCESSING = (*IN_QUEUE, STARTED, HANDED_OVER)
PARTLY_SHIPPED = (*IN_PROCESSING, SHIPPED_1, TO_CAPTURE_1)
ALL_SHIPPED = (*IN_PROCESSING, SHIPPED_ALL, TO_CAPTURE_ALL)
ALL_PAID = (*ALL_SHIPPED, captured(TO_CAPTURE_ALL), PAID)
AT_ITS_END = (*ALL_PAID, DELIVERED_ALL, COMPLETED)

CANCELLED = OrderCancelled(reason=CancelReason.CUSTOMER, stock_tracked=True, revision=0)
CANCELLED_DECLINED = replace(CANCELLED, reason=CancelReason.DECLINED)

REFUND_ID = UUID(int=500)
RETURN_ID = UUID(int=501)
ONE_MUG_BACK = (RefundLine(line_id=MUGS, quantity=1, kind=RefundLineKind.RETURN),)
TO_REFUND = RefundRequested(
    refund_id=REFUND_ID,
    amount=333,
    breakdown=Breakdown(items_net=333, items_tax=0, shipping_net=0, shipping_tax=0, total=333),
    lines=ONE_MUG_BACK,
    cause=RefundCause.RETURN,
    ref_id=RETURN_ID,
    allocations=(Allocation(capture_id=CAPTURE_1, amount=333),),
    attempt=1,
)
REFUNDED = RefundIssued(
    refund_id=REFUND_ID,
    amount=333,
    breakdown=TO_REFUND.breakdown,
    lines=ONE_MUG_BACK,
    cause=RefundCause.RETURN,
    ref_id=RETURN_ID,
    allocations=(PaidAllocation(capture_id=CAPTURE_1, provider_ref="re_1", amount=333),),
)

PLACE = PlaceOrder(order_id=ORDER_ID, cart_id=CART_ID, checkout=checkout(PLACED), now=NOW)
SECURE = SecureStock(order_id=ORDER_ID, placed=HELD, now=NOW)
CANCEL = CancelOrder(order_id=ORDER_ID, reason=CancelReason.CUSTOMER, now=NOW)
AUTHORIZE = RecordPaymentAuthorized(
    order_id=ORDER_ID,
    intent_id=INTENT,
    amount=TOTAL,
    provider_ref="pi_1",
    method_label="Visa 4242",
    authorized_until=AUTHORIZED_UNTIL,
    now=NOW,
)
DECLINE = RecordPaymentDeclined(order_id=ORDER_ID, intent_id=INTENT, code=DeclineCode.DECLINED, now=NOW)
START = StartProcessing(order_id=ORDER_ID, started_by=STAFF, now=NOW)
SHIP_1 = Ship(
    order_id=ORDER_ID,
    fulfillment_id=FULFILLMENT,
    parcel_no=1,
    lines=MUG_AND_PLATE,
    location_id=DEPOT,
    carrier="DHL",
    tracking_number="JD01",
    now=NOW,
)
SHIP_2 = replace(SHIP_1, parcel_no=2, lines=THE_REST)
SHIP_ALL = replace(SHIP_1, lines=ALL_UNITS)
CAPTURE_DONE = RecordCaptureResult(
    order_id=ORDER_ID, capture_id=CAPTURE_1, ok=True, provider_ref="ch_1", now=NOW
)
DELIVER = ConfirmDelivery(order_id=ORDER_ID, shipment_id=PARCEL_1, proof=DeliveryProof.STAFF, now=NOW)


def fold(*events: OrderEvent) -> Order:
    """The order after these events, all of which happened at NOW."""
    state: Order | None = None
    for event in events:
        state = ORDER.evolve(state, event, NOW)
    assert state is not None
    return state
