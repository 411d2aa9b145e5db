"""Sharing an amount loses nothing; tax rounds half up. For any amount: tests/property/test_sharing.py."""

import pytest

from shared.domain import round_half_up, share, spread, tax_on, tax_within


@pytest.mark.parametrize(
    ("amount", "quantity", "first", "last", "expected"),
    [
        (1000, 3, 0, 1, 333),
        (1000, 3, 1, 2, 333),
        (1000, 3, 2, 3, 334),
        (1000, 3, 0, 3, 1000),
        (1000, 3, 2, 2, 0),
        (0, 5, 1, 4, 0),
        (2, 5, 0, 2, 0),
    ],
)
def test_share_is_a_cumulative_floor(
    amount: int, quantity: int, first: int, last: int, expected: int
) -> None:
    assert share(amount, quantity, first, last) == expected


@pytest.mark.parametrize(
    ("quantity", "first", "last"), [(0, 0, 0), (-1, 0, 0), (3, -1, 2), (3, 2, 1), (3, 0, 4)]
)
def test_share_refuses_units_that_do_not_exist(quantity: int, first: int, last: int) -> None:
    with pytest.raises(ValueError, match="units"):
        share(1000, quantity, first, last)


@pytest.mark.parametrize(
    ("amount", "weights", "expected"),
    [
        (100, [1, 1, 1], [33, 33, 34]),
        (100, [0, 50, 0], [0, 100, 0]),
        (7, [0, 0], [0, 7]),
        (0, [], []),
    ],
)
def test_spread_divides_in_proportion(amount: int, weights: list[int], expected: list[int]) -> None:
    assert spread(amount, weights) == expected


@pytest.mark.parametrize(
    ("numerator", "denominator", "expected"),
    [(5, 2, 3), (-5, 2, -3), (4, 3, 1), (-4, 3, -1), (5, 3, 2), (0, 7, 0), (6, 3, 2)],
)
def test_halves_go_away_from_zero(numerator: int, denominator: int, expected: int) -> None:
    assert round_half_up(numerator, denominator) == expected


@pytest.mark.parametrize(
    ("net", "rate_bp", "tax"), [(1000, 2000, 200), (1, 2000, 0), (3, 2000, 1), (1000, 0, 0)]
)
def test_tax_is_added_to_net(net: int, rate_bp: int, tax: int) -> None:
    assert tax_on(net, rate_bp) == tax


def test_tax_within() -> None:
    assert tax_within(1200, 2000) == 200
    assert tax_within(255, 2000) == 42
