"""What returned units are worth: pure arithmetic over the frozen amounts of an order.

Every part is shared by cumulative floor, so refunding everything adds up to exactly what was paid.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from shared.domain import share
from shared.events.common import Breakdown
from shared.events.returns import RefundShipping


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedLine:
    """An order line as it was paid; `refunded` of its `ordered` units are already paid back."""

    line_id: UUID
    ordered: int
    gross: int
    tax: int
    refunded: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsBack:
    """Units that are now to be paid back; `fault`: the merchant is to blame, so no fee is due."""

    line_id: UUID
    quantity: int
    fault: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippingPaid:
    """The order's shipping charge and how much of it is already paid back."""

    gross: int
    tax: int
    refunded_gross: int = 0
    refunded_tax: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundTerms:
    """The policy's say: which shipping is refunded and which fees are kept (`flat_fee` once per return)."""

    refund_shipping: RefundShipping
    fee_bp: int
    flat_fee: int


def refund_for(
    lines: Sequence[PricedLine],
    shipping: ShippingPaid,
    back: Sequence[UnitsBack],
    terms: RefundTerms,
    at_most: int,
) -> Breakdown:
    """The refund for `back`, never more than `at_most`: what exceeds it is a deduction, then less shipping.

    Units of a merchant's fault get their proportional shipping and bear no fee, whatever the terms say.
    Raises KeyError for a line that the order does not have, ValueError for more units than are left of it.
    """
    faulty, others = Counter[UUID](), Counter[UUID]()
    for units in back:
        (faulty if units.fault else others)[units.line_id] += units.quantity
    if unknown := (faulty.keys() | others.keys()) - {line.line_id for line in lines}:
        raise KeyError(f"the order has no line {unknown}")
    after_faulty = [_with(line, faulty[line.line_id]) for line in lines]
    after_all = [_with(line, others[line.line_id]) for line in after_faulty]

    gross = _refunded_gross(after_all) - _refunded_gross(lines)
    tax = _refunded_tax(after_all) - _refunded_tax(lines)
    chargeable = _refunded_gross(after_all) - _refunded_gross(after_faulty)
    fee = min(chargeable * terms.fee_bp // 10_000 + terms.flat_fee, chargeable) if others else 0
    shipping_gross, shipping_tax = _shipping(lines, after_faulty, after_all, shipping, terms.refund_shipping)

    over = max(0, gross + shipping_gross - fee - at_most)
    deduction = min(over, gross - fee)
    kept_shipping = shipping_gross - (over - deduction)
    if kept_shipping < shipping_gross:
        shipping_gross, shipping_tax = kept_shipping, shipping_tax * kept_shipping // shipping_gross
    return Breakdown(
        items_net=gross - tax,
        items_tax=tax,
        shipping_net=shipping_gross - shipping_tax,
        shipping_tax=shipping_tax,
        fee=fee,
        deduction=deduction,
        total=gross + shipping_gross - fee - deduction,
    )


def with_deduction(breakdown: Breakdown, deduction: int) -> Breakdown:
    """The same refund less `deduction`. Raises ValueError if fee and deductions exceed the goods' gross."""
    gross = breakdown.items_net + breakdown.items_tax
    if deduction < 0 or breakdown.fee + breakdown.deduction + deduction > gross:
        raise ValueError(f"cannot deduct {deduction} from {breakdown}")
    return replace(breakdown, deduction=breakdown.deduction + deduction, total=breakdown.total - deduction)


def goodwill(amount: int, paid: int, tax_paid: int) -> Breakdown:
    """A price reduction of `amount` on an order that paid `paid`, `tax_paid` of it tax."""
    tax = amount * tax_paid // paid
    return Breakdown(items_net=amount - tax, items_tax=tax, shipping_net=0, shipping_tax=0, total=amount)


def charged(lines: Sequence[PricedLine], shipped: Sequence[int], shipping: ShippingPaid) -> tuple[int, int]:
    """What an order owes for `shipped` units per line, shipping included once anything left: (gross, tax)."""
    if not any(shipped):
        return 0, 0
    parts = [
        (share(line.gross, line.ordered, 0, units), share(line.tax, line.ordered, 0, units))
        for line, units in zip(lines, shipped, strict=True)
    ]
    return sum(gross for gross, _ in parts) + shipping.gross, sum(tax for _, tax in parts) + shipping.tax


def _with(line: PricedLine, units: int) -> PricedLine:
    if not 0 <= units <= line.ordered - line.refunded:
        raise ValueError(f"{units} units of {line} cannot be paid back")
    return replace(line, refunded=line.refunded + units)


def _refunded_gross(lines: Sequence[PricedLine]) -> int:
    return sum(share(line.gross, line.ordered, 0, line.refunded) for line in lines)


def _refunded_tax(lines: Sequence[PricedLine]) -> int:
    return sum(share(line.tax, line.ordered, 0, line.refunded) for line in lines)


def _shipping(
    before: Sequence[PricedLine],
    after_faulty: Sequence[PricedLine],
    after_all: Sequence[PricedLine],
    shipping: ShippingPaid,
    mode: RefundShipping,
) -> tuple[int, int]:
    """Shipping (gross, tax) paid back now: proportional for faulty units, by the policy's mode for others."""
    left = (shipping.gross - shipping.refunded_gross, shipping.tax - shipping.refunded_tax)
    everything_back = all(line.refunded == line.ordered for line in after_all)
    if mode is RefundShipping.FULL_RETURN and everything_back:
        return left
    counted = after_all if mode is RefundShipping.PROPORTIONAL else after_faulty
    return (
        min(_proportion(shipping.gross, before, counted), left[0]),
        min(_proportion(shipping.tax, before, counted), left[1]),
    )


def _proportion(amount: int, before: Sequence[PricedLine], after: Sequence[PricedLine]) -> int:
    value = sum(line.gross for line in after)
    if value == 0:
        complete = all(line.refunded == line.ordered for line in after)
        return amount if complete else 0
    return share(amount, value, _refunded_gross(before), _refunded_gross(after))
