"""Programs start in order, come back when they die, end in reverse order and never outlive the supervisor."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from sandbox.broker import BrokerProcess
from sandbox.command import StartError, free_ports, wait_ready
from sandbox.postgres import PostgresProcess
from sandbox.supervisor import Program, Supervisor
from tests.integration.sandbox.supervised import MODULE, diary, pids, program

pytestmark = pytest.mark.integration


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until it holds; a failure after 30 seconds."""

    async def probe() -> bool:
        return condition()

    assert await wait_ready(probe, 30)


async def test_starts_in_order_and_stops_in_reverse(tmp_path: Path) -> None:
    async with Supervisor(tmp_path / "state") as supervisor:
        await supervisor.start(
            program(tmp_path, "service", after=("store", "broker")),
            program(tmp_path, "broker", after=("store",)),
            program(tmp_path, "store"),
        )

    assert diary(tmp_path) == [
        "store started",
        "broker started",
        "service started",
        "service told to stop",
        "broker told to stop",
        "store told to stop",
    ]


async def test_programs_added_later_may_depend_on_earlier_ones(tmp_path: Path) -> None:
    async with Supervisor(tmp_path / "state") as supervisor:
        await supervisor.start(program(tmp_path, "store"))
        await supervisor.start(program(tmp_path, "service", after=("store",)))

    assert diary(tmp_path)[2:] == ["service told to stop", "store told to stop"]


async def test_whatever_dies_comes_back_every_time(tmp_path: Path) -> None:
    async with Supervisor(tmp_path / "state") as supervisor:
        await supervisor.start(program(tmp_path, "store"))
        seen = [supervisor.pid("store")]
        for starts in (2, 3, 4):
            pid = supervisor.pid("store")
            assert pid
            os.kill(pid, signal.SIGKILL)
            await eventually(lambda starts=starts: len(diary(tmp_path)) == starts)  # type: ignore[misc]
            seen.append(supervisor.pid("store"))
        (status,) = supervisor.status()

    assert len(set(seen)) == 4
    assert status.restarts == 3
    assert status.peak_rss >= status.rss > 1_000_000


async def test_a_child_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    async with Supervisor(tmp_path / "state") as supervisor:
        await supervisor.start(program(tmp_path, "store", "stubborn", stop_seconds=0.2))
        process = psutil.Process(supervisor.pid("store"))

    assert diary(tmp_path)[-1] == "store told to stop"
    assert not process.is_running()


async def test_what_a_child_left_behind_is_killed_too(tmp_path: Path) -> None:
    async with Supervisor(tmp_path / "state") as supervisor:
        await supervisor.start(program(tmp_path, "store", "parent"))
        grandchild = psutil.Process(int((tmp_path / "store.grandchild").read_text()))

    psutil.wait_procs([grandchild], timeout=30)
    assert not _alive(grandchild)


async def test_every_child_leads_a_session_so_that_ctrl_c_is_the_supervisors_alone(tmp_path: Path) -> None:
    async with Supervisor(tmp_path / "state") as supervisor:
        await supervisor.start(program(tmp_path, "store"))
        pid = supervisor.pid("store")
        assert pid
        assert os.getsid(pid) == pid
        assert os.getpgid(pid) == pid


async def test_a_program_that_says_it_is_misconfigured_fails_the_start_at_once(tmp_path: Path) -> None:
    async with Supervisor(tmp_path / "state") as supervisor:
        with pytest.raises(StartError) as caught:
            await supervisor.start(
                program(tmp_path, "orders", "exit", "2", start_seconds=600),
                program(tmp_path, "waits", after=("orders",)),
            )

    assert str(caught.value) == "orders: DATABASE_URL is missing"
    assert diary(tmp_path) == []


async def test_a_program_that_keeps_dying_before_it_is_ready_fails_the_start_in_time(tmp_path: Path) -> None:
    async with Supervisor(tmp_path / "state") as supervisor:
        with pytest.raises(StartError) as caught:
            await supervisor.start(program(tmp_path, "orders", "exit", "1", start_seconds=5))
        (status,) = supervisor.status()

    assert str(caught.value) == "orders was not ready within 5 s: DATABASE_URL is missing"
    assert status.restarts >= 1


