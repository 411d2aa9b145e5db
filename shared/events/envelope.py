"""What surrounds every event: which stream it belongs to, when, why and by whom it happened."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from shared.domain.ids import derive_numbered

TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
"""A W3C trace context; anything else is no trace."""

E_co = TypeVar("E_co", covariant=True)


class ActorKind(StrEnum):
    """Who can cause something."""

    CUSTOMER = "customer"
    OPERATOR = "operator"
    ADMIN = "admin"
    SYSTEM = "system"
    PROVIDER = "provider"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who caused an event: a customer, an operator, an admin, the system itself or a provider."""

    kind: ActorKind
    id: str


SYSTEM = Actor(ActorKind.SYSTEM, "orderflow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a unit of work runs; every event written in it records this.

    `correlation_id` follows one order through all services (None: each new stream starts its own);
    `causation_id` is the event or command that led here.
    """

    actor: Actor = SYSTEM
    correlation_id: UUID | None = None
    causation_id: UUID | None = None
    traceparent: str | None = None


class Recorded(NamedTuple, Generic[E_co]):
    """An event with its envelope, as every fold, reaction and consumer sees it.

    `version` counts 1, 2, 3 … within `stream` without holes; `epoch` rises when a store is restored from a
    backup. `data` is the event itself, at the newest schema version. A named tuple, as one is made for every
    event that is loaded, appended, told or heard, and a frozen dataclass takes four times as long.
    """

    stream: str
    version: int
    event_id: UUID
    type: str
    schema_version: int
    occurred_at: datetime
    correlation_id: UUID
    causation_id: UUID | None
    actor: Actor
    epoch: int
    data: E_co
    traceparent: str | None = None


def event_id(epoch: int, stream: str, version: int) -> UUID:
    """The id of the event at this place; a retried append gives the same one."""
    return derive_numbered("event", (epoch, stream), version)
