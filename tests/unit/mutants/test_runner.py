"""The judge of planted mistakes is judged on a small tree of its own, and the list on whether it fits."""

import ast
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mutants.mistakes import MUTANTS
from tests.mutants.mutant import Misplaced, Mutant
from tests.mutants.runner import SIMULATION, Outcome, exit_code, run

ROOT = Path(__file__).resolve().parents[3]
TREE = {
    "app.py": "def double(n):\n    return n * 2\n\n\ndef half(n):\n    return n // 2\n",
    "checks/test_app.py": (
        "import pytest\n"
        "from app import double, half\n\n\n"
        "@pytest.fixture\n"
        "def four():\n    assert half(8) == 4\n    return 4\n\n\n"
        "def test_double():\n    assert double(2) == 4\n\n\n"
        "def test_half(four):\n    assert half(four) == 2\n\n\n"
        "def test_red():\n    assert double(2) == 5\n"
    ),
}


def mutant(new: str, test: str = "test_double", *, old: str = "n * 2", file: str = "app.py") -> Mutant:
    catcher = f"checks/test_app.py::{test}"
    return Mutant(name=new, mistake="A mistake.", file=file, old=old, new=new, caught_by=(catcher,))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A work tree with a program and its tests, tracked and not yet committed."""
    for name, text in TREE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    return tmp_path


async def test_a_mutant_is_caught_only_by_a_test_that_fails_because_of_it(tree: Path) -> None:
    expected = {
        mutant("n * 3"): Outcome.CAUGHT,
        mutant("n + n"): Outcome.SURVIVED,
        mutant("m * 2"): Outcome.BROKEN,  # a NameError is no mistake that anybody would commit
        mutant("n // 3", "test_half", old="n // 2"): Outcome.BROKEN,  # its fixture fails, not the test
        mutant("n * 2 + 1", "test_red"): Outcome.RED_WITHOUT,
        mutant("n * 4", "test_that_is_not_there"): Outcome.RED_WITHOUT,
    }
    told: list[str] = []

    verdicts = await run(list(expected), tree, told.append)

    assert {verdict.mutant: verdict.outcome for verdict in verdicts} == expected
    runs = [line for line in told if line[0] != " "]
    assert len(runs) == 4 + 4, "each catcher once without a mutant, then those that were green"
    assert verdicts[0].seen.reason == "assert 6 == 4"
    assert exit_code(verdicts[:1]) == 0
    for verdict in verdicts[1:]:
        assert exit_code([verdicts[0], verdict]) == 1
    assert (tree / "app.py").read_text() == TREE["app.py"]


async def test_every_catcher_of_a_mutant_must_go_red(tree: Path) -> None:
    both = Mutant(
        name="tripled",
        mistake="Three for two.",
        file="app.py",
        old="n * 2",
        new="n * 3",
        caught_by=("checks/test_app.py::test_double", "checks/test_app.py::test_half"),
    )

    verdicts = await run([both], tree)

    assert [verdict.outcome for verdict in verdicts] == [Outcome.CAUGHT, Outcome.SURVIVED]
    assert exit_code(verdicts) == 1


async def test_a_catcher_that_runs_other_code_than_the_copys_is_an_error(tree: Path) -> None:
    (tree / "checks/test_app.py").write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(tree)!r})\n"
        "from app import double\n\n\n"
        "def test_double():\n    assert double(2) == 4\n"
    )

    with pytest.raises(ExceptionGroup) as caught:
        await run([mutant("n * 3")], tree)

    assert "other code than its copy's" in str(caught.value.exceptions[0])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (mutant("3", old="2"), "2 times, not once"),
        (mutant("3", old="n * 7"), "0 times, not once"),
        (mutant("3", file="gone.py"), "there is no gone.py"),
        (mutant("n *"), "is no program"),
    ],
    ids=["twice", "never", "no file", "no program"],
)
async def test_a_mutant_that_does_not_fit_ends_the_run_before_it_begins(
    tree: Path, wrong: Mutant, says: str
) -> None:
    told: list[str] = []

    with pytest.raises(Misplaced, match=says):
        await run([mutant("n * 3"), wrong], tree, told.append)

    assert told == []


def test_the_list_names_each_mistake_once() -> None:
    unique: list[Callable[[Mutant], str]] = [lambda each: each.name, lambda each: each.mistake]
    for key in unique:
        assert len({key(each) for each in MUTANTS}) == len(MUTANTS)
    assert len(MUTANTS) >= 18


@pytest.mark.parametrize("each", MUTANTS, ids=lambda each: each.name)
def test_every_mutant_fits_the_code_and_has_a_catcher(each: Mutant) -> None:
    assert each.applied_to(each.text_in(ROOT)) != each.text_in(ROOT)
    assert each.caught_by
    for catcher in each.caught_by:
        if not catcher.startswith(SIMULATION):
            file, _, test = catcher.partition("::")
            names = {node.name for node in ast.parse((ROOT / file).read_text()).body if hasattr(node, "name")}
            assert not test or test.partition("[")[0] in names, catcher
