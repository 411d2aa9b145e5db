"""The policies that come with the project can be used, and say from when and where their rates are."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from services.cart.domain.rule_problems import problems
from services.cart.domain.rules import PricingRules

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "examples" / "pricing").glob("*.json"))


def test_there_are_examples() -> None:
    assert [path.stem for path in EXAMPLES] == ["brazil-like", "us-like"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_policy(path: Path) -> None:
    rules = TypeAdapter(PricingRules).validate_json(path.read_bytes())
    assert list(problems(rules)) == []
    assert rules.as_of is not None
    assert "An example" in (rules.source or "")


def test_prices_without_tax_and_states_of_their_own() -> None:
    states = TypeAdapter(PricingRules).validate_json(EXAMPLES[1].read_bytes())
    assert not states.prices_include_tax
    assert [states.tax_rate_bp("US", region, "standard") for region in ("CA", "us-or", None)] == [725, 0, 0]
    alaska = states.method("ground", "US", "USD", "AK")
    assert alaska is not None
    assert alaska.eta_days == 10
