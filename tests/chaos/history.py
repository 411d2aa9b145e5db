"""What an outside client did and was told, as JSON lines, and whether the final state agrees with it.

A request names the facts that it makes true: a kind, where, and an amount. Facts of one kind and place add
up, so that one that is missing (lost) or there once too often (doubled) shows in the sum.
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

MOST_UNKNOWN = 12
"""Unknown outcomes of one place whose sums are all tried; beyond it only the bounds count."""


class Place(NamedTuple):
    """What a fact is about."""

    kind: str
    where: str


class Fact(NamedTuple):
    """So much of something at a place."""

    kind: str
    where: str
    amount: int = 1

    @property
    def place(self) -> Place:
        """What it is about."""
        return Place(self.kind, self.where)


class Outcome(StrEnum):
    """What the client knows of a request: done, refused, or that it cannot know."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


class History:
    """The file being written; `fault` is the number of the newest fault, noted on every line.

    A line is complete before the request leaves and before its answer is acted on.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None
        self._requests = 0
        self.fault = 0

    def __enter__(self) -> Self:
        self._file = self._path.open("w", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file
        self._file.close()

    def asked(self, method: str, url: str, key: str, body: Any, facts: Sequence[Fact]) -> int:
        """A request is about to be sent for the first time; gives its number."""
        self._requests += 1
        self._write(n=self._requests, method=method, url=url, key=key, body=body, facts=facts)
        return self._requests

    def told(self, number: int, outcome: Outcome, status: int | None, answer: str) -> None:
        """One try of the request ended."""
        self._write(n=number, outcome=outcome, status=status, answer=answer)

    def seen(self, facts: Sequence[Fact]) -> None:
        """The client was shown something that must stay true; the same again is not another."""
        self._write(seen=facts)

    def expected(self, order_id: str, total: int, ends: Sequence[str]) -> None:
        """An acknowledged checkout became this order, which has to end in one of these ways."""
        self._write(order=order_id, total=total, ends=list(ends))

    def _write(self, **line: Any) -> None:
        assert self._file
        self._file.write(json.dumps({"at": round(time.time(), 4), "fault": self.fault, **line}) + "\n")
        self._file.flush()


@dataclass(slots=True)
class Request:
    """One request with all of its tries; `fault` is the newest fault when it was last heard of."""

    number: int
    what: str
    facts: tuple[Fact, ...]
    fault: int
    answers: list[tuple[Outcome, int | None, str]] = field(default_factory=list)

    @property
    def outcome(self) -> Outcome:
        """OK once any try was, FAILED only if every try was refused: an unanswered one may still work."""
        outcomes = {outcome for outcome, _, _ in self.answers}
        if Outcome.OK in outcomes:
            return Outcome.OK
        return Outcome.FAILED if outcomes == {Outcome.FAILED} else Outcome.UNKNOWN

    @property
    def consistent(self) -> bool:
        """All successful answers are the same."""
        return len({(status, text) for outcome, status, text in self.answers if outcome is Outcome.OK}) <= 1


@dataclass(frozen=True, slots=True)
class Expected:
    """What became of an acknowledged checkout: the order, its total and how it may end."""

    order_id: str
    total: int
    ends: tuple[str, ...]
    fault: int


@dataclass(slots=True)
class Told:
    """A history as read."""

    requests: dict[int, Request] = field(default_factory=dict)
    seen: dict[Place, tuple[int, int]] = field(default_factory=dict)
    orders: dict[str, Expected] = field(default_factory=dict)

    @classmethod
    def read(cls, lines: Iterable[str]) -> "Told":
        """The history of a file's lines; a last line that is cut off is left out."""
        told = cls()
        for text in lines:
            if text.endswith("\n"):
                told.take(json.loads(text))
        return told

    def take(self, line: Mapping[str, Any]) -> None:
        """One line."""
        fault = line["fault"]
        if "method" in line:
            facts = tuple(Fact(*fact) for fact in line["facts"])
            what = f"{line['method']} {line['url']} {line['key']}"
            self.requests[line["n"]] = Request(line["n"], what, facts, fault)
        elif "outcome" in line:
            request = self.requests[line["n"]]
            request.answers.append((Outcome(line["outcome"]), line["status"], line["answer"]))
            request.fault = fault
        elif "seen" in line:
            for fact in (Fact(*fact) for fact in line["seen"]):
                self.seen[fact.place] = (fact.amount, fault)
        else:
            expected = Expected(line["order"], line["total"], tuple(line["ends"]), fault)
            self.orders[expected.order_id] = expected