async def test_a_missing_program_is_one_line(tmp_path: Path) -> None:
    absent = program(tmp_path, "absent", start_seconds=1)
    command = type(absent.command)(argv=("/nowhere/tansu",))
    async with Supervisor(tmp_path / "state") as supervisor:
        with pytest.raises(StartError, match="/nowhere/tansu: No such file or directory"):
            await supervisor.start(
                type(absent)(name="absent", command=command, ready=absent.ready, start_seconds=1)
            )


async def test_one_supervisor_at_a_time_has_a_state_directory(tmp_path: Path) -> None:
    async with Supervisor(tmp_path / "state"):
        with pytest.raises(StartError, match="another orderflow already runs in"):
            async with Supervisor(tmp_path / "state"):
                pass

    async with Supervisor(tmp_path / "state"):
        assert not (tmp_path / "state" / "pids.json").exists()


async def test_postgres_and_the_broker_come_back_under_their_addresses() -> None:
    with tempfile.TemporaryDirectory() as name:
        postgres, broker = PostgresProcess(Path(name) / "pg"), BrokerProcess(*free_ports(1))
        postgres.prepare()
        async with Supervisor(Path(name) / "state") as supervisor:
            await supervisor.start(
                Program(name="postgres", command=postgres.command(), ready=postgres.ready),
                Program(name="broker", command=broker.command(), ready=broker.ready),
            )
            client = await asyncpg.connect(postgres.admin_url())
            await client.execute("CREATE TABLE kept AS SELECT 1 AS id")
            for killed in ("postgres", "broker", "postgres"):
                before = supervisor.pid(killed)
                assert before
                os.kill(before, signal.SIGKILL)
                await eventually(lambda killed=killed, old=before: supervisor.pid(killed) not in (None, old))  # type: ignore[misc]
                assert await wait_ready(postgres.ready, 30)
                assert await wait_ready(broker.ready, 30)
            client.terminate()
            client = await asyncpg.connect(postgres.admin_url())
            assert await client.fetchval("SELECT id FROM kept") == 1
            await client.close()


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a supervisor with three children as a process of its own."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*how: str) -> subprocess.Popen[bytes]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", MODULE, "supervise", str(tmp_path), *how], start_new_session=True
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


async def test_nothing_outlives_a_supervisor_killed_by_sigkill(
    supervised: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    supervisor = supervised("stubborn")
    await eventually(lambda: "all ready" in diary(tmp_path))
    children = [psutil.Process(pid) for name, pid in pids(tmp_path).items() if name != "supervisor"]
    assert len(children) == 3

    supervisor.kill()
    supervisor.wait()

    psutil.wait_procs(children, timeout=30)
    assert not [each for each in children if _alive(each)]


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_stops_everything_in_order(
    supervised: Callable[..., subprocess.Popen[bytes]], tmp_path: Path, which: signal.Signals
) -> None:
    supervisor = supervised()
    await eventually(lambda: "all ready" in diary(tmp_path))
    children = [psutil.Process(pid) for name, pid in pids(tmp_path).items() if name != "supervisor"]

    os.killpg(supervisor.pid, which)

    assert await asyncio.to_thread(supervisor.wait, 30) == which
    assert not [each for each in children if _alive(each)]
    assert diary(tmp_path)[-3:] == ["service told to stop", "broker told to stop", "store told to stop"]


async def test_a_signal_during_the_start_leaves_nothing(
    supervised: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    supervisor = supervised()
    await eventually(lambda: "store started" in diary(tmp_path))
    store = psutil.Process(pids(tmp_path)["store"])

    supervisor.send_signal(signal.SIGINT)

    assert await asyncio.to_thread(supervisor.wait, 30) == signal.SIGINT
    assert not _alive(store)


async def test_a_second_signal_does_not_wait_any_longer(
    supervised: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    supervisor = supervised("stubborn")
    await eventually(lambda: "all ready" in diary(tmp_path))
    children = [psutil.Process(pid) for name, pid in pids(tmp_path).items() if name != "supervisor"]

    supervisor.send_signal(signal.SIGINT)
    await eventually(lambda: "service told to stop" in diary(tmp_path))
    supervisor.send_signal(signal.SIGINT)

    assert await asyncio.to_thread(supervisor.wait, 30) == signal.SIGINT
    assert not [each for each in children if _alive(each)]


def _alive(process: psutil.Process) -> bool:
    """Running; a zombie that its new parent has yet to collect is dead."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
