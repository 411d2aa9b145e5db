"""Who does what on the demo's day: a plan made from invoices by a fixed seed, the same in every run."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID

from cli.demo.invoices import Invoice, InvoiceLine
from shared.domain import round_half_up
from shared.domain.ids import derive

SEED = 20101201
COUPON_BP = 1_000


class Card(StrEnum):
    """The provider's test cards by what they do."""

    GOOD = "4242424242424242"
    DECLINED = "4000000000000002"
    RISKY = "4000000000009235"
    SLOW = "4000000000000101"
    NO_ANSWER = "4000000000000200"
    LATE_CAPTURE = "4000000000000408"
    WEBHOOKS_TWICE = "4000000000000507"
    CAPTURE_FAILS_FIRST = "4000000000000705"
    REFUND_FAILS_FIRST = "4000000000000903"
    ONE_CAPTURE = "4000000000001109"
    PROVIDER_AWAY = "4000000000001406"
    WRONG_ORDER = "4000000000001505"


class Fate(StrEnum):
    """How an order ends."""

    DELIVERED = "DELIVERED"
    DECLINED = "DECLINED"
    OUT_OF_STOCK = "OUT_OF_STOCK"
    CANCELLED_WHILE_PAYING = "CANCELLED_WHILE_PAYING"


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveBack:
    """Goods that come back: units by sku, the customer's reason and what the warehouse finds."""

    lines: tuple[tuple[str, int], ...]
    reason: str
    disposition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """One cart that becomes an order, and what happens to it; `cards` are tried one after another, a `coupon`
    takes a tenth off.

    `signs_in_late`: the customer fills a cart as a guest and has it merged into their own.
    """

    cart_id: UUID
    name: str
    customer: str | None
    country: str
    lines: tuple[InvoiceLine, ...]
    postage: int
    fate: Fate = Fate.DELIVERED
    cards: tuple[Card, ...] = (Card.GOOD,)
    parcels: int = 1
    signs_in_late: bool = False
    give_back: GiveBack | None = None
    goodwill: int = 0
    coupon: bool = False

    @property
    def total(self) -> int:
        """What it costs, in minor units: a coupon takes a tenth off the goods."""
        goods = sum(line.amount for line in self.lines)
        off = round_half_up(goods * COUPON_BP, 10_000) if self.coupon else 0
        return goods - off + self.postage

    @property
    def quantities(self) -> Counter[str]:
        """Units by sku."""
        units: Counter[str] = Counter()
        for line in self.lines:
            units[line.sku] += line.quantity
        return units


SPECIAL_CARDS = (
    Card.WEBHOOKS_TWICE,
    Card.WEBHOOKS_TWICE,
    Card.WEBHOOKS_TWICE,
    Card.SLOW,
    Card.NO_ANSWER,
    Card.RISKY,
    Card.CAPTURE_FAILS_FIRST,
    Card.PROVIDER_AWAY,
    Card.WRONG_ORDER,
)
SCARCE = "-LAST"
"""Marks a product of which there is always one unit less than somebody wants."""
DECLINED, RETRIED, LATE, OUT_OF_STOCK, TWO_PARCELS, SENT_BACK = 3, 2, 2, 3, 6, 2
SIGNED_IN_LATE, COUPONS = 3, 4
TWO_PAYMENTS = 2
"""How many of the orders in two parcels have a card whose authorizations serve one capture."""


def plan(invoices: Sequence[Invoice], *, seed: int, day: int) -> list[Purchase]:
    """The purchases of one day, the ones that the credits bring goods back from first."""
    rng = random.Random(f"{seed}/{day}")  # noqa: S311 - a story, not a secret
    yesterday = [_yesterday(credit, seed, day) for credit in invoices if credit.is_credit]
    today = [
        Purchase(
            cart_id=derive("demo cart", seed, day, invoice.number),
            name=f"{invoice.number} (day {day + 1})",
            customer=invoice.customer,
            country=invoice.country,
            lines=invoice.goods,
            postage=invoice.postage,
        )
        for invoice in invoices
        if not invoice.is_credit and invoice.goods
    ]
    return yesterday + _with_fates(today, rng)


