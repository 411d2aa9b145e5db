"""What every state machine here does: tell an aggregate and a naive model the same, and compare.

A model is plain dicts and sums, written from the domain's rules and not from the code. Told a command, it
notes what follows and says why the command has to be refused, as a set of codes that all would be right;
the empty set means accepted. What the model notes must be what the events, folded by the real `evolve`, add
up to.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar, Protocol
from uuid import UUID

from hypothesis.stateful import RuleBasedStateMachine, invariant

from shared.domain import Decider, Rejected, category_of
from shared.domain.ids import derive
from shared.events.registry import Registry
from shared.store.readmodel import ReadModel
from shared.testing.scenario import NOW
from tests.property.folds import check_folds

Decision = Sequence[tuple[str, object]]
ACCEPTED: frozenset[str] = frozenset()


def uid(*words: object) -> UUID:
    """A readable stand-in for an id."""
    return derive("test", *words)


class Model(Protocol):
    """A naive model of an aggregate."""

    def tell(self, command: Any) -> frozenset[str]:
        """Note what the command changes; the codes it may be refused with, none if it is accepted."""
        ...


class AggregateMachine(RuleBasedStateMachine):
    """Streams in memory beside a model; subclasses add rules that `tell` both, and say how they compare."""

    deciders: ClassVar[tuple[Decider[Any, Any, Any], ...]]
    registry: ClassVar[Registry]
    read_models: ClassVar[tuple[ReadModel[Any], ...]] = ()
    """What is folded from the whole history in the end."""
    new_wishes: ClassVar[tuple[type, ...]] = ()
    """Commands that ask for something new each time; told twice, the second may be refused."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.model: Any = None
        self.states: dict[str, Any] = {}
        self.history: list[tuple[str, Any, datetime]] = []
        self.heard: list[tuple[str, Any, datetime]] = []
        """Events of other services that the read models listen to."""

    def decide(self, command: Any) -> Decision:
        """What the aggregates would append."""
        raise NotImplementedError

    def compare(self) -> None:
        """Assert that the folded states are what the model noted."""
        raise NotImplementedError

    def tell(self, command: Any) -> list[Any]:
        """The command to both; the events that it gave, none if it was refused."""
        refusals = self.model.tell(command)
        code = None
        try:
            decision = list(self.decide(command))
        except Rejected as refused:
            code = refused.code
        if code is not None:
            assert code in refusals, f"{command}\nrefused with {code}, expected {set(refusals)}"
            return []
        assert not refusals, f"{command}\ngave {decision}, expected to be refused with {set(refusals)}"
        assert list(self.decide(command)) == decision, f"{command}\ngave another answer to the same state"
        for stream, event in decision:
            self.record(stream, event)
        self._repeat(command)
        return [event for _, event in decision]

    def record(self, stream: str, event: Any) -> None:
        """Append an event, which has to come back from its bytes unchanged."""
        name = type(event).__name__
        stored = self.registry.encode(event)
        event_again = self.registry.decode(name, self.registry.schema_version(name), stored)
        assert event_again == event, f"{event} came back as {event_again}"
        before = self.states.get(stream)
        self.states[stream] = self._evolve(before, stream, event, self.now)
        assert self.states[stream] != before, f"{event} changes nothing"
        self.history.append((stream, event_again, self.now))

    def of_type(self, *kinds: type) -> list[Any]:
        """All events of these types, oldest first."""
        return [event for _, event, _ in self.history if isinstance(event, kinds)]

    def teardown(self) -> None:
        """The rows of every read model follow from what happened."""
        check_folds(self.read_models, [*self.heard, *self.history])

    def _repeat(self, command: Any) -> None:
        try:
            again = list(self.decide(command))
        except Rejected:
            assert isinstance(command, self.new_wishes), f"repeating {command} is refused"
        else:
            assert again == [], f"repeating {command}\ngave {again}"

    def _evolve(self, state: Any, stream: str, event: Any, at: datetime) -> Any:
        decider = next(d for d in self.deciders if d.category == category_of(stream))
        return decider.evolve(state, event, at)

    @invariant()
    def the_state_is_what_the_model_notes(self) -> None:
        """Every observable equals."""
        if self.model is not None:
            self.compare()

    @invariant()
    def a_replay_gives_the_same_state(self) -> None:
        """All events from the first one on, as they came back from their bytes."""
        replayed: dict[str, Any] = {}
        for stream, event, at in self.history:
            replayed[stream] = self._evolve(replayed.get(stream), stream, event, at)
        assert replayed == self.states
