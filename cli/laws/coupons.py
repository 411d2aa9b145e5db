"""The law of coupons: every use belongs to a checkout, and is free again once its order is cancelled."""

from typing import Any
from uuid import UUID

from cli.laws.law import Balance, Kind, Law, Place, order_of
from services.cart.domain.coupon_use import CouponUseGivenBack, CouponUseTaken
from shared.events.cart import CartCheckedOut
from shared.events.envelope import Recorded
from shared.events.orders import OrderCancelled

Use = tuple[str, UUID]


class CouponsAreUsed(Law):
    """L14: a coupon is used by the checkouts that name it, and free again when their orders are cancelled."""

    number = "L14"
    claim = "a coupon's uses are the checkouts naming it, given back by those whose order was cancelled"
    listens = (CartCheckedOut, CouponUseTaken, CouponUseGivenBack, OrderCancelled)

    def __init__(self) -> None:
        super().__init__()
        self._taken: Balance[Use] = Balance()
        self._named: set[Use] = set()
        self._given_back: dict[Use, Place] = {}
        self._cancelled: dict[UUID, Place] = {}

    def see(self, event: Recorded[Any]) -> None:
        match event.data:
            case CartCheckedOut(order_id=order, coupons=codes):
                for code in codes:
                    self._named.add((code, order))
                    self._taken.plus((code, order), 1, Place.of(event))
            case CouponUseTaken(code=code, order_id=order):
                self._taken.minus((code, order), 1, Place.of(event))
            case CouponUseGivenBack(code=code, order_id=order):
                if (code, order) in self._given_back:
                    self.blame(_subject(code, order), "given back twice", event, Kind.DUPLICATED)
                self._given_back[code, order] = Place.of(event)
            case OrderCancelled():
                self._cancelled[order_of(event)] = Place.of(event)

    def finish(self) -> None:
        for use, difference, place in self._taken.uneven():
            if difference > 0:
                self.blame(_subject(*use), "bought with and not taken", place, Kind.LOST)
            else:
                self.blame(_subject(*use), "taken without a checkout of its own", place, Kind.DUPLICATED)
        for use, place in self._given_back.items():
            if use not in self._named or use[1] not in self._cancelled:
                self.blame(_subject(*use), "given back for no cancelled order", place)
        for use in self._named - self._given_back.keys():
            if use[1] in self._cancelled:
                told = "cancelled and its use not given back"
                self.blame(_subject(*use), told, self._cancelled[use[1]], Kind.LOST)


def _subject(code: str, order: UUID) -> str:
    return f"coupon {code}, order {order}"


LAWS: tuple[type[Law], ...] = (CouponsAreUsed,)
