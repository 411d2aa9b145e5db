"""Whatever comes over HTTP, no service fails: it does as documented, or answers with a problem."""

import time

import httpx
import pytest
from hypothesis import event, given, note
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from sandbox.provider.webhooks import signature
from tests.budget import examples
from tests.integration.fuzz.calls import Call, Operation, calls, operations
from tests.integration.fuzz.conftest import FaceOf
from tests.integration.fuzz.faces import Face
from tests.integration.fuzz.platform import SERVICES
from tests.integration.services.orders.shop import SECRET as WEBHOOK_SECRET

pytestmark = pytest.mark.integration

CONFORMANCE = [status_code_conformance, content_type_conformance, response_schema_conformance]
STAFF = ("operator", "admin")


async def send(face: Face, call: Call, bearer: str | None) -> httpx.Response:
    """The service's answer, over its app itself."""
    headers = list(call.headers)
    if call.target == "/webhooks/payments":
        headers.append(
            (b"Provider-Signature", signature(WEBHOOK_SECRET, call.body, int(time.time())).encode())
        )
    elif bearer is not None:
        headers.append((b"Authorization", bearer.encode("latin-1")))
    url = httpx.URL(face.http.base_url).copy_with(raw_path=call.target.encode())
    return await face.http.request(call.method, url, headers=headers, content=call.body)


def is_a_problem(answer: httpx.Response) -> None:
    """RFC 9457, whole."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"].startswith("urn:orderflow:problem:")
    assert problem["status"] == answer.status_code
    assert isinstance(problem["title"], str)
    assert isinstance(problem["detail"], str)


@pytest.mark.parametrize("operation", [op for name in SERVICES for op in operations(name)], ids=str)
@examples(25)
@given(data=st.data())
async def test_every_answer_is_as_documented(
    face_of: FaceOf, operation: Operation, data: st.DataObject
) -> None:
    face = await face_of(operation.service)
    bearers = face.bearers()
    who = data.draw(st.sampled_from(["operator", "admin", "buyer"]) | st.sampled_from([*bearers]), "who")
    call = data.draw(calls(operation, face.known))
    note(f"{call.method} {call.target[:500]} as {who}: {call.headers} {call.body[:1000]!r}")

    answer = await send(face, call, bearers[who])
    event(f"{operation.method} {answer.status_code} {'documented' if call.case else 'damaged'}")

    note(f"{answer.status_code} {answer.text[:1000]}")
    assert answer.status_code < 500
    if answer.status_code >= 400:
        is_a_problem(answer)
    if call.case is not None:
        strict = [negative_data_rejection] if who in STAFF else []
        call.case.validate_response(answer, checks=[*CONFORMANCE, *strict])
