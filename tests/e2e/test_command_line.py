"""`orderflow` as people type it: up, the demo against it, the operators' commands, Ctrl-C, and bad input."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sandbox.command import free_ports

pytestmark = [pytest.mark.e2e, pytest.mark.integration]

ORDERFLOW = (sys.executable, "-m", "cli.main")
SHORT = """InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
1,A,Cup,2,12/1/10 8:26,2.50,17850,United Kingdom
1,B,Saucer,1,12/1/10 8:26,1.25,17850,United Kingdom
2,A,Cup,1,12/1/10 8:30,2.50,,France
2,B,Saucer,nine,12/1/10 8:30,1.25,,France
C3,A,Cup,-1,12/1/10 9:00,2.50,17850,United Kingdom
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for a socket's path, and not under pytest's own folder, whose rights Postgres dislikes."""
    path = Path(tempfile.mkdtemp(prefix="orderflow-cli-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def orderflow(*words: str, cwd: Path | None = None, seconds: float = 170) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ORDERFLOW, *words], cwd=cwd, capture_output=True, text=True, timeout=seconds, check=False
    )


def children_of(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def until_line(process: "subprocess.Popen[str]", beginning: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(beginning):
            return
    raise AssertionError(f"it ended without saying {beginning!r}")


@pytest.mark.timeout(400)
def test_a_platform_stays_up_is_worked_with_and_ends_on_ctrl_c(folder: Path) -> None:
    day = folder / "day.csv"
    day.write_text(SHORT)
    base = str(free_ports(12)[0])
    command = [*ORDERFLOW, "up", "--base-port", base]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as up:
        try:
            until_line(up, "Ctrl-C ends it")
            everybody = children_of(up.pid)
            work_with_it(folder, day)
            again = orderflow("up", "--base-port", base, cwd=folder)
            assert (again.returncode, again.stderr.count("\n")) == (2, 1), again.stderr
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(60)
    assert up.returncode == 130
    assert len(everybody) >= 9
    assert not psutil.wait_procs(everybody, timeout=10)[1]


def work_with_it(folder: Path, day: Path) -> None:
    """The demo's people and the operators' commands on a running platform."""
    where = ("--attach", ".orderflow/platform.json")
    played = orderflow("demo", "--input", str(day), *where, "--json", cwd=folder)
    assert played.returncode == 0, played.stderr
    assert "day.csv:5: Quantity 'nine' is not a whole number" in played.stderr
    numbers = json.loads(played.stdout)
    assert [numbers[name] for name in ("orders", "oversold", "lost", "duplicated")] == [3, 0, 0, 0]

    assert orderflow("verify", cwd=folder).returncode == 0
    rebuilt = orderflow("rebuild", "orders", "order_view", cwd=folder)
    assert rebuilt.returncode == 0
    assert "orders.order_view: 3 rows" in rebuilt.stdout
    assert "will be sent again" in orderflow("republish", "orders", cwd=folder).stdout
    assert orderflow("parked", "list", "orders", cwd=folder).stdout == ""
    told = orderflow("events", "tail", "orders", "--from-start", "--limit", "2", "--json", cwd=folder)
    assert [json.loads(line)["topic"] for line in told.stdout.splitlines()] == ["orders.events"] * 2
    assert orderflow("token", "operator", "somebody", cwd=folder).stdout.count(".") == 2


@pytest.mark.timeout(120)
def test_ctrl_c_during_the_demo_leaves_nothing_running() -> None:
    with subprocess.Popen([*ORDERFLOW, "demo"], stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stderr is not None
        try:
            assert any("purchases to play" in line for line in demo.stderr)
            everybody = children_of(demo.pid)
        finally:
            demo.send_signal(signal.SIGINT)
            demo.stderr.read()
            demo.wait(60)
    assert demo.returncode == 130
    assert len(everybody) >= 9
    assert not psutil.wait_procs(everybody, timeout=10)[1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["verify"], "no platform at .orderflow/platform.json"),
        (["rebuild", "orders"], "no platform at"),
        (["parked", "list", "shop"], "no platform at"),
        (["migrate", "shop"], "no service is called 'shop'"),
        (["demo", "--input", "missing.csv"], "missing.csv"),
        (
            ["migrate", "--admin-url", "postgresql://nobody@127.0.0.1:1/x", "--password", "p"],
            "cannot be reached",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(folder: Path, words: list[str], says: str) -> None:
    done = orderflow(*words, cwd=folder)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert says in done.stderr


def test_a_taken_port_is_one_line_and_exit_code_2(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        base = taken.getsockname()[1] - 1
        done = orderflow("up", "--base-port", str(base), cwd=folder)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert str(base + 1) in done.stderr
    assert os.listdir(folder) in ([], [".orderflow"])
