"""Every route says what it is for, what it takes, answers and refuses; its examples fit their schemas."""

from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from jsonschema import Draft202012Validator, FormatChecker

from cli.problems import ROUTES
from shared.service.openapi import PROBLEM_JSON, described
from shared.service.problem_types import TYPE_PREFIX
from tests.integration.fuzz.platform import SERVICES, document

Json = dict[str, Any]
OPERATIONS = {
    f"{service} {method.upper()} {path}": (service, operation)
    for service in SERVICES
    for path, methods in document(service)["paths"].items()
    for method, operation in methods.items()
}
PROBLEMS_OF_ALL = {"unavailable", "internal_error"}


def fits(service: str, schema: Json, example: object) -> None:
    """Raises unless the example is as its schema says; what the schema leaves open is checked by nobody."""
    assert schema not in ({}, True), "no schema"
    whole = {**schema, "components": document(service)["components"]}
    Draft202012Validator(whole, format_checker=FormatChecker()).validate(example)


def answer_of(operation: Json) -> tuple[str, Json]:
    """The status and description of its success."""
    (found,) = [(status, said) for status, said in operation["responses"].items() if status.startswith("2")]
    return found


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_route_says_what_it_is_for(name: str) -> None:
    _, operation = OPERATIONS[name]
    assert operation["summary"]
    assert len(operation["summary"]) < 60
    assert operation["description"].endswith(".")


@pytest.mark.parametrize("name", [name for name, (_, said) in OPERATIONS.items() if "requestBody" in said])
def test_a_body_has_an_example_that_fits(name: str) -> None:
    service, operation = OPERATIONS[name]
    content = operation["requestBody"]["content"]["application/json"]
    fits(service, content["schema"], content["example"])


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_answer_has_an_example_that_fits(name: str) -> None:
    service, operation = OPERATIONS[name]
    status, said = answer_of(operation)
    if status == "204":
        assert "content" not in said
        return
    ((media, content),) = said["content"].items()
    assert content["example"] not in (None, [], {}), "an example shows something"
    if media == "application/json":
        fits(service, content["schema"], content["example"])


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_problems_of_a_route_have_examples_that_fit(name: str) -> None:
    service, operation = OPERATIONS[name]
    problems = {status: said for status, said in operation["responses"].items() if status[0] in "45"}
    codes: set[str] = set()
    for status, said in problems.items():
        content = said["content"][PROBLEM_JSON]
        for code, example in content["examples"].items():
            codes.add(code)
            fits(service, content["schema"], example["value"])
            assert example["value"]["type"] == TYPE_PREFIX + code
            assert str(example["value"]["status"]) == status
    assert codes >= PROBLEMS_OF_ALL | {*_listed(service, name).refusals}
    assert ("unauthenticated" in codes) >= bool(operation.get("security"))


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_command_documents_its_headers(name: str) -> None:
    service, operation = OPERATIONS[name]
    headers = {said["name"] for said in operation.get("parameters", ()) if said["in"] == "header"}
    listed = _listed(service, name)
    assert ("Idempotency-Key" in headers) == listed.keyed
    assert ("If-Match" in headers) == listed.matched
    assert ("ETag" in answer_of(operation)[1].get("headers", {})) == listed.tagged


@pytest.mark.parametrize("service", SERVICES)
def test_a_document_lists_what_the_service_describes(service: str) -> None:
    found = {name.removeprefix(f"{service} ") for name, (owner, _) in OPERATIONS.items() if owner == service}
    assert found == {*ROUTES[service], *ROUTES["every service"]}


def test_a_route_that_is_not_described_is_found() -> None:
    router = APIRouter()
    router.routes.append(APIRoute("/forgotten", lambda: None, methods=["GET"]))
    with pytest.raises(ValueError, match="GET /forgotten"):
        described(router, {}, {})


def _listed(service: str, name: str) -> Any:
    route = name.removeprefix(f"{service} ")
    return {**ROUTES["every service"], **ROUTES[service]}[route]
