"""Idempotency-Key: the answer to a request is kept with its effect, and a repeat gets the same answer."""

from dataclasses import dataclass
from datetime import timedelta

import orjson

from shared.store.connection import Connection

KEEP_FOR = timedelta(hours=24)
"""A key may be used anew after this time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer under its key; `body_hash` is the SHA-256 of the request body that got it."""

    principal: str
    route: str
    key: str
    body_hash: bytes
    status: int
    headers: dict[str, str]
    body: bytes


async def remember(connection: Connection, answer: Answer) -> None:
    """Keep an answer in the transaction of its command. Raises UniqueViolationError if the key has one."""
    await connection.execute(
        "INSERT INTO idempotency (principal, route, key, body_hash, status, headers, body) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7)",
        answer.principal,
        answer.route,
        answer.key,
        answer.body_hash,
        answer.status,
        orjson.dumps(answer.headers).decode(),
        answer.body,
    )


async def recall(connection: Connection, principal: str, route: str, key: str) -> Answer | None:
    """The answer that this key got, or None."""
    row = await connection.fetchrow(
        "SELECT body_hash, status, headers, body FROM idempotency "
        "WHERE principal = $1 AND route = $2 AND key = $3",
        principal,
        route,
        key,
    )
    if row is None:
        return None
    return Answer(
        principal=principal,
        route=route,
        key=key,
        body_hash=row["body_hash"],
        status=row["status"],
        headers=orjson.loads(row["headers"]),
        body=row["body"],
    )


async def forget_old(connection: Connection) -> None:
    """Drop answers older than KEEP_FOR."""
    await connection.execute("DELETE FROM idempotency WHERE created_at < now() - $1::interval", KEEP_FOR)
