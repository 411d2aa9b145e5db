"""The content of a pricing policy: what is taxed how, and what delivery costs in which country."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.cart.domain.product import HIGHEST_PRICE, is_currency, is_text

ANYWHERE: Final = "*"
"""Stands for every country in a shipping method."""
MOST_LINES: Final = 500
HIGHEST_TAX_BP: Final = 10_000

_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)


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
    """A way to deliver within some countries, for carts in one currency; a parcel beyond the last band is
    not taken."""

    id: str
    title: str
    countries: tuple[str, ...]
    currency: str
    measure: BandMeasure = BandMeasure.VALUE
    bands: tuple[Band, ...]
    tax_class: str = "standard"
    eta_days: int

    def serves(self, country: str, currency: str) -> bool:
        """Whether a cart in this currency can be sent to this country."""
        return self.currency == currency and (country in self.countries or ANYWHERE in self.countries)

    def price(self, size: int) -> int | None:
        """The listed price for a parcel of this size; None if it is beyond the last band."""
        fitting = (band for band in self.bands if band.up_to is None or size <= band.up_to)
        return next((band.price for band in fitting), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PricingRules:
    """One version of the policy. `home_country` gives the tax that is shown before a destination is known."""

    currencies: tuple[str, ...]
    home_country: str
    prices_include_tax: bool
    tax_rules: tuple[TaxRule, ...]
    shipping_methods: tuple[ShippingMethod, ...]
    line_limit: int = MOST_LINES

    def tax_rate_bp(self, country: str, region: str | None, tax_class: str) -> int:
        """The rate of the region's rule, else of the country's; 0 where there is none (export, exempt)."""
        rates = {
            rule.region: rule.rate_bp
            for rule in self.tax_rules
            if rule.country == country and rule.tax_class == tax_class
        }
        return rates.get(region, rates.get(None, 0))

    def method(self, method_id: str, country: str, currency: str) -> ShippingMethod | None:
        """The method of this id if it serves the country in the currency."""
        methods = (method for method in self.shipping_methods if method.id == method_id)
        return next((method for method in methods if method.serves(country, currency)), None)


def _vat(country: str, standard_bp: int) -> tuple[TaxRule, TaxRule]:
    return (
        TaxRule(country=country, tax_class="standard", rate_bp=standard_bp),
        TaxRule(country=country, tax_class="zero", rate_bp=0),
    )


DEFAULT_RULES: Final = PricingRules(
    currencies=("GBP",),
    home_country="GB",
    prices_include_tax=True,
    tax_rules=(*_vat("GB", 2000), *_vat("IE", 2300), *_vat("FR", 2000), *_vat("DE", 1900), *_vat("NL", 2100)),
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
"""A small British shop: prices with VAT, free delivery at home from 50 pounds."""


def problems(rules: PricingRules) -> Iterator[str]:
    """What is wrong with the rules, in words for the person who wrote them; nothing if they can be used."""
    if not rules.currencies or not all(is_currency(currency) for currency in rules.currencies):
        yield "currencies must be ISO 4217 codes, at least one"
    if not _is_country(rules.home_country):
        yield "home_country is not an ISO 3166 code"
    if not 1 <= rules.line_limit <= MOST_LINES:
        yield f"line_limit must be 1 to {MOST_LINES}"
    keys = Counter((rule.country, rule.region, rule.tax_class) for rule in rules.tax_rules)
    for (country, region, tax_class), count in keys.items():
        if count > 1:
            yield f"tax class {tax_class!r} has {count} rules for {country} {region or ''}".rstrip()
    for rule in rules.tax_rules:
        if not _is_country(rule.country) or not is_text(rule.tax_class, longest=40):
            yield f"tax rule {rule.tax_class!r} for {rule.country!r} names no country or class"
        if rule.region is not None and not is_text(rule.region, longest=200):
            yield f"tax rule {rule.tax_class!r} for {rule.country!r} has no proper region"
        if not 0 <= rule.rate_bp <= HIGHEST_TAX_BP:
            yield f"tax rate {rule.rate_bp} is not within 0 to {HIGHEST_TAX_BP} basis points"
    names = Counter((method.id, method.currency) for method in rules.shipping_methods)
    for (method_id, currency), count in names.items():
        if count > 1:
            yield f"shipping method {method_id!r} exists {count} times in {currency}"
    for method in rules.shipping_methods:
        yield from _method_problems(method, rules.currencies)


def _method_problems(method: ShippingMethod, currencies: tuple[str, ...]) -> Iterator[str]:
    name = f"shipping method {method.id!r}"
    if not is_text(method.id, longest=40) or not is_text(method.title, longest=200):
        yield f"{name} has no proper id or title"
    if not method.countries or not all(c == ANYWHERE or _is_country(c) for c in method.countries):
        yield f"{name} must list countries as ISO 3166 codes or {ANYWHERE!r}"
    if method.currency not in currencies:
        yield f"{name} is priced in {method.currency!r}, which the shop does not sell in"
    if not is_text(method.tax_class, longest=40):
        yield f"{name} has no tax class"
    if method.eta_days < 0:
        yield f"{name} arrives before it is sent"
    if not method.bands or not all(0 <= band.price <= HIGHEST_PRICE for band in method.bands):
        yield f"{name} must have bands with prices of 0 to {HIGHEST_PRICE}"
    limits = [-1 if band.up_to is None else band.up_to for band in method.bands]
    if method.bands and method.bands[-1].up_to is None:
        limits.pop()
    if any(limit < 0 for limit in limits) or limits != sorted(set(limits)):
        yield f"{name} must have bands with rising limits, only the last one open"


def _is_country(code: str) -> bool:
    return _COUNTRY.fullmatch(code) is not None
