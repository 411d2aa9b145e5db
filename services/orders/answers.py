"""An order's rows as JSON for its buyer and for staff; here, and only here, personal data is opened."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import orjson

from services.orders.domain import Order, fulfillment_status, payment_status
from services.orders.domain.state import Fulfillment, Intent
from services.orders.psp import ProviderIntent
from services.orders.readmodels.order_tracking import TrackedParcel
from services.orders.readmodels.order_view import OrderView
from shared.domain import Sealed, ids
from shared.service.vault import CannotOpen, Vault


def progress(order: Order) -> dict[str, Any]:
    """Where an order stands: what every command answers."""
    return {
        "order_id": order.order_id,
        "order_status": order.status,
        "payment_status": payment_status(order),
        "fulfillment_status": fulfillment_status(order),
    }


def page(row: OrderView, parcels: Sequence[TrackedParcel], vault: Vault) -> dict[str, Any]:
    """The whole order."""
    placed, order = row.placed, row.progress
    return {
        **progress(order),
        "order_number": row.order_number,
        "placed_at": row.placed_at,
        "customer_id": placed.customer_id,
        "locale": placed.locale,
        "currency": placed.currency,
        "contact": _contact(placed.contact.name, placed.contact.email, placed.contact.phone, vault),
        "destination": _address(_opened(vault, placed.destination.address, "address")),
        "customer_note": _opened(vault, placed.customer_note, "customer_note"),
        "lines": [
            {
                "line_id": line.line_id,
                "sku": line.sku,
                "title": line.title,
                "quantity": line.quantity,
                "unit_price": line.unit_price,
                "discount": line.discount,
                "net": line.net,
                "tax": line.tax,
                "gross": line.gross,
                "shipped": order.lines[line.line_id].shipped,
                "delivered": order.lines[line.line_id].delivered,
                "refunded": order.lines[line.line_id].refunded,
            }
            for line in placed.lines
        ],
        "shipping": placed.shipping,
        "totals": placed.totals,
        "money": _money(order),
        "intents": [
            {"intent_id": intent.intent_id, "amount": intent.amount, "status": intent.status}
            for intent in oldest_first(order)
        ],
        "fulfillments": fulfillments(order),
        "shipments": parcels,
        "refunds": [
            {
                "refund_id": refund.refund_id,
                "amount": refund.amount,
                "status": refund.status,
                "cause": refund.cause,
                "attempt": refund.attempt,
                "retryable": refund.retryable,
                "paid_back": refund.gone,
            }
            for refund in order.refunds.values()
        ],
        "revision": order.revision,
        "edit_pending": order.edit_pending,
        "holds": sorted(set(order.holds.values())),
        "cancellation": order.cancellation,
        "delivered_at": row.delivered_at,
    }


def edited(order: Order) -> dict[str, Any]:
    """Where an order stands after a change of its content, and which change that was."""
    return {
        **progress(order),
        "revision": order.revision,
        "total": order.totals.total,
        "edit_pending": order.edit_pending,
        "holds": sorted(set(order.holds.values())),
    }


def oldest_first(order: Order) -> list[Intent]:
    """The order's payments as they were asked for; a row of a read model has forgotten the order."""
    return [order.intents[ids.intent_id(order.order_id, n)] for n in range(1, len(order.intents) + 1)]


def fulfillments(order: Order) -> list[dict[str, Any]]:
    """What each warehouse was asked to ship."""
    return [
        {
            "fulfillment_id": each.fulfillment_id,
            "location_id": each.location_id,
            "lines": each.lines,
            "ship_by": each.ship_by,
            "status": _status(order, each),
        }
        for each in order.fulfillments.values()
    ]


def payment(row: OrderView, intent: Intent, found: ProviderIntent, *, open_: bool) -> dict[str, Any]:
    """What a buyer's browser needs to pay; the secret only while there is something to pay."""
    return {
        "intent_id": intent.intent_id,
        "status": intent.status,
        "amount": intent.amount,
        "currency": row.currency,
        "provider_ref": found.ref,
        "client_secret": found.client_secret if open_ else None,
        "confirm_url": found.confirm_url if open_ else None,
        "expires_at": intent.expires_at,
    }


def _status(order: Order, fulfillment: Fulfillment) -> str:
    if fulfillment.cancelled:
        return "CANCELLED"
    parcels = [p for p in order.shipments.values() if p.fulfillment_id == fulfillment.fulfillment_id]
    left = _units(fulfillment.lines) - sum(_units(parcel.lines) for parcel in parcels)
    return "OPEN" if left else "SHIPPED"


def _units(lines: Iterable[Any]) -> int:
    return sum(line.quantity for line in lines)


def _money(order: Order) -> dict[str, int]:
    return {
        "authorized": sum(order.rest(intent) for intent in order.intents.values()) + order.in_flight,
        "captured": order.taken,
        "refunded": order.refunded,
        "balance": order.taken - order.refunded,
    }


def _contact(name: Sealed, email: Sealed, phone: Sealed | None, vault: Vault) -> dict[str, str | None]:
    return {
        "name": _opened(vault, name, "name"),
        "email": _opened(vault, email, "email"),
        "phone": _opened(vault, phone, "phone"),
    }


def _address(text: str | None) -> Any:
    with suppress(orjson.JSONDecodeError):
        return orjson.loads(text or "null")
    return None


def _opened(vault: Vault, sealed: Sealed | None, field: str) -> str | None:
    """The text, or None if it cannot be opened (any more)."""
    with suppress(CannotOpen):
        return vault.open(sealed, field) if sealed else None
    return None
