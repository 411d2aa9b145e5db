"""Only a valid, present token of a person makes its bearer an actor."""

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from shared.events.envelope import Actor, ActorKind
from shared.service.auth import ADMINS, ANYONE, STAFF, Authenticator, issue
from shared.service.problems import Problem
from tests.unit.shared.service.requests import request

KEY = "a key that signs the tokens of these tests"
AUTH = Authenticator(KEY)
CLERK = Actor(ActorKind.OPERATOR, "clerk")
NOW = datetime.now(UTC)


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a good token with `changes`; None leaves one out."""
    good = {
        "iss": "orderflow",
        "sub": "clerk",
        "kind": "operator",
        "iat": NOW,
        "exp": NOW + timedelta(hours=1),
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def refused(token: str, scheme: str = "Bearer") -> Problem:
    """The problem that this Authorization gets."""
    with pytest.raises(Problem) as caught:
        AUTH.actor_of(request(authorization=f"{scheme} {token}"))
    problem = caught.value
    assert (problem.status, problem.code) == (401, "unauthenticated")
    assert problem.headers == {"WWW-Authenticate": "Bearer"}
    assert KEY not in problem.detail
    return problem


@pytest.mark.parametrize("kind", sorted(ANYONE))
def test_a_good_token_names_its_actor(kind: ActorKind) -> None:
    token = issue(KEY, Actor(kind, "someone"), NOW)
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert AUTH.actor_of(request(authorization=f"{scheme} {token}")) == Actor(kind, "someone")


def test_no_token_is_nobody() -> None:
    assert AUTH.actor_of(request()) is None
    assert AUTH.actor_of(request(authorization="")) is None


@pytest.mark.parametrize("token", ["x", "a.b.c", "....", "é", "e30.e30.e30", " "])
def test_a_malformed_token_is_refused(token: str) -> None:
    refused(token)


def test_another_scheme_is_refused() -> None:
    refused(issue(KEY, CLERK, NOW), scheme="Basic")


def test_an_expired_token_is_refused() -> None:
    refused(issue(KEY, CLERK, NOW - timedelta(hours=13)))
    refused(issue(KEY, CLERK, NOW, valid_for=timedelta(seconds=-1)))


def test_a_token_under_another_key_is_refused() -> None:
    refused(issue("another key of at least thirty-two bytes", CLERK, NOW))


def test_an_unsigned_token_is_refused() -> None:
    refused(jwt.encode(claims(), "", algorithm="none"))


def test_another_algorithm_is_refused() -> None:
    refused(jwt.encode(claims(), KEY * 2, algorithm="HS512"))


@pytest.mark.parametrize("kind", ["system", "provider", "root", "", 1, ["admin"], {}])
def test_a_token_of_no_person_is_refused(kind: object) -> None:
    refused(jwt.encode(claims(kind=kind), KEY, algorithm="HS256"))


@pytest.mark.parametrize("missing", ["kind", "sub", "exp", "iss"])
def test_a_token_without_a_needed_claim_is_refused(missing: str) -> None:
    refused(jwt.encode(claims(**{missing: None}), KEY, algorithm="HS256"))


@pytest.mark.parametrize(
    "change", [{"iss": "others"}, {"sub": 7}, {"sub": ""}, {"iat": NOW + timedelta(hours=1)}]
)
def test_a_token_with_a_wrong_claim_is_refused(change: dict[str, Any]) -> None:
    refused(jwt.encode(claims(**change), KEY, algorithm="HS256"))


async def test_a_route_for_some_kinds_admits_only_those() -> None:
    def of(kind: ActorKind) -> str:
        return f"Bearer {issue(KEY, Actor(kind, 'someone'), NOW)}"

    for admitted in (STAFF, ADMINS, ANYONE):
        dependency = AUTH.require(admitted)
        for kind in ANYONE:
            if kind in admitted:
                assert (await dependency(request(authorization=of(kind)))).kind is kind
                continue
            with pytest.raises(Problem) as caught:
                await dependency(request(authorization=of(kind)))
            assert (caught.value.status, caught.value.code) == (403, "forbidden")
        with pytest.raises(Problem) as nobody:
            await dependency(request())
        assert (nobody.value.status, nobody.value.code) == (401, "unauthenticated")
