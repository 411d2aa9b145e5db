"""The list of problem types is what the code refuses with, no more and no less; docs/problems.md tells it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.problems import PAGE, ROUTES, given_by, page
from shared.service.problem_types import PROBLEM_TYPES, TYPE_PREFIX
from shared.service.problems import CODES

ROOT = Path(__file__).resolve().parents[2]
PASSED_ON = {"refusal.code", "code", "self.code"}
"""What stands for a code where one that was given elsewhere is said again."""


@dataclass(frozen=True)
class Refusal:
    """A place where code says no; `status` where it is said there."""

    where: str
    code: str
    status: object


def refusals(source: str, where: str) -> Iterator[Refusal]:
    """Every `Rejected(code, …)` and `Problem(status, code, …)` of a module."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id="Rejected"), args=[code, *_]):
                status = None
            case ast.Call(func=ast.Name(id="Problem"), args=[said, code, *_]):
                status = said.value if isinstance(said, ast.Constant) else None
            case _:
                continue
        at = f"{where}:{node.lineno}"
        if isinstance(code, ast.Constant):
            yield Refusal(at, str(code.value), status)
        else:
            assert ast.unparse(code) in PASSED_ON, f"{at}: say the code where it is refused, not computed"


def all_refusals() -> list[Refusal]:
    return [
        refusal
        for folder in ("services", "shared")
        for file in sorted((ROOT / folder).rglob("*.py"))
        for refusal in refusals(file.read_text(), file.relative_to(ROOT).as_posix())
    ]


REFUSALS = all_refusals()
SERVICES = [name for name in ROUTES if (ROOT / "services" / name).is_dir()]
OF_THE_FRAMEWORK = {*CODES.values(), "http_error"}


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: f"{refusal.where} {refusal.code}")
def test_every_code_that_is_refused_with_is_in_the_list(refusal: Refusal) -> None:
    assert refusal.code in PROBLEM_TYPES, f"{refusal.where}: name {refusal.code} in problem_types.py first"
    assert refusal.status in (None, PROBLEM_TYPES[refusal.code].status), refusal.where


@pytest.mark.parametrize("code", PROBLEM_TYPES)
def test_every_code_in_the_list_is_refused_with(code: str) -> None:
    assert code in OF_THE_FRAMEWORK | {refusal.code for refusal in REFUSALS}, f"nothing refuses with {code}"


@pytest.mark.parametrize("code", PROBLEM_TYPES)
def test_every_code_is_given_by_a_route_or_says_who_gives_it(code: str) -> None:
    assert PROBLEM_TYPES[code].given or list(given_by(code))


@pytest.mark.parametrize("service", ROUTES)
def test_routes_name_codes_of_the_list_each_once(service: str) -> None:
    for route, operation in ROUTES[service].items():
        assert set(operation.refusals) <= PROBLEM_TYPES.keys(), route
        assert len(set(operation.refusals)) == len(operation.refusals), route


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_refuses_with_is_said_by_its_routes(service: str) -> None:
    """Codes of a service's own modules: a route of its own gives them, or the list says who does."""
    said = {code for operation in ROUTES[service].values() for code in operation.refusals}
    own = {each.code for each in REFUSALS if each.where.startswith(f"services/{service}/")}

    assert {code for code in own - said if PROBLEM_TYPES[code].given is None} == set()


def expected(tests: str) -> set[str]:
    """The codes that unit tests expect: `.rejected("code")`, or a refusal's code compared with it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(tests)):
        match node:
            case ast.Call(func=ast.Attribute(attr="rejected"), args=[ast.Constant(value=str(code))]):
                found.add(code)
            case ast.Compare(
                left=ast.Attribute(attr="code"), ops=[ast.Eq()], comparators=[ast.Constant(value=str(code))]
            ):
                found.add(code)
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_every_refusal_of_a_domain_is_expected_by_a_unit_test_of_its_service(service: str) -> None:
    files = (ROOT / "tests" / "unit" / service).rglob("test_*.py")
    seen: set[str] = set().union(*(expected(file.read_text()) for file in files))
    domain = {each.code for each in REFUSALS if each.where.startswith(f"services/{service}/domain/")}

    assert domain - seen == set()


def test_types_are_stable_names() -> None:
    assert TYPE_PREFIX == "urn:orderflow:problem:"
    for code, kind in PROBLEM_TYPES.items():
        assert code.replace("_", "").isalpha(), code
        assert code == code.lower(), code
        assert 400 <= kind.status < 600
        assert kind.do.endswith("."), code


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text() == page(), "docs/problems.md is outdated; `make contracts` writes it"


def test_a_code_of_no_list_and_a_computed_one_are_found() -> None:
    (found,) = refusals('raise Rejected("out_of_luck", "No.")', "a.py")
    assert (found.where, found.code in PROBLEM_TYPES) == ("a.py:1", False)
    with pytest.raises(AssertionError, match="not computed"):
        list(refusals('raise Rejected(f"out_of_{what}", "No.")', "a.py"))
