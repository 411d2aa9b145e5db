"""Money is an integer of minor units (cents, pence) in the currency of its stream."""


def share(amount: int, quantity: int, first: int, last: int) -> int:
    """The part of `amount` (minor units, spread over `quantity` units) that units first+1 … last carry.

    Cumulative floor: the shares of consecutive ranges that cover all units always add up to `amount`.
    Raises ValueError unless 0 ≤ first ≤ last ≤ quantity and quantity > 0.
    """
    if quantity <= 0 or not 0 <= first <= last <= quantity:
        raise ValueError(f"units {first + 1}…{last} are not within 1…{quantity}")
    return amount * last // quantity - amount * first // quantity


def spread(amount: int, weights: list[int]) -> list[int]:
    """`amount` divided over parts in proportion to `weights` by cumulative floor; the parts add up to it.

    All weights zero: the last part carries everything. No weights: an empty list, so only amount 0 fits.
    """
    total = sum(weights)
    if total == 0:
        return [0] * (len(weights) - 1) + [amount] if weights else []
    parts, seen = [], 0
    for weight in weights:
        parts.append(share(amount, total, seen, seen + weight))
        seen += weight
    return parts


def tax_within(gross: int, rate_bp: int) -> int:
    """The tax inside a tax-inclusive amount, rounded half up; `rate_bp` in basis points (2000 = 20 %)."""
    return gross - round_half_up(gross * 10_000, 10_000 + rate_bp)


def tax_on(net: int, rate_bp: int) -> int:
    """The tax to add to a tax-exclusive amount, rounded half up; `rate_bp` is in basis points."""
    return round_half_up(net * rate_bp, 10_000)


def round_half_up(numerator: int, denominator: int) -> int:
    """numerator/denominator to the nearest integer, halves away from zero; `denominator` must be positive."""
    quotient, rest = divmod(abs(numerator), denominator)
    rounded = quotient + (2 * rest >= denominator)
    return rounded if numerator >= 0 else -rounded
