"""The simulation itself: it repeats exactly, reaches every kind of fault, and blames what breaks."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from cli.simulate.command import NotSeeds, seeds_of, shrunk
from cli.simulate.run import run
from shared.testing.faults import Fault, Rates

ROOT = Path(__file__).resolve().parents[2]
ORDERFLOW = (sys.executable, "-c", "from cli.main import main; main()")
SEEDS = range(1, 11)


def test_no_law_is_broken_whatever_strikes() -> None:
    seen: Counter[Fault] = Counter()
    for result in map(run, SEEDS):
        assert list(result.violations) == []
        assert 1 <= result.orders <= 5
        seen.update(fired.fault for fired in result.fired)
    assert seen.keys() >= {Fault.DROP, Fault.CRASH, Fault.STALL}


def test_a_seed_is_the_same_run_in_another_process_whatever_the_hash_seed() -> None:
    def digest(hash_seed: str, seeds: str) -> object:
        done = subprocess.run(
            [*ORDERFLOW, "simulate", "--seeds", seeds, "--jobs", "1", "--json"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        summary = json.loads(done.stdout)
        return summary["digest"], summary["crossings"]

    assert digest("1", "5..7") == digest("2", "5..7")


def test_a_run_repeats_step_by_step() -> None:
    def steps() -> list[tuple[float, str, str]]:
        taken: list[tuple[float, str, str]] = []
        run(3, trace=lambda at, who, what: taken.append((at, who, what)))
        return taken

    first = steps()
    assert len(first) > 1000
    assert steps() == first


def test_without_faults_nothing_strikes() -> None:
    result = run(4, rates=Rates(most=0))
    assert result.fired == ()
    assert list(result.violations) == []


def test_a_fault_that_is_left_out_does_not_strike() -> None:
    whole = run(3)
    number = whole.fired[0].number
    assert number not in [fired.number for fired in run(3, without=frozenset({number})).fired]


def test_shrinking_keeps_the_faults_that_matter() -> None:
    needed = {3, 8}
    assert shrunk(list(range(1, 11)), lambda without: not needed & without) == [3, 8]


@pytest.mark.parametrize(("text", "seeds"), [("7", [7]), ("1..3", [1, 2, 3]), ("0..0", [0])])
def test_seeds_are_named_in_words(text: str, seeds: list[int]) -> None:
    assert list(seeds_of(text)) == seeds


@pytest.mark.parametrize("text", ["", "x", "3..1", "1..", "..5", "1...4", "1.5"])
def test_what_names_no_seeds_is_refused(text: str) -> None:
    with pytest.raises(NotSeeds, match="names no seeds"):
        seeds_of(text)
