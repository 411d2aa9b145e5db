"""The decider's own parts, and the scenario that all decider tests are written in."""

from collections.abc import Mapping, Sequence
from dataclasses import FrozenInstanceError, dataclass, replace
from datetime import datetime, timedelta

import pytest

from shared.domain import Decider, Rejected, category_of, key_of
from shared.events.envelope import SYSTEM, ActorKind, Cause
from shared.testing.scenario import NOW, given


@dataclass(frozen=True, slots=True, kw_only=True)
class Lit:
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    by: str
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lamp:
    lit_at: datetime
    times: int = 1


def decide(state: Lamp | None, command: Light) -> Sequence[Lit]:
    if command.by == "":
        raise Rejected("nobody", "Say who lights the lamp.", lamp=1)
    return [] if state and not command.force else [Lit(by=command.by)]


def evolve(state: Lamp | None, event: Lit, at: datetime) -> Lamp:
    return replace(state, lit_at=at, times=state.times + 1) if state else Lamp(lit_at=at)


def deadlines(state: Lamp) -> Mapping[str, datetime]:
    return {"burn_out": state.lit_at + timedelta(hours=1)}


LAMP = Decider("lamp", decide, evolve, deadlines)


def test_a_stream_is_named_by_category_and_key() -> None:
    stream = LAMP.stream("85123A@0f-1")

    assert stream == "lamp-85123A@0f-1"
    assert category_of(stream) == "lamp"
    assert key_of(stream) == "85123A@0f-1"


def test_a_decider_waits_for_nothing_and_is_public_unless_it_says_so() -> None:
    plain = Decider("lamp", decide, evolve)

    assert plain.deadlines(Lamp(lit_at=NOW)) == {}
    assert plain.public


def test_rejected_carries_code_detail_and_members() -> None:
    rejected = given(LAMP).when(Light(by="")).rejected("nobody")

    assert rejected.detail == "Say who lights the lamp."
    assert rejected.extra == {"lamp": 1}
    assert str(rejected) == "nobody: Say who lights the lamp."


def test_then_compares_whole_lists_and_repeats_the_command() -> None:
    scenario = given(LAMP).when(Light(by="Ada")).then(Lit(by="Ada"))

    assert scenario.state == Lamp(lit_at=NOW)
    given(LAMP, Lit(by="Ada")).when(Light(by="Ada")).then()


def test_then_fails_on_other_events() -> None:
    with pytest.raises(AssertionError):
        given(LAMP).when(Light(by="Ada")).then()
    with pytest.raises(AssertionError):
        given(LAMP).when(Light(by="Ada")).then(Lit(by="Bob"))


def test_then_fails_on_a_command_that_cannot_be_repeated() -> None:
    again = Light(by="Ada", force=True)

    with pytest.raises(AssertionError, match="repeating"):
        given(LAMP).when(again).then(Lit(by="Ada"))
    given(LAMP).when(again).then_not_repeatable(Lit(by="Ada"))


def test_rejected_fails_on_another_code_and_on_no_refusal() -> None:
    with pytest.raises(AssertionError, match="refused with nobody"):
        given(LAMP).when(Light(by="")).rejected("somebody")
    with pytest.raises(pytest.fail.Exception):
        given(LAMP).when(Light(by="Ada")).rejected("nobody")


def test_past_events_happen_at_the_given_time() -> None:
    later = NOW + timedelta(days=1)

    assert given(LAMP, Lit(by="Ada"), Lit(by="Ada"), at=later).state == Lamp(lit_at=later, times=2)


def test_without_an_actor_the_system_itself_is_the_cause() -> None:
    cause = Cause()

    assert cause.actor == SYSTEM
    assert cause.actor.kind is ActorKind.SYSTEM
    with pytest.raises(FrozenInstanceError):
        cause.actor = SYSTEM  # type: ignore[misc]
