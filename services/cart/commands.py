"""Which stream each command decides over, and the prices that it brings along: load, decide, append."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.cart.domain.cart import CART, AddItem, ChangeQuantity, ChooseDelivery, RemoveItem, StartCart
from services.cart.domain.checkout import CheckOut
from services.cart.domain.pricing import PRICING, PRICING_STREAM, AdoptPolicy, PolicyAdopted
from services.cart.domain.product import PRODUCT, DelistProduct, ListProduct, Product
from services.cart.domain.rules import DEFAULT_RULES, PricingRules
from services.cart.readmodels.pricing_policies import policy_at
from services.cart.readmodels.products import PRODUCTS
from shared.domain import Rejected, key_of
from shared.events.envelope import SYSTEM, Cause
from shared.store.session import Session
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork

ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
"""From when the first policy holds: before any cart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """What prices a cart at one instant: its products by sku, and the policy in force."""

    products: dict[str, Product]
    policy: PolicyAdopted

    @property
    def rules(self) -> PricingRules:
        """What the policy says."""
        return self.policy.document


async def price_list(session: Session, skus: Iterable[str], now: datetime) -> PriceList:
    """The products of these skus that exist, and the policy at `now`. Raises Rejected `no_pricing_policy`.

    Reads rows that are written in one transaction with their events, so the page and the checkout agree.
    """
    rows = await PRODUCTS.query(session, "sku = ANY($1::text[])", sorted(set(skus)))
    policy = await policy_at(session, now)
    if policy is None:
        raise Rejected("no_pricing_policy", "No pricing policy is in force yet; an admin must adopt one.")
    return PriceList(products={row.sku: row.product for row in rows}, policy=policy)


async def execute(uow: UnitOfWork, command: Any) -> None:
    """Run one command inside a unit of work. Raises Rejected."""
    match command:
        case StartCart() | AddItem() | ChangeQuantity() | RemoveItem() | ChooseDelivery() | CheckOut():
            await uow.decide(CART, command.cart_id, command)
        case ListProduct() | DelistProduct():
            await uow.decide(PRODUCT, command.sku, command)
        case AdoptPolicy():
            await uow.decide(PRICING, key_of(PRICING_STREAM), command)
        case _:
            raise TypeError(f"cart has no command {type(command).__name__}")


async def adopt_first_policy(store: Store) -> None:
    """Let a new shop price by DEFAULT_RULES; once any policy was adopted, this changes nothing."""

    async def work(uow: UnitOfWork) -> None:
        if await uow.state(PRICING, key_of(PRICING_STREAM)) is None:
            await execute(
                uow, AdoptPolicy(document=DEFAULT_RULES, effective_from=ALWAYS, adopted_by=SYSTEM.id)
            )

    await store.transact(Cause(), work)
