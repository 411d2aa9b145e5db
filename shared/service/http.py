"""The HTTP face of a process: operations routes always, the service's own routes in the api role."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import structlog
from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.service import problems
from shared.service.openapi import Operation, Operations, described, largest_body, with_nulls
from shared.service.problems import Problem

Check = Callable[[], Awaitable[None]]
"""Raises with a reason when what it checks is not there."""

REQUESTS = Counter("orderflow_http_requests", "HTTP requests", ["service", "method", "route", "status"])
DURATION = Histogram("orderflow_http_request_duration_seconds", "HTTP request time", ["service", "route"])
CHECK_TIMEOUT_S = 2.0

OPERATIONS: Operations = {
    "GET /livez": Operation(summary="Ask whether the process lives", refusals=("not_ready",)),
    "GET /readyz": Operation(summary="Ask whether it can work", refusals=("not_ready",)),
    "GET /metrics": Operation(summary="Read the metrics"),
}
EXAMPLES = {
    "GET /livez": {"answer": {"status": "alive"}},
    "GET /readyz": {"answer": {"status": "ready"}},
    "GET /metrics": {"answer": 'orderflow_webhooks_total{outcome="taken"} 12.0\n'},
}


class _Api(FastAPI):
    """An app whose OpenAPI document has its examples whole."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = with_nulls(super().openapi(), self.routes)
        return self.openapi_schema


def create_app(name: str, router: APIRouter | None, ready: dict[str, Check], alive: Check) -> FastAPI:
    """The app of one process of service `name`; `ready` are named checks for /readyz."""
    app = _Api(
        title=f"orderflow {name}",
        version="1",
        docs_url="/docs",
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # _Observed is what we count with
    )
    problems.install(app)
    operations = _operations(ready, alive)
    served = joined(router, operations) if router else operations
    for route in served.routes:
        if isinstance(route, APIRoute) and not route.responses:
            route.responses = dict(problems.DOCUMENTED)
    app.router.routes.extend(served.routes)
    app.add_middleware(_Observed, name=name)
    return app


def joined(*routers: APIRouter) -> APIRouter:
    """Their routes in one list, to be tried one after another.

    FastAPI's own include_router matches every request twice at each level of inclusion.
    """
    together = APIRouter()
    for router in routers:
        together.routes.extend(router.routes)
    return together


class _Observed:
    """Counts and times every request, bounds its body, and gives its logs an id to be found by."""

    def __init__(self, app: ASGIApp, name: str) -> None:
        self._app = app
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = next((v.decode("latin-1") for k, v in scope["headers"] if k == b"x-request-id"), "")
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(
            service=self._name, request_id=request_id[:100] or str(uuid4())
        )
        start, status = asyncio.get_running_loop().time(), 500
        read, told = 0, _told_length(scope)

        async def bounded() -> Message:
            nonlocal read
            limit = largest_body(scope.get("route"))
            if told > limit:
                raise _too_large(limit)
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise _too_large(limit)
            return message

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, bounded, observed)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            REQUESTS.labels(self._name, scope["method"], route, status).inc()
            DURATION.labels(self._name, route).observe(asyncio.get_running_loop().time() - start)


def _told_length(scope: Scope) -> int:
    """What the request says of its body's length; 0 if it says nothing that makes sense."""
    told = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(told) if told.isdigit() and len(told) < 20 else 0


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"A body has at most {limit:,} bytes; send less at once.")


def _operations(ready: dict[str, Check], alive: Check) -> APIRouter:
    router = APIRouter(tags=["operations"])

    @router.get("/livez")
    async def livez() -> dict[str, str]:
        """200 while the event loop turns and no background task has died."""
        await _pass("alive", alive)
        return {"status": "alive"}

    @router.get("/readyz")
    async def readyz() -> dict[str, str]:
        """200 when migrations, database and broker are there; else 503 with what is missing."""
        await asyncio.gather(*(_pass(name, check) for name, check in ready.items()))
        return {"status": "ready"}

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Prometheus text format; gauges are sampled beforehand, so this never asks the database."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return described(router, OPERATIONS, EXAMPLES)


async def _pass(name: str, check: Check) -> None:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check()
    except Exception as error:
        raise Problem(503, "not_ready", f"{name}: {str(error) or type(error).__name__}") from error
