"""What a law is: it sees every event once, in one pass, and names the first one that breaks it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar
from uuid import UUID

from shared.domain import key_of
from shared.events.envelope import Recorded

K = TypeVar("K")


class Kind(StrEnum):
    """What a violation means for the shop."""

    OVERSOLD = "OVERSOLD"
    LOST = "LOST"
    DUPLICATED = "DUPLICATED"
    WRONG = "WRONG"


class Place(NamedTuple):
    """Where an event stands; sorts by time, then by stream and version."""

    at: datetime
    stream: str
    version: int
    type: str
    event_id: UUID

    @classmethod
    def of(cls, event: Recorded[Any]) -> "Place":
        """The place of an event, without the event."""
        return cls(event.occurred_at, event.stream, event.version, event.type, event.event_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A broken law, about which subject, and the event to blame where there is one."""

    law: str
    subject: str
    detail: str
    kind: Kind = Kind.WRONG
    event_type: str | None = None
    event_id: UUID | None = None
    stream: str | None = None
    version: int | None = None
    at: datetime | None = None

    def __str__(self) -> str:
        where = f" [{self.event_type} {self.event_id}, {self.stream} version {self.version}]"
        return f"{self.law}: {self.subject}: {self.detail}{where if self.event_id else ''}"


class Law:
    """One law. `see` takes the events of all services, in any mixture that keeps each stream in order.

    What one stream shows is judged at once; what needs several streams is judged by `finish`, after the last
    event, so that the mixture does not matter. `listens` names event types, `object` all of them. A subject
    is blamed once.
    """

    number: ClassVar[str]
    claim: ClassVar[str]
    listens: ClassVar[tuple[type, ...]]
    needs_rest: ClassVar[bool] = True
    """Whether `finish` compares several services, so that it is only fair when nothing is on its way."""

    def __init__(self) -> None:
        self._violations: dict[str, Violation] = {}
        self.seen = 0

    @property
    def violations(self) -> list[Violation]:
        """All that was found so far: those with an event in the order of their events, then the others."""
        found = self._violations.values()
        placed = sorted((v for v in found if v.at), key=lambda v: (v.at, v.stream, v.version, v.subject))
        return placed + sorted((v for v in found if not v.at), key=lambda v: v.subject)

    def see(self, event: Recorded[Any]) -> None:
        """Take one event of a type in `listens` into account."""
        raise NotImplementedError

    def finish(self) -> None:
        """Judge what only holds at rest. Called once, at the end."""

    def blame(
        self, subject: str, detail: str, place: Place | Recorded[Any] | None = None, kind: Kind = Kind.WRONG
    ) -> None:
        """Note that `subject` breaks this law; only its first violation counts."""
        if subject in self._violations:
            return
        at = Place.of(place) if isinstance(place, Recorded) else place
        self._violations[subject] = Violation(
            law=self.number,
            subject=subject,
            detail=detail,
            kind=kind,
            event_type=at.type if at else None,
            event_id=at.event_id if at else None,
            stream=at.stream if at else None,
            version=at.version if at else None,
            at=at.at if at else None,
        )


class Balance(Generic[K]):
    """Two sides that have to come out even for every key; only uneven keys take memory.

    For one key, each side's events have to come from one stream.
    """

    def __init__(self) -> None:
        self._open: dict[K, tuple[list[tuple[int, Place | None]], list[tuple[int, Place | None]]]] = {}

    def plus(self, key: K, quantity: int, place: Place | None) -> None:
        """Add to one side."""
        self._add(key, 0, quantity, place)

    def minus(self, key: K, quantity: int, place: Place | None) -> None:
        """Add to the other side."""
        self._add(key, 1, quantity, place)

    def _add(self, key: K, side: int, quantity: int, place: Place | None) -> None:
        if not quantity:
            return
        sides = self._open.setdefault(key, ([], []))
        sides[side].append((quantity, place))
        if _sum(sides[0]) == _sum(sides[1]):
            del self._open[key]

    def uneven(self) -> Iterator[tuple[K, int, Place | None]]:
        """Each uneven key, by how much its plus side is larger, and the first event that is too much."""
        for key, (plus, minus) in self._open.items():
            difference = _sum(plus) - _sum(minus)
            larger, limit = (plus, _sum(minus)) if difference > 0 else (minus, _sum(plus))
            yield key, difference, first_beyond(larger, limit)


def _sum(entries: list[tuple[int, Place | None]]) -> int:
    return sum(quantity for quantity, _ in entries)


def first_beyond(entries: list[tuple[int, Place | None]], limit: int) -> Place | None:
    """The place of the first entry with which the sum exceeds `limit`."""
    total = 0
    for quantity, place in entries:
        total += quantity
        if total > limit:
            return place
    return None


def order_of(event: Recorded[Any]) -> UUID:
    """The order of an event in the stream `order-<id>` or `reservation-<id>`."""
    return UUID(key_of(event.stream))
