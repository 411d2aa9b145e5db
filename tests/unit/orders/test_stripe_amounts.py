"""Our minor units as Stripe's: the currencies in which the two differ, and amounts that nobody can charge."""

import pytest

from services.orders.psp import Refused
from services.orders.stripe_amounts import from_stripe, to_stripe


@pytest.mark.parametrize(
    ("amount", "currency", "theirs"),
    [
        (1099, "EUR", 1099),
        (500, "JPY", 500),
        (500, "XPF", 500),
        (5, "ISK", 500),  # no decimals any more, but written with two
        (5, "UGX", 500),
        (1045, "HUF", 1045),  # whole in payouts only
        (80045, "TWD", 80045),
        (5120, "KWD", 5120),
        (10, "TND", 10),
        (500, "MGA", 5),  # two decimals to ISO, none to Stripe
    ],
)
def test_amounts_are_converted_there_and_back(amount: int, currency: str, theirs: int) -> None:
    assert to_stripe(amount, currency) == theirs
    assert from_stripe(theirs, currency) == amount


@pytest.mark.parametrize("currency", ["BHD", "JOD", "KWD", "OMR", "TND"])
def test_three_decimals_must_end_in_nought(currency: str) -> None:
    assert to_stripe(5120, currency) == 5120
    for amount in (5121, 5124, 5129, 1):
        with pytest.raises(Refused, match="amount_not_chargeable"):
            to_stripe(amount, currency)


def test_what_stripe_counts_in_wholes_cannot_be_divided() -> None:
    with pytest.raises(Refused, match="amount_not_chargeable"):
        to_stripe(550, "MGA")


@pytest.mark.parametrize("currency", ["IQD", "LYD"])
def test_currencies_that_stripe_does_not_take_are_refused(currency: str) -> None:
    with pytest.raises(Refused, match="currency_not_supported"):
        to_stripe(1000, currency)
