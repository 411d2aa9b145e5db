"""What an aggregate is: the pure functions that decide and evolve one stream, and how they fit together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

S = TypeVar("S")
C = TypeVar("C")
E = TypeVar("E")


def no_deadlines(_state: object) -> Mapping[str, datetime]:
    """For an aggregate that never waits."""
    return {}


@dataclass(frozen=True, slots=True)
class Decider(Generic[S, C, E]):
    """One kind of stream. `category` is the stream's prefix: stream id = `<category>-<key>`.

    `decide(state, command)` gives the events (none if the command's outcome is already there) or raises
    Rejected; `evolve(state, event, at)` gives the next state, `at` being the event's occurred_at;
    `deadlines(state)` names every instant at which this state must not simply go on waiting.
    A stream without events has the state None. `public`: its events are published on the service's topic.
    """

    category: str
    decide: Callable[[S | None, C], Sequence[E]]
    evolve: Callable[[S | None, E, datetime], S]
    deadlines: Callable[[S], Mapping[str, datetime]] = no_deadlines
    public: bool = True

    def stream(self, key: object) -> str:
        """The stream id of the aggregate with this key."""
        return f"{self.category}-{key}"


def key_of(stream: str) -> str:
    """The key part of a stream id: `order-7d…` gives `7d…`."""
    return stream.split("-", 1)[1]


def category_of(stream: str) -> str:
    """The category part of a stream id: `order-7d…` gives `order`."""
    return stream.split("-", 1)[0]
