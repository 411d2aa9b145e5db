"""Which streams each command decides over, and the prices that it brings along: load, decide, append."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from services.cart.domain.abandoning import MarkAbandoned
from services.cart.domain.cart import CART, AddItem, ChangeQuantity, ChooseDelivery, RemoveItem, StartCart
from services.cart.domain.checkout import CheckOut
from services.cart.domain.choosing_coupons import ChooseCoupons
from services.cart.domain.coupon_use import COUPON_USE, GiveBackCouponUse, uses_of
from services.cart.domain.coupons import Coupon
from services.cart.domain.merging import LEFT_BEHIND, MergeCart, TakeLines
from services.cart.domain.pricing import PRICING, PRICING_STREAM, AdoptPolicy, PolicyAdopted
from services.cart.domain.product import PRODUCT, DelistProduct, ListProduct, Product
from services.cart.domain.rules import DEFAULT_RULES, PricingRules
from services.cart.readmodels.availability import AVAILABILITY
from services.cart.readmodels.coupon_uses import codes_of_order
from services.cart.readmodels.pricing_policies import policy_at
from services.cart.readmodels.products import PRODUCTS
from shared.domain import Rejected, ids, key_of
from shared.events.cart import CartCheckedOut, CartItemCause
from shared.events.envelope import SYSTEM, Cause
from shared.events.inventory import Scarcity
from shared.store.session import Session
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork

ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
"""From when the first policy holds: before any cart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """What prices a cart at the instant `now`: its products by sku, the policy in force, and those of its
    coupons that hold, by code.

    `availability` is what inventory told of the products; a sku that is not in it sells.
    """

    products: dict[str, Product]
    availability: Mapping[str, Scarcity]
    policy: PolicyAdopted
    coupons: Mapping[str, Coupon]
    now: datetime

    @property
    def rules(self) -> PricingRules:
        """What the policy says."""
        return self.policy.document


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveBackCoupons:
    """Free every use of a coupon that the order holds."""

    order_id: UUID


async def price_list(session: Session, skus: Iterable[str], now: datetime) -> PriceList:
    """The products of these skus that exist, and the policy at `now`. Raises Rejected `no_pricing_policy`.

    Reads rows that are written in one transaction with their events, so the page and the checkout agree.
    """
    wanted = sorted(set(skus))
    rows = await PRODUCTS.query(session, "sku = ANY($1::text[])", wanted) if wanted else []
    scarce = await AVAILABILITY.query(session, "sku = ANY($1::text[])", wanted) if wanted else []
    policy = await policy_at(session, now)
    if policy is None:
        raise Rejected("no_pricing_policy", "No pricing policy is in force yet; an admin must adopt one.")
    return PriceList(
        products={row.sku: row.product for row in rows},
        availability={row.sku: row.level for row in scarce if row.level is not None},
        policy=policy,
        coupons=policy.document.coupons_at(now),
        now=now,
    )


def streams(command: Any) -> Iterable[str]:
    """The streams that are known to be needed before anything is loaded."""
    match command:
        case TakeLines():
            return CART.stream(command.cart_id), CART.stream(command.from_cart_id)
        case _:
            return ()


async def execute(uow: UnitOfWork, command: Any) -> None:
    """Run one command inside a unit of work. Raises Rejected."""
    match command:
        case StartCart() | AddItem() | ChangeQuantity() | RemoveItem() | ChooseDelivery() | ChooseCoupons():
            await uow.decide(CART, command.cart_id, command)
        case MergeCart() | MarkAbandoned():
            await uow.decide(CART, command.cart_id, command)
        case TakeLines():
            await _take_lines(uow, command)
        case CheckOut():
            await _check_out(uow, command)
        case GiveBackCoupons(order_id=order_id):
            for code in await codes_of_order(uow.session, order_id):
                await uow.decide(COUPON_USE, code, GiveBackCouponUse(code=code, order_id=order_id))
        case ListProduct() | DelistProduct():
            await uow.decide(PRODUCT, command.sku, command)
        case AdoptPolicy():
            await uow.decide(PRICING, key_of(PRICING_STREAM), command)
        case _:
            raise TypeError(f"cart has no command {type(command).__name__}")


async def _take_lines(uow: UnitOfWork, command: TakeLines) -> None:
    source = await uow.state(CART, command.from_cart_id)
    assert source is not None, "a cart that was merged is there"
    merged = [(item, line.quantity) for line in command.lines if (item := source.item(line.line_id))]
    prices = await price_list(uow.session, (item.sku for item, _ in merged), uow.now)
    for item, quantity in merged:
        add = AddItem(
            cart_id=command.cart_id,
            line_id=ids.copied_line_id(command.cart_id, command.from_cart_id, item.line_id),
            sku=item.sku,
            quantity=quantity,
            customization=item.customization,
            product=prices.products.get(item.sku),
            availability=prices.availability.get(item.sku),
            rules=prices.rules,
            cause=CartItemCause.MERGE,
        )
        try:
            await execute(uow, add)
        except Rejected as refusal:
            if refusal.code not in LEFT_BEHIND:
                raise


async def _check_out(uow: UnitOfWork, command: CheckOut) -> None:
    """One decision over the cart and the coupons that reduce it: bought with a use of each, or not at all."""
    for event in await uow.decide(CART, command.cart_id, command):
        if isinstance(event, CartCheckedOut):
            takes = uses_of(event, command.policy.document.coupons_by_code)
            await uow.prefetch(COUPON_USE.stream(take.code) for take in takes)
            for take in takes:
                await uow.decide(COUPON_USE, take.code, take)


async def uses(uow: UnitOfWork, codes: Sequence[str]) -> dict[str, int]:
    """How many orders hold a use of each code."""
    await uow.prefetch(COUPON_USE.stream(code) for code in codes)
    counts = {}
    for code in codes:
        state = await uow.state(COUPON_USE, code)
        counts[code] = len(state.holders) if state else 0
    return counts


async def adopt_first_policy(store: Store) -> None:
    """Let a new shop price by DEFAULT_RULES; once any policy was adopted, this changes nothing."""

    async def work(uow: UnitOfWork) -> None:
        if await uow.state(PRICING, key_of(PRICING_STREAM)) is None:
            await execute(
                uow, AdoptPolicy(document=DEFAULT_RULES, effective_from=ALWAYS, adopted_by=SYSTEM.id)
            )

    await store.transact(Cause(), work)
