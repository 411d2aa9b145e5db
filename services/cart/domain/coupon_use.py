"""The uses of one coupon: which orders hold one. Taken with the checkout, given back when it is cancelled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias, assert_never
from uuid import UUID

from services.cart.domain.coupons import Coupon
from shared.domain import Decider, Rejected
from shared.events.cart import CartCheckedOut

# Events (private stream `couponuse-<code>`)


@dataclass(frozen=True, slots=True, kw_only=True)
class CouponUseTaken:
    """The order was bought with the coupon."""

    code: str
    order_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class CouponUseGivenBack:
    """The order was cancelled: its use is free for another one."""

    code: str
    order_id: UUID


CouponUseEvent: TypeAlias = CouponUseTaken | CouponUseGivenBack
EVENTS: tuple[type[CouponUseEvent], ...] = (CouponUseTaken, CouponUseGivenBack)


# State


@dataclass(frozen=True, slots=True, kw_only=True)
class CouponUse:
    """The orders that hold a use now."""

    holders: frozenset[UUID] = frozenset()


def evolve(state: CouponUse | None, event: CouponUseEvent, _at: datetime) -> CouponUse:
    """The uses after `event`."""
    holders = state.holders if state else frozenset()
    match event:
        case CouponUseTaken(order_id=order_id):
            return CouponUse(holders=holders | {order_id})
        case CouponUseGivenBack(order_id=order_id):
            return CouponUse(holders=holders - {order_id})
        case _:
            assert_never(event)


# Commands and decisions


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeCouponUse:
    """Let the order have a use, of at most `max_uses` (None: any number). Refused: coupon_used_up{coupon}."""

    code: str
    order_id: UUID
    max_uses: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveBackCouponUse:
    """Free the order's use; nothing happens unless it holds one."""

    code: str
    order_id: UUID


CouponUseCommand: TypeAlias = TakeCouponUse | GiveBackCouponUse


def decide(state: CouponUse | None, command: CouponUseCommand) -> Sequence[CouponUseEvent]:
    """The events that `command` causes; raises Rejected with the code that the command names."""
    holders = state.holders if state else frozenset()
    holds = command.order_id in holders
    match command:
        case TakeCouponUse(code=code, max_uses=most):
            if holds:
                return []
            if most is not None and len(holders) >= most:
                raise Rejected(
                    "coupon_used_up", f"Coupon {code} was used as often as it may be.", coupon=code
                )
            return [CouponUseTaken(code=code, order_id=command.order_id)]
        case GiveBackCouponUse(code=code):
            return [CouponUseGivenBack(code=code, order_id=command.order_id)] if holds else []
        case _:
            assert_never(command)


def uses_of(checkout: CartCheckedOut, coupons: Mapping[str, Coupon]) -> tuple[TakeCouponUse, ...]:
    """What a checkout takes with it, by the coupons of the policy in force; one that is no more there, and
    was promised by a quote, is not limited any more."""
    return tuple(
        TakeCouponUse(
            code=code,
            order_id=checkout.order_id,
            max_uses=coupons[code].max_uses if code in coupons else None,
        )
        for code in checkout.coupons
    )


COUPON_USE: Final[Decider[CouponUse, CouponUseCommand, CouponUseEvent]] = Decider(
    category="couponuse", decide=decide, evolve=evolve, public=False
)
