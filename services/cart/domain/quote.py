"""What a cart costs: one pure function that prices the cart page and the checkout alike."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from services.cart.domain.product import Product
from services.cart.domain.rules import BandMeasure, PricingRules, ShippingMethod
from shared.domain import Sealed, tax_on, tax_within
from shared.events.common import Charge, DeliveryKind, Destination, Line, Totals

NO_SHIPPING: Final = Charge(method_id="none", title="No shipping", net=0, tax=0, gross=0)
"""What delivery costs where no line travels: all of it is digital or picked up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """So many units of a product that somebody wants; `seen_price` is that of a unit when it was added."""

    line_id: UUID
    sku: str
    quantity: int
    customization: Sealed | None = None
    seen_price: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """Items with their prices, taxes and delivery. Σ line.gross + shipping.gross = totals.total.

    `shipping` is None, and costs nothing yet, until a method is chosen that takes these lines to the
    destination. `unavailable` are the lines that cannot be bought now; no other field counts them.
    """

    lines: tuple[Line, ...]
    shipping: Charge | None
    totals: Totals
    unavailable: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippingOption:
    """A method that takes the lines to their destination, what it costs and how long it takes."""

    charge: Charge
    eta_days: int


def quote(
    items: Iterable[Item],
    *,
    currency: str,
    locale: str,
    destination: Destination | None,
    method_id: str | None,
    pickup: bool,
    products: Mapping[str, Product],
    rules: PricingRules,
) -> Priced:
    """The items priced by `products` (by sku) and `rules`; never refuses, and says what is missing.

    Taxes are those of the destination, of the home country as long as there is none, and round half up per
    line. `pickup`: the buyer collects all that is not digital.
    """
    lines, unavailable = [], []
    for item in items:
        product = products.get(item.sku)
        if product is None or not product.active or currency not in product.prices:
            unavailable.append(item.line_id)
        else:
            lines.append(
                _line(
                    item,
                    product,
                    product.prices[currency],
                    locale=locale,
                    destination=destination,
                    pickup=pickup,
                    rules=rules,
                )
            )
    shipping = _shipping(lines, destination, currency, method_id, rules)
    return Priced(
        lines=tuple(lines),
        shipping=shipping,
        totals=_totals(lines, shipping or NO_SHIPPING),
        unavailable=tuple(unavailable),
    )


def shipping_options(
    lines: Sequence[Line], *, destination: Destination, currency: str, rules: PricingRules
) -> tuple[ShippingOption, ...]:
    """Every way to send the priced lines to the destination, in the policy's order."""
    methods = (m for m in rules.shipping_methods if m.serves(destination.country, currency))
    return tuple(
        ShippingOption(charge=charge, eta_days=method.eta_days)
        for method in methods
        if (charge := _charge(method, lines, destination, rules)) is not None
    )


def _line(
    item: Item,
    product: Product,
    unit_price: int,
    *,
    locale: str,
    destination: Destination | None,
    pickup: bool,
    rules: PricingRules,
) -> Line:
    details = product.details
    rate = _rate(details.tax_class, destination, rules)
    net, tax = _net_and_tax(unit_price * item.quantity, rate, rules)
    collected = pickup and product.delivery is not DeliveryKind.DIGITAL
    return Line(
        line_id=item.line_id,
        sku=item.sku,
        title=product.title(locale),
        quantity=item.quantity,
        unit_price=unit_price,
        net=net,
        tax=tax,
        gross=net + tax,
        tax_class=details.tax_class,
        tax_rate_bp=rate,
        delivery=DeliveryKind.PICKUP if collected else product.delivery,
        stock_tracked=details.stock_tracked,
        preorder_until=details.preorder_until,
        customization=item.customization,
        supplier_id=details.supplier_id,
        final_sale=details.final_sale,
        weight_g=details.weight_g,
    )


def _shipping(
    lines: Sequence[Line],
    destination: Destination | None,
    currency: str,
    method_id: str | None,
    rules: PricingRules,
) -> Charge | None:
    if not any(line.delivery is DeliveryKind.SHIP for line in lines):
        return NO_SHIPPING
    if destination is None or method_id is None:
        return None
    method = rules.method(method_id, destination.country, currency)
    return None if method is None else _charge(method, lines, destination, rules)


def _charge(
    method: ShippingMethod, lines: Sequence[Line], destination: Destination, rules: PricingRules
) -> Charge | None:
    shipped = [line for line in lines if line.delivery is DeliveryKind.SHIP]
    weighs = method.measure is BandMeasure.WEIGHT
    price = method.price(sum((ln.weight_g if weighs else ln.unit_price) * ln.quantity for ln in shipped))
    if price is None:
        return None
    net, tax = _net_and_tax(price, _rate(method.tax_class, destination, rules), rules)
    return Charge(method_id=method.id, title=method.title, net=net, tax=tax, gross=net + tax)


def _rate(tax_class: str, destination: Destination | None, rules: PricingRules) -> int:
    if destination is None:
        return rules.tax_rate_bp(rules.home_country, None, tax_class)
    return rules.tax_rate_bp(destination.country, destination.region, tax_class)


def _net_and_tax(amount: int, rate_bp: int, rules: PricingRules) -> tuple[int, int]:
    if rules.prices_include_tax:
        tax = tax_within(amount, rate_bp)
        return amount - tax, tax
    return amount, tax_on(amount, rate_bp)


def _totals(lines: Sequence[Line], shipping: Charge) -> Totals:
    items_net = sum(line.net for line in lines)
    items_tax = sum(line.tax for line in lines)
    return Totals(
        items_net=items_net,
        items_tax=items_tax,
        shipping_net=shipping.net,
        shipping_tax=shipping.tax,
        discount=sum(line.discount for line in lines),
        total=items_net + items_tax + shipping.net + shipping.tax,
    )
