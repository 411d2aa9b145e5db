"""Shows proofs and numbers to a person."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from cli.proofs import Proofs

WIDTH = 118


def print_proofs(proofs: Proofs, console: Console | None = None) -> None:
    """One line a proof: its claim, what was compared for it, and the first violating event if it fails."""
    console = console or Console(width=None if Console().is_terminal else WIDTH)
    table = Table(title="Proofs", title_justify="left", box=None, padding=(0, 1))
    for heading in ("", "Law", "Claim", "Compared"):
        table.add_column(heading, overflow="fold")
    for proof in proofs.proofs:
        compared = ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in proof.compared.items())
        mark = "[green]holds[/]" if proof.ok else "[red bold]BROKEN[/]"
        table.add_row(mark, proof.law, proof.name, compared)
    console.print(table)
    if first := proofs.first_violation:
        count = sum(len(proof.violations) for proof in proofs.proofs)
        console.print(f"{count} violations; the first: {first}", style="red", markup=False, soft_wrap=True)


def print_lines(title: str, lines: Sequence[str]) -> None:
    """A title, and lines under it as they are."""
    console = Console(width=None if Console().is_terminal else WIDTH)
    console.print(title, style="bold")
    for line in lines:
        console.print(f"  {line}", soft_wrap=True, markup=False, highlight=False)


def print_numbers(title: str, groups: Mapping[str, Mapping[str, object]]) -> None:
    """Groups of named numbers, one group a line."""
    console = Console(width=None if Console().is_terminal else WIDTH)
    console.print(title, style="bold")
    for group, numbers in groups.items():
        shown = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in numbers.items())
        console.print(f"  {group}: {shown or 'none'}", soft_wrap=True)


def megabytes(sizes: Mapping[str, int]) -> dict[str, str]:
    """Sizes in bytes as people read them."""
    return {name: f"{size / 2**20:.0f} MiB" for name, size in sizes.items()}


def missing_from(summary: Mapping[str, object], expected: Mapping[str, int]) -> Sequence[str]:
    """What a run should have shown and did not, a line each."""
    return [
        f"expected at least {least} {name.replace('_', ' ')}, saw {summary[name]}"
        for name, least in expected.items()
        if int(str(summary[name])) < least
    ]
