"""Edits of the order of three mugs and two plates, and what they bring."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from services.orders.domain import EditOrder, RecordPaymentAuthorized, RevertEdit, SecureEdit
from shared.domain import ids
from shared.events.common import Line, PlacedQty, Quote
from shared.events.envelope import ActorKind
from shared.events.orders import (
    EditCause,
    FulfillmentHeld,
    FulfillmentHoldReleased,
    HoldReason,
    IntentPurpose,
    NextStep,
    OrderEdited,
    OrderStockSecured,
    PaymentRequested,
)
from shared.testing.scenario import NOW
from tests.unit.orders import samples as s

EDIT = ids.edit_id(s.ORDER_ID, UUID(int=600))
REVERT = ids.reverting_edit_id(s.ORDER_ID, EDIT)
BOWLS = UUID(int=12)
THREE_MUGS = s.line(s.MUGS, "MUG", 3, 1000)
TWO_PLATES = s.line(s.PLATES, "PLATE", 2, 800)
FOUR_MUGS = s.line(s.MUGS, "MUG", 4, 1400)
TWO_MUGS = s.line(s.MUGS, "MUG", 2, 700)
A_BOWL = s.line(BOWLS, "BOWL", 1, 900)
DEARER_MUGS = s.line(s.MUGS, "MUG", 3, 1400)


def quote(*lines: Line, shipping: int = 500, **wish: Any) -> Quote:
    """A promise for these lines to where the order goes."""
    content = s.placed(*lines, shipping=shipping)
    until = wish.get("now", NOW) + s.POLICY.payment_window
    what = tuple((line.line_id, line.sku, line.quantity, line.customization) for line in lines)
    how: tuple[str | None, ...] = (None, None, *wish.get("codes", ()))
    return Quote(
        quote_id=ids.quote_id(None, "GBP", until, (wish.get("country", "GB"), None, None), how, what),
        lines=lines,
        shipping=content.shipping,
        totals=replace(content.totals, total=content.totals.total if lines else shipping),
        policy_version=4,
        valid_until=until,
        signature="v1.checked",
    )


def edit(*lines: Line, **wish: Any) -> EditOrder:
    """Staff make the order these lines."""
    return EditOrder(
        order_id=s.ORDER_ID,
        edit_id=EDIT,
        quote=quote(*lines, **wish),
        currency="GBP",
        by=wish.get("by", ActorKind.OPERATOR),
        now=NOW,
    )


def edited(*lines: Line, raises_stock: bool = False, **changes: Any) -> OrderEdited:
    """The order is these lines now."""
    promise = quote(*lines)
    event = OrderEdited(
        edit_id=EDIT,
        revision=1,
        cause=EditCause.STAFF,
        lines=lines,
        shipping=promise.shipping,
        total_before=s.TOTAL,
        totals=promise.totals,
        quote_id=promise.quote_id,
        raises_stock=raises_stock,
    )
    return replace(event, **changes)


def reverted(before: OrderEdited, *lines: Line, raises_stock: bool = False) -> OrderEdited:
    """The order is again what it was before an edit."""
    return edited(
        *(lines or (THREE_MUGS, TWO_PLATES)),
        edit_id=REVERT,
        revision=2,
        cause=EditCause.REVERT,
        reverts_edit_id=EDIT,
        total_before=before.totals.total,
        quote_id=None,
        raises_stock=raises_stock,
    )


HOLD = ids.hold_id(s.ORDER_ID, HoldReason.AWAITING_PAYMENT, EDIT)
HELD = FulfillmentHeld(
    hold_id=HOLD, reason=HoldReason.AWAITING_PAYMENT, review_by=NOW + s.POLICY.balance_window
)
RELEASED = FulfillmentHoldReleased(
    hold_id=HOLD, reason=HoldReason.AWAITING_PAYMENT, cause="PAYMENT_SECURED", next=NextStep.MANUAL
)
RELEASED_REVERTED = replace(RELEASED, cause="EDIT_REVERTED")
RENEW_AT = s.AUTHORIZED_UNTIL - s.POLICY.reauthorize_before_expiry


def balance(amount: int) -> PaymentRequested:
    """The buyer is asked for what is missing, until the first authorization has to be renewed."""
    return replace(s.REQUESTED_2, purpose=IntentPurpose.BALANCE, amount=amount, expires_at=RENEW_AT)


def pay(amount: int) -> RecordPaymentAuthorized:
    """The buyer pays the balance."""
    return replace(s.AUTHORIZE, intent_id=s.INTENT_2, amount=amount, provider_ref="pi_2")


ONE_MORE_MUG = (PlacedQty(line_id=s.MUGS, sku="MUG", location_id=s.DEPOT, quantity=1),)
THE_BOWL = (PlacedQty(line_id=BOWLS, sku="BOWL", location_id=s.DEPOT, quantity=1),)
SECURE_EDIT = SecureEdit(order_id=s.ORDER_ID, revision=1, added=ONE_MORE_MUG, now=NOW)
NO_STOCK = RevertEdit(order_id=s.ORDER_ID, revision=1, refused=True, now=NOW)
IN_VAIN = replace(NO_STOCK, refused=False)


def secured(*placed: PlacedQty, revision: int = 1) -> OrderStockSecured:
    """All units of the edited order are held."""
    return replace(s.STOCK_SECURED, revision=revision, placed=placed)


PRICIER = edited(DEARER_MUGS, TWO_PLATES)
MORE = edited(FOUR_MUGS, TWO_PLATES, raises_stock=True)
LESS = edited(TWO_MUGS, TWO_PLATES)
SWAP = edited(TWO_PLATES, replace(A_BOWL, gross=1900, net=1900, unit_price=1900), raises_stock=True)
WAITS_FOR_BALANCE = (*s.IN_QUEUE, PRICIER, HELD, balance(400))
WAITS_FOR_STOCK = (*s.IN_QUEUE, MORE, HELD)
