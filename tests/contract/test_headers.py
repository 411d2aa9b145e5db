"""What the relay sends with an event is what the AsyncAPI document promises."""

from uuid import UUID

import orjson
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from shared.events import contracts
from shared.events.envelope import Actor, ActorKind, Recorded
from shared.messaging.cloudevents import to_headers
from shared.messaging.topics import PARTITIONS, topic_of
from shared.testing.scenario import NOW
from tests.contract.catalogue import EventType, event_types

DOCUMENT = contracts.asyncapi()
PUBLIC = [kind for kind in event_types() if kind.public]
FULL = {"causation_id": UUID(int=3), "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
LEAST = {"causation_id": None, "traceparent": None}


@pytest.mark.parametrize("optional", [FULL, LEAST], ids=["full", "least"])
@pytest.mark.parametrize("kind", PUBLIC, ids=str)
def test_sent_headers_fit_the_document(kind: EventType, optional: dict[str, object]) -> None:
    recorded = Recorded(
        stream="order-7d6f0d5a-0000-4000-8000-000000000001",
        version=1,
        event_id=UUID(int=1),
        type=kind.name,
        schema_version=kind.newest,
        occurred_at=NOW,
        correlation_id=UUID(int=2),
        actor=Actor(ActorKind.CUSTOMER, "ada"),
        epoch=1,
        data=None,
        **optional,  # type: ignore[arg-type]
    )

    headers = {name: value.decode() for name, value in to_headers(recorded, kind.service)}

    promised = DOCUMENT["components"]["messages"][kind.name]["headers"] | {
        "components": DOCUMENT["components"]
    }
    validator = Draft202012Validator(promised, format_checker=FormatChecker())
    assert [error.message for error in validator.iter_errors(headers)] == []
    assert headers.keys() <= DOCUMENT["components"]["schemas"]["Headers"]["properties"].keys()


def test_topics_are_the_documents_channels() -> None:
    for service, channel in DOCUMENT["channels"].items():
        assert channel["address"] == topic_of(service)
        assert channel["bindings"]["kafka"]["partitions"] == PARTITIONS


def test_a_missing_header_would_be_found() -> None:
    validator = Draft202012Validator(orjson.loads(orjson.dumps(DOCUMENT["components"]["schemas"]["Headers"])))

    missing = {error.message for error in validator.iter_errors({"ce_specversion": "1.0"})}

    assert "'ce_sequence' is a required property" in missing
