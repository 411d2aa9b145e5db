"""What each template reads: made of the event, the order's snippet and the shop, nothing is looked up."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from services.notifications.domain.wording import tracking_link
from services.notifications.readmodels.order_snippets import OrderSnippet, edited
from services.notifications.readmodels.return_policies import ReturnPolicyRow
from shared.events.common import CaptureMode
from shared.events.notifications import Locale
from shared.events.orders import (
    CaptureFailed,
    Delivered,
    DeliveryProof,
    EditCause,
    LatePaymentReceived,
    OrderCancelled,
    OrderConfirmed,
    OrderEdited,
    PaymentDeclined,
    PaymentRequested,
    RefundFailed,
    RefundIssued,
    Shipped,
)
from shared.events.returns import Disposition, ReturnApproved, ReturnDeclined, ReturnReceived

Context = Mapping[str, Any]

REFUND_DAYS = 14
"""Said while no return policy was heard of; the policy that every shop starts with says so too."""
_ARRIVED = frozenset({Disposition.RESTOCKED, Disposition.NOT_RESTOCKED})
_STATUS: Mapping[Locale, Mapping[str, str]] = {
    Locale.EN: {
        "nothing_due": "nothing to pay",
        "open": "not paid yet",
        "authorized": "authorized",
        "paid": "paid",
        "preparing": "being prepared",
        "partly": "partly shipped",
        "shipped": "shipped",
    },
    Locale.IT: {
        "nothing_due": "nulla da pagare",
        "open": "non ancora pagato",
        "authorized": "autorizzato",
        "paid": "pagato",
        "preparing": "in preparazione",
        "partly": "spedito in parte",
        "shipped": "spedito",
    },
    Locale.PT: {
        "nothing_due": "nada a pagar",
        "open": "ainda não pago",
        "authorized": "autorizado",
        "paid": "pago",
        "preparing": "em preparação",
        "partly": "enviado em parte",
        "shipped": "enviado",
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """Who writes. `url` is without a slash at its end, `return_address` in rows."""

    name: str
    url: str
    support_email: str
    return_address: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The personal data that a message needs, readable; it is kept nowhere."""

    name: str
    address: Mapping[str, str | None]
    note: str | None = None


class Counted(Protocol):
    """Units of an order line, in whichever record they come."""

    @property
    def line_id(self) -> UUID: ...
    @property
    def quantity(self) -> int: ...


def context(
    event: Any,
    order: OrderSnippet,
    opened: Opened,
    policy: ReturnPolicyRow | None,
    shop: Shop,
    locale: Locale,
) -> Context:
    """Everything that the templates of this event read (see templates/README.md), in language `locale`."""
    if isinstance(event, OrderEdited):
        order = edited(order, event)
    return {
        "shop": {"name": shop.name, "url": shop.url, "support_email": shop.support_email},
        "customer_name": opened.name,
        "order": _order(order, opened, shop, _STATUS[locale]),
        "payment": _payment(order, _STATUS[locale]),
        "account_url": f"{shop.url}/account",
        "return_policy": policy.words(locale) if policy else f"{shop.url}/returns",
        "refund_days": policy.refund_days if policy else REFUND_DAYS,
        **_of_event(event, order, opened, shop),
    }


def _order(order: OrderSnippet, opened: Opened, shop: Shop, words: Mapping[str, str]) -> Context:
    url = f"{shop.url}/orders/{order.order_id}"
    ordered = sum(line.quantity for line in order.lines)
    progress = (
        "shipped" if order.shipped_units >= ordered else "partly" if order.shipped_units else "preparing"
    )
    return {
        "number": order.number,
        "url": url,
        "print_url": f"{url}/print",
        "reorder_url": f"{url}/reorder",
        "currency": order.currency,
        "lines": order.lines,
        "shipping_title": order.shipping_title,
        "shipping_status": words[progress],
        "totals": order.totals,
        "address": address_rows(opened),
    }


