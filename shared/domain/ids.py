"""Ids that a retry finds again: each is derived from what it stands for, one uuid5 namespace per kind."""

from datetime import datetime
from functools import cache, lru_cache
from hashlib import sha1
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, UUID, uuid5

if TYPE_CHECKING:
    from _hashlib import HASH

_ROOT = uuid5(NAMESPACE_URL, "https://orderflow.dev/ids")
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def derive(kind: str, *parts: object) -> UUID:
    """The id of `kind` for `parts`: the same parts always give the same id, other kinds never collide."""
    name = "\x1f".join(map(str, parts)).encode()
    return UUID(bytes=sha1(_namespace(kind) + name, usedforsecurity=False).digest()[:16], version=5)


def derive_numbered(kind: str, within: tuple[object, ...], n: int) -> UUID:
    """The same as `derive(kind, *within, n)`, at half the cost where many are numbered `within` the same."""
    name = _beginning(kind, within).copy()
    name.update(b"%d" % n)
    return UUID(bytes=name.digest()[:16], version=5)


@lru_cache(maxsize=4096)
def _beginning(kind: str, within: tuple[object, ...]) -> "HASH":
    name = "".join(f"{part}\x1f" for part in within).encode()
    return sha1(_namespace(kind) + name, usedforsecurity=False)


@cache
def _namespace(kind: str) -> bytes:
    return uuid5(_ROOT, kind).bytes


MAIN_LOCATION = derive("location", "main")
"""The one place where the first cut keeps stock and takes returns; every key names it already."""


def order_id(cart_id: UUID) -> UUID:
    """The order that a cart becomes; checking the same cart out twice names the same order."""
    return derive("order", cart_id)


def copied_line_id(into_cart: UUID, from_cart: UUID, line: UUID) -> UUID:
    """The line of one cart that a line of another becomes, when carts are merged or bought once more."""
    return derive("cart-line", into_cart, from_cart, line)


def intent_id(order: UUID, n: int) -> UUID:
    """The order's n-th payment intent, counted from 1."""
    return derive("intent", order, n)


def reservation_id(order: UUID) -> UUID:
    """The stock reservation of an order."""
    return derive("reservation", order)


def fulfillment_id(order: UUID, service: str, place: str, n: int) -> UUID:
    """The n-th hand-off of an order to a fulfillment `service` at a location or supplier."""
    return derive("fulfillment", order, service, place, n)


def shipment_id(fulfillment: UUID, parcel_no: int) -> UUID:
    """Parcel number `parcel_no` (from 1) of a fulfillment."""
    return derive("shipment", fulfillment, parcel_no)


def capture_id(intent: UUID, shipment_or_n: UUID | int) -> UUID:
    """The capture of an intent for one shipment, or the n-th where no shipment causes it."""
    return derive("capture", intent, shipment_or_n)


def refund_id(order: UUID, cause: str, ref_id: UUID, method: str) -> UUID:
    """The refund that one cause (return receipt, goodwill case, cancellation …) gives, per method."""
    return derive("refund", order, cause, ref_id, method)


def hold_id(order: UUID, reason: str, cause: UUID) -> UUID:
    """The hold that one cause (an edit, a capture that failed) puts on an order for this reason."""
    return derive("hold", order, reason, cause)


def edit_id(order: UUID, command: UUID) -> UUID:
    """The edit of an order that one wish stands for; sent again it names the same edit."""
    return derive("edit", order, command)


def reverting_edit_id(order: UUID, edit: UUID) -> UUID:
    """The edit that takes another one back."""
    return derive("reverting edit", order, edit)


def quote_id(
    cart: UUID | None,
    currency: str,
    valid_until: datetime,
    where: tuple[str | None, ...],
    how: tuple[str | UUID | None, ...],
    what: tuple[tuple[object, ...], ...],
) -> UUID:
    """The promise until then of a price for `what` (line, sku, quantity, customization) that goes `where`
    (country, region, postal prefix) and `how` (method, pickup location, coupons)."""
    return derive("quote", cart, currency, valid_until.isoformat(), where, how, what)


def orphan_payment_id(provider: str, provider_ref: str) -> UUID:
    """The stream of a provider's payment that belongs to no known order."""
    return derive("orphan payment", provider, provider_ref)


def receipt_id(return_id: UUID, scan_id: UUID) -> UUID:
    """The receipt that one warehouse scan of a return gives."""
    return derive("receipt", return_id, scan_id)


def movement_id(cause_event: UUID, sku: str, location: UUID) -> UUID:
    """The stock movement that one cause makes for a sku at a location."""
    return derive("movement", cause_event, sku, location)


def message_id(cause_event: UUID, template: str, recipient_hash: str, channel: str, resend_no: int) -> UUID:
    """The effect id of a message: one per cause, template, recipient, channel and wished resend."""
    return derive("message", cause_event, template, recipient_hash, channel, resend_no)


def order_number(order: UUID) -> str:
    """The number people quote: the first 50 bits of the order id in Crockford base32, as `A7K3F-92QXM`."""
    bits = order.int >> 78
    text = "".join(_CROCKFORD[bits >> shift & 31] for shift in range(45, -1, -5))
    return f"{text[:5]}-{text[5:]}"
