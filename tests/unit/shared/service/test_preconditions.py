"""If-Match, ETag and what a request says about its cause."""

from uuid import UUID

import pytest

from shared.events.envelope import Actor, ActorKind
from shared.service.commands import Outcome, cause_of, require_version, respond
from shared.service.problems import Problem
from tests.unit.shared.service.requests import request

CLERK = Actor(ActorKind.OPERATOR, "clerk")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize("wanted", ['"3"', ' "3" ', '"1", "3"', '"1","3"', 'W/"3", "3"', "*", " * "])
def test_the_version_that_is_there_may_be_changed(wanted: str) -> None:
    require_version(request(if_match=wanted), 3)


def test_without_if_match_any_version_may_be_changed() -> None:
    require_version(request(), 3)
    require_version(request(), 0)


@pytest.mark.parametrize(
    "wanted", ['"2"', '"33"', '"4", "5"', 'W/"3"', "3", "'3'", "", '""', '"*"', "**", '"3']
)
def test_any_other_version_is_stale(wanted: str) -> None:
    with pytest.raises(Problem) as caught:
        require_version(request(if_match=wanted), 3)
    problem = caught.value
    assert (problem.status, problem.code) == (412, "stale_version")
    assert problem.headers == {"ETag": '"3"'}
    assert problem.extra == {"version": 3}


def test_whatever_is_there_means_that_something_is_there() -> None:
    with pytest.raises(Problem) as caught:
        require_version(request(if_match="*"), 0)
    assert caught.value.status == 412


def test_an_answer_tells_its_version_as_etag() -> None:
    response = respond(Outcome(body={"id": UUID(int=1)}, version=7, status=201, headers={"Location": "/x"}))
    assert response.status_code == 201
    assert response.headers["etag"] == '"7"'
    assert response.headers["location"] == "/x"
    assert response.body == b'{"id":"00000000-0000-0000-0000-000000000001"}'
    assert "etag" not in respond(Outcome(body={})).headers


def test_a_cause_takes_over_the_requests_ids() -> None:
    cause = cause_of(request(x_request_id=str(UUID(int=5)), traceparent=TRACE), CLERK)
    assert (cause.actor, cause.causation_id, cause.traceparent) == (CLERK, UUID(int=5), TRACE)


@pytest.mark.parametrize("given", [{}, {"x_request_id": "mine", "traceparent": "x" * 60_000}])
def test_a_cause_makes_up_an_id_and_drops_a_trace_that_is_none(given: dict[str, str]) -> None:
    cause = cause_of(request(**given), CLERK)
    assert cause.causation_id is not None
    assert cause.traceparent is None
