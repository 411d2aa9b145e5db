"""The outside client: sends commands, writes down every request and answer, and repeats what is unknown."""

import hashlib
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import UUID

import httpx

from tests.chaos.history import Fact, History, Outcome
from tests.waiting import pause

TIMEOUT_S = 5.0
PATIENCE_S = 300.0
"""How long an unanswered request is repeated, and how long something that must happen is waited for."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 1.0
SAY_AGAIN = 0.04
"""How often a request is sent again although it was answered, as if the answer had got lost."""
HURRY, HURRY_S = 0.05, 0.15
"""How often somebody hangs up almost at once, so that a repetition meets its first try at work."""


class Refused(Exception):  # noqa: N818
    """The answer is no; `code` names the reason."""

    def __init__(self, status: int, code: str, where: str) -> None:
        self.status = status
        self.code = code
        super().__init__(f"{where}: {status} {code}")


class Unanswered(Exception):  # noqa: N818
    """Nobody knows what became of it, or what had to happen did not in time."""


@dataclass(slots=True)
class Client:
    """One outside world; `chance` decides who hurries and who repeats."""

    http: httpx.AsyncClient
    history: History
    chance: random.Random

    async def command(
        self,
        token: str | None,
        method: str,
        url: str,
        body: Any = None,
        *facts: Fact,
        patience: float = PATIENCE_S,
        again: bool = True,
    ) -> Any:
        """The answer to a command that makes `facts` true. Raises Refused, or Unanswered after `patience`.

        `again`: its answer is kept under its key, so that it may be asked for once more.
        """
        key = str(UUID(int=self.chance.getrandbits(128), version=4))
        headers = {"Idempotency-Key": key, **({"Authorization": f"Bearer {token}"} if token else {})}
        number = self.history.asked(method, url, key, body, facts)
        give_up, wait = monotonic() + patience, FIRST_PAUSE_S
        timeout = HURRY_S if self.chance.random() < HURRY else TIMEOUT_S
        while True:
            answer = await self._once(number, method, url, body, headers, timeout)
            if answer is not None:
                break
            if monotonic() > give_up:
                raise Unanswered(f"{method} {url}")
            await pause(wait)
            wait, timeout = min(2 * wait, LONGEST_PAUSE_S), TIMEOUT_S
        if answer.is_error:
            raise _refusal(answer)
        if again and self.chance.random() < SAY_AGAIN:
            await self._once(number, method, url, body, headers, TIMEOUT_S)
        return answer.json() if answer.content else None

    async def _once(
        self, number: int, method: str, url: str, body: Any, headers: dict[str, str], timeout: float
    ) -> httpx.Response | None:
        """One try, written down; None if its outcome is unknown."""
        try:
            answer = await self.http.request(method, url, json=body, headers=headers, timeout=timeout)
        except httpx.TransportError as error:
            self.history.told(number, Outcome.UNKNOWN, None, type(error).__name__)
            return None
        outcome = Outcome.OK if answer.is_success else Outcome.FAILED
        if answer.is_server_error:
            outcome = Outcome.UNKNOWN
        self.history.told(number, outcome, answer.status_code, _short(answer))
        return None if outcome is Outcome.UNKNOWN else answer

    async def look(self, token: str, url: str, missing: Sequence[int] = (404, 409)) -> Any:
        """What is there now, None if there is nothing (yet). Raises Refused, Unanswered."""
        give_up, wait = monotonic() + PATIENCE_S, FIRST_PAUSE_S
        while True:
            try:
                answer = await self.http.get(
                    url, headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT_S
                )
                if answer.is_success:
                    return answer.json()
                if answer.status_code in missing:
                    return None
                if answer.status_code < 500:
                    raise _refusal(answer)
            except httpx.TransportError:
                pass
            if monotonic() > give_up:
                raise Unanswered(f"GET {url}")
            await pause(wait)
            wait = min(2 * wait, LONGEST_PAUSE_S)

    async def until(
        self, look: Callable[[], Awaitable[Any]], what: str, *, patience: float = PATIENCE_S
    ) -> Any:
        """Look again and again until there is something. Raises Unanswered."""
        give_up, wait = monotonic() + patience, FIRST_PAUSE_S
        while (found := await look()) is None:
            if monotonic() > give_up:
                raise Unanswered(f"waited in vain for {what}")
            await pause(wait)
            wait = min(1.4 * wait, LONGEST_PAUSE_S)
        return found


def _short(answer: httpx.Response) -> str:
    """A refusal's words, a success's digest."""
    if answer.is_success:
        return hashlib.sha256(answer.content).hexdigest()[:16]
    return answer.text[:300]


def _refusal(answer: httpx.Response) -> Refused:
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    code = str(problem.get("code") or problem.get("type", "")).rsplit(":", 1)[-1]
    return Refused(answer.status_code, code, f"{answer.request.method} {answer.request.url.path}")
