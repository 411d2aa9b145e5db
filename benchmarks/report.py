"""What a benchmark found: rates in rounds, plain facts and targets, as text, Markdown and JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A number to reach. `value` is what was found; exactly one of `at_least` and `at_most` is given."""

    what: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def reached(self) -> bool:
        """Whether it is reached."""
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    def __str__(self) -> str:
        bound = (
            f"≥ {_number(self.at_least)}" if self.at_least is not None else f"≤ {_number(self.at_most or 0)}"
        )
        return (
            f"{self.what}: {_number(self.value)}, wanted {bound}: {'reached' if self.reached else 'MISSED'}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rates of contestants, one of each a round. `base` names the contestant that ratios are of."""

    title: str
    unit: str
    base: str
    rates: Mapping[str, Sequence[float]]
    targets: list[Target] = field(default_factory=list)

    def ratio(self, name: str, base: str | None = None) -> float:
        """How many times the rate of `base` this one has: the median of each round's own ratio."""
        pairs = zip(self.rates[name], self.rates[base or self.base], strict=False)
        return median(ours / theirs for ours, theirs in pairs)

    def want(self, name: str, *, of: str, at_least: float, what: str | None = None) -> None:
        """Note a ratio to reach."""
        self.targets.append(
            Target(what=what or f"{name} / {of}", value=self.ratio(name, of), at_least=at_least)
        )

    @property
    def columns(self) -> Sequence[str]:
        """The table's head."""
        return (self.unit, "ratio", "median", "min", "max", "rounds")

    @property
    def lines(self) -> list[Sequence[str]]:
        """The table's body."""
        return [
            (
                name,
                f"{self.ratio(name):.2f}",
                *(_number(of(rates)) for of in (median, min, max)),
                str(len(rates)),
            )
            for name, rates in self.rates.items()
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A table of anything else, such as latencies; the cells are printed as they are."""

    title: str
    columns: Sequence[str]
    lines: Sequence[Sequence[str]]
    targets: list[Target] = field(default_factory=list)


Result = Table | Facts


def as_text(result: Result) -> str:
    """For a terminal."""
    rows = [result.columns, *result.lines]
    widths = [max(len(row[column]) for row in rows) for column in range(len(result.columns))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * max(len(line) for line in lines))
    return "\n".join([result.title, *lines, *(f"  {target}" for target in result.targets)])


def as_markdown(result: Result) -> str:
    """For docs/benchmarks.md."""
    alignment = ["---", *("---:" for _ in result.columns[1:])]
    rows = [result.columns, alignment, *result.lines]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    targets = "\n".join(f"- {target}" for target in result.targets)
    return "\n\n".join(part for part in (f"**{result.title}**", table, targets) if part)


def as_json(result: Result) -> dict[str, Any]:
    """For machines: what was measured, round by round."""
    document = asdict(result)
    if isinstance(result, Table):
        document["ratios"] = {name: result.ratio(name) for name in result.rates}
    document["targets"] = [{**asdict(target), "reached": target.reached} for target in result.targets]
    return document


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
