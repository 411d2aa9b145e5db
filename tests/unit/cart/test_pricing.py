"""The pricing policy: versions, when they hold, and documents that cannot be used."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.cart.domain.pricing import PRICING, PRICING_STREAM, AdoptPolicy, PolicyAdopted, PolicyKind
from services.cart.domain.rules import (
    DEFAULT_RULES,
    Band,
    PricingRules,
    ShippingMethod,
    TaxRule,
    problems,
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


def test_the_default_rules_are_usable() -> None:
    assert list(problems(DEFAULT_RULES)) == []


def test_a_time_without_zone_is_refused() -> None:
    naive = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    refusal = given(PRICING).when(replace(ADOPT, effective_from=naive)).rejected("invalid_policy")
    assert refusal.extra == {"problems": ("effective_from has no time zone",)}


def _rule(**changes: Any) -> tuple[TaxRule, ...]:
    return (replace(TaxRule(country="GB", tax_class="standard", rate_bp=2000), **changes),)


def _taxed(*rules: TaxRule) -> PricingRules:
    return replace(DEFAULT_RULES, tax_rules=rules)


def _sent(*methods: ShippingMethod) -> PricingRules:
    return replace(DEFAULT_RULES, shipping_methods=methods)


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        (replace(DEFAULT_RULES, currencies=(), shipping_methods=()), "currencies must be"),
        (replace(DEFAULT_RULES, currencies=("GBP", "pounds")), "currencies must be"),
        (replace(DEFAULT_RULES, home_country="gb"), "home_country is not"),
        (replace(DEFAULT_RULES, line_limit=0), "line_limit must be 1 to 500"),
        (replace(DEFAULT_RULES, line_limit=501), "line_limit must be 1 to 500"),
        (_taxed(*_rule(), *_rule(rate_bp=500)), "'standard' has 2 rules for GB"),
        (_taxed(*_rule(country="United Kingdom")), "names no country"),
        (_taxed(*_rule(tax_class="")), "names no country or class"),
        (_taxed(*_rule(rate_bp=-1)), "tax rate -1"),
        (_taxed(*_rule(rate_bp=10_001)), "tax rate 10001"),
        (_sent(POST, POST), "'post' exists 2 times in GBP"),
        (_sent(replace(POST, id="")), "no proper id"),
        (_sent(replace(POST, title="a\x07b")), "no proper id or title"),
        (_sent(replace(POST, countries=())), "must list countries"),
        (_sent(replace(POST, countries=("G1",))), "must list countries"),
        (_sent(replace(POST, currency="EUR")), "priced in 'EUR'"),
        (_sent(replace(POST, tax_class="")), "no tax class"),
        (_sent(replace(POST, eta_days=-1)), "arrives before"),
        (_sent(replace(POST, bands=())), "must have bands with prices"),
        (_sent(replace(POST, bands=(Band(price=-1),))), "must have bands with prices"),
        (_sent(replace(POST, bands=(Band(price=1), Band(up_to=9, price=2)))), "rising limits"),
        (_sent(replace(POST, bands=(Band(up_to=9, price=1), Band(up_to=9, price=2)))), "rising limits"),
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
