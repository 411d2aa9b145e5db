"""A small shop's order as returns sees it, and the policies it may fall under."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from services.returns.domain.policy import DEFAULT_TERMS, AdoptReturnPolicy, ReturnPolicy, ReturnTerms, decide
from services.returns.domain.returnable import RETURNABLE
from services.returns.domain.returnable_events import (
    DeliveryNoted,
    OrderedLine,
    PlacementNoted,
    ReturnableEvent,
    ShipmentNoted,
)
from services.returns.domain.returnable_state import Returnable
from shared.domain.ids import derive
from shared.events.common import Money, Qty
from shared.events.returns import (
    Disposition,
    ReceivedLine,
    RefundShipping,
    RequestedLine,
    ReturnReason,
)
from shared.testing.scenario import NOW

ORDER = derive("test", "order")
RETURN_ID = derive("test", "return")
OTHER_RETURN = derive("test", "other return")
RECEIPT = derive("test", "receipt")
SECOND_RECEIPT = derive("test", "second receipt")
LOCATION = derive("test", "location")
PARCEL = derive("test", "parcel")
MUGS, LAMP, CARD = (derive("test", name) for name in ("mugs", "lamp", "gift card"))
ANNA, BEN = derive("test", "anna"), derive("test", "ben")
DELIVERED_AT = NOW - timedelta(days=10)

PLACEMENT_NOTED = PlacementNoted(
    currency="GBP",
    lines=(
        OrderedLine(
            line_id=MUGS,
            sku="MUG",
            ordered=3,
            gross=1000,
            tax=167,
            digital=False,
            custom=False,
            final_sale=False,
        ),
        OrderedLine(
            line_id=LAMP,
            sku="LAMP",
            ordered=1,
            gross=3000,
            tax=500,
            digital=False,
            custom=False,
            final_sale=True,
        ),
    ),
    shipping_gross=480,
    shipping_tax=80,
)
EVERYTHING = (Qty(line_id=MUGS, quantity=3), Qty(line_id=LAMP, quantity=1))
SHIPMENT_NOTED = ShipmentNoted(shipment_id=PARCEL, lines=EVERYTHING)
DELIVERY_NOTED = DeliveryNoted(shipment_id=PARCEL, lines=EVERYTHING, delivered_at=DELIVERED_AT)
DELIVERED: tuple[ReturnableEvent, ...] = (PLACEMENT_NOTED, SHIPMENT_NOTED, DELIVERY_NOTED)


def policy(*terms: ReturnTerms) -> ReturnPolicy:
    """A policy that adopted each of these terms in turn; by default the default document."""
    adopted = []
    state = None
    for each in terms or (DEFAULT_TERMS,):
        adopted += decide(state, AdoptReturnPolicy(terms=each, now=NOW - timedelta(days=100)))
        state = ReturnPolicy(adopted=tuple(adopted))
    assert state is not None
    return state


POLICY = policy()
STRICT = policy(
    replace(
        DEFAULT_TERMS,
        exclusions=("MUG",),
        restocking_fee_bp=1000,
        return_shipping_fee=(Money(amount=50, currency="GBP"),),
        refund_shipping=RefundShipping.NEVER,
        dual_control_above=(Money(amount=100, currency="GBP"),),
        auto_refund=False,
    )
)


def wish(
    line_id: UUID = MUGS, quantity: int = 2, reason: ReturnReason = ReturnReason.UNWANTED
) -> RequestedLine:
    """Units that a customer wants to send back."""
    return RequestedLine(line_id=line_id, quantity=quantity, reason=reason)


def scan(
    line_id: UUID = MUGS,
    quantity: int = 2,
    disposition: Disposition = Disposition.RESTOCKED,
    sku: str = "MUG",
) -> ReceivedLine:
    """Units that the warehouse found in a parcel."""
    return ReceivedLine(line_id=line_id, sku=sku, quantity=quantity, disposition=disposition)


def returnable(*events: ReturnableEvent) -> Returnable:
    """The order's state after these events."""
    state = None
    for event in events:
        state = RETURNABLE.evolve(state, event, NOW)
    assert state is not None
    return state
