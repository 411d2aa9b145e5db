"""Somebody who asks over HTTP in a simulation: each request is repeated until it is answered."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from cli.simulate.outside import answered, encoded
from shared.domain.ids import derive
from shared.events.envelope import Actor, ActorKind
from shared.service.auth import issue
from shared.testing.asgi import Request
from shared.testing.simulation import Simulation, Unanswered

JWT_KEY = "the key of simulated people, long enough"
PATIENCE_S = 4 * 3600.0
"""Longer than any deadline of the simulated shop."""


class Denied(Exception):  # noqa: N818
    """The request was refused: status and problem code."""

    def __init__(self, status: int, body: Any) -> None:
        self.status = status
        self.code = str(body["type"]).rpartition(":")[2] if isinstance(body, dict) else ""
        super().__init__(f"{status} {self.code}: {body}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """A request that changes something, and that was answered with success."""

    at: float
    service: str
    method: str
    path: str
    body: Any
    answer: Any


@dataclass
class Person:
    """Somebody with a token; `acknowledged` is what they were told was done."""

    simulation: Simulation
    name: str
    token: str
    acknowledged: list[Acknowledged] = field(default_factory=list)
    _asked: int = 0

    @classmethod
    def of(cls, simulation: Simulation, kind: ActorKind, name: str) -> "Person":
        """Somebody of this kind; a customer's id is derived from the name."""
        who = str(derive("simulated customer", name)) if kind is ActorKind.CUSTOMER else name
        token = issue(JWT_KEY, Actor(kind, who), simulation.clock(), timedelta(days=365))
        return cls(simulation, name, token)

    async def call(self, service: str, method: str, path: str, body: Any = None) -> Any:
        """The JSON of a success, whatever it takes. Raises Denied if the answer is a refusal."""
        self._asked += 1
        key = f"{self.name}-{self._asked}"
        request = Request(
            who=self.name,
            method=method,
            path=path,
            headers={
                **({"authorization": f"Bearer {self.token}"} if self.token else {}),
                "x-request-id": str(derive("simulated request", key)),
                **({} if method == "GET" else {"idempotency-key": key}),
            },
            body=encoded(body),
        )
        pause = 0.2
        while True:
            try:
                response = await answered(self.simulation, service, request)
            except Unanswered as lost:
                self.simulation.tell(self.name, f"{request} unanswered: {lost}")
            else:
                if response.status < 300:
                    answer = response.json
                    if method != "GET":
                        self.acknowledged.append(
                            Acknowledged(
                                at=asyncio.get_running_loop().time(),
                                service=service,
                                method=method,
                                path=path,
                                body=body,
                                answer=answer,
                            )
                        )
                    return answer
                if response.status < 500:
                    raise Denied(response.status, response.json)
            await asyncio.sleep(pause)
            pause = min(10.0, pause * 2)

    async def until(self, service: str, path: str, wanted: Any, *, within_s: float = PATIENCE_S) -> Any:
        """Look until `wanted` says yes to what is there; a 4xx is not there yet. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        pause, give_up = 0.5, loop.time() + within_s
        seen: Any = None
        while loop.time() < give_up:
            try:
                if wanted(seen := await self.call(service, "GET", path)):
                    return seen
            except Denied as denial:
                seen = denial.code
            await asyncio.sleep(pause)
            pause = min(60.0, pause * 1.5)
        raise TimeoutError(f"{self.name} waited in vain at {path}, which is {seen}")
