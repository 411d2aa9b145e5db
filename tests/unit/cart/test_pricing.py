"""The pricing policy: versions, when they hold, and documents that cannot be used."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.cart.domain import vat
from services.cart.domain.coupons import Coupon
from services.cart.domain.pricing import PRICING, PRICING_STREAM, AdoptPolicy, PolicyAdopted, PolicyKind
from services.cart.domain.rule_problems import problems
from services.cart.domain.rules import (
    ANYWHERE,
    DEFAULT_RULES,
    Band,
    BandMeasure,
    PricingRules,
    ShippingMethod,
    TaxRule,
)
from shared.testing.scenario import NOW, given

ADOPT = AdoptPolicy(document=DEFAULT_RULES, effective_from=NOW, adopted_by="admin")
FIRST = PolicyAdopted(
    kind=PolicyKind.PRICING, version=1, document=DEFAULT_RULES, effective_from=NOW, adopted_by="admin"
)
NET_RULES = replace(DEFAULT_RULES, prices_include_tax=False)
POST = ShippingMethod(
    id="post", title="Post", countries=("GB",), currency="GBP", bands=(Band(price=500),), eta_days=2
)


def test_the_first_version() -> None:
    given(PRICING).when(ADOPT).then(FIRST)
    assert PRICING_STREAM == "pricingpolicy-default"


def test_a_new_document_is_the_next_version() -> None:
    later = NOW + timedelta(days=1)
    given(PRICING, FIRST).when(AdoptPolicy(document=NET_RULES, effective_from=later, adopted_by="eve")).then(
        PolicyAdopted(version=2, document=NET_RULES, effective_from=later, adopted_by="eve")
    )


def test_the_same_document_is_adopted_once() -> None:
    given(PRICING, FIRST).when(
        replace(ADOPT, effective_from=NOW + timedelta(days=1), adopted_by="eve")
    ).then()


def test_the_same_document_from_an_earlier_time_is_a_new_version() -> None:
    earlier = NOW - timedelta(days=1)
    given(PRICING, FIRST).when(replace(ADOPT, effective_from=earlier)).then(
        replace(FIRST, version=2, effective_from=earlier)
    )


def test_the_version_in_force_is_the_newest_that_has_begun() -> None:
    second = PolicyAdopted(
        version=2, document=NET_RULES, effective_from=NOW + timedelta(hours=1), adopted_by="eve"
    )
    state = given(PRICING, FIRST, second).state
    assert state.at(NOW - timedelta(seconds=1)) is None
    assert state.at(NOW) == FIRST
    assert state.at(NOW + timedelta(hours=1)) == second


def test_what_is_planned_stays_planned() -> None:
    planned = PolicyAdopted(
        version=2, document=NET_RULES, effective_from=NOW + timedelta(days=9), adopted_by="eve"
    )
    home = replace(DEFAULT_RULES, home_country="IE")
    scenario = given(PRICING, FIRST, planned).when(replace(ADOPT, document=home))
    scenario.then(replace(FIRST, version=3, document=home))
    state = scenario.state
    assert [held and held.version for held in map(state.at, (NOW, planned.effective_from))] == [3, 2]


def test_a_plan_is_dropped_by_another_document_for_its_instant() -> None:
    then = NOW + timedelta(days=9)
    planned = PolicyAdopted(version=2, document=NET_RULES, effective_from=then, adopted_by="eve")
    given(PRICING, FIRST, planned).when(replace(ADOPT, effective_from=then)).then(
        replace(FIRST, version=3, effective_from=then)
    )


def test_the_default_rules_are_usable_and_say_where_they_are_from() -> None:
    assert list(problems(DEFAULT_RULES)) == []
    assert DEFAULT_RULES.as_of == vat.AS_OF
    assert "europa.eu" in (DEFAULT_RULES.source or "")


def test_the_default_rules_tax_all_of_the_european_union_and_the_united_kingdom() -> None:
    eu = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
    assert {rule.country for rule in DEFAULT_RULES.tax_rules} == {*eu.split(), "GB"}
    for country in vat.RATES_BP:
        rates = [DEFAULT_RULES.tax_rate_bp(country, None, each) for each in vat.CLASSES]
        assert rates == sorted(rates, reverse=True)
        assert 1700 <= rates[0] <= 2700
    for country, tax_class, rate in (
        ("FI", "standard", 2550),
        ("FR", "super-reduced", 210),
        ("DK", "reduced", 2500),
        ("IE", "reduced-2", 1350),
        ("GB", "zero", 0),
    ):
        assert DEFAULT_RULES.tax_rate_bp(country, None, tax_class) == rate


def test_a_time_without_zone_is_refused() -> None:
    naive = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    refusal = given(PRICING).when(replace(ADOPT, effective_from=naive)).rejected("invalid_policy")
    assert refusal.extra == {"problems": ("#/effective_from: has no time zone",)}


def _rule(**changes: Any) -> tuple[TaxRule, ...]:
    return (replace(TaxRule(country="GB", tax_class="standard", rate_bp=2000), **changes),)


def _taxed(*rules: TaxRule) -> PricingRules:
    return replace(DEFAULT_RULES, tax_rules=rules)


TEN = Coupon(code="TEN", percent_bp=1_000)


def _with(*coupons: Coupon) -> PricingRules:
    return replace(DEFAULT_RULES, coupons=coupons)


def _sent(*methods: ShippingMethod) -> PricingRules:
    return replace(DEFAULT_RULES, shipping_methods=methods)


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        (replace(DEFAULT_RULES, currencies=(), shipping_methods=()), "#/currencies: must be ISO"),
        (replace(DEFAULT_RULES, currencies=("GBP", "pounds")), "#/currencies: must be ISO"),
        (replace(DEFAULT_RULES, home_country="gb"), "#/home_country: is no"),
        (replace(DEFAULT_RULES, line_limit=0), "#/line_limit: must be 1 to 500"),
        (replace(DEFAULT_RULES, line_limit=501), "#/line_limit: must be 1 to 500"),
        (replace(DEFAULT_RULES, title=""), "#/title: must be"),
        (replace(DEFAULT_RULES, source="\0"), "#/source: must be"),
        (
            _taxed(*_rule(), *_rule(rate_bp=500)),
            "#/tax_rules/1: there is a rule for 'standard' in GB",
        ),
        (_taxed(*_rule(country="United Kingdom")), "#/tax_rules/0/country: 'United Kingdom' is no"),
        (_taxed(*_rule(tax_class="")), "#/tax_rules/0/tax_class: must be"),
        (_taxed(*_rule(), *_rule(region="\n")), "#/tax_rules/1/region: must be"),
        (_taxed(*_rule(rate_bp=-1)), "#/tax_rules/0/rate_bp: -1 is not"),
        (_taxed(*_rule(rate_bp=10_001)), "#/tax_rules/0/rate_bp: 10001 is not"),
        (_sent(POST, POST), "#/shipping_methods/1: #/shipping_methods/0 is 'post' in GBP for the same place"),
        (_sent(replace(POST, id="")), "#/shipping_methods/0/id: must be"),
        (_sent(replace(POST, title="a\x07b")), "#/shipping_methods/0/title: must be"),
        (_sent(replace(POST, countries=())), "#/shipping_methods/0/countries: must list"),
        (_sent(replace(POST, countries=("G1",))), "#/shipping_methods/0/countries: must list"),
        (_sent(replace(POST, regions=("",))), "#/shipping_methods/0/regions: must be 1"),
        (
            _sent(replace(POST, countries=("GB", "IE"), regions=("NIR",))),
            "/regions: must be those of a",
        ),
        (
            _sent(replace(POST, countries=(ANYWHERE,), regions=("NIR",))),
            "/regions: must be those of a",
        ),
        (
            _sent(replace(POST, currency="EUR")),
            "#/shipping_methods/0/currency: the shop does not",
        ),
        (_sent(replace(POST, tax_class="")), "#/shipping_methods/0/tax_class: must be"),
        (_sent(replace(POST, eta_days=-1)), "#/shipping_methods/0/eta_days: must be"),
        (_sent(replace(POST, free_from=-1)), "#/shipping_methods/0/free_from: must be"),
        (_sent(replace(POST, bands=())), "#/shipping_methods/0/bands: must be at least one"),
        (_sent(replace(POST, bands=(Band(price=-1),))), "#/shipping_methods/0/bands/0/price: must be"),
        (
            _sent(replace(POST, bands=(Band(price=1), Band(up_to=9, price=2)))),
            "/bands/0/up_to: only",
        ),
        (_sent(replace(POST, bands=(Band(up_to=9, price=1),) * 2)), "/bands/1/up_to: must be higher"),
        (_with(TEN, TEN), "#/coupons/1/code: there is a coupon 'TEN' already"),
        (_with(replace(TEN, code="ten")), "#/coupons/0/code: must be"),
        (_with(replace(TEN, percent_bp=None)), "#/coupons/0: must give"),
        (_with(replace(TEN, percent_bp=0)), "#/coupons/0/percent_bp: must be"),
        (_with(replace(TEN, percent_bp=10_001)), "#/coupons/0/percent_bp: must be"),
        (_with(replace(TEN, amount={"GBP": 1})), "#/coupons/0/amount: is for coupons without"),
        (_with(Coupon(code="FIVE", amount={})), "#/coupons/0/amount: must name"),
        (
            _with(Coupon(code="FIVE", amount={"EUR": 1})),
            "#/coupons/0/amount: the shop does not",
        ),
        (_with(Coupon(code="FIVE", amount={"GBP": 0})), "#/coupons/0/amount/GBP: must be"),
        (_with(replace(TEN, minimum={"GBP": -1})), "#/coupons/0/minimum/GBP: must be"),
        (_with(replace(TEN, valid_from=NOW, valid_until=NOW)), "#/coupons/0/valid_until: is not after"),
        (
            _with(replace(TEN, valid_from=NOW.replace(tzinfo=None))),
            "#/coupons/0/valid_from: has no",
        ),
        (_with(replace(TEN, max_uses=0)), "#/coupons/0/max_uses: must be"),
        (_with(*(replace(TEN, code=f"C{n}") for n in range(1001))), "#/coupons: must be at most 1000"),
    ],
)
def test_a_document_that_cannot_be_used(rules: PricingRules, problem: str) -> None:
    refusal = given(PRICING).when(replace(ADOPT, document=rules)).rejected("invalid_policy")
    assert [problem in text for text in problems(rules)] == [True]
    assert refusal.extra == {"problems": tuple(problems(rules))}


def test_the_tax_rule_of_a_region_beats_that_of_its_country() -> None:
    canary = TaxRule(country="ES", region="CN", tax_class="standard", rate_bp=700)
    rules = replace(DEFAULT_RULES, tax_rules=(*_rule(country="ES", rate_bp=2100), canary))
    assert rules.tax_rate_bp("ES", "CN", "standard") == 700
    assert rules.tax_rate_bp("ES", "MD", "standard") == 2100
    assert rules.tax_rate_bp("ES", None, "standard") == 2100
    assert rules.tax_rate_bp("ES", "CN", "books") == 0


def test_a_method_is_found_per_currency_and_country() -> None:
    in_euro = replace(POST, currency="EUR", bands=(Band(price=600),))
    rules = replace(DEFAULT_RULES, currencies=("GBP", "EUR"), shipping_methods=(POST, in_euro))
    assert rules.method("post", "GB", "EUR") == in_euro
    assert rules.method("post", "FR", "EUR") is None
    assert rules.method("pigeon", "GB", "GBP") is None


def test_bands_include_their_limit_and_end_with_the_last() -> None:
    method = replace(POST, bands=(Band(up_to=100, price=1), Band(up_to=200, price=2)))
    assert [method.price(size) for size in (0, 100, 101, 200, 201)] == [1, 1, 2, 2, None]


def test_regions_are_compared_as_people_write_them() -> None:
    rules = _taxed(TaxRule(country="US", region="CA", tax_class="standard", rate_bp=725))
    assert [rules.tax_rate_bp("US", region, "standard") for region in ("ca", " US-CA ", "NY", None)] == [
        725,
        725,
        0,
        0,
    ]


def test_the_closest_zone_of_a_method_counts() -> None:
    isles = replace(POST, regions=("SHE", "ORK"), bands=(Band(price=900),))
    abroad = replace(POST, countries=(ANYWHERE,), bands=(Band(price=1_500),))
    rules = _sent(abroad, POST, isles)
    assert rules.method("post", "GB", "GBP", "gb-she") == isles
    assert rules.method("post", "GB", "GBP", "ENG") == POST
    assert rules.method("post", "FR", "GBP", "SHE") == abroad
    assert rules.methods("GB", "GBP", "ORK") == (isles,)


def test_heavy_goods_of_a_high_value_travel_free_but_not_beyond_the_last_band() -> None:
    method = replace(POST, measure=BandMeasure.WEIGHT, bands=(Band(up_to=1_000, price=500),), free_from=5_000)
    assert (method.price(1_000, 4_999), method.price(1_000, 5_000)) == (500, 0)
    assert method.price(1_001, 5_000) is None
