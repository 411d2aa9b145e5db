"""A service as a process: what it needs at the start, how it tells its health, and how it ends."""

import asyncio
import json
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from sandbox.command import free_ports
from services.inventory.app import SERVICE
from tests.backends import Broker
from tests.conftest import Database, MakeDatabase
from tests.integration.service.gate import gate_to, through, way_to_broker, way_to_database
from tests.integration.service.processes import (
    child,
    first_to_end,
    serving,
    settings,
    settings_of,
    started_in_vain,
)
from tests.waiting import until

pytestmark = pytest.mark.integration

ROLES = ("api", "consumer", "relay", "worker")


@pytest.fixture
async def database(make_database: MakeDatabase) -> Database:
    return await make_database(SERVICE.migrations, "inventory")


async def test_settings_that_are_missing_or_wrong_are_one_line() -> None:
    good = settings("postgresql://x@127.0.0.1:1/x", "127.0.0.1:1")
    without = {name: value for name, value in good.items() if name not in ("JWT_KEY", "DATABASE_URL")}
    nothing, missing, *wrong = await asyncio.gather(
        started_in_vain({}),
        started_in_vain(without),
        *(
            started_in_vain({**good, name: value})
            for name, value in {"PORT": "http", "LOG_LEVEL": "LOUD", "DATA_KEY": "c2hvcnQ="}.items()
        ),
    )
    nothing.check_one_line("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "JWT_KEY", "DATA_KEY", "PORT")
    missing.check_one_line("DATABASE_URL: Field required", "JWT_KEY: Field required")
    for ended, name in zip(wrong, ("PORT", "LOG_LEVEL", "DATA_KEY"), strict=True):
        ended.check_one_line(f"settings: {name}: ")
        assert "c2hvcnQ" not in ended.stderr


async def test_a_database_that_cannot_be_reached_is_one_line() -> None:
    (port,) = free_ports(1)
    urls = [
        f"postgresql://inventory:sesame@127.0.0.1:{port}/inventory",
        "postgresql://inventory:sesame@nowhere.invalid/inventory",
        "postgresql://inventory:sesame@127.0.0.1:port/inventory",
        "mysql://inventory:sesame@127.0.0.1/inventory",
        "inventory",
    ]
    for ended in await asyncio.gather(*(started_in_vain(settings(url, "127.0.0.1:1")) for url in urls)):
        ended.check_one_line("cannot reach the database of DATABASE_URL: ")
        assert "sesame" not in ended.stderr


async def test_a_database_that_is_not_there_is_one_line(database: Database, broker: Broker) -> None:
    good = settings_of(database, broker)
    elsewhere = database.url.replace(f"/{database.service}", "/nowhere")
    ended = await started_in_vain({**good, "DATABASE_URL": elsewhere})
    ended.check_one_line("DATABASE_URL", "nowhere")


async def test_a_broker_that_cannot_be_reached_is_one_line(database: Database, broker: Broker) -> None:
    (port,) = free_ports(1)
    addresses = [f"127.0.0.1:{port}", "nowhere.invalid:9092", "127.0.0.1", "127.0.0.1:99999", ":", "a b:1"]
    good = settings_of(database, broker)
    for ended in await asyncio.gather(
        *(started_in_vain({**good, "KAFKA_BOOTSTRAP_SERVERS": address, "PORT": "0"}) for address in addresses)
    ):
        ended.check_one_line("cannot reach the broker of KAFKA_BOOTSTRAP_SERVERS")


async def test_a_taken_port_is_one_line(database: Database, broker: Broker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = await started_in_vain({**settings_of(database, broker), "PORT": str(port)})
    ended.check_one_line(f"cannot listen on 127.0.0.1:{port}", "set PORT")


async def test_of_two_that_start_at_once_one_gets_the_port(
    database: Database, broker: Broker, tmp_path: Path
) -> None:
    env = settings_of(database, broker)
    folders = [tmp_path / name for name in ("first", "second")]
    async with AsyncExitStack() as stack:
        for folder in folders:
            folder.mkdir()
        processes = [
            await stack.enter_async_context(child(env, folder / "api.log", "--role", "api"))
            for folder in folders
        ]
        loser = await first_to_end(processes)
        assert await loser.wait() == 2
        winner = processes[1 - processes.index(loser)]
        log = (folders[processes.index(loser)] / "api.log").read_text()
        assert log.count("\n") == 1
        assert log.startswith(f"inventory: cannot listen on 127.0.0.1:{env['PORT']}")
        assert winner.returncode is None


async def test_missing_migrations_are_one_line(database: Database, broker: Broker) -> None:
    env = settings_of(database, broker)
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute("DELETE FROM migrations WHERE name = 'inventory/0003_reservations'")
    (await started_in_vain(env)).check_one_line("1 migrations are missing", "orderflow migrate inventory")
    await owner.execute("DROP TABLE migrations")
    (await started_in_vain(env)).check_one_line("migrations are missing", "orderflow migrate inventory")
    await owner.close()


async def test_an_unknown_role_is_a_usage_error() -> None:
    ended = await started_in_vain({}, "--role", "king")
    assert ended.code == 2
    assert "king" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_each_role_starts_tells_its_health_and_only_the_api_serves(
    database: Database, broker: Broker, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        processes = {
            role: await stack.enter_async_context(serving(settings_of(database, broker), tmp_path, role))
            for role in ROLES
        }
        for role, process in processes.items():
            assert [await process.status(path) for path in ("/livez", "/readyz", "/metrics")] == [200] * 3
            business = await process.http.get("/stock")
            assert business.status_code == (200 if role == "api" else 404)
            if role != "api":
                assert business.json()["type"] == "urn:orderflow:problem:not_found"
            metrics = (await process.http.get("/metrics")).text
            for name in ("orderflow_http_requests_total", "orderflow_outbox_events", "orderflow_todo_rows"):
                assert name in metrics
        codes = await asyncio.gather(*(process.stop() for process in processes.values()))
        assert codes == [0] * len(ROLES)


async def test_health_follows_the_database_and_the_broker(
    database: Database, broker: Broker, tmp_path: Path
) -> None:
    async with (
        gate_to(way_to_database(database.url)) as to_database,
        gate_to(way_to_broker(broker.bootstrap)) as to_broker,
    ):
        env = {
            **settings_of(database, broker),
            "DATABASE_URL": through(to_database, database.url),
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{to_broker.port}",
        }
        async with serving(env, tmp_path) as process:
            body = {"lines": [{"sku": "CUP", "quantity": 1}]}
            assert (await process.http.post("/receipts", json=body)).status_code == 201

            await to_database.cut()
            away = await process.http.get("/readyz")
            assert away.status_code == 503
            assert away.headers["content-type"] == "application/problem+json"
            assert away.json()["detail"].startswith("database: ")
            for _ in range(3):
                refused = await process.http.post("/receipts", json=body)
                assert refused.status_code == 503
                assert refused.json()["type"] == "urn:orderflow:problem:unavailable"
                assert refused.headers["retry-after"] == "1"
            assert [await process.status(path) for path in ("/livez", "/metrics")] == [200, 200]
            await to_database.open()
            await until(lambda: ready(process.status("/readyz")), what="ready again")
            assert (await process.http.post("/receipts", json=body)).status_code == 201
            assert (await process.http.get("/stock/CUP")).json()["on_hand"] == 2

            await to_broker.cut()
            away = await process.http.get("/readyz")
            assert (away.status_code, away.json()["detail"].split(":")[0]) == (503, "broker")
            assert (await process.http.post("/receipts", json=body)).status_code == 201
            await to_broker.open()
            await until(lambda: ready(process.status("/readyz")), what="ready again")
            assert await process.stop(30) == 0


async def ready(status: object) -> bool:
    """Whether this answer is a 200."""
    assert asyncio.iscoroutine(status)
    return bool(await status == 200)


async def test_it_stops_in_good_order_also_without_its_database(
    database: Database, broker: Broker, tmp_path: Path
) -> None:
    async with gate_to(way_to_database(database.url)) as gate:
        env = {**settings_of(database, broker), "DATABASE_URL": through(gate, database.url)}
        async with serving(env, tmp_path) as process:
            await gate.cut()
            assert await process.status("/readyz") == 503
            assert await process.stop(30) == 0


async def test_its_log_is_json_and_names_nobody(database: Database, broker: Broker, tmp_path: Path) -> None:
    env = {**settings_of(database, broker), "LOG_LEVEL": "DEBUG"}
    secret = "ann.smith@example.com"
    async with serving(env, tmp_path) as process:
        wrong = {"lines": [{"sku": secret + " x", "quantity": secret}], secret: secret}
        assert (await process.http.post("/receipts", json=wrong)).status_code == 422
        malformed = b'{"name": "' + secret.encode()
        headers = {"Content-Type": "application/json"}
        assert (await process.http.post("/receipts", content=malformed, headers=headers)).status_code == 400
        assert await process.status(f"/reservations/{secret}") == 422
        assert await process.status(f"/{secret}") == 404
        token = {"Authorization": f"Bearer {secret}"}
        assert (await process.http.get("/stock/X/movements", headers=token)).status_code == 401
        assert await process.stop() == 0
        lines = [json.loads(line) for line in process.log.read_text().splitlines()]
    events = [line["event"] for line in lines]
    assert (events.count("started"), events[-1]) == (1, "stopped")
    assert all({"event", "level", "timestamp"} <= line.keys() for line in lines)
    text = process.log.read_text()
    for words in (secret, "sesame", env["JWT_KEY"], env["DATA_KEY"], database.url):
        assert words not in text
