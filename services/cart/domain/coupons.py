"""Coupons: what each takes off a cart, when it holds, and which of those that were named count together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from shared.domain import round_half_up

MOST_CODES: Final = 5
"""Coupons on one cart."""


class CouponFault(StrEnum):
    """Why a coupon does not count: the `reason` of coupon_invalid."""

    UNKNOWN = "unknown"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    OTHER_CURRENCY = "other_currency"
    BELOW_MINIMUM = "below_minimum"
    NOT_COMBINABLE = "not_combinable"
    USED_UP = "used_up"
    TOO_MANY = "too_many"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coupon:
    """A reduction for who names the code: a part of the goods' listed price (`percent_bp`, basis points), an
    `amount` of it (minor units by currency), free shipping, or free shipping besides one of them.

    It holds from `valid_from` until before `valid_until`, for goods of at least `minimum` (minor units by
    currency, at listed prices; a currency that is left out has none) and for `max_uses` orders that were not
    cancelled. Alone, unless it and all others on the cart say `combines`.
    """

    code: str
    percent_bp: int | None = None
    amount: Mapping[str, int] | None = None
    free_shipping: bool = False
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    minimum: Mapping[str, int] = field(default_factory=dict)
    max_uses: int | None = None
    combines: bool = False

    def fault_at(self, now: datetime) -> CouponFault | None:
        """Why it does not hold now."""
        if self.valid_from is not None and now < self.valid_from:
            return CouponFault.NOT_YET_VALID
        if self.valid_until is not None and now >= self.valid_until:
            return CouponFault.EXPIRED
        return None

    def fault_of(self, currency: str, listed: int) -> CouponFault | None:
        """Why it is not for goods of this listed price."""
        if self.amount is not None and currency not in self.amount:
            return CouponFault.OTHER_CURRENCY
        return CouponFault.BELOW_MINIMUM if listed < self.minimum.get(currency, 0) else None

    def taken_off(self, currency: str, listed: int) -> int:
        """What it takes off goods of this listed price, were it alone; percentages round half up."""
        if self.percent_bp is not None:
            return round_half_up(listed * self.percent_bp, 10_000)
        return min(listed, self.amount[currency]) if self.amount is not None else 0


def that_count(
    chosen: Iterable[str], coupons: Mapping[str, Coupon], *, currency: str, listed: int
) -> tuple[Coupon, ...]:
    """Those of the chosen codes that reduce a cart with goods of this listed price, in the order chosen.

    `coupons` are those that hold now, by code.
    """
    counted: list[Coupon] = []
    for code in chosen:
        coupon = coupons.get(code)
        if coupon is None or coupon.fault_of(currency, listed) is not None:
            continue
        if all(each.combines for each in (*counted, coupon)) or not counted:
            counted.append(coupon)
    return tuple(counted)


def discount_of(counted: Sequence[Coupon], *, currency: str, listed: int) -> int:
    """What they take off together: each of the full listed price, and never more than that."""
    return min(listed, sum(coupon.taken_off(currency, listed) for coupon in counted))


def fault_of_choice(
    codes: Sequence[str],
    coupons: Mapping[str, Coupon],
    used: Mapping[str, int],
    *,
    now: datetime,
    currency: str,
    listed: int,
) -> tuple[str, CouponFault] | None:
    """The first code that a cart cannot have, and why; `coupons` are all of the policy's, by code."""
    if len(codes) > MOST_CODES:
        return codes[MOST_CODES], CouponFault.TOO_MANY
    for code in codes:
        coupon = coupons.get(code)
        if coupon is None:
            return code, CouponFault.UNKNOWN
        if fault := coupon.fault_at(now) or coupon.fault_of(currency, listed):
            return code, fault
        if len(codes) > 1 and not coupon.combines:
            return code, CouponFault.NOT_COMBINABLE
        if coupon.max_uses is not None and used.get(code, 0) >= coupon.max_uses:
            return code, CouponFault.USED_UP
    return None


def as_code(text: str) -> str:
    """The code that a buyer means: people write it in small letters, and with blanks around it."""
    return text.strip().upper()
