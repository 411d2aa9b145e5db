"""Every refusal over HTTP is an RFC 9457 problem with a stable `type`."""

from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from shared.domain import Rejected
from shared.service.problem_types import TYPE_PREFIX, members_of, status_of
from shared.store.errors import CONNECTION_LOST, TRY_AGAIN

log = structlog.get_logger(__name__)

DOCUMENTED: dict[int | str, dict[str, Any]] = {
    status: {
        "description": description,
        "content": {
            "application/problem+json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "type": {"type": "string", "pattern": f"^{TYPE_PREFIX}"},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string"},
                    },
                    "required": ["type", "title", "status", "detail"],
                }
            }
        },
    }
    for status, description in (
        ("4XX", "The request cannot be done as it stands; `type` says why"),
        ("503", "Not now; send the request again"),
    )
}
"""What the OpenAPI document says of the problems of routes that are not described."""


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """An answer that is not what the caller wished. `code` becomes the type, `extra` further members."""

    def __init__(
        self, status: int, code: str, detail: str, headers: dict[str, str] | None = None, **extra: object
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers
        self.extra = extra


def respond(problem: Problem) -> JSONResponse:
    """The problem as a response."""
    return JSONResponse(
        {
            **{name: _plain(value) for name, value in problem.extra.items()},
            **members_of(problem.code),
            "status": problem.status,
            "detail": problem.detail,
        },
        status_code=problem.status,
        headers=problem.headers,
        media_type="application/problem+json",
    )


def install(app: FastAPI) -> None:
    """Let every failure of `app` leave as a problem."""

    @app.exception_handler(Problem)
    async def _problem(_request: Request, problem: Problem) -> JSONResponse:
        return respond(problem)

    @app.exception_handler(Rejected)
    async def _rejected(_request: Request, refusal: Rejected) -> JSONResponse:
        problem = Problem(status_of(refusal.code), refusal.code, refusal.detail)
        problem.extra = dict(refusal.extra)
        return respond(problem)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = error.errors()
        if any(fault["type"] == "json_invalid" for fault in faults):
            return respond(_malformed())
        detail = "Some members are missing or wrong; see errors."
        if _is_no_json(request) and any(fault["loc"][0] == "body" for fault in faults):
            detail = "The body was not read as JSON: send it with Content-Type: application/json."
        return respond(
            Problem(
                422,
                "invalid_request",
                detail,
                errors=[{"pointer": _pointer(fault["loc"]), "detail": fault["msg"]} for fault in faults],
            )
        )

    @app.exception_handler(HTTPException)
    async def _http(_request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 400:
            return respond(_malformed())
        code = CODES.get(error.status_code, "http_error")
        headers = dict(error.headers) if error.headers else None
        return respond(Problem(error.status_code, code, str(error.detail), headers=headers))

    async def _unavailable(_request: Request, error: Exception) -> JSONResponse:
        log.warning("request_unavailable", error=repr(error))
        return respond(
            Problem(
                503,
                "unavailable",
                "No database now; send the request again, with the same Idempotency-Key if it has one.",
                headers={"Retry-After": "1"},
            )
        )

    for kind in (*CONNECTION_LOST, *TRY_AGAIN):
        app.add_exception_handler(kind, _unavailable)

    @app.exception_handler(Exception)
    async def _bug(_request: Request, _error: Exception) -> JSONResponse:
        return respond(Problem(500, "internal_error", "The service failed; the request may be repeated."))


def _is_no_json(request: Request) -> bool:
    """Whether the body is said to be something else: curl's -d alone says that it is a form."""
    media_type = request.headers.get("Content-Type", "application/json").partition(";")[0].strip().lower()
    return not media_type.endswith(("/json", "+json"))


CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}
"""What a refusal of the framework is called, by its status; any other is `http_error`."""


def _malformed() -> Problem:
    return Problem(400, "malformed_json", "The request body is not valid JSON.")


def _pointer(location: tuple[int | str, ...]) -> str:
    """The place of a fault in the body as a JSON pointer, a query parameter by its name."""
    names = (str(part).replace("~", "~0").replace("/", "~1") for part in location[1:])
    return "".join(["#", *(f"/{name}" for name in names)])


def _plain(value: object) -> Any:
    if isinstance(value, (str, int, bool)) or value is None:
        return value
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    return {str(k): _plain(v) for k, v in value.items()} if isinstance(value, dict) else str(value)