def _yesterday(credit: Invoice, seed: int, day: int) -> Purchase:
    """The order that a credit invoice needs to have happened before it."""
    bought = tuple(replace(line, quantity=-line.quantity) for line in credit.goods)
    back = tuple((line.sku, line.quantity) for line in bought)
    if not bought:
        price = 2 * credit.discount
        bought = (InvoiceLine(code="D", title="Goods of an earlier day", quantity=1, unit_price=price),)
    return Purchase(
        cart_id=derive("demo cart", seed, day, credit.number),
        name=f"{credit.number} (day {day})",
        customer=credit.customer,
        country=credit.country,
        lines=bought,
        postage=0,
        cards=(Card.REFUND_FAILS_FIRST,) if len(back) == 1 else (Card.GOOD,),
        give_back=GiveBack(lines=back, reason="UNWANTED", disposition="RESTOCKED") if back else None,
        goodwill=credit.discount,
    )


def _with_fates(purchases: list[Purchase], rng: random.Random) -> list[Purchase]:
    """Deal out declined cards, late money, missing stock, second parcels, returns and coupons."""
    order = list(range(len(purchases)))
    rng.shuffle(order)
    changed = dict(enumerate(purchases))

    def deal(count: int, suits: Iterable[int], **changes: object) -> None:
        for index in list(suits)[:count]:
            order.remove(index)
            changed[index] = replace(changed[index], **changes)  # type: ignore[arg-type]

    def paid() -> list[int]:
        return [i for i in order if sum(line.amount for line in purchases[i].lines) > 0]

    for index in [i for i in paid() if _scarce(purchases[i].lines) is not None][:OUT_OF_STOCK]:
        deal(1, [index], fate=Fate.OUT_OF_STOCK, lines=_scarce(purchases[index].lines))
    deal(DECLINED, paid(), fate=Fate.DECLINED, cards=(Card.DECLINED,) * 3)
    deal(LATE, paid(), fate=Fate.CANCELLED_WHILE_PAYING, cards=(Card.LATE_CAPTURE,))
    deal(RETRIED, paid(), cards=(Card.DECLINED, Card.GOOD))
    both = [i for i in paid() if len(purchases[i].quantities) > 1]
    deal(TWO_PAYMENTS, both, parcels=2, cards=(Card.ONE_CAPTURE,))
    deal(TWO_PARCELS - TWO_PAYMENTS, both[TWO_PAYMENTS:], parcels=2)
    for index in paid()[:SENT_BACK]:
        sku, units = next(iter(purchases[index].quantities.items()))
        back = GiveBack(lines=((sku, min(units, 2)),), reason="DEFECTIVE", disposition="NOT_RESTOCKED")
        deal(1, [index], give_back=back)
    for card in SPECIAL_CARDS:
        deal(1, paid(), cards=(card,))
    deal(SIGNED_IN_LATE, [i for i in paid() if purchases[i].customer], signs_in_late=True)
    deal(COUPONS, paid(), coupon=True)
    for index, purchase in changed.items():
        if purchase.fate is Fate.CANCELLED_WHILE_PAYING or (purchase.give_back and not purchase.goodwill):
            changed[index] = replace(purchase, coupon=True)
    return [changed[index] for index in sorted(changed)]


def _scarce(lines: tuple[InvoiceLine, ...]) -> tuple[InvoiceLine, ...] | None:
    """The lines with one product made scarce: asked for twice or more, and never enough there."""
    index = next((n for n, line in enumerate(lines) if line.quantity > 1), None)
    if index is None:
        return None
    scarce = replace(lines[index], code=f"{lines[index].code}{SCARCE}")
    return (*lines[:index], scarce, *lines[index + 1 :])


def stock_needed(purchases: Sequence[Purchase]) -> Counter[str]:
    """Units to receive so that exactly the orders meant to run out of stock do."""
    needed: Counter[str] = Counter()
    for purchase in purchases:
        for sku, units in purchase.quantities.items():
            if SCARCE in sku:
                needed[sku] = min(needed.get(sku, units), units - 1)
            else:
                needed[sku] += units
    return needed


def products(purchases: Sequence[Purchase]) -> dict[str, InvoiceLine]:
    """One line for each product that is sold, by sku."""
    return {line.sku: line for purchase in purchases for line in purchase.lines}
