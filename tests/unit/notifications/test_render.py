"""Every template in every language renders whole, escaped where it must be."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from jinja2 import TemplateNotFound, UndefinedError

from services.notifications.domain.occasions import Template
from services.notifications.render import TEMPLATES, render
from shared.events.common import Breakdown, Totals
from shared.events.notifications import Locale

NASTY = "Mug <script>alert('1')</script> & Co"
LINE = {"title": NASTY, "sku": "MUG", "quantity": 2, "gross": 123_450}
ORDER: dict[str, Any] = {
    "number": "A7K3F-92QXM",
    "url": "https://shop.example/orders/1",
    "print_url": "https://shop.example/orders/1/print",
    "reorder_url": "https://shop.example/reorder/1",
    "currency": "GBP",
    "lines": [LINE],
    "shipping_title": "Royal Mail 48",
    "shipping_status": "being prepared",
    "address": [NASTY, "1 High Street", "London"],
    "totals": Totals(
        items_net=102_875, items_tax=20_575, shipping_net=400, shipping_tax=80, discount=500, total=123_930
    ),
}
PARCEL: dict[str, Any] = {
    "lines": [LINE],
    "carrier": "Royal Mail",
    "tracking_number": "AB123",
    "tracking_link": "https://www.royalmail.com/track-your-item#/tracking-results/AB123",
    "estimated_delivery": date(2026, 1, 7),
    "last": True,
    "delivered_at": datetime(2026, 1, 7, 9, tzinfo=UTC),
    "assumed": False,
}
RETURN: dict[str, Any] = {
    "lines": [LINE],
    "ship_by": datetime(2026, 1, 20, tzinfo=UTC),
    "receive_by": datetime(2026, 2, 5, tzinfo=UTC),
    "address": ["Warehouse 1", NASTY],
    "label": "OWN",
    "arrived": [LINE],
    "missing": [LINE],
    "inspecting": [LINE],
    "complete": False,
}
CONTEXT: dict[str, Any] = {
    "shop": {"name": "Shop", "url": "https://shop.example", "support_email": "help@shop.example"},
    "customer_name": NASTY,
    "order": ORDER,
    "payment": {"method_label": "Visa 4242", "status": "authorized", "charged_when_shipped": True},
    "account_url": "https://shop.example/account",
    "return_policy": "30 days, no questions asked.",
    "total_before": 200_000,
    "reverted": True,
    "pay_url": "https://shop.example/pay/1",
    "retry_url": "https://shop.example/pay/1",
    "amount": 123_930,
    "pay_by": datetime(2026, 1, 5, 9, 30, tzinfo=UTC),
    "captured": True,
    "reason": "CUSTOMER",
    "released": True,
    "refund": {
        "amount": 123_930,
        "breakdown": Breakdown(
            items_net=102_875,
            items_tax=20_575,
            shipping_net=400,
            shipping_tax=80,
            fee=0,
            deduction=0,
            total=123_930,
        ),
        "code": "PROVIDER_REFUSED",
    },
    "parcel": PARCEL,
    "return_": RETURN,
    "refund_days": 14,
    "note": NASTY,
    "process_by": datetime(2026, 1, 7, tzinfo=UTC),
    "problem": "CAPTURE_FAILED",
    "code": "expired_card",
}
FILES = sorted(path for path in TEMPLATES.glob("*/*.txt"))
BARE: dict[str, Any] = {
    **CONTEXT,
    "refund": None,
    "total_before": 1,
    "reverted": False,
    "released": False,
    "captured": False,
    "pay_by": None,
    "note": None,
    "reason": "OTHER",
    "problem": "LATE_AUTHORIZED",
    "parcel": {**dict.fromkeys(PARCEL), "lines": [LINE], "assumed": True},
    "return_": {**RETURN, "missing": [], "inspecting": [], "complete": True, "label": "PREPAID"},
    "payment": {**CONTEXT["payment"], "charged_when_shipped": False},
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_template_renders_with_text_and_escaped_html(path: Path) -> None:
    mail = render(path.stem, path.parent.name, CONTEXT)
    assert mail.locale == path.parent.name
    assert "A7K3F-92QXM" in mail.subject
    assert "\n" not in mail.subject
    assert "help@shop.example" in mail.text
    assert "{{" not in mail.text + mail.html
    assert "<script>" not in mail.html
    assert f'<html lang="{mail.locale}">' in mail.html
    assert "&lt;script&gt;" in mail.html or NASTY not in mail.text
    assert "&#39;" not in mail.text
    assert "\n\n\n" not in mail.text


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_template_renders_with_what_is_optional_left_out(path: Path) -> None:
    refund = CONTEXT["refund"] if path.stem in {"refund_issued", "refund_problem"} else None
    pay_by = CONTEXT["pay_by"] if path.stem == "payment_due" else None
    mail = render(path.stem, path.parent.name, {**BARE, "refund": refund, "pay_by": pay_by})
    assert "None" not in mail.subject + mail.text + mail.html


@pytest.mark.parametrize("template", Template)
def test_every_template_exists_in_english_in_both_forms(template: Template) -> None:
    for form in ("txt", "html"):
        assert (TEMPLATES / "en" / f"{template}.{form}").is_file()


def test_every_file_belongs_to_a_template_and_has_both_forms() -> None:
    names = {str(template) for template in Template}
    for locale in Locale:
        forms = [{path.stem for path in (TEMPLATES / locale).glob(f"*.{form}")} for form in ("txt", "html")]
        assert forms[0] == forms[1] <= names


def test_the_confirmation_says_everything_that_was_promised() -> None:
    text = render("order_confirmation", "en", CONTEXT).text
    for words in (
        f"2 x {NASTY} (MUG): 1,234.50 GBP",
        "Royal Mail 48: 4.80 GBP",
        "Total: 1,239.30 GBP",
        "Payment: Visa 4242, authorized",
        "You will be charged when your order is shipped",
        "Shipping: being prepared",
        "Please print this page",
        "You can sign in or reset your password",
    ):
        assert words in text


def test_the_shipped_mail_links_to_the_carrier() -> None:
    mail = render("shipped", "en", CONTEXT)
    assert PARCEL["tracking_link"] in mail.text
    assert f'href="{PARCEL["tracking_link"]}"' in mail.html
    for words in ("Expected delivery: 7 January 2026", "Thank you", "30 days, no questions asked."):
        assert words in mail.text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "You get 1,239.30 GBP back"),
        ({"refund": None}, "Any amount held on your card is released"),
        ({"refund": None, "released": False}, "You were not charged.\n"),
    ],
)
def test_the_cancelled_mail_says_what_happens_to_the_money(change: dict[str, Any], words: str) -> None:
    assert words in render("cancelled", "en", {**CONTEXT, **change}).text


def test_a_template_without_a_translation_comes_in_english_and_in_english_amounts() -> None:
    mail = render("payment_failed", "it", CONTEXT)
    assert (mail.locale, "1,239.30 GBP" in mail.text) == (Locale.EN, True)
    assert render("cancelled", "it-CH", CONTEXT).locale == Locale.IT


def test_holes_are_errors() -> None:
    with pytest.raises(UndefinedError):
        render("cancelled", "en", {key: value for key, value in CONTEXT.items() if key != "customer_name"})
    with pytest.raises(TemplateNotFound):
        render("love_letter", "en", CONTEXT)
