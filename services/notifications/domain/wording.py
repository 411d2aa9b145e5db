"""Small pure pieces of text that messages are made of: amounts, days, carrier links, the language to use."""

from collections.abc import Mapping
from datetime import date
from urllib.parse import quote, urlsplit

from shared.events.notifications import Locale

_NO_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE_DECIMALS = "BHD IQD JOD KWD LYD OMR TND"
_SEPARATORS: Mapping[Locale, tuple[str, str]] = {
    Locale.EN: (",", "."),
    Locale.IT: (".", ","),
    Locale.PT: (".", ","),
}
_MONTHS: Mapping[Locale, str] = {
    Locale.EN: "January February March April May June July August September October November December",
    Locale.IT: "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre "
    "novembre dicembre",
    Locale.PT: "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
}
_TRACKING: Mapping[str, str] = {
    "ups": "https://www.ups.com/track?tracknum={}",
    "usps": "https://tools.usps.com/go/TrackConfirmAction?tLabels={}",
    "fedex": "https://www.fedex.com/fedextrack/?trknbr={}",
    "dhl": "https://www.dhl.com/global-en/home/tracking.html?tracking-id={}",
    "poste": "https://www.poste.it/cerca/index.html#/risultati-spedizioni/{}",
    "posteitaliane": "https://www.poste.it/cerca/index.html#/risultati-spedizioni/{}",
    "ctt": "https://www.ctt.pt/feapl_2/app/open/objectSearch/objectSearch.jspx?objects={}",
    "royalmail": "https://www.royalmail.com/track-your-item#/tracking-results/{}",
}


def decimals(currency: str) -> int:
    """How many decimals a currency's minor unit has (ISO 4217): 0, 2 or 3."""
    return 0 if currency in _NO_DECIMALS.split() else 3 if currency in _THREE_DECIMALS.split() else 2


def money(amount: int, currency: str, locale: Locale = Locale.EN) -> str:
    """Minor units as people write them: 123450 GBP is `1,234.50 GBP`, in Italian `1.234,50 GBP`."""
    places = decimals(currency)
    thousands, point = _SEPARATORS[locale]
    whole, rest = divmod(abs(amount), 10**places)
    text = f"{whole:,}".replace(",", thousands) + (f"{point}{rest:0{places}}" if places else "")
    return f"{'-' if amount < 0 else ''}{text} {currency}"


def day(value: date, locale: Locale = Locale.EN) -> str:
    """A day as people write it, as `7 January 2026`; of an instant, its day in UTC."""
    month = _MONTHS[locale].split()[value.month - 1]
    parts = (str(value.day), month, str(value.year))
    return (" de " if locale is Locale.PT else " ").join(parts)


def tracking_link(carrier: str | None, tracking_number: str | None, tracking_url: str | None) -> str | None:
    """The page that shows where a parcel is: the given one if it is a web address, else the carrier's own."""
    if tracking_url and urlsplit(tracking_url).scheme in {"http", "https"}:
        return tracking_url
    name = "".join(letter for letter in (carrier or "").lower() if letter.isalpha())
    page = _TRACKING.get(name)
    return page.format(quote(tracking_number, safe="")) if page and tracking_number else None


def language(locale: str) -> Locale:
    """The language to write in for a locale tag such as `pt-BR`; English where we do not know it."""
    tag = locale.replace("_", "-").split("-")[0].lower()
    return Locale(tag) if tag in set(Locale) else Locale.EN
