"""`coupon_uses`: which order was bought with which coupon, and whether it gave its use back. For support."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from services.cart.domain import coupon_use
from services.cart.domain.coupon_use import CouponUseGivenBack
from shared.events.envelope import Recorded
from shared.store.readmodel import Key, ReadModel
from shared.store.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class CouponUseRow:
    """One use of a coupon."""

    code: str
    order_id: UUID
    given_back: bool


def _keys(event: Recorded[Any]) -> Sequence[Key]:
    return [(event.data.code, event.data.order_id)]


def _fold(row: CouponUseRow | None, event: Recorded[Any], key: Key) -> CouponUseRow:
    return CouponUseRow(
        code=event.data.code,
        order_id=event.data.order_id,
        given_back=isinstance(event.data, CouponUseGivenBack),
    )


COUPON_USES = ReadModel(
    name="coupon_uses",
    row=CouponUseRow,
    key=("code", "order_id"),
    events=frozenset(coupon_use.EVENTS),
    keys=_keys,
    fold=_fold,
)


async def codes_of_order(session: Session, order_id: UUID) -> list[str]:
    """The codes of every coupon that the order was bought with."""
    return [row.code for row in await COUPON_USES.query(session, "order_id = $1 ORDER BY code", order_id)]


async def uses_of_code(session: Session, code: str, after: UUID, limit: int) -> list[CouponUseRow]:
    """A page of a coupon's uses in the order of their order ids."""
    return await COUPON_USES.query(
        session, "code = $1 AND order_id > $2 ORDER BY order_id LIMIT $3", code, after, limit
    )
