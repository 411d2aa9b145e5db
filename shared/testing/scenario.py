"""given / when / then for pure deciders; events are compared as whole lists."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.domain import Decider, Rejected

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


class Scenario:
    """`given(decider, *events).when(command).then(*events)` or `.rejected("code")`.

    Past events happened at `at`. `then` also repeats the command on the resulting state and demands no
    events, since every command must be safe to repeat; `then_not_repeatable` leaves that out.
    """

    def __init__(self, decider: Decider[Any, Any, Any], events: Sequence[object], at: datetime) -> None:
        self.decider = decider
        self.at = at
        self.state: Any = None
        self._fold(events)
        self._command: object = None

    def when(self, command: object) -> "Scenario":
        """The command to try."""
        self._command = command
        return self

    def then(self, *expected: object) -> "Scenario":
        """The command gives exactly these events, and none when it is repeated."""
        self.then_not_repeatable(*expected)
        again = list(self.decider.decide(self.state, self._command))
        assert again == [], f"repeating {self._command} gave {again}"
        return self

    def then_not_repeatable(self, *expected: object) -> "Scenario":
        """The command gives exactly these events; repeating it is a new wish."""
        events = list(self.decider.decide(self.state, self._command))
        assert events == list(expected)
        self._fold(events)
        return self

    def rejected(self, code: str) -> Rejected:
        """The command is refused with exactly this code; the refusal is returned for a closer look."""
        with pytest.raises(Rejected) as caught:
            self.decider.decide(self.state, self._command)
        assert caught.value.code == code, f"refused with {caught.value}, not {code}"
        return caught.value

    def _fold(self, events: Sequence[object]) -> None:
        for event in events:
            self.state = self.decider.evolve(self.state, event, self.at)


def given(decider: Decider[Any, Any, Any], *events: object, at: datetime = NOW) -> Scenario:
    """A stream that already holds `events`."""
    return Scenario(decider, events, at)
