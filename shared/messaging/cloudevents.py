"""How an event travels: CloudEvents 1.0 in Kafka's binary mode, attributes as headers and JSON as value."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from pydantic import TypeAdapter

from shared.events.envelope import TRACEPARENT, Actor, ActorKind, Recorded, event_id
from shared.events.registry import Registry

Headers = Sequence[tuple[str, bytes]]

_uuid: Callable[[str], UUID] = TypeAdapter(UUID).validator.validate_python
"""The same as `UUID`, many times as fast."""

LONGEST_STREAM = 512
"""Characters of a stream id at most: marks and parked records are found by it."""


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


class Incoming(NamedTuple):
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
    source, kind, schema = _of_type(service, event.type, event.schema_version)
    headers = [
        _SPEC_VERSION,
        ("ce_id", str(event.event_id).encode()),
        source,
        kind,
        ("ce_time", event.occurred_at.astimezone(UTC).isoformat().replace("+00:00", "Z").encode()),
        ("ce_subject", event.stream.encode()),
        ("ce_sequence", b"%d" % event.version),
        ("ce_epoch", b"%d" % event.epoch),
        ("ce_actor", f"{event.actor.kind}:{event.actor.id}".encode()),
        schema,
        ("ce_correlationid", str(event.correlation_id).encode()),
        _CONTENT_TYPE,
    ]
    if event.causation_id is not None:
        headers.append(("ce_causationid", str(event.causation_id).encode()))
    if event.traceparent is not None:
        headers.append(("traceparent", event.traceparent.encode()))
    return headers


_SPEC_VERSION = ("ce_specversion", b"1.0")
_CONTENT_TYPE = ("content-type", b"application/json")


@lru_cache(maxsize=1024)
def _of_type(service: str, event_type: str, schema_version: int) -> Headers:
    """The attributes that all events of a type share."""
    return (
        ("ce_source", f"/orderflow/{service}".encode()),
        ("ce_type", event_type.encode()),
        ("ce_dataschema", f"schemas/{service}/{event_type}.v{schema_version}.json".encode()),
    )


def parse(record: KafkaRecord) -> Incoming:
    """The record's envelope. Raises Malformed, whatever the headers hold.

    The id vouches for epoch, stream and version, from which it is derived: a mark that moved by wrong ones
    would drop the right events that come later.
    """
    try:
        headers: dict[str, Any] = dict(record.headers)
        subject = headers["ce_subject"].decode()
        causation, trace = headers.get("ce_causationid"), headers.get("traceparent")
        version, epoch = int(headers["ce_sequence"]), int(headers["ce_epoch"])
        if (
            not 0 < version < 2**31
            or not 0 < epoch < 2**31
            or "-" not in subject
            or "\x00" in subject
            or len(subject) > LONGEST_STREAM
        ):
            raise Malformed(f"no event is number {version} of {subject[:100]!r} in epoch {epoch}")
        identity = _uuid(headers["ce_id"].decode())
        if identity != event_id(epoch, subject, version):
            raise Malformed(f"{identity} is not event {version} of {subject} in epoch {epoch}")
        return Incoming(
            record=record,
            stream=subject,
            version=version,
            epoch=epoch,
            event_id=identity,
            type=headers["ce_type"].decode(),
            schema_version=_schema_version(headers["ce_dataschema"]),
            occurred_at=_instant(headers["ce_time"].decode()),
            correlation_id=_uuid(headers["ce_correlationid"].decode()),
            causation_id=_uuid(causation.decode()) if causation else None,
            actor=_actor(headers["ce_actor"]),
            traceparent=_trace(trace) if trace is not None else None,
        )
    except Malformed:
        raise
    except Exception as error:
        raise Malformed(f"{type(error).__name__}: {error}") from error


def _trace(header: bytes) -> str | None:
    """A trace that is none says nothing; it is no reason to hold the event back."""
    text = header.decode(errors="replace")
    return text if TRACEPARENT.fullmatch(text) else None


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo is UTC else at.astimezone(UTC)


@lru_cache(4096)
def _schema_version(dataschema: bytes) -> int:
    """The 2 of `schemas/orders/OrderPlaced.v2.json`."""
    return int(dataschema.decode().rsplit(".v", 1)[1].removesuffix(".json"))


@lru_cache(4096)
def _actor(text: bytes) -> Actor:
    kind, _, actor = text.decode().partition(":")
    return Actor(ActorKind(kind), actor)
