"""`make mutants`: plant every mistake in turn and fail if one of them goes unnoticed."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.backends import postgres_server
from tests.mutants.mistakes import MUTANTS
from tests.mutants.mutant import Misplaced, Mutant
from tests.mutants.runner import Outcome, Tell, Verdict, exit_code, run

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 160
LAST_LINES = 40


def main(names: Sequence[str]) -> int:
    """0 if every mutant (or each of `names`) is caught, 1 if not, 2 if the list does not fit the code."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False, markup=False)
    by_name = {mutant.name: mutant for mutant in MUTANTS}
    if unknown := [name for name in names if name not in by_name]:
        console.print(f"There is no mutant {', '.join(unknown)}; there are {', '.join(by_name)}.")
        return 2
    progress = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    chosen = [by_name[name] for name in names] or list(MUTANTS)
    try:
        verdicts = asyncio.run(on_one_server(chosen, progress.print))
    except Misplaced as error:
        console.print(str(error))
        return 2
    except KeyboardInterrupt:
        return 130
    show(console, chosen, verdicts)
    return exit_code(verdicts)


async def on_one_server(mutants: Sequence[Mutant], tell: Tell) -> list[Verdict]:
    """All catchers share a Postgres, in which each makes databases of its own."""
    async with postgres_server() as url:
        os.environ["ORDERFLOW_TEST_POSTGRES"] = url
        return await run(mutants, ROOT, tell)


def show(console: Console, mutants: Sequence[Mutant], verdicts: Sequence[Verdict]) -> None:
    """The last words of what went wrong, the table, and the sum."""
    for verdict in verdicts:
        if verdict.outcome is not Outcome.CAUGHT:
            console.print(f"--- {verdict.mutant.name}: {verdict.outcome} by {verdict.catcher}")
            console.print("\n".join(verdict.seen.output.splitlines()[-LAST_LINES:]))
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("mutant", "the mistake", "caught by", "outcome"):
        table.add_column(heading, overflow="fold")
    table.add_column("s", justify="right")
    for verdict in verdicts:
        mutant, seen = verdict.mutant, verdict.seen
        catcher = verdict.catcher.removeprefix("tests/").replace("::", " ")
        table.add_row(mutant.name, mutant.mistake, catcher, verdict.outcome, f"{seen.seconds:.1f}")
    console.print(table)
    found = Counter(verdict.outcome for verdict in verdicts)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in found.items())
    console.print(f"{len(mutants)} mutants, {len(verdicts)} runs: {counts}.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
