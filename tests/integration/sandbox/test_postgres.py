"""The embedded Postgres as a child process: made once, durable, and back after SIGKILL."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from sandbox.command import StartError, free_ports, last_line, running, stop, wait_ready
from sandbox.postgres import LONGEST_SOCKET_PATH, PostgresProcess

pytestmark = pytest.mark.integration


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


async def test_runs_with_safe_settings_and_without_tcp(folder: Path) -> None:
    postgres = PostgresProcess(folder / "pg")
    postgres.prepare()
    async with running(postgres.command(), ready=postgres.ready, log=folder / "log"):
        connection = await asyncpg.connect(postgres.admin_url())
        names = ("fsync", "synchronous_commit", "full_page_writes", "listen_addresses", "max_connections")
        shown = [await connection.fetchval(f"SHOW {name}") for name in names]
        await connection.close()

    assert shown == ["on", "on", "on", "", "200"]
    assert not await postgres.ready()


async def test_prepare_keeps_what_is_there(folder: Path) -> None:
    postgres = PostgresProcess(folder / "pg")
    postgres.prepare()
    async with running(postgres.command(), ready=postgres.ready, log=folder / "log"):
        await _execute(postgres, "CREATE TABLE kept (id int)")

    postgres.prepare()

    async with running(postgres.command(), ready=postgres.ready, log=folder / "log"):
        assert await _fetch(postgres, "SELECT count(*) FROM kept") == 0


async def test_commits_survive_sigkill_while_clients_are_connected(folder: Path) -> None:
    postgres = PostgresProcess(folder / "pg")
    postgres.prepare()
    first = await postgres.command().start(folder / "log")
    assert await wait_ready(postgres.ready, 30, first)
    await _execute(postgres, "CREATE TABLE kept (id int); INSERT INTO kept VALUES (1)")
    clients = [await asyncpg.connect(postgres.admin_url()) for _ in range(10)]

    first.kill()
    await first.wait()
    second = await postgres.command().start(folder / "log")
    while not await wait_ready(postgres.ready, 30, second):
        second = await postgres.command().start(folder / "log")

    assert await _fetch(postgres, "SELECT count(*) FROM kept") == 1
    await stop(second, postgres.command().stop_signal, 10)
    for client in clients:
        client.terminate()


async def test_a_long_data_directory_gets_a_short_socket(folder: Path) -> None:
    postgres = PostgresProcess(folder / ("long" * 30) / "pg")
    postgres.prepare()
    assert len(str(postgres.socket_dir / ".s.PGSQL.65535")) <= LONGEST_SOCKET_PATH

    async with running(postgres.command(), ready=postgres.ready, log=folder / "log"):
        assert await _fetch(postgres, "SELECT 1") == 1

    postgres.socket_dir.rmdir()


async def test_over_tcp_a_role_needs_its_password(folder: Path) -> None:
    (port,) = free_ports(1)
    postgres = PostgresProcess(folder / "pg", tcp_port=port)
    postgres.prepare()
    async with running(postgres.command(), ready=postgres.ready, log=folder / "log"):
        await _execute(postgres, "CREATE ROLE shop LOGIN PASSWORD 'right'")
        connection = await asyncpg.connect(f"postgresql://shop:right@127.0.0.1:{port}/postgres")
        await connection.close()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(f"postgresql://shop:wrong@127.0.0.1:{port}/postgres")


def test_never_initialises_over_somebody_elses_files(folder: Path) -> None:
    (folder / "pg").mkdir()
    (folder / "pg" / "letter.txt").write_text("dear")

    with pytest.raises(StartError, match="is not empty"):
        PostgresProcess(folder / "pg").prepare()


async def test_a_server_that_cannot_start_is_one_line(folder: Path) -> None:
    postgres = PostgresProcess(folder / "pg", max_connections=0)
    postgres.prepare()

    with pytest.raises(StartError, match="did not become ready") as caught:
        async with running(postgres.command(), ready=postgres.ready, log=folder / "log"):
            pass

    assert "\n" not in str(caught.value)
    assert last_line(folder / "log") in str(caught.value)


async def _execute(postgres: PostgresProcess, sql: str) -> None:
    connection = await asyncpg.connect(postgres.admin_url())
    await connection.execute(sql)
    await connection.close()


async def _fetch(postgres: PostgresProcess, sql: str) -> object:
    connection = await asyncpg.connect(postgres.admin_url())
    value: object = await connection.fetchval(sql)
    await connection.close()
    return value
