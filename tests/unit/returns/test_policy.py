"""The return policy: adopted by version, refused when it makes no sense."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.returns.domain.policy import (
    DEFAULT_TERMS,
    KEY,
    RETURN_POLICY,
    AdoptReturnPolicy,
    ReturnTerms,
    money_in,
)
from shared.events.common import Money
from shared.events.returns import PolicyText, ReturnPolicyAdopted
from shared.testing.scenario import NOW, given
from tests.unit.returns.samples import policy


def adopted(version: int, terms: ReturnTerms) -> ReturnPolicyAdopted:
    names = ReturnTerms.__dataclass_fields__
    return ReturnPolicyAdopted(
        policy_version=version, effective_from=NOW, **{name: getattr(terms, name) for name in names}
    )


def test_the_default_document_is_adopted_once() -> None:
    given(RETURN_POLICY).when(AdoptReturnPolicy(terms=DEFAULT_TERMS, now=NOW)).then(adopted(1, DEFAULT_TERMS))


def test_new_terms_are_the_next_version_and_old_ones_can_come_back() -> None:
    shorter = replace(DEFAULT_TERMS, window_days=14)
    given(RETURN_POLICY, adopted(1, DEFAULT_TERMS)).when(AdoptReturnPolicy(terms=shorter, now=NOW)).then(
        adopted(2, shorter)
    )
    given(RETURN_POLICY, adopted(1, DEFAULT_TERMS), adopted(2, shorter)).when(
        AdoptReturnPolicy(terms=DEFAULT_TERMS, now=NOW)
    ).then(adopted(3, DEFAULT_TERMS))


@pytest.mark.parametrize(
    "terms",
    [
        replace(DEFAULT_TERMS, window_days=-1),
        replace(DEFAULT_TERMS, refund_days=4000),
        replace(DEFAULT_TERMS, ship_days=31),
        replace(DEFAULT_TERMS, restocking_fee_bp=10_001),
        replace(DEFAULT_TERMS, return_shipping_fee=(Money(amount=-1, currency="EUR"),)),
        replace(DEFAULT_TERMS, dual_control_above=(Money(amount=1, currency="EUR"),) * 2),
        replace(DEFAULT_TERMS, text=PolicyText(en=" ")),
    ],
)
def test_terms_that_make_no_sense_are_refused(terms: ReturnTerms) -> None:
    given(RETURN_POLICY).when(AdoptReturnPolicy(terms=terms, now=NOW)).rejected("invalid_policy")


def test_every_version_can_be_looked_up() -> None:
    state = policy(DEFAULT_TERMS, replace(DEFAULT_TERMS, window_days=14))
    assert (state.version(1).window_days, state.current.window_days) == (30, 14)
    with pytest.raises(LookupError):
        state.version(3)


def test_the_stream_is_public_and_stable_and_waits_for_nothing() -> None:
    assert (RETURN_POLICY.stream(KEY), RETURN_POLICY.public) == ("returnpolicy-shop", True)
    assert RETURN_POLICY.deadlines(policy()) == {}
    assert policy().current.effective_from == NOW - timedelta(days=100)


def test_money_is_looked_up_by_currency() -> None:
    assert money_in((Money(amount=5, currency="EUR"),), "EUR") == 5
    assert money_in((Money(amount=5, currency="EUR"),), "JPY") == 0
