"""Which streams each command decides over, and the prices that it brings along: load, decide, append."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.cart.domain.abandoning import MarkAbandoned
from services.cart.domain.cart import CART, AddItem, ChangeQuantity, ChooseDelivery, RemoveItem, StartCart
from services.cart.domain.checkout import CheckOut
from services.cart.domain.merging import LEFT_BEHIND, MergeCart, TakeLines
from services.cart.domain.pricing import PRICING, PRICING_STREAM, AdoptPolicy, PolicyAdopted
from services.cart.domain.product import PRODUCT, DelistProduct, ListProduct, Product
from services.cart.domain.rules import DEFAULT_RULES, PricingRules
from services.cart.readmodels.availability import AVAILABILITY
from services.cart.readmodels.pricing_policies import policy_at
from services.cart.readmodels.products import PRODUCTS
from shared.domain import Rejected, ids, key_of
from shared.events.cart import CartItemCause
from shared.events.envelope import SYSTEM, Cause
from shared.events.inventory import Scarcity
from shared.store.session import Session
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork

ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
"""From when the first policy holds: before any cart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """What prices a cart at one instant: its products by sku, and the policy in force.

    `availability` is what inventory told of them; a sku that is not in it sells.
    """

    products: dict[str, Product]
    availability: Mapping[str, Scarcity]
    policy: PolicyAdopted

    @property
    def rules(self) -> PricingRules:
        """What the policy says."""
        return self.policy.document


async def price_list(session: Session, skus: Iterable[str], now: datetime) -> PriceList:
    """The products of these skus that exist, and the policy at `now`. Raises Rejected `no_pricing_policy`.

    Reads rows that are written in one transaction with their events, so the page and the checkout agree.
    """
    wanted = sorted(set(skus))
    rows = await PRODUCTS.query(session, "sku = ANY($1::text[])", wanted)
    scarce = await AVAILABILITY.query(session, "sku = ANY($1::text[])", wanted)
    policy = await policy_at(session, now)
    if policy is None:
        raise Rejected("no_pricing_policy", "No pricing policy is in force yet; an admin must adopt one.")
    return PriceList(
        products={row.sku: row.product for row in rows},
        availability={row.sku: row.level for row in scarce if row.level is not None},
        policy=policy,
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
        case StartCart() | AddItem() | ChangeQuantity() | RemoveItem() | ChooseDelivery() | CheckOut():
            await uow.decide(CART, command.cart_id, command)
        case MergeCart() | MarkAbandoned():
            await uow.decide(CART, command.cart_id, command)
        case TakeLines():
            await _take_lines(uow, command)
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


async def adopt_first_policy(store: Store) -> None:
    """Let a new shop price by DEFAULT_RULES; once any policy was adopted, this changes nothing."""

    async def work(uow: UnitOfWork) -> None:
        if await uow.state(PRICING, key_of(PRICING_STREAM)) is None:
            await execute(
                uow, AdoptPolicy(document=DEFAULT_RULES, effective_from=ALWAYS, adopted_by=SYSTEM.id)
            )

    await store.transact(Cause(), work)
