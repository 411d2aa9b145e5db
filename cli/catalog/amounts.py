"""Amounts as people write them, in the currencies of ISO 4217: each has its own number of decimals."""

import re
from decimal import Decimal
from typing import Final

HIGHEST: Final = 10_000_000_000
"""Minor units; what the catalogue takes as a price."""

_CODES = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD
CAD CDF CHF CLF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP
GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD
KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK
NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD
SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYI UYU UYW UZS VED VES VND VUV
WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
"""
CURRENCIES: Final = frozenset(_CODES.split())
_FEW = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_MANY = "BHD IQD JOD KWD LYD OMR TND"
_DECIMALS = {**dict.fromkeys(_FEW.split(), 0), **dict.fromkeys(_MANY.split(), 3), "CLF": 4, "UYW": 4}
_AMOUNT = re.compile(r"-?\d{1,18}(\.\d{1,18})?", re.ASCII)


def decimals(currency: str) -> int:
    """How many decimals the currency has."""
    return _DECIMALS.get(currency, 2)


def minor_units(text: str, currency: str) -> int:
    """The amount in minor units. Raises ValueError with the reason; commas are refused."""
    if not _AMOUNT.fullmatch(text):
        raise ValueError("is not an amount with a decimal point, as in 1234.50")
    amount = Decimal(text).scaleb(decimals(currency))
    if amount < 0:
        raise ValueError("is negative")
    if amount != int(amount):
        raise ValueError(f"has more decimals than {currency} has")
    if amount > HIGHEST:
        raise ValueError(f"is more than {written(HIGHEST, currency)}")
    return int(amount)


def written(amount: int, currency: str) -> str:
    """Minor units as people write them, with all decimals of the currency."""
    return f"{Decimal(amount).scaleb(-decimals(currency)):f}"
