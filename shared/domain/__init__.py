"""What every pure core uses; standard library only."""

from shared.domain.decider import Decider, category_of, key_of
from shared.domain.money import round_half_up, share, spread, tax_on, tax_within
from shared.domain.rejected import Rejected
from shared.domain.sealed import Sealed

__all__ = [
    "Decider",
    "Rejected",
    "Sealed",
    "category_of",
    "key_of",
    "round_half_up",
    "share",
    "spread",
    "tax_on",
    "tax_within",
]
