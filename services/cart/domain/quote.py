"""What a cart costs: one pure function that prices the cart page and the checkout alike."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from services.cart.domain.coupons import Coupon, discount_of, that_count
from services.cart.domain.product import Product
from services.cart.domain.rules import BandMeasure, PricingRules, ShippingMethod
from shared.domain import Sealed, spread, tax_on, tax_within
from shared.events.common import Charge, DeliveryKind, Destination, Line, Totals

NO_SHIPPING: Final = Charge(method_id="none", title="No shipping", net=0, tax=0, gross=0)
"""What delivery costs where no line travels: all of it is digital or picked up."""
NO_COUPONS: Final[Mapping[str, Coupon]] = {}


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
    destination. `unavailable` are the lines that cannot be bought now; no other field counts them. `coupons`
    are the codes that count: what they took off the goods is each line's `discount`.
    """

    lines: tuple[Line, ...]
    shipping: Charge | None
    totals: Totals
    unavailable: tuple[UUID, ...] = ()
    coupons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippingOption:
    """A method that takes the lines to their destination, what it costs and how long it takes."""

    charge: Charge
    eta_days: int


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An item that can be bought, and what it costs at its listed price."""

    item: Item
    product: Product
    unit_price: int

    @property
    def listed(self) -> int:
        return self.unit_price * self.item.quantity


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
    codes: Sequence[str] = (),
    coupons: Mapping[str, Coupon] = NO_COUPONS,
) -> Priced:
    """The items priced by `products` (by sku) and `rules`; never refuses, and says what is missing.

    Taxes are those of the destination, of the home country as long as there is none, and round half up per
    line. `pickup`: the buyer collects all that is not digital. Of the `codes` that the buyer named, those
    among `coupons` (what holds now, by code) count; what they take off is spread over the lines in
    proportion to their listed prices, before taxes are counted.
    """
    wanted, unavailable = [], []
    for item in items:
        product = products.get(item.sku)
        if product is None or not product.active or currency not in product.prices:
            unavailable.append(item.line_id)
        else:
            wanted.append(_Wanted(item, product, product.prices[currency]))
    weights = [each.listed for each in wanted]
    listed = sum(weights)
    counted = that_count(codes, coupons, currency=currency, listed=listed)
    discounts = spread(discount_of(counted, currency=currency, listed=listed), weights)
    taxes = _Taxes(rules, destination)
    lines = [
        _line(each, discount, locale=locale, pickup=pickup, taxes=taxes)
        for each, discount in zip(wanted, discounts, strict=True)
    ]
    shipping = _shipping(lines, destination, currency, method_id, taxes, free=is_free(counted))
    return Priced(
        lines=tuple(lines),
        shipping=shipping,
        totals=_totals(lines, shipping or NO_SHIPPING),
        unavailable=tuple(unavailable),
        coupons=tuple(coupon.code for coupon in counted),
    )


def shipping_options(
    lines: Sequence[Line],
    *,
    destination: Destination,
    currency: str,
    rules: PricingRules,
    free: bool = False,
) -> tuple[ShippingOption, ...]:
    """Every way to send the priced lines to the destination, in the policy's order; `free`: at no charge."""
    taxes = _Taxes(rules, destination)
    return tuple(
        ShippingOption(charge=charge, eta_days=method.eta_days)
        for method in rules.methods(destination.country, currency, destination.region)
        if (charge := _charge(method, lines, taxes, free=free)) is not None
    )


def is_free(counted: Iterable[Coupon]) -> bool:
    """Whether these coupons make shipping free."""
    return any(coupon.free_shipping for coupon in counted)


class _Taxes:
    """The rates at a destination, each looked up once."""

    def __init__(self, rules: PricingRules, destination: Destination | None) -> None:
        self.rules = rules
        self._country = destination.country if destination else rules.home_country
        self._region = destination.region if destination else None
        self._rates: dict[str, int] = {}

    def rate_bp(self, tax_class: str) -> int:
        if tax_class not in self._rates:
            self._rates[tax_class] = self.rules.tax_rate_bp(self._country, self._region, tax_class)
        return self._rates[tax_class]

    def net_and_tax(self, amount: int, tax_class: str) -> tuple[int, int]:
        """What an amount at listed prices is without tax, and its tax."""
        rate_bp = self.rate_bp(tax_class)
        if self.rules.prices_include_tax:
            tax = tax_within(amount, rate_bp)
            return amount - tax, tax
        return amount, tax_on(amount, rate_bp)


def _line(wanted: _Wanted, discount: int, *, locale: str, pickup: bool, taxes: _Taxes) -> Line:
    item, product, details = wanted.item, wanted.product, wanted.product.details
    net, tax = taxes.net_and_tax(wanted.listed - discount, details.tax_class)
    collected = pickup and product.delivery is not DeliveryKind.DIGITAL
    return Line(
        line_id=item.line_id,
        sku=item.sku,
        title=product.title(locale),
        quantity=item.quantity,
        unit_price=wanted.unit_price,
        discount=discount,
        net=net,
        tax=tax,
        gross=net + tax,
        tax_class=details.tax_class,
        tax_rate_bp=taxes.rate_bp(details.tax_class),
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
    taxes: _Taxes,
    *,
    free: bool,
) -> Charge | None:
    if not any(line.delivery is DeliveryKind.SHIP for line in lines):
        return NO_SHIPPING
    if destination is None or method_id is None:
        return None
    method = taxes.rules.method(method_id, destination.country, currency, destination.region)
    return None if method is None else _charge(method, lines, taxes, free=free)


def _charge(method: ShippingMethod, lines: Sequence[Line], taxes: _Taxes, *, free: bool) -> Charge | None:
    shipped = [line for line in lines if line.delivery is DeliveryKind.SHIP]
    value = sum(line.unit_price * line.quantity for line in shipped)
    weighed = method.measure is BandMeasure.WEIGHT
    price = method.price(sum(ln.weight_g * ln.quantity for ln in shipped) if weighed else value, value)
    if price is None:
        return None
    net, tax = taxes.net_and_tax(0 if free else price, method.tax_class)
    return Charge(method_id=method.id, title=method.title, net=net, tax=tax, gross=net + tax)


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
