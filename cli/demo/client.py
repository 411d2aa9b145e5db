"""HTTP as a careful client does it: a command has an Idempotency-Key and is repeated until it is answered."""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

PATIENCE_S = 120.0
"""How long a client keeps trying while a service is away."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0


class Refused(Exception):  # noqa: N818
    """The service refused; `code` is the problem's type without its prefix."""

    def __init__(self, status: int, problem: dict[str, Any], path: str) -> None:
        self.status = status
        self.problem = problem
        self.code = str(problem.get("type", "")).rsplit(":", 1)[-1]
        super().__init__(f"{path}: {status} {self.code}: {problem.get('detail', '')}")


class GaveUp(Exception):  # noqa: N818
    """Something that had to happen did not in time; the message says what."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a token, talking to one service after another."""

    http: httpx.AsyncClient
    token: str | None

    async def call(self, method: str, url: str, body: Any = None) -> Any:
        """The answer's JSON. Raises Refused, or GaveUp if the service stays away for PATIENCE_S.

        A 504 is an answer too: its sender does not know the outcome, and asking again will not tell.
        """
        headers = {"Idempotency-Key": str(uuid4())} if method != "GET" else {}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        give_up = asyncio.get_running_loop().time() + PATIENCE_S
        pause = FIRST_PAUSE_S
        while True:
            try:
                response = await self.http.request(method, url, json=body, headers=headers)
                if response.status_code < 500 or response.status_code == httpx.codes.GATEWAY_TIMEOUT:
                    return _content(response)
                trouble = f"{response.status_code} {response.text[:200]}"
            except httpx.TransportError as error:
                trouble = repr(error)
            if asyncio.get_running_loop().time() > give_up:
                raise GaveUp(f"{method} {url}: {trouble}")
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)


def _content(response: httpx.Response) -> Any:
    content = response.json() if response.content else None
    if response.is_error:
        raise Refused(response.status_code, content or {}, response.request.url.path)
    return content
