"""Value added tax of the countries of the European Union and of the United Kingdom, on the day of AS_OF."""

from datetime import date
from typing import Final

AS_OF: Final = date(2025, 9, 1)
SOURCE: Final = (
    "VAT rates in force on 1 September 2025. European Union: European Commission, Your Europe, VAT rules and "
    "rates, https://europa.eu/youreurope/business/taxation/vat/vat-rules-rates/; United Kingdom: GOV.UK, VAT "
    "rates, https://www.gov.uk/vat-rates. Special regions and parking rates are left out. Which goods a "
    "reduced rate is for differs from country to country: check before you sell."
)
CLASSES: Final = ("standard", "reduced-2", "reduced", "super-reduced")
"""From the highest rate to the lowest. A country that has no such rate taxes the class by the one before."""

RATES_BP: Final[dict[str, tuple[int, ...]]] = {
    "AT": (2000, 1300, 1000),
    "BE": (2100, 1200, 600),
    "BG": (2000, 900, 900),
    "CY": (1900, 900, 500, 300),
    "CZ": (2100, 1200, 1200),
    "DE": (1900, 700, 700),
    "DK": (2500,),
    "EE": (2400, 1300, 900),
    "ES": (2100, 1000, 1000, 400),
    "FI": (2550, 1400, 1000),
    "FR": (2000, 1000, 550, 210),
    "GR": (2400, 1300, 600),
    "HR": (2500, 1300, 500),
    "HU": (2700, 1800, 500),
    "IE": (2300, 1350, 900, 480),
    "IT": (2200, 1000, 500, 400),
    "LT": (2100, 900, 500),
    "LU": (1700, 800, 800, 300),
    "LV": (2100, 1200, 500),
    "MT": (1800, 700, 500),
    "NL": (2100, 900, 900),
    "PL": (2300, 800, 500),
    "PT": (2300, 1300, 600),
    "RO": (2100, 1100, 1100),
    "SE": (2500, 1200, 600),
    "SI": (2200, 950, 500),
    "SK": (2300, 1900, 500),
    "GB": (2000, 500, 500),
}
"""Basis points by country, in the order of CLASSES; what is left out at the end is as the last one."""


def rates_of(country: str) -> dict[str, int]:
    """Every class's rate in a country, "zero" included."""
    known = RATES_BP[country]
    padded = (*known, *[known[-1]] * (len(CLASSES) - len(known)))
    return {**dict(zip(CLASSES, padded, strict=True)), "zero": 0}
