"""Plants each mutant in a copy of the tree, runs just its catchers there, and judges what they saw."""

import asyncio
import compileall
import json
import os
import py_compile
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.mutants import witness
from tests.mutants.mutant import Mutant

TEST_TIMEOUT_S = 60
"""A test that takes longer fails, and so has caught its mutant."""
HUNG_S = 300.0
"""A catcher that has not ended by then has caught nothing."""
HUNG = f"It did not end within {HUNG_S:.0f} s."
NO_PROGRAM = ("NameError", "ImportError", "ModuleNotFoundError", "SyntaxError", "UnboundLocalError")
SIMULATION = "orderflow simulate --seeds "
"""What a catcher that is a simulation begins with; first and last seed follow: 1..20."""


class Outcome(StrEnum):
    """What became of one mutant under one catcher; only the first is good."""

    CAUGHT = "caught"
    SURVIVED = "SURVIVED"
    BROKEN = "BROKEN"
    """It never came to a test that could fail: a fixture failed, the mutant is no program, or it hung."""
    RED_WITHOUT = "RED WITHOUT"
    """The catcher is red without any mutant, so its being red says nothing."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one run of a catcher showed; `reason` is its first failure, `output` what it printed."""

    passed: int
    failed: int
    errors: int
    reason: str
    output: str
    seconds: float

    @property
    def green(self) -> bool:
        """Something ran and all of it passed."""
        return self.passed > 0 and not self.failed and not self.errors

    def judge(self) -> Outcome:
        """What this says about the mutant under which it was seen."""
        if self.green:
            return Outcome.SURVIVED
        no_program = self.reason.startswith(NO_PROGRAM)
        return Outcome.BROKEN if no_program or not self.failed else Outcome.CAUGHT


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row of the table."""

    mutant: Mutant
    catcher: str
    outcome: Outcome
    seen: Seen


Tell = Callable[[str], None]


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """0 if every mistake was noticed."""
    return int(any(verdict.outcome is not Outcome.CAUGHT for verdict in verdicts))


async def run(
    mutants: Sequence[Mutant], root: Path, tell: Tell = lambda _line: None, *, side_by_side: int = 2
) -> list[Verdict]:
    """Judge mutants of the tree at `root`, each distinct catcher having run without any mutant before.

    Raises Misplaced, before anything runs, if a mutant does not fit the tree. `tell` gets lines of progress.
    """
    with tempfile.TemporaryDirectory(prefix="orderflow-mutants-") as folder:
        bench = _Bench(Path(folder), asyncio.Semaphore(side_by_side), tell)
        await asyncio.to_thread(bench.prepare, root, mutants)
        baseline: dict[str, asyncio.Task[Seen]] = {}
        async with asyncio.TaskGroup() as tasks:
            for catcher in _catchers(mutants):
                baseline[catcher] = tasks.create_task(bench.look(catcher, None))
        async with asyncio.TaskGroup() as tasks:
            judging = [
                tasks.create_task(bench.judge(mutant, catcher, baseline[catcher].result()))
                for mutant in mutants
                for catcher in mutant.caught_by
            ]
        return [task.result() for task in judging]


def _catchers(mutants: Iterable[Mutant]) -> list[str]:
    return list(dict.fromkeys(catcher for mutant in mutants for catcher in mutant.caught_by))


class _Bench:
    """A folder with the unmutated copy, in which every run gets a copy of its own."""

    def __init__(self, folder: Path, seats: asyncio.Semaphore, tell: Tell) -> None:
        self._folder = folder
        self._original = folder / "original"
        self._seats = seats
        self._tell = tell
        self._count = 0

    def prepare(self, root: Path, mutants: Sequence[Mutant]) -> None:
        """Copy what git tracks, as it lies in the work tree, and look whether every mutant fits.

        Compiled files are checked by content: a mutant may have the size and the second of its original.
        """
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True).stdout
        for name in listed.decode().split("\0"):
            if name and (root / name).is_file():
                (self._original / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(root / name, self._original / name)
        shutil.copy(witness.__file__, self._original / "witness.py")
        for mutant in mutants:
            mutant.applied_to(mutant.text_in(self._original))
        compileall.compile_dir(
            self._original, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH
        )

    async def judge(self, mutant: Mutant, catcher: str, without: Seen) -> Verdict:
        """Run a catcher with the mutant, unless it is red anyway."""
        if not without.green:
            return Verdict(mutant, catcher, Outcome.RED_WITHOUT, without)
        seen = await self.look(catcher, mutant)
        return Verdict(mutant, catcher, seen.judge(), seen)

    async def look(self, catcher: str, mutant: Mutant | None) -> Seen:
        """Run a catcher in a copy of its own, with the mutant if there is one."""
        async with self._seats:
            self._count += 1
            tree = self._folder / f"run-{self._count}"
            await asyncio.to_thread(shutil.copytree, self._original, tree)
            if mutant is not None:
                mutant.plant(tree)
            started = time.monotonic()
            output = await _output(_argv(catcher), tree, self._folder / f"{tree.name}.json")
            seen = _seen(self._folder / f"{tree.name}.json", output, time.monotonic() - started)
            await asyncio.to_thread(shutil.rmtree, tree)
        outcome = seen.judge() if mutant else "green" if seen.green else "RED"
        self._tell(f"{outcome:<9} {seen.seconds:5.1f} s  {mutant.name if mutant else 'no mutant'}: {catcher}")
        if seen.reason:
            self._tell(f"{'':<19}{seen.reason}")
        return seen


def _argv(catcher: str) -> list[str]:
    if catcher.startswith(SIMULATION):
        return [sys.executable, "witness.py", catcher.removeprefix(SIMULATION)]
    plugins = [
        f"-p{name}" for name in ("pytest_asyncio.plugin", "pytest_timeout", "witness", "no:cacheprovider")
    ]
    options = ["-q", "-x", "-o", f"timeout={TEST_TIMEOUT_S}"]
    return [sys.executable, "-m", "pytest", *plugins, *options, *catcher.split()]


async def _output(argv: Sequence[str], tree: Path, testimony: Path) -> str:
    """What the process printed; one that hangs is interrupted, so that it can clean up, and then killed."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(tree),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # finding and loading all of them takes longer than most tests
        "ORDERFLOW_TEST_PATIENCE": "1",
        "WITNESS_FILE": str(testimony),
    }
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=tree,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(HUNG_S):
            printed, _ = await process.communicate()
    except TimeoutError:
        return HUNG
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 20)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return printed.decode(errors="replace")


def _seen(testimony: Path, output: str, seconds: float) -> Seen:
    """What a witness told. Raises RuntimeError if it ran code of another tree than its copy."""
    if output == HUNG or not testimony.exists():
        return Seen(0, 0, 1, "it told nothing", output, seconds)
    told = json.loads(testimony.read_text())
    if told["strangers"]:
        raise RuntimeError(f"a catcher ran other code than its copy's: {told['strangers'][:3]}")
    return Seen(told["passed"], told["failed"], told["errors"], told["reason"], output, seconds)
