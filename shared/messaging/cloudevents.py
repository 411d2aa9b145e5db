"""How an event travels: CloudEvents 1.0 in Kafka's binary mode, attributes as headers and JSON as value."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

from shared.events.envelope import Actor, ActorKind, Recorded
from shared.events.registry import Registry

Headers = Sequence[tuple[str, bytes]]


class KafkaRecord(Protocol):
    """What the consumer needs of a broker's record; aiokafka's ConsumerRecord fits."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class Malformed(ValueError):  # noqa: N818 - what the record is
    """A record that does not even say which stream and version it belongs to."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A record whose envelope is read and whose data is not yet decoded."""

    record: KafkaRecord
    stream: str
    version: int
    epoch: int
    event_id: UUID
    type: str
    schema_version: int
    occurred_at: datetime
    correlation_id: UUID
    causation_id: UUID | None
    actor: Actor
    traceparent: str | None

    def decode(self, registry: Registry) -> Recorded[Any]:
        """The event itself. Raises UnknownEventType, or ValueError if the data does not fit its type."""
        return Recorded(
            stream=self.stream,
            version=self.version,
            event_id=self.event_id,
            type=self.type,
            schema_version=registry.schema_version(self.type),
            occurred_at=self.occurred_at,
            correlation_id=self.correlation_id,
            causation_id=self.causation_id,
            actor=self.actor,
            epoch=self.epoch,
            data=registry.decode(self.type, self.schema_version, self.record.value or b""),
            traceparent=self.traceparent,
        )


def to_headers(event: Recorded[Any], service: str) -> Headers:
    """The CloudEvents attributes of an event that `service` owns."""
    headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", str(event.event_id)),
        ("ce_source", f"/orderflow/{service}"),
        ("ce_type", event.type),
        ("ce_time", event.occurred_at.astimezone(UTC).isoformat().replace("+00:00", "Z")),
        ("ce_subject", event.stream),
        ("ce_sequence", str(event.version)),
        ("ce_epoch", str(event.epoch)),
        ("ce_actor", f"{event.actor.kind}:{event.actor.id}"),
        ("ce_dataschema", f"schemas/{service}/{event.type}.v{event.schema_version}.json"),
        ("ce_correlationid", str(event.correlation_id)),
        ("content-type", "application/json"),
    ]
    if event.causation_id is not None:
        headers.append(("ce_causationid", str(event.causation_id)))
    if event.traceparent is not None:
        headers.append(("traceparent", event.traceparent))
    return [(name, value.encode()) for name, value in headers]


def parse(record: KafkaRecord) -> Incoming:
    """The record's envelope. Raises Malformed, whatever the headers hold."""
    try:
        headers = {name: value.decode() for name, value in record.headers if value is not None}
        subject = headers["ce_subject"]
        kind, _, actor = headers["ce_actor"].partition(":")
        causation = headers.get("ce_causationid")
        version, epoch = int(headers["ce_sequence"]), int(headers["ce_epoch"])
        if (
            version < 1
            or version > 2**31 - 1
            or not 0 < epoch < 2**31
            or "-" not in subject
            or "\x00" in subject
        ):
            raise Malformed(f"no event is number {version} of {subject!r} in epoch {epoch}")
        return Incoming(
            record=record,
            stream=subject,
            version=version,
            epoch=epoch,
            event_id=UUID(headers["ce_id"]),
            type=headers["ce_type"],
            schema_version=_schema_version(headers["ce_dataschema"]),
            occurred_at=datetime.fromisoformat(headers["ce_time"]).astimezone(UTC),
            correlation_id=UUID(headers["ce_correlationid"]),
            causation_id=UUID(causation) if causation else None,
            actor=Actor(ActorKind(kind), actor),
            traceparent=headers.get("traceparent"),
        )
    except Malformed:
        raise
    except Exception as error:
        raise Malformed(f"{type(error).__name__}: {error}") from error


def _schema_version(dataschema: str) -> int:
    """The 2 of `schemas/orders/OrderPlaced.v2.json`."""
    return int(dataschema.rsplit(".v", 1)[1].removesuffix(".json"))
