"""What a cart looks like over HTTP: always whole, with the prices that a checkout would charge now."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from services.cart.commands import PriceList
from services.cart.domain.cart_state import Cart
from services.cart.domain.cautions import cautions
from services.cart.domain.coupons import CouponFault, fault_of_choice
from services.cart.domain.quote import Item, Priced, is_free, shipping_options
from services.cart.personal_data import PersonalData
from shared.domain.ids import order_number
from shared.events.cart import CartCheckedOut
from shared.events.common import DeliveryKind, Line

Json = dict[str, Any]


def open_cart(cart_id: UUID, cart: Cart, prices: PriceList, personal: PersonalData) -> Json:
    """A cart that can still change, priced now."""
    priced = cart.priced(prices.products, prices.rules, prices.coupons)
    lines = {line.line_id: line for line in priced.lines}
    return {
        **_base(cart_id, cart, personal),
        "lines": [
            _line(lines[item.line_id], prices, personal) if item.line_id in lines else _unavailable(item)
            for item in cart.items
        ],
        "shipping": priced.shipping and asdict(priced.shipping),
        "shipping_options": _options(cart, priced, prices),
        "coupons": _coupons(cart, priced, prices),
        "totals": asdict(priced.totals),
        "warnings": _warnings(cart, prices),
        "pricing_version": prices.policy.version,
    }


def bought_cart(
    cart_id: UUID, cart: Cart, bought: CartCheckedOut, prices: PriceList, personal: PersonalData
) -> Json:
    """A cart that was checked out, as it was frozen for its order."""
    return {
        **_base(cart_id, cart, personal),
        "lines": [_line(line, prices, personal) for line in bought.lines],
        "shipping": asdict(bought.shipping),
        "shipping_options": [],
        "coupons": [{"code": code, "counts": True, "reason": None} for code in bought.coupons],
        "totals": asdict(bought.totals),
        "warnings": [],
        "pricing_version": bought.pricing_version,
        "order_id": bought.order_id,
        "order_number": order_number(bought.order_id),
    }


def _base(cart_id: UUID, cart: Cart, personal: PersonalData) -> Json:
    destination = cart.delivery.destination
    merged = {"merged_into": cart.merged_into} if cart.merged_into else {}
    return {
        "cart_id": cart_id,
        "status": cart.status,
        "currency": cart.currency,
        "locale": cart.locale,
        "item_count": sum(item.quantity for item in cart.items),
        "delivery": {
            "contact": personal.opened_contact(cart.delivery.contact),
            "destination": personal.opened_address(destination),
            "missing": destination.missing if destination else (),
            "method_id": cart.delivery.method_id,
        },
        "changed_at": cart.changed_at,
        **merged,
    }


def _warnings(cart: Cart, prices: PriceList) -> list[Json]:
    """What stands against a checkout at the prices that the buyer saw, line by line."""
    return [
        {
            "line_id": caution.item.line_id,
            "sku": caution.item.sku,
            "code": caution.code,
            **({"limit": caution.limit} if caution.limit is not None else {}),
            **({"from": caution.then, "to": caution.now} if caution.now is not None else {}),
        }
        for caution in cautions(cart, prices.products, prices.availability)
    ]


def _line(line: Line, prices: PriceList, personal: PersonalData) -> Json:
    product = prices.products.get(line.sku)
    return {
        "line_id": line.line_id,
        "sku": line.sku,
        "title": line.title,
        "quantity": line.quantity,
        "available": True,
        "unit_price": line.unit_price,
        "discount": line.discount,
        "net": line.net,
        "tax": line.tax,
        "gross": line.gross,
        "tax_rate_bp": line.tax_rate_bp,
        "delivery": line.delivery,
        "image_url": product.details.image_url if product else None,
        "customization": personal.opened_customization(line.customization),
    }


def _unavailable(item: Item) -> Json:
    """A line that cannot be bought now: no price, and no total counts it."""
    return {"line_id": item.line_id, "sku": item.sku, "quantity": item.quantity, "available": False}


def _coupons(cart: Cart, priced: Priced, prices: PriceList) -> list[Json]:
    """The coupons that the buyer named, and why some of them take nothing off as the cart is now."""
    listed = sum(line.unit_price * line.quantity for line in priced.lines)
    known = prices.rules.coupons_by_code
    shown: list[Json] = []
    for code in cart.coupons:
        fault = fault_of_choice(
            (code,), known, {}, now=prices.now, currency=cart.currency, listed=listed
        ) or (code, CouponFault.NOT_COMBINABLE)
        counts = code in priced.coupons
        shown.append({"code": code, "counts": counts, "reason": None if counts else fault[1]})
    return shown


def _options(cart: Cart, priced: Priced, prices: PriceList) -> list[Json]:
    destination = cart.delivery.destination
    if destination is None or not any(line.delivery is DeliveryKind.SHIP for line in priced.lines):
        return []
    options = shipping_options(
        priced.lines,
        destination=destination,
        currency=cart.currency,
        rules=prices.rules,
        free=is_free(prices.coupons[code] for code in priced.coupons),
    )
    return [{**asdict(option.charge), "eta_days": option.eta_days} for option in options]
