"""The checker of the chaos suite finds what is planted: lost, doubled, refused and yet there, stuck."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.chaos.history import (
    Expected,
    Fact,
    Finding,
    History,
    Outcome,
    Place,
    Told,
    Verdict,
    check,
    check_ends,
)

RECEIVED = Place("received", "mug")
OK, FAILED, UNKNOWN = Outcome.OK, Outcome.FAILED, Outcome.UNKNOWN


def told(*requests: tuple[int, Sequence[Outcome]], seen: Sequence[Fact] = (), folder: Path) -> Told:
    """A history in which requests for so many mugs were answered so, one try after another."""
    path = folder / "history.jsonl"
    with History(path) as history:
        for amount, outcomes in requests:
            history.fault += 1
            number = history.asked("POST", "/receipts", "key", None, [Fact(*RECEIVED, amount)])
            for outcome in outcomes:
                history.told(number, outcome, None, "answer")
        if seen:
            history.seen(seen)
    with path.open() as lines:
        return Told.read(lines)


def verdicts(findings: Sequence[Finding]) -> list[tuple[Verdict, int]]:
    return [(finding.verdict, finding.fault) for finding in findings]


@pytest.mark.parametrize(
    ("requests", "there"),
    [
        ([(3, [OK])], 3),
        ([(3, [OK]), (4, [OK])], 7),
        ([(3, [UNKNOWN, OK])], 3),
        ([(3, [UNKNOWN, UNKNOWN])], 0),
        ([(3, [UNKNOWN])], 3),
        ([(3, [])], 3),
        ([(3, [OK]), (4, [UNKNOWN]), (5, [UNKNOWN])], 8),
        ([(3, [UNKNOWN, FAILED])], 3),
        ([(3, [FAILED])], 0),
        ([(-3, [UNKNOWN]), (5, [OK])], 2),
    ],
)
def test_what_may_be_there_is_no_finding(
    tmp_path: Path, requests: list[tuple[int, list[Outcome]]], there: int
) -> None:
    assert check(told(*requests, folder=tmp_path), {RECEIVED: there} if there else {}) == []


@pytest.mark.parametrize(
    ("requests", "there", "verdict"),
    [
        ([(3, [OK])], 0, Verdict.LOST),
        ([(3, [OK]), (4, [OK])], 3, Verdict.LOST),
        ([(3, [UNKNOWN, OK])], 0, Verdict.LOST),
        ([(3, [OK]), (4, [UNKNOWN])], 2, Verdict.LOST),
        ([(3, [OK])], 6, Verdict.DOUBLED),
        ([(3, [UNKNOWN])], 6, Verdict.DOUBLED),
        ([(3, [FAILED])], 3, Verdict.DOUBLED),
        ([(3, [FAILED, FAILED])], 3, Verdict.DOUBLED),
        ([(3, [OK]), (4, [UNKNOWN])], 5, Verdict.DOUBLED),
        ([(3, [OK]), (-2, [UNKNOWN])], 0, Verdict.LOST),
    ],
)
def test_what_is_planted_is_found_with_its_fault(
    tmp_path: Path, requests: list[tuple[int, list[Outcome]]], there: int, verdict: Verdict
) -> None:
    findings = check(told(*requests, folder=tmp_path), {RECEIVED: there} if there else {})
    assert verdicts(findings) == [(verdict, len(requests))]


def test_what_nobody_asked_for_is_doubled_unless_the_system_may_do_it_by_itself(tmp_path: Path) -> None:
    cancelled = Place("cancelled", "order")
    history = told(folder=tmp_path)
    assert verdicts(check(history, {cancelled: 1})) == [(Verdict.DOUBLED, 0)]
    assert check(history, {cancelled: 1}, by_itself=[cancelled]) == []


def test_what_was_seen_must_stay_and_counts_once(tmp_path: Path) -> None:
    refund = Fact("refunded", "refund", 100)
    history = told(seen=[refund, refund], folder=tmp_path)
    assert check(history, {refund.place: 100}) == []
    assert verdicts(check(history, {})) == [(Verdict.LOST, 0)]
    assert verdicts(check(history, {refund.place: 200})) == [(Verdict.DOUBLED, 0)]


def test_a_repeated_request_gets_the_same_answer(tmp_path: Path) -> None:
    history = told((3, [OK, OK]), folder=tmp_path)
    assert check(history, {RECEIVED: 3}) == []
    history.requests[1].answers[1] = (OK, 201, "another answer")
    assert verdicts(check(history, {RECEIVED: 3})) == [(Verdict.DIFFERS, 1)]


def test_many_unknown_requests_are_judged_by_their_bounds(tmp_path: Path) -> None:
    history = told(*[(2, [UNKNOWN])] * 40, folder=tmp_path)
    assert check(history, {RECEIVED: 80}) == []
    assert verdicts(check(history, {RECEIVED: 81})) == [(Verdict.DOUBLED, 40)]


def test_a_line_that_was_cut_off_is_left_out() -> None:
    history = Told.read(
        ['{"at": 1, "fault": 0, "order": "a", "total": 5, "ends": ["COMPLETED"]}\n', '{"at": 2, "fa']
    )
    assert history.orders == {"a": Expected("a", 5, ("COMPLETED",), 0)}


@pytest.mark.parametrize(
    ("ends", "captured", "verdict"),
    [
        ({}, 0, Verdict.LOST),
        ({"a": "CONFIRMED"}, 0, Verdict.STUCK),
        ({"a": "CANCELLED INVENTORY"}, 0, Verdict.STUCK),
        ({"a": "COMPLETED"}, 0, Verdict.LOST),
        ({"a": "COMPLETED"}, 10, Verdict.DOUBLED),
    ],
)
def test_an_order_ends_as_it_may_and_costs_its_total_once(
    ends: dict[str, str], captured: int, verdict: Verdict
) -> None:
    history = Told(orders={"a": Expected("a", 5, ("COMPLETED", "CANCELLED DECLINED"), 7)})
    assert verdicts(check_ends(history, ends, {"a": captured})) == [(verdict, 7)]
    assert check_ends(history, {"a": "COMPLETED"}, {"a": 5}) == []
    assert check_ends(history, {"a": "CANCELLED DECLINED"}, {}) == []
