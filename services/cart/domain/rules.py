"""The content of a pricing policy: what is taxed how, what delivery costs where, what coupons there are."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from services.cart.domain import vat
from services.cart.domain.coupons import Coupon

ANYWHERE: Final = "*"
"""Stands for every country in a shipping method."""
MOST_LINES: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxRule:
    """The rate (basis points) of a tax class in a country, or only in one region of it."""

    country: str
    region: str | None = None
    tax_class: str
    rate_bp: int


class BandMeasure(StrEnum):
    """What the bands of a shipping method are measured by: grams, or the listed price in minor units."""

    WEIGHT = "WEIGHT"
    VALUE = "VALUE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """The price (minor units) for a parcel up to and including `up_to`; None: of any size."""

    up_to: int | None = None
    price: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippingMethod:
    """A way to deliver in one zone, for carts in one currency; a parcel beyond the last band is not taken.

    The zone are `countries`, or only some `regions` of a single one. The same id may be there for other zones
    and currencies, and the closest zone counts: region, then country, then anywhere. Goods of a listed price
    of `free_from` (minor units) or more travel free, whatever they weigh.
    """

    id: str
    title: str
    countries: tuple[str, ...]
    regions: tuple[str, ...] = ()
    currency: str
    measure: BandMeasure = BandMeasure.VALUE
    bands: tuple[Band, ...]
    free_from: int | None = None
    tax_class: str = "standard"
    eta_days: int

    def closeness(self, country: str, region: str | None, currency: str) -> int:
        """How closely its zone fits a destination: 0 not at all, 1 anywhere, 2 the country, 3 the region."""
        if self.currency != currency:
            return 0
        if country not in self.countries:
            return 1 if ANYWHERE in self.countries else 0
        if not self.regions:
            return 2
        return 3 if _region(country, region) in {_region(country, each) for each in self.regions} else 0

    def serves(self, country: str, currency: str, region: str | None = None) -> bool:
        """Whether a cart in this currency can be sent there."""
        return self.closeness(country, region, currency) > 0

    def price(self, size: int, value: int = 0) -> int | None:
        """The listed price for a parcel of this size and value; None if it is beyond the last band."""
        fitting = (band for band in self.bands if band.up_to is None or size <= band.up_to)
        price = next((band.price for band in fitting), None)
        if price is not None and self.free_from is not None and value >= self.free_from:
            return 0
        return price


@dataclass(frozen=True, slots=True, kw_only=True)
class PricingRules:
    """One version of the policy. `home_country` gives the tax that is shown before a destination is known.

    `title`, `source` and `as_of` say what the document is, where its rates are from and of which day they
    are; nothing is decided by them.
    """

    title: str | None = None
    source: str | None = None
    as_of: date | None = None
    currencies: tuple[str, ...]
    home_country: str
    prices_include_tax: bool
    tax_rules: tuple[TaxRule, ...]
    shipping_methods: tuple[ShippingMethod, ...]
    coupons: tuple[Coupon, ...] = ()
    line_limit: int = MOST_LINES

    def tax_rate_bp(self, country: str, region: str | None, tax_class: str) -> int:
        """The rate of the region's rule, else of the country's; 0 where there is none (export, exempt)."""
        rates = {
            _region(country, rule.region): rule.rate_bp
            for rule in self.tax_rules
            if rule.country == country and rule.tax_class == tax_class
        }
        return rates.get(_region(country, region), rates.get(None, 0))

    def method(
        self, method_id: str, country: str, currency: str, region: str | None = None
    ) -> ShippingMethod | None:
        """The method of this id in the closest zone that serves the place in the currency."""
        methods = self.methods(country, currency, region)
        return next((method for method in methods if method.id == method_id), None)

    def methods(self, country: str, currency: str, region: str | None = None) -> tuple[ShippingMethod, ...]:
        """Every method that serves the place in the currency, each id once, in the policy's order."""
        closest: dict[str, tuple[int, ShippingMethod]] = {}
        for method in self.shipping_methods:
            near = method.closeness(country, region, currency)
            if near > closest.get(method.id, (0, method))[0]:
                closest[method.id] = near, method
        return tuple(method for _, method in closest.values())

    @property
    def coupons_by_code(self) -> Mapping[str, Coupon]:
        """All coupons, whether they hold or not."""
        return {coupon.code: coupon for coupon in self.coupons}

    def coupons_at(self, now: datetime) -> Mapping[str, Coupon]:
        """The coupons that hold at `now`, by code."""
        return {coupon.code: coupon for coupon in self.coupons if coupon.fault_at(now) is None}


def _region(country: str, region: str | None) -> str | None:
    """A region as it is compared: people write `ca`, `CA` and, as ISO 3166-2 does, `US-CA`."""
    return None if region is None else region.strip().upper().removeprefix(f"{country}-")


DEFAULT_RULES: Final = PricingRules(
    title="A small British shop that sells to Europe: prices with VAT, free delivery at home from 50 pounds",
    source=vat.SOURCE,
    as_of=vat.AS_OF,
    currencies=("GBP",),
    home_country="GB",
    prices_include_tax=True,
    tax_rules=tuple(
        TaxRule(country=country, tax_class=tax_class, rate_bp=rate_bp)
        for country in vat.RATES_BP
        for tax_class, rate_bp in vat.rates_of(country).items()
    ),
    shipping_methods=(
        ShippingMethod(
            id="standard",
            title="Standard delivery",
            countries=("GB",),
            currency="GBP",
            bands=(Band(up_to=49_99, price=3_95), Band(price=0)),
            eta_days=3,
        ),
        ShippingMethod(
            id="express",
            title="Next-day delivery",
            countries=("GB",),
            currency="GBP",
            measure=BandMeasure.WEIGHT,
            bands=(Band(up_to=2_000, price=7_95), Band(up_to=30_000, price=14_95)),
            eta_days=1,
        ),
        ShippingMethod(
            id="international",
            title="International post",
            countries=(ANYWHERE,),
            currency="GBP",
            measure=BandMeasure.WEIGHT,
            bands=(Band(up_to=10_000, price=18_00), Band(price=54_00)),
            eta_days=7,
        ),
    ),
)
"""What a new shop prices by."""
