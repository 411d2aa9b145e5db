"""docs/tour.md as a newcomer reads it: its blocks pasted into one shell, its answers compared with these."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

import pytest

from sandbox.command import free_ports

pytestmark = [pytest.mark.e2e, pytest.mark.integration]

ROOT = Path(__file__).resolve().parents[2]
TOUR = ROOT / "docs" / "tour.md"
BLOCK = re.compile(
    r"^```sh\n(?P<commands>.*?)^```$(?:\n\n```text\n(?P<shown>.*?)^```$)?", re.MULTILINE | re.DOTALL
)
VARYING = re.compile(
    r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|\b[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}\b"
)
"""Times, ids and order numbers, which no two runs have in common."""
ENDED = "end of block"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Commands that a reader pastes, and what the page says that they answer."""

    commands: str
    shown: str


def blocks_of(text: str) -> list[Block]:
    """The page's blocks, in order."""
    return [Block(commands=each["commands"], shown=each["shown"] or "") for each in BLOCK.finditer(text)]


def lasting(text: str) -> list[str]:
    """The lines of an answer without what differs from run to run."""
    return VARYING.sub("…", text).splitlines()


def follow(blocks: Sequence[Block], folder: Path, patience_s: float = 60) -> Iterator[str]:
    """What each block answers, in one shell. Raises AssertionError for one that fails or never ends."""
    python = str(Path(sys.executable).parent)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{python}{os.pathsep}{os.environ['PATH']}"}
    marked = "\n".join(f"{block.commands}\necho {shlex.quote(ENDED)}" for block in blocks)
    with subprocess.Popen(
        ["bash", "-eu", "-o", "pipefail", "-c", marked],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            for block in blocks:
                impatience = Timer(patience_s, os.killpg, (shell.pid, signal.SIGKILL))
                impatience.start()
                answer = _until_marked(shell, block)
                impatience.cancel()
                yield answer
        finally:
            impatience.cancel()
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)


def _until_marked(shell: "subprocess.Popen[str]", block: Block) -> str:
    assert shell.stdout is not None
    answer = ""
    for line in shell.stdout:
        if line == f"{ENDED}\n":
            return answer
        answer += line
    raise AssertionError(f"{block.commands}ends with {shell.wait()}, having said:\n{answer[-2000:]}")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A checkout's root as the tour needs it: the command, and a running system's addresses and keys."""
    path = Path(tempfile.mkdtemp(prefix="orderflow-tour-"))
    command = path / ".venv" / "bin" / "orderflow"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m cli.main "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.mark.timeout(400)
def test_the_tour_answers_as_printed(folder: Path) -> None:
    base = free_ports(12)[0]
    up = [sys.executable, "-m", "cli.main", "up", "--base-port", str(base)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(up, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment) as system:
        try:
            assert system.stdout is not None
            assert any(line.startswith("Ctrl-C ends it") for line in system.stdout)
            page = re.sub(
                r"127\.0\.0\.1:810(\d)",
                lambda it: f"127.0.0.1:{base + int(it[1])}",
                TOUR.read_text("utf-8"),
            )
            blocks = blocks_of(page)
            for block, answer in zip(blocks, follow(blocks, folder), strict=True):
                assert lasting(answer) == lasting(block.shown), block.commands
        finally:
            system.send_signal(signal.SIGINT)
            system.wait(60)
    assert len(blocks) > 10


def test_a_page_is_taken_apart_as_it_is_printed() -> None:
    page = (
        "Words.\n\n```sh\none\ntwo\n```\n\nMore.\n\n```sh\nthree\n```\n\n"
        "```text\nat 2026-11-22T15:25:51.741268+00:00 TAPXR-TC3PN\n```\n"
    )

    first, second = blocks_of(page)

    assert (first.commands, first.shown) == ("one\ntwo\n", "")
    assert second.commands == "three\n"
    assert lasting(second.shown) == ["at … …"]


@pytest.mark.parametrize(
    ("commands", "said"),
    [
        ("echo so\nfalse | cat\necho on", "so"),
        ("echo $missing", "missing"),
        ("nothing-so-called", "nothing-so-called"),
        ("echo waiting; until false; do :; done", "ends with -9, having said:\nwaiting"),
    ],
)
def test_a_command_that_fails_is_named_with_what_it_said(commands: str, said: str, tmp_path: Path) -> None:
    blocks = [Block(commands="x=1\n", shown=""), Block(commands=commands, shown="")]

    with pytest.raises(AssertionError, match=said):
        list(follow(blocks, tmp_path, patience_s=5))
