"""What an OpenAPI document says of a route beside what its code says: summary, examples, answer, problems.

Each service lists its routes in `services/<name>/openapi.py`, with the examples in the JSON file beside it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import orjson
from fastapi import APIRouter
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, TypeAdapter

from shared.service.auth import ANYONE, Bearer
from shared.service.problem_types import PROBLEM_TYPES, TYPE_PREFIX, members_of

Json = dict[str, Any]
LARGEST_BODY: Final = 1024 * 1024
"""Bytes of a request's body, where its route says nothing else; a larger one is answered 413."""
LARGEST_LIST: Final = 2 * LARGEST_BODY
"""For routes that take thousands of things at once."""
PROBLEM_JSON: Final = "application/problem+json"
EXAMPLES: Final = "examples.json"

_LARGEST: Final = "x-largest-body-bytes"
_KEY: Final[Json] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A repeat with the same key and body gets the first answer again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "example": "0b0e7c53-9a0e-4a57-8d3a-6c0b3f1f2a11",
}
_MATCH: Final[Json] = {
    "name": "If-Match",
    "in": "header",
    "description": "The ETag that was read: refused if it has changed since.",
    "schema": {"type": "string"},
    "example": '"3"',
}
_ETAG: Final[Json] = {
    "description": "Its version, for If-Match.",
    "schema": {"type": "string"},
    "example": '"4"',
}


class Answer(BaseModel):
    """A body that a service answers, for the document only: it has these members and no others."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One route. `refusals` are problems that only some routes give; those of its traits come by themselves.

    `answer` is the type of its body where its annotation does not tell. `keyed`: it takes an Idempotency-Key;
    `matched`: it takes If-Match; `tagged`: it answers with an ETag. `largest_body`: bytes that it takes.
    """

    summary: str
    refusals: tuple[str, ...] = ()
    answer: Any = None
    keyed: bool = False
    matched: bool = False
    tagged: bool = False
    largest_body: int = LARGEST_BODY


Operations = Mapping[str, Operation]
"""By method and path: `POST /carts`."""


def examples_of(folder: Path) -> Json:
    """The examples beside a service's list: by method and path a `request`, an `answer`, or both."""
    examples: Json = orjson.loads((folder / EXAMPLES).read_bytes())
    return examples


def described(router: APIRouter, operations: Operations, examples: Json) -> APIRouter:
    """The router, each of its routes described. Raises ValueError if the list and the routes differ."""
    routes = {name_of(route): route for route in router.routes if isinstance(route, APIRoute)}
    if strange := routes.keys() ^ operations.keys():
        raise ValueError(f"routes and their descriptions differ: {', '.join(sorted(strange))}")
    for name, route in routes.items():
        operation, example = operations[name], examples.get(name, {})
        route.summary = operation.summary
        route.responses = dict(_problems(problems_of(route, operation)))
        route.openapi_extra = _extra(route, operation, example)
    return router


def with_nulls(document: Json, routes: Iterable[object]) -> Json:
    """The document with its examples as they are given: FastAPI leaves out what is null in them."""
    for route in routes:
        if isinstance(route, APIRoute) and route.openapi_extra:
            operation = document["paths"][route.path][min(route.methods or ()).lower()]
            for part, given in _contents(route.openapi_extra):
                said = operation[part[0]] if len(part) == 1 else operation[part[0]][part[1]]
                for media, content in given.items():
                    said["content"][media]["example"] = content["example"]
    return document


def _contents(operation: Json) -> Iterator[tuple[tuple[str, ...], Json]]:
    """The bodies of an operation that have examples: where, and what is said of them."""
    if "requestBody" in operation:
        yield ("requestBody",), operation["requestBody"]["content"]
    for status, said in operation.get("responses", {}).items():
        if "content" in said:
            yield ("responses", status), said["content"]


def name_of(route: APIRoute) -> str:
    """Its method and path, as descriptions name it."""
    return f"{min(route.methods or ())} {route.path}"