def _payment(order: OrderSnippet, words: Mapping[str, str]) -> Context:
    label = order.method_label
    if order.totals.total == 0:
        status = "nothing_due"
    elif order.captured >= order.totals.total:
        status = "paid"
    else:
        status = "authorized" if label else "open"
    return {
        "method_label": label or "-",
        "status": words[status],
        "charged_when_shipped": status == "authorized" and order.capture is CaptureMode.ON_SHIP,
    }


def address_rows(opened: Opened) -> tuple[str, ...]:
    """A postal address as it is written on a parcel; what is missing is left out."""
    part = opened.address.get
    town = " ".join(filter(None, (part("postal_code"), part("city"))))
    rows = (opened.name, part("line1"), part("line2"), town, part("region"), part("country"))
    return tuple(row for row in rows if row)


def _of_event(event: Any, order: OrderSnippet, opened: Opened, shop: Shop) -> Context:
    match event:
        case OrderConfirmed():
            return {"process_by": event.process_by}
        case OrderEdited():
            return {"total_before": event.total_before, "reverted": event.cause is EditCause.REVERT}
        case PaymentRequested():
            return {"amount": event.amount, "pay_by": event.expires_at, "pay_url": _pay_url(order, shop)}
        case PaymentDeclined():
            intent = order.intent(event.intent_id)
            return {
                "amount": intent.amount if intent else order.totals.total,
                "pay_by": intent.pay_by if intent else None,
                "retry_url": _pay_url(order, shop),
            }
        case LatePaymentReceived():
            problem = f"LATE_{event.kind}"
            captured = problem == "LATE_CAPTURED"
            return {"amount": event.amount, "captured": captured, "problem": problem, "code": event.cause}
        case CaptureFailed():
            return {"amount": event.amount, "problem": "CAPTURE_FAILED", "code": event.code}
        case OrderCancelled():
            refund = {"amount": order.refund_due} if order.refund_due else None
            return {"reason": event.reason, "refund": refund, "released": bool(event.void_intents)}
        case RefundIssued() | RefundFailed():
            return {"refund": event}
        case Shipped() | Delivered():
            return {"parcel": _parcel(event, order)}
        case ReturnApproved() | ReturnReceived():
            return {"return_": _return(event, order, shop)}
        case ReturnDeclined():
            return {"reason": event.reason, "note": opened.note}
        case _:
            raise TypeError(f"nobody is written to about {type(event).__name__}")


def _pay_url(order: OrderSnippet, shop: Shop) -> str:
    return f"{shop.url}/orders/{order.order_id}/pay"


def _parcel(event: Shipped | Delivered, order: OrderSnippet) -> Context:
    lines = _titled(event.lines, order)
    if isinstance(event, Delivered):
        assumed = event.proof is DeliveryProof.ASSUMED
        return {"lines": lines, "delivered_at": event.delivered_at, "assumed": assumed}
    return {
        "lines": lines,
        "carrier": event.carrier,
        "tracking_number": event.tracking_number,
        "tracking_link": tracking_link(event.carrier, event.tracking_number, event.tracking_url),
        "estimated_delivery": event.estimated_delivery,
        "last": event.last,
    }


def _return(event: ReturnApproved | ReturnReceived, order: OrderSnippet, shop: Shop) -> Context:
    if isinstance(event, ReturnApproved):
        return {
            "lines": _titled(event.lines, order),
            "ship_by": event.ship_by,
            "receive_by": event.receive_by,
            "address": (shop.name, *shop.return_address),
            "label": event.label,
        }

    def found(*dispositions: Disposition) -> list[Context]:
        return _titled((line for line in event.lines if line.disposition in dispositions), order)

    return {
        "arrived": found(*_ARRIVED),
        "missing": found(Disposition.MISSING),
        "inspecting": found(Disposition.PROCESSING_REQUIRED),
        "complete": event.complete,
    }


def _titled(lines: Iterable[Counted], order: OrderSnippet) -> list[Context]:
    """Units with the titles that they were ordered under."""
    titles = {line.line_id: line.title for line in order.lines}
    return [{"title": titles[line.line_id], "quantity": line.quantity} for line in lines]
