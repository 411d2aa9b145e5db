"""From a request to a unit of work and back: Idempotency-Key, If-Match, ETag and cause in one place."""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import orjson
from fastapi import Request, Response
from fastapi.encoders import jsonable_encoder

from shared.domain import Rejected
from shared.events.envelope import TRACEPARENT, Actor, Cause
from shared.service.problems import Problem
from shared.store.errors import KeyReused
from shared.store.idempotency import Answer
from shared.store.store import Store
from shared.store.unit_of_work import UnitOfWork

LONGEST_KEY = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a command answers: a JSON body and, for one aggregate, its version as ETag."""

    body: Any
    version: int | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def respond(outcome: Outcome) -> Response:
    """The outcome as a response."""
    headers = dict(outcome.headers)
    if outcome.version is not None:
        headers["ETag"] = f'"{outcome.version}"'
    return Response(
        orjson.dumps(outcome.body, default=jsonable_encoder, option=orjson.OPT_NON_STR_KEYS),
        outcome.status,
        headers=headers,
        media_type="application/json",
    )


async def run_command(
    request: Request,
    store: Store,
    actor: Actor,
    work: Callable[[UnitOfWork], Awaitable[Outcome]],
    *,
    streams: Iterable[str] = (),
) -> Response:
    """Run `work` in one transaction and answer with its outcome; `streams` are what it will decide over.

    With an Idempotency-Key the answer is kept in the same transaction, and a repeat gets it again, also one
    that runs beside the first and is refused because of it; the key with another body is refused
    (idempotency_key_reused). Raises Problem, Rejected or store errors.
    """
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= LONGEST_KEY and key.isprintable()):
        raise Problem(400, "invalid_idempotency_key", f"A key has 1 to {LONGEST_KEY} printable characters.")
    principal, route = f"{actor.kind}:{actor.id}", f"{request.method} {request.url.path}"
    body_hash = hashlib.sha256(await request.body()).digest()
    if key is not None and (kept := await _kept(store, principal, route, key, body_hash)):
        return kept

    async def unit(uow: UnitOfWork) -> Response:
        response = respond(await work(uow))
        if key is not None:
            uow.answer(
                Answer(
                    principal=principal,
                    route=route,
                    key=key,
                    body_hash=body_hash,
                    status=response.status_code,
                    headers=dict(response.headers),
                    body=bytes(response.body),
                )
            )
        return response

    try:
        return await store.transact(cause_of(request, actor), unit, streams=streams)
    except (KeyReused, Rejected, Problem):
        if key is not None and (kept := await _kept(store, principal, route, key, body_hash)):
            return kept
        raise


def cause_of(request: Request, actor: Actor) -> Cause:
    """The cause of what a request leads to: its actor, its id and its trace."""
    try:
        request_id = UUID(request.headers.get("X-Request-Id", ""))
    except ValueError:
        request_id = uuid4()
    trace = request.headers.get("traceparent", "")
    return Cause(
        actor=actor, causation_id=request_id, traceparent=trace if TRACEPARENT.fullmatch(trace) else None
    )


def require_version(request: Request, version: int) -> None:
    """Refuse (412 stale_version) if the request's If-Match names another version of the aggregate.

    `*` means any version, so the aggregate must exist. Tags are compared as RFC 9110 says: a weak or an
    unquoted one never matches.
    """
    wanted = request.headers.get("If-Match")
    if wanted is None or (wanted.strip() == "*" and version > 0):
        return
    if f'"{version}"' not in (tag.strip() for tag in wanted.split(",")):
        raise Problem(
            412,
            "stale_version",
            "It has changed since you read it; read it again and decide anew.",
            headers={"ETag": f'"{version}"'},
            version=version,
        )


async def _kept(store: Store, principal: str, route: str, key: str, body_hash: bytes) -> Response | None:
    async with store.session() as session:
        answer = await session.recall(principal, route, key)
    if answer is None:
        return None
    if answer.body_hash != body_hash:
        raise Problem(
            422, "idempotency_key_reused", "This Idempotency-Key was used with another body; take a new key."
        )
    headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
    return Response(answer.body, answer.status, headers={**headers, "Idempotent-Replayed": "true"})
