"""Who calls: a signed token names a customer, an operator or an admin."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import jwt
from fastapi import Request
from fastapi.security import HTTPBearer

from shared.events.envelope import Actor, ActorKind
from shared.service.clock import Clock, utc_now
from shared.service.problems import Problem

ALGORITHM = "HS256"
ISSUER = "orderflow"
STAFF = frozenset({ActorKind.OPERATOR, ActorKind.ADMIN})
ANYONE = frozenset({ActorKind.CUSTOMER, ActorKind.OPERATOR, ActorKind.ADMIN})
ADMINS = frozenset({ActorKind.ADMIN})
TOKENS = 4096
"""Tokens whose signature is not verified again when they come once more."""
CLOCKS_APART_S = 5.0
"""How far the clock of who issued a token may be ahead of ours."""


def issue(key: str, actor: Actor, now: datetime, valid_for: timedelta = timedelta(hours=12)) -> str:
    """A token that makes its bearer `actor` until it expires."""
    claims = {"iss": ISSUER, "sub": actor.id, "kind": str(actor.kind), "iat": now, "exp": now + valid_for}
    return jwt.encode(claims, key, algorithm=ALGORITHM)


class Authenticator:
    """Turns a request's bearer token into an actor; `clock` tells whether the token has expired."""

    def __init__(self, key: str, clock: Clock = utc_now) -> None:
        self._key = key
        self._clock = clock
        self._claims = lru_cache(TOKENS)(self._verified)

    def _verified(self, token: str) -> Mapping[str, Any]:
        """What the token claims; that it has not expired is to be looked at every time."""
        claims: Mapping[str, Any] = jwt.decode(
            token,
            self._key,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            options={"require": ["exp", "sub", "iss"], "verify_exp": False, "verify_iat": False},
        )
        return claims

    def actor_of(self, request: Request) -> Actor | None:
        """The bearer, or None for a request without a token. Raises Problem 401 for a bad one."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if not token:
            return None
        if scheme.lower() != "bearer":
            raise _unauthenticated("Send the token as Authorization: Bearer <token>.")
        return self.bearer(token)

    def bearer(self, token: str) -> Actor:
        """Whom a token names. Raises Problem 401 for a bad one."""
        try:
            claims = self._claims(token)
            now = self._clock().timestamp()
            if float(claims["exp"]) <= now:
                raise jwt.ExpiredSignatureError("Signature has expired")
            if float(claims.get("iat", now)) > now + CLOCKS_APART_S:
                raise jwt.ImmatureSignatureError("The token is not yet valid (iat)")
            actor = Actor(ActorKind(claims["kind"]), claims["sub"])
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise _unauthenticated(f"The token is not valid: {error}.") from error
        if actor.kind not in ANYONE or not actor.id:
            raise _unauthenticated("The token is not of a person.")
        return actor

    def require(self, kinds: frozenset[ActorKind]) -> Callable[..., Awaitable[Any]]:
        """A FastAPI dependency that gives the actor, if it is one of `kinds`; else 401 or 403."""
        return Bearer(self, kinds)


class Bearer(HTTPBearer):
    """One dependency that says in the OpenAPI document that a token is needed, and looks at the token."""

    def __init__(self, authenticator: Authenticator, kinds: frozenset[ActorKind]) -> None:
        super().__init__(scheme_name="HTTPBearer", auto_error=False)
        self._authenticator = authenticator
        self.kinds = kinds

    async def __call__(self, request: Request) -> Actor:  # type: ignore[override]
        actor = self._authenticator.actor_of(request)
        if actor is None:
            raise _unauthenticated("A token is needed: Authorization: Bearer <token>.")
        if actor.kind not in self.kinds:
            allowed = ", ".join(sorted(self.kinds))
            raise Problem(403, "forbidden", f"This is for {allowed}; the token is a {actor.kind}'s.")
        return actor


def _unauthenticated(detail: str) -> Problem:
    return Problem(401, "unauthenticated", detail, headers={"WWW-Authenticate": "Bearer"})
