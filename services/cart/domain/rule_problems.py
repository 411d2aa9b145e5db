"""What is wrong with a pricing policy, said by the place in its document, for the person who wrote it."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from services.cart.domain.coupons import Coupon
from services.cart.domain.product import HIGHEST_PRICE, is_currency, is_text
from services.cart.domain.rules import ANYWHERE, MOST_LINES, Band, PricingRules, ShippingMethod, TaxRule

HIGHEST_TAX_BP: Final = 10_000
MOST_COUPONS: Final = 1_000
MOST_USES: Final = 1_000_000
LONGEST_ETA: Final = 3_650

_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_CODE = re.compile(r"[A-Z0-9][A-Z0-9_-]{0,39}", re.ASCII)


def problems(rules: PricingRules) -> Iterator[str]:
    """One line for each fault, `#/place/in/the/document: what is wrong`; none if the rules can be used."""
    if not rules.currencies or not all(is_currency(currency) for currency in rules.currencies):
        yield "#/currencies: must be ISO 4217 codes, at least one"
    if not _is_country(rules.home_country):
        yield "#/home_country: is no ISO 3166 code"
    if not 1 <= rules.line_limit <= MOST_LINES:
        yield f"#/line_limit: must be 1 to {MOST_LINES}"
    if rules.title is not None and not is_text(rules.title, longest=300):
        yield "#/title: must be 1 to 300 printable characters"
    if rules.source is not None and not is_text(rules.source, longest=2_000):
        yield "#/source: must be 1 to 2000 printable characters"
    yield from _taxes(rules.tax_rules)
    yield from _shipping(rules)
    yield from _coupons(rules)


def _taxes(rules: tuple[TaxRule, ...]) -> Iterator[str]:
    seen: Counter[tuple[str, str | None, str]] = Counter()
    for n, rule in enumerate(rules):
        place = f"#/tax_rules/{n}"
        if not _is_country(rule.country):
            yield f"{place}/country: {rule.country!r} is no ISO 3166 code"
        if not is_text(rule.tax_class, longest=40):
            yield f"{place}/tax_class: must be 1 to 40 printable characters"
        if rule.region is not None and not is_text(rule.region, longest=200):
            yield f"{place}/region: must be 1 to 200 printable characters"
        if not 0 <= rule.rate_bp <= HIGHEST_TAX_BP:
            yield f"{place}/rate_bp: {rule.rate_bp} is not within 0 to {HIGHEST_TAX_BP} basis points"
        key = (rule.country, rule.region, rule.tax_class)
        seen[key] += 1
        if seen[key] == 2:
            where = f"{rule.country} {rule.region or ''}".rstrip()
            yield f"{place}: there is a rule for {rule.tax_class!r} in {where} already"


def _shipping(rules: PricingRules) -> Iterator[str]:
    zones: dict[tuple[str, str, str, str], int] = {}
    for n, method in enumerate(rules.shipping_methods):
        place = f"#/shipping_methods/{n}"
        yield from (f"{place}{text}" for text in _method(method, rules.currencies))
        places = [(country, region) for country in method.countries for region in method.regions or ("",)]
        first = {zones.setdefault((method.id, method.currency, *each), n) for each in places} - {n}
        if first:
            at = f"#/shipping_methods/{min(first)}"
            yield f"{place}: {at} is {method.id!r} in {method.currency} for the same place already"


def _method(method: ShippingMethod, currencies: tuple[str, ...]) -> Iterator[str]:
    if not is_text(method.id, longest=40):
        yield "/id: must be 1 to 40 printable characters"
    if not is_text(method.title, longest=200):
        yield "/title: must be 1 to 200 printable characters"
    if not method.countries or not all(c == ANYWHERE or _is_country(c) for c in method.countries):
        yield f"/countries: must list ISO 3166 codes or {ANYWHERE!r}"
    if method.regions and (len(method.countries) != 1 or ANYWHERE in method.countries):
        yield "/regions: must be those of a single country"
    if not all(is_text(region, longest=200) for region in method.regions):
        yield "/regions: must be 1 to 200 printable characters each"
    if method.currency not in currencies:
        yield f"/currency: the shop does not sell in {method.currency!r}"
    if not is_text(method.tax_class, longest=40):
        yield "/tax_class: must be 1 to 40 printable characters"
    if not 0 <= method.eta_days <= LONGEST_ETA:
        yield f"/eta_days: must be 0 to {LONGEST_ETA}"
    if method.free_from is not None and not 0 <= method.free_from <= HIGHEST_PRICE:
        yield f"/free_from: must be 0 to {HIGHEST_PRICE}"
    yield from _bands(method.bands)


def _bands(bands: tuple[Band, ...]) -> Iterator[str]:
    if not bands:
        yield "/bands: must be at least one"
    before = -1
    for n, band in enumerate(bands):
        if not 0 <= band.price <= HIGHEST_PRICE:
            yield f"/bands/{n}/price: must be 0 to {HIGHEST_PRICE}"
        if band.up_to is None:
            if n + 1 < len(bands):
                yield f"/bands/{n}/up_to: only the last band may be open"
        elif not before < band.up_to <= HIGHEST_PRICE:
            yield f"/bands/{n}/up_to: must be higher than in the band before, and at most {HIGHEST_PRICE}"
        before = before if band.up_to is None else band.up_to


def _coupons(rules: PricingRules) -> Iterator[str]:
    if len(rules.coupons) > MOST_COUPONS:
        yield f"#/coupons: must be at most {MOST_COUPONS}"
    seen: set[str] = set()
    for n, coupon in enumerate(rules.coupons):
        place = f"#/coupons/{n}"
        yield from (f"{place}{text}" for text in _coupon(coupon, rules.currencies))
        if coupon.code in seen:
            yield f"{place}/code: there is a coupon {coupon.code!r} already"
        seen.add(coupon.code)


def _coupon(coupon: Coupon, currencies: tuple[str, ...]) -> Iterator[str]:
    if _CODE.fullmatch(coupon.code) is None:
        yield "/code: must be 1 to 40 capital letters, digits, - or _, and begin with one of the first two"
    if coupon.percent_bp is not None and coupon.amount is not None:
        yield "/amount: is for coupons without percent_bp"
    if coupon.percent_bp is None and coupon.amount is None and not coupon.free_shipping:
        yield ": must give percent_bp, amount or free_shipping"
    if coupon.percent_bp is not None and not 1 <= coupon.percent_bp <= 10_000:
        yield "/percent_bp: must be 1 to 10000 basis points"
    if coupon.amount is not None:
        yield from _amounts("/amount", coupon.amount, currencies, least=1)
        if not coupon.amount:
            yield "/amount: must name at least one currency"
    yield from _amounts("/minimum", coupon.minimum, currencies, least=0)
    for name, instant in (("valid_from", coupon.valid_from), ("valid_until", coupon.valid_until)):
        if instant is not None and instant.tzinfo is None:
            yield f"/{name}: has no time zone"
            return
    if coupon.valid_from and coupon.valid_until and coupon.valid_until <= coupon.valid_from:
        yield "/valid_until: is not after valid_from"
    if coupon.max_uses is not None and not 1 <= coupon.max_uses <= MOST_USES:
        yield f"/max_uses: must be 1 to {MOST_USES}"


def _amounts(
    place: str, amounts: Mapping[str, int], currencies: tuple[str, ...], *, least: int
) -> Iterator[str]:
    for currency, amount in amounts.items():
        if currency not in currencies:
            yield f"{place}: the shop does not sell in {currency!r}"
        elif not least <= amount <= HIGHEST_PRICE:
            yield f"{place}/{currency}: must be {least} to {HIGHEST_PRICE}"


def _is_country(code: str) -> bool:
    return _COUNTRY.fullmatch(code) is not None