class Verdict(StrEnum):
    """What is wrong with the final state."""

    LOST = "lost"
    DOUBLED = "doubled"
    STUCK = "stuck"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that contradicts the history, and the number of the fault it came with (0: none)."""

    verdict: Verdict
    subject: str
    detail: str
    fault: int

    def __str__(self) -> str:
        return f"{self.verdict} (fault {self.fault}): {self.subject}: {self.detail}"


def check(told: Told, found: Mapping[Place, int], by_itself: Iterable[Place] = ()) -> list[Finding]:
    """Compare what was acknowledged, refused or never answered with the facts that are there at the end.

    `by_itself`: facts that the system may cause without being asked, such as a cancellation after a timeout.
    """
    acknowledged: defaultdict[Place, int] = defaultdict(int)
    unknown: defaultdict[Place, list[int]] = defaultdict(list)
    faults: dict[Place, int] = {}
    findings = []
    for request in told.requests.values():
        if not request.consistent:
            findings.append(
                Finding(
                    Verdict.DIFFERS, request.what, "the repeated request got another answer", request.fault
                )
            )
        for fact in request.facts:
            faults[fact.place] = max(faults.get(fact.place, 0), request.fault)
            acknowledged[fact.place] += fact.amount if request.outcome is Outcome.OK else 0
            if request.outcome is Outcome.UNKNOWN:
                unknown[fact.place].append(fact.amount)
    for place, (amount, fault) in told.seen.items():
        acknowledged[place] += amount
        faults[place] = max(faults.get(place, 0), fault)
    free = set(by_itself)
    for place in sorted(faults.keys() | found.keys()):
        there, sure = found.get(place, 0), acknowledged[place]
        if place in free and place not in acknowledged:
            continue
        if (verdict := _compare(there - sure, unknown[place])) and not (place in free and there > sure):
            known = f"{sure} acknowledged" if place in faults else "never asked for"
            maybe = f", {len(unknown[place])} unknown" if unknown[place] else ""
            detail = f"{there} there, {known}{maybe}"
            findings.append(Finding(verdict, f"{place.kind} {place.where}", detail, faults.get(place, 0)))
    return findings


def check_ends(
    told: Told, ends: Mapping[str, str], captured: Mapping[str, int], completed: str = "COMPLETED"
) -> list[Finding]:
    """Every acknowledged order has ended as it may, and a completed one has cost its total, once.

    `ends` is the final state by order, `captured` the money taken for it in minor units.
    """
    findings = []
    for order in told.orders.values():
        subject, end = f"order {order.order_id}", ends.get(order.order_id)
        if end is None:
            findings.append(Finding(Verdict.LOST, subject, "there is no such order", order.fault))
        elif end not in order.ends:
            detail = f"it is {end}, expected was {' or '.join(order.ends)}"
            findings.append(Finding(Verdict.STUCK, subject, detail, order.fault))
        elif end == completed and captured.get(order.order_id, 0) != order.total:
            taken = captured.get(order.order_id, 0)
            verdict = Verdict.LOST if taken < order.total else Verdict.DOUBLED
            findings.append(
                Finding(verdict, subject, f"{taken} captured of a total of {order.total}", order.fault)
            )
    return findings


def _compare(surplus: int, maybe: Sequence[int]) -> Verdict | None:
    """Whether what is there beyond the acknowledged can be some of the unknown requests."""
    least = sum(amount for amount in maybe if amount < 0)
    most = sum(amount for amount in maybe if amount > 0)
    if surplus < least:
        return Verdict.LOST
    if surplus > most:
        return Verdict.DOUBLED
    if len(maybe) > MOST_UNKNOWN:
        return None
    sums = {0}
    for amount in maybe:
        sums |= {each + amount for each in sums}
    return None if surplus in sums else Verdict.DOUBLED
