"""What the supervisor's tests run: `child` notes what happens to it, `supervise` looks after three of them.

supervised.py child FOLDER NAME [stubborn|parent|exit CODE]
supervised.py supervise FOLDER [stubborn]
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from sandbox.command import Command
from sandbox.supervisor import Program, Supervisor

MODULE = "tests.integration.sandbox.supervised"


def program(
    folder: Path,
    name: str,
    *how: str,
    after: tuple[str, ...] = (),
    start_seconds: float = 20,
    stop_seconds: float = 10,
) -> Program:
    """A child that is ready once it noted its start."""

    async def ready() -> bool:
        return (folder / f"{name}.pid").exists()

    return Program(
        name=name,
        command=Command(argv=(sys.executable, "-m", MODULE, "child", str(folder), name, *how)),
        ready=ready,
        after=after,
        start_seconds=start_seconds,
        stop_seconds=stop_seconds,
    )


def note(folder: Path, line: str) -> None:
    """Append a line to the common diary of all children."""
    with (folder / "diary").open("a") as diary:
        diary.write(line + "\n")


def diary(folder: Path) -> list[str]:
    """What the children noted so far."""
    path = folder / "diary"
    return path.read_text().splitlines() if path.exists() else []


def child(folder: Path, name: str, how: list[str]) -> None:
    """Note the start, wait for SIGTERM, note the end; `how` makes it misbehave."""
    if how[:1] == ["exit"]:
        sys.stderr.write("DATABASE_URL is missing\n\n")
        sys.exit(int(how[1]))
    stubborn = "stubborn" in how

    def terminated(_signal: int, _frame: object) -> None:
        note(folder, f"{name} told to stop")
        if not stubborn:
            sys.exit(0)

    signal.signal(signal.SIGTERM, terminated)
    if "parent" in how:
        grandchild = subprocess.Popen(["sleep", "600"])
        (folder / f"{name}.grandchild").write_text(str(grandchild.pid))
    note(folder, f"{name} started")
    (folder / f"{name}.pid").write_text(str(os.getpid()))
    while True:
        signal.pause()


async def supervise(folder: Path, how: list[str]) -> int:
    """Three children in a row, until a signal; the answer is that signal."""
    supervisor = Supervisor(folder / "state")
    try:
        async with supervisor:
            await supervisor.start(
                program(folder, "store", *how, stop_seconds=600),
                program(folder, "broker", *how, after=("store",), stop_seconds=600),
                program(folder, "service", *how, after=("store", "broker"), stop_seconds=600),
            )
            note(folder, "all ready")
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        pass
    assert supervisor.signalled
    return int(supervisor.signalled)


def pids(folder: Path) -> dict[str, int]:
    """The processes that `supervise` has now, itself included."""
    found: dict[str, int] = json.loads((folder / "state" / "pids.json").read_text())
    return found


if __name__ == "__main__":
    what, where, *rest = sys.argv[1:]
    if what == "child":
        child(Path(where), rest[0], rest[1:])
    else:
        sys.exit(asyncio.run(supervise(Path(where), rest)))
