"""Writes docs/problems.md from the list of problem types and the routes that say which of them they give."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from services.cart import openapi as cart
from services.inventory import openapi as inventory
from services.notifications import openapi as notifications
from services.orders import openapi as orders
from services.returns import openapi as returns
from shared.service import http
from shared.service.openapi import Operations
from shared.service.problem_types import PROBLEM_TYPES, ProblemType, members_of

PAGE: Final = Path(__file__).parent.parent / "docs" / "problems.md"
ROUTES: Final[Mapping[str, Operations]] = {
    "cart": cart.OPERATIONS,
    "orders": orders.OPERATIONS,
    "inventory": inventory.OPERATIONS,
    "returns": returns.OPERATIONS,
    "notifications": notifications.OPERATIONS,
    "every service": http.OPERATIONS,
}
_INTRODUCTION: Final = """\
# Problems

Written by `make contracts`; change `shared/service/problem_types.py`, or `services/*/openapi.py`, instead.

Every refusal is a problem of [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) (`application/problem+json`)
with `type`, `title`, `status` and `detail`, some with more members. The `type` is stable, one for each cause;
`detail` is for people and may change. What was refused has changed nothing, and a 4xx stays until something
changes: the request, or what it is about.
"""
_HEAD: Final = "| type | status | given by | what to do |\n| --- | ---: | --- | --- |\n"


def page() -> str:
    """The page's text."""
    return f"{_INTRODUCTION}\n{_HEAD}{''.join(_rows())}"


def given_by(code: str) -> Iterator[str]:
    """The routes that say that they give it, each behind its service."""
    for service, operations in ROUTES.items():
        for route, operation in operations.items():
            if code in operation.refusals:
                yield f"{service} `{route}`"


def _rows() -> Iterator[str]:
    for code, kind in PROBLEM_TYPES.items():
        members = members_of(code)
        kinds = f"{members['title']}<br>`{members['type']}`"
        yield f"| {kinds} | {kind.status} | {_given(code, kind)} | {kind.do} |\n"


def _given(code: str, kind: ProblemType) -> str:
    return "<br>".join([*given_by(code), *([kind.given] if kind.given else ())])


if __name__ == "__main__":
    PAGE.write_text(page())
