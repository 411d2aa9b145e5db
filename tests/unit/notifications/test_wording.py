"""Amounts, days, carrier links and languages as people read them."""

from datetime import UTC, date, datetime

import pytest

from services.notifications.domain.wording import day, decimals, language, money, tracking_link
from shared.events.notifications import Locale


@pytest.mark.parametrize(
    ("amount", "currency", "locale", "text"),
    [
        (123_450, "GBP", Locale.EN, "1,234.50 GBP"),
        (123_450, "EUR", Locale.IT, "1.234,50 EUR"),
        (5, "EUR", Locale.PT, "0,05 EUR"),
        (-1_000_000_07, "USD", Locale.EN, "-1,000,000.07 USD"),
        (1500, "JPY", Locale.EN, "1,500 JPY"),
        (1500, "KWD", Locale.EN, "1.500 KWD"),
        (0, "GBP", Locale.EN, "0.00 GBP"),
    ],
)
def test_amounts_have_the_decimals_of_their_currency(
    amount: int, currency: str, locale: Locale, text: str
) -> None:
    assert money(amount, currency, locale) == text


def test_currencies_have_none_two_or_three_decimals() -> None:
    assert [decimals(code) for code in ("JPY", "EUR", "BHD")] == [0, 2, 3]


def test_days_are_written_out() -> None:
    assert day(date(2026, 1, 7)) == "7 January 2026"
    assert day(date(2026, 1, 7), Locale.IT) == "7 gennaio 2026"
    assert day(datetime(2026, 3, 7, 23, 59, tzinfo=UTC), Locale.PT) == "7 de março de 2026"


@pytest.mark.parametrize(
    ("carrier", "start"),
    [
        ("UPS", "https://www.ups.com/"),
        ("usps", "https://tools.usps.com/"),
        ("FedEx", "https://www.fedex.com/"),
        ("DHL", "https://www.dhl.com/"),
        ("Poste Italiane", "https://www.poste.it/"),
        ("Poste", "https://www.poste.it/"),
        ("CTT", "https://www.ctt.pt/"),
        ("Royal Mail", "https://www.royalmail.com/"),
    ],
)
def test_known_carriers_have_a_deep_link(carrier: str, start: str) -> None:
    link = tracking_link(carrier, "AB 1&2", None)
    assert link is not None
    assert link.startswith(start)
    assert link.endswith("AB%201%262")


def test_a_given_web_address_wins_and_anything_else_is_not_a_link() -> None:
    assert tracking_link("UPS", "1", "https://example.org/1") == "https://example.org/1"
    assert tracking_link("Van", "1", "javascript:alert(1)") is None
    assert tracking_link("Van", "1", None) is None
    assert tracking_link("UPS", None, None) is None
    assert tracking_link(None, "1", None) is None


def test_a_locale_tag_gives_a_language() -> None:
    tags = ("it", "pt-BR", "pt_PT", "EN-us", "de", "")
    assert [language(tag) for tag in tags] == ["it", "pt", "pt", "en", "en", "en"]
