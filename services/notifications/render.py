"""Turns a template and its context into a mail: subject, plain text and HTML, in the best language there is.

What each template expects in its context is written in templates/README.md.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context, select_autoescape
from jinja2.runtime import Context

from services.notifications.domain import wording
from shared.events.notifications import Locale

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A mail's content; `locale` is the language that it came out in."""

    locale: Locale
    subject: str
    text: str
    html: str


@pass_context
def _money(context: Context, amount: int, currency: str) -> str:
    return wording.money(amount, currency, context["locale"])


@pass_context
def _day(context: Context, value: date) -> str:
    return wording.day(value, context["locale"])


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(("html",), default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    environment.filters.update(money=_money, day=_day)
    return environment


_ENVIRONMENT = _environment()
_WORDS: Mapping[str, Mapping[str, str]] = json.loads((TEMPLATES / "words.json").read_text("utf-8"))
"""The few words that the shared parts of all templates need, per language."""


@lru_cache(1024)
def language_of(template: str, locale: str) -> Locale:
    """The language that a template comes out in for a locale tag."""
    language = wording.language(locale)
    return language if (TEMPLATES / language / f"{template}.txt").is_file() else Locale.EN


def render(template: str, locale: str, context: Mapping[str, Any]) -> Rendered:
    """The mail for a template name and a locale tag; English where the template has no such translation.

    Raises jinja2.TemplateNotFound for an unknown template and jinja2.UndefinedError for a context that
    lacks something: a mail with holes is never sent.
    """
    language = language_of(template, locale)
    values = {**context, "locale": language, "words": _WORDS[language]}
    text = _ENVIRONMENT.get_template(f"{language}/{template}.txt").render(values)
    html = _ENVIRONMENT.get_template(f"{language}/{template}.html").render(values)
    subject, _, body = text.partition("\n")
    return Rendered(locale=language, subject=subject.strip(), text=body.lstrip("\n"), html=html)
