"""The coupons of a cart: a buyer names their codes, and learns at once which of them cannot count."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from services.cart.domain.cart_state import Cart
from services.cart.domain.coupons import CouponFault, as_code, fault_of_choice
from services.cart.domain.product import Product
from services.cart.domain.rules import PricingRules
from shared.domain import Rejected
from shared.events.cart import CartCouponsChosen


@dataclass(frozen=True, slots=True, kw_only=True)
class ChooseCoupons:
    """Have exactly these coupons on the cart; none takes all of them off again.

    `products` are the cart's, by sku; `used` says how many orders hold a use of each code. Refused:
    unknown_cart, cart_closed, coupon_invalid{coupon, reason}.
    """

    cart_id: UUID
    codes: tuple[str, ...]
    products: Mapping[str, Product]
    rules: PricingRules
    used: Mapping[str, int] = field(default_factory=dict)
    now: datetime


_SAID: Final = {
    CouponFault.UNKNOWN: "There is no coupon {code}.",
    CouponFault.NOT_YET_VALID: "Coupon {code} does not hold yet.",
    CouponFault.EXPIRED: "Coupon {code} does not hold any more.",
    CouponFault.OTHER_CURRENCY: "Coupon {code} is not for carts in this currency.",
    CouponFault.BELOW_MINIMUM: "Coupon {code} is for larger carts.",
    CouponFault.NOT_COMBINABLE: "Coupon {code} does not go together with another one.",
    CouponFault.USED_UP: "Coupon {code} was used as often as it may be.",
    CouponFault.TOO_MANY: "Coupon {code} is one too many.",
}


def codes_of(texts: Sequence[str]) -> tuple[str, ...]:
    """The codes that somebody typed, each once, in their order."""
    return tuple(dict.fromkeys(as_code(text) for text in texts))


def choose_coupons(cart: Cart, command: ChooseCoupons) -> Sequence[CartCouponsChosen]:
    """The choice; raises Rejected with one of the codes that ChooseCoupons names."""
    codes = codes_of(command.codes)
    if codes == cart.coupons:
        return []
    cart.demand_open()
    priced = cart.priced(command.products, command.rules)
    fault = fault_of_choice(
        codes,
        command.rules.coupons_by_code,
        command.used,
        now=command.now,
        currency=cart.currency,
        listed=sum(line.unit_price * line.quantity for line in priced.lines),
    )
    if fault:
        code, reason = fault
        raise Rejected("coupon_invalid", _SAID[reason].format(code=code), coupon=code, reason=str(reason))
    return [CartCouponsChosen(codes=codes)]
