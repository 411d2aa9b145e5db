"""What a run comes to: a table of faults, recoveries, losses and doublings, and if that is good enough."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.chaos.faults import Fault, Kind
from tests.chaos.history import Finding, Verdict

P50_S, MOST_S = 10.0, 60.0
"""Seconds within which half of all faults, and every fault, must be recovered from."""
SHOWN = 20


@dataclass(frozen=True, slots=True)
class Recovered:
    """A fault and the seconds from its end to the end of an order begun after it (None: it never ended)."""

    fault: Fault
    seconds: float | None


@dataclass(slots=True, kw_only=True)
class Result:
    """Everything that a run has shown. `broken` are violated laws, `restless` what still moved at the end."""

    recovered: Sequence[Recovered]
    findings: Sequence[Finding]
    broken: Sequence[str] = ()
    restless: Sequence[str] = ()
    kills: int = 0
    no_disk: str | None = None
    numbers: Mapping[str, object] = field(default_factory=dict)

    @property
    def failures(self) -> list[str]:
        """Why this is not good enough, a line each; none if it is."""
        times = [each.seconds for each in self.recovered if each.seconds is not None]
        found = [f"{len(self._of(verdict))} {verdict}" for verdict in Verdict if self._of(verdict)]
        if self.broken:
            found.append(f"{len(self.broken)} laws broken")
        if self.restless:
            found.append(f"not quiet in the end: {'; '.join(self.restless)}")
        if len(times) < len(self.recovered):
            found.append(f"{len(self.recovered) - len(times)} faults never recovered from")
        if times and median(times) >= P50_S:
            found.append(f"recovery p50 is {median(times):.1f} s, not under {P50_S:g} s")
        if times and max(times) > MOST_S:
            found.append(f"recovery took up to {max(times):.1f} s, not at most {MOST_S:g} s")
        if not times:
            found.append("no fault happened")
        return found

    @property
    def contradicted(self) -> bool:
        """Something is wrong that is not only slow."""
        never = not self.recovered or any(each.seconds is None for each in self.recovered)
        return bool(never or self.findings or self.broken or self.restless)

    def lines(self) -> Iterator[str]:
        """The table, the numbers and the verdict as text."""
        yield f"{'fault':34} {'times':>5} {'p50 s':>7} {'max s':>7} {'lost':>5} {'doubled':>8} {'stuck':>6}"
        for kind in Kind:
            if kind is Kind.DISK_FULL and self.no_disk is not None:
                yield f"{kind:34} skipped: no small disk can be mounted here ({self.no_disk})"
                continue
            yield self._line(kind, [each for each in self.recovered if each.fault.kind is kind], kind)
        if any(self._kind_of(finding) is None for finding in self.findings):
            yield self._line("before the first fault", [], None)
        yield self._line("all", self.recovered, *Kind, None)
        for name, number in {"kills": self.kills, **self.numbers}.items():
            yield f"{name}: {number}"
        yield from [str(finding) for finding in self.findings[:SHOWN]]
        yield from list(self.broken)[:SHOWN]
        failures = self.failures
        yield f"NOT GOOD ENOUGH: {'; '.join(failures)}" if failures else "nothing lost, nothing twice"

    def _line(self, title: str, recovered: Sequence[Recovered], *kinds: Kind | None) -> str:
        times = [each.seconds for each in recovered if each.seconds is not None]
        half = f"{median(times):.1f}" if times else "-"
        longest = f"{max(times):.1f}" if times else "-"
        if len(times) < len(recovered):
            longest = "never"
        found = [finding.verdict for finding in self.findings if self._kind_of(finding) in kinds]
        lost, stuck = found.count(Verdict.LOST), found.count(Verdict.STUCK)
        doubled = len(found) - lost - stuck
        return f"{title:34} {len(recovered):>5} {half:>7} {longest:>7} {lost:>5} {doubled:>8} {stuck:>6}"

    def _kind_of(self, finding: Finding) -> Kind | None:
        kinds = {each.fault.number: each.fault.kind for each in self.recovered}
        return kinds.get(finding.fault)

    def _of(self, verdict: Verdict) -> list[Finding]:
        return [finding for finding in self.findings if finding.verdict is verdict]