def largest_body(route: object) -> int:
    """How many bytes this route takes, LARGEST_BODY if it does not say."""
    extra = getattr(route, "openapi_extra", None) or {}
    largest: int = extra.get(_LARGEST, LARGEST_BODY)
    return largest


def problems_of(route: APIRoute, operation: Operation) -> tuple[str, ...]:
    """The codes of every problem that a route can give."""
    return (*_by_traits(route, operation), *operation.refusals)


def problem_example(code: str) -> Json:
    """A problem of this type."""
    kind = PROBLEM_TYPES[code]
    return {**kind.more, **members_of(code), "status": kind.status, "detail": kind.detail}


def _by_traits(route: APIRoute, operation: Operation) -> Iterator[str]:
    if route.body_field is not None:
        yield "malformed_json"
    if route.body_field is not None or operation.keyed:
        yield "body_too_large"
    if route.body_field is not None or route.dependant.path_params or route.dependant.query_params:
        yield "invalid_request"
    for bearer in _bearers(route.dependant):
        yield "unauthenticated"
        if bearer.kinds != ANYONE and "forbidden" not in operation.refusals:
            yield "forbidden"
    if operation.keyed:
        yield from ("invalid_idempotency_key", "idempotency_key_reused")
    if operation.matched:
        yield "stale_version"
    yield from ("unavailable", "internal_error")


def _bearers(dependant: Dependant) -> Iterator[Bearer]:
    for each in dependant.dependencies:
        if isinstance(each.call, Bearer):
            yield each.call
        yield from _bearers(each)


def _problems(codes: Iterable[str]) -> Iterator[tuple[int | str, Json]]:
    """The document's responses: one a status, with an example of each type."""
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(PROBLEM_TYPES[code].status, []).append(code)
    for status, together in sorted(by_status.items()):
        content = {
            "schema": _problem_schema(status, together),
            "examples": {
                code: {"summary": PROBLEM_TYPES[code].do, "value": problem_example(code)} for code in together
            },
        }
        yield status, {"description": HTTPStatus(status).phrase, "content": {PROBLEM_JSON: content}}


def _problem_schema(status: int, codes: Iterable[str]) -> Json:
    return {
        "type": "object",
        "properties": {
            "type": {"enum": [TYPE_PREFIX + code for code in codes]},
            "title": {"type": "string"},
            "status": {"const": status},
            "detail": {"type": "string"},
        },
        "required": ["type", "title", "status", "detail"],
    }


def _extra(route: APIRoute, operation: Operation, example: Json) -> Json:
    """What goes into the operation as it is: headers, and examples where their schemas are."""
    extra: Json = {_LARGEST: operation.largest_body} if route.body_field is not None else {}
    if headers := [*([_KEY] if operation.keyed else ()), *([_MATCH] if operation.matched else ())]:
        extra["parameters"] = headers
    if "request" in example:
        media = "application/json"
        extra["requestBody"] = {"content": {media: {"example": example["request"]}}}
    response: Json = {}
    if "answer" in example:
        content: Json = {"example": example["answer"]}
        if operation.answer is not None:
            content["schema"] = schema_of(operation.answer)
        response["content"] = {_media_of(route): content}
    if operation.tagged:
        response["headers"] = {"ETag": _ETAG}
    if response:
        extra["responses"] = {str(route.status_code or 200): response}
    return extra


def _media_of(route: APIRoute) -> str:
    kind = route.response_class
    chosen = kind.value if isinstance(kind, DefaultPlaceholder) else kind
    return chosen.media_type or "application/json"


def schema_of(answer: Any) -> Json:
    """The JSON Schema of an answer's type, whole: without references, without members beside those named."""
    schema = TypeAdapter(answer).json_schema(mode="serialization")
    whole: Json = _whole(schema, schema.pop("$defs", {}))
    return whole


def _whole(schema: Any, definitions: Json) -> Any:
    if isinstance(schema, list):
        return [_whole(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _whole(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions)
    whole = {name: _whole(part, definitions) for name, part in schema.items()}
    if whole.get("type") == "object" and "properties" in whole:
        whole.setdefault("additionalProperties", False)
    return whole
