"""Amounts as Stripe counts them: its units are those of ISO 4217 but for a few currencies, and not every
amount can be charged."""

from services.orders.psp import Refused

_NO_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE_DECIMALS = "BHD IQD JOD KWD LYD OMR TND"
_STRIPE_NO_DECIMALS = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
"""Less than ISO's: Stripe still writes ISK and UGX with two decimals, which must be 00; more: MGA."""
_STRIPE_THREE_DECIMALS = "BHD JOD KWD OMR TND"
_WHOLE_UNITS = "ISK UGX"
_UNSUPPORTED = "IQD LYD UYI"
"""Stripe takes none of them, so nobody knows how it would count."""


def to_stripe(amount: int, currency: str) -> int:
    """Our minor units (ISO 4217) as Stripe's. Raises Refused for what Stripe cannot charge: three decimals
    must end in 0, and what has no decimals any more cannot be divided."""
    if currency in _UNSUPPORTED:
        raise Refused("currency_not_supported", f"Stripe takes no {currency}")
    theirs, rest = divmod(amount * _in_one_at_stripe(currency), _in_one(currency))
    if rest or theirs % _step(currency):
        raise Refused("amount_not_chargeable", f"Stripe charges {currency} only in coarser steps")
    return theirs


def from_stripe(amount: int, currency: str) -> int:
    """Stripe's units as our minor units."""
    return amount * _in_one(currency) // _in_one_at_stripe(currency)


def _in_one(currency: str) -> int:
    """Minor units of one whole."""
    return 1 if currency in _NO_DECIMALS else 1000 if currency in _THREE_DECIMALS else 100


def _in_one_at_stripe(currency: str) -> int:
    return 1 if currency in _STRIPE_NO_DECIMALS else 1000 if currency in _STRIPE_THREE_DECIMALS else 100


def _step(currency: str) -> int:
    """What an amount at Stripe must be a multiple of. HUF and TWD are whole in payouts only."""
    return 10 if currency in _STRIPE_THREE_DECIMALS else 100 if currency in _WHOLE_UNITS else 1
