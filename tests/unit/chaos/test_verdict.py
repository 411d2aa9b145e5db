"""A run's table says what happened, and its verdict is no better than it."""

from itertools import islice

from tests.chaos.faults import Fault, Kind, schedule
from tests.chaos.history import Finding, Verdict
from tests.chaos.verdict import Recovered, Result

SERVICES = ("cart", "orders-api", "orders-relay")


def recovered(*seconds: float | None) -> list[Recovered]:
    """Kills of the broker that took so long to recover from."""
    return [
        Recovered(Fault(number=number, kind=Kind.BROKER_KILLED, victims=(), choice=0.5), each)
        for number, each in enumerate(seconds, start=1)
    ]


def finding(verdict: Verdict, fault: int) -> Finding:
    return Finding(verdict, "order a", "detail", fault)


def test_a_good_run() -> None:
    result = Result(recovered=recovered(1, 2, 60), findings=[])
    assert result.failures == []
    row = next(line for line in result.lines() if line.startswith(Kind.BROKER_KILLED))
    assert row.removeprefix(Kind.BROKER_KILLED).split() == ["3", "2.0", "60.0", "0", "0", "0"]
    assert list(result.lines())[-1] == "nothing lost, nothing twice"


def test_what_is_found_counts_at_its_fault() -> None:
    findings = [finding(Verdict.LOST, 1), finding(Verdict.DOUBLED, 2), finding(Verdict.STUCK, 0)]
    result = Result(recovered=recovered(1, 2), findings=findings)
    rows = {line[:34].strip(): line[34:].split() for line in result.lines()}
    assert rows[Kind.BROKER_KILLED] == ["2", "1.5", "2.0", "1", "1", "0"]
    assert rows["before the first fault"] == ["0", "-", "-", "0", "0", "1"]
    assert rows["all"] == ["2", "1.5", "2.0", "1", "1", "1"]
    assert result.failures == ["1 lost", "1 doubled", "1 stuck"]


def test_what_is_too_slow_is_not_good_enough() -> None:
    assert Result(recovered=recovered(10, 11), findings=[]).failures == [
        "recovery p50 is 10.5 s, not under 10 s"
    ]
    assert Result(recovered=recovered(1, 1, 61), findings=[]).failures == [
        "recovery took up to 61.0 s, not at most 60 s"
    ]
    assert Result(recovered=recovered(1, None), findings=[]).failures == ["1 faults never recovered from"]


def test_laws_and_rest_count_too() -> None:
    result = Result(recovered=recovered(1), findings=[], broken=["L1: …"], restless=["orders: 1 in outbox"])
    assert result.failures == ["1 laws broken", "not quiet in the end: orders: 1 in outbox"]


def test_without_faults_nothing_is_shown() -> None:
    assert Result(recovered=[], findings=[]).failures == ["no fault happened"]


def test_a_disk_that_cannot_be_mounted_is_told() -> None:
    lines = list(Result(recovered=recovered(1), findings=[], no_disk="mount: not permitted").lines())
    assert f"{Kind.DISK_FULL:34} skipped: no small disk can be mounted here (mount: not permitted)" in lines


def test_a_seed_gives_the_same_faults_again_each_kind_first_once() -> None:
    first = list(islice(schedule(1, SERVICES), 200))
    assert first == list(islice(schedule(1, SERVICES), 200))
    assert first != list(islice(schedule(2, SERVICES), 200))
    assert [fault.kind for fault in first[: len(Kind)]] == list(Kind)
    assert [fault.number for fault in first] == list(range(1, 201))
