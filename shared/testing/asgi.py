"""HTTP without a network: a request as an ASGI app receives it, and what it answers."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request of somebody outside."""

    who: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def scope(self) -> dict[str, Any]:
        """For an ASGI app."""
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": "http",
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [
                (b"content-type", b"application/json"),
                *((name.lower().encode(), value.encode()) for name, value in self.headers.items()),
            ],
            "client": None,
            "server": None,
        }


class Response:
    """What an ASGI app answers; status 500 until it does."""

    def __init__(self) -> None:
        self.status = 500
        self._body = b""

    async def send(self, message: Any) -> None:
        """Take a part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self._body += message.get("body", b"")

    @property
    def json(self) -> Any:
        """The body, None if it is empty."""
        return orjson.loads(self._body) if self._body else None


def received(request: Request) -> Callable[[], Awaitable[dict[str, Any]]]:
    """What the app receives: the whole body at once, and then a client that waits for its answer."""
    parts = [{"type": "http.request", "body": request.body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not parts:
            await asyncio.Event().wait()
        return parts.pop()

    return receive
