"""The service as a process between a real broker and a real mail server; its log names nobody."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from sandbox.command import Command, free_ports, running
from services.notifications.app import SERVICE
from shared.events.envelope import Recorded
from shared.messaging.topics import ensure_topics
from shared.service.settings import SettingsError, load
from tests.backends import Broker
from tests.conftest import MakeDatabase
from tests.integration.sandbox.test_mail import Mail
from tests.integration.services.notifications.desk import (
    PERSONAL,
    Order,
    environment,
    records,
    summary,
)
from tests.waiting import until

pytestmark = pytest.mark.integration


async def publish(broker: Broker, events: Sequence[Recorded[Any]]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, enable_idempotence=broker.idempotent)
    await producer.start()
    try:
        for record in records(events):
            headers = [(name, value or b"") for name, value in record.headers]
            await producer.send_and_wait(record.topic, record.value, key=record.key, headers=headers)
    finally:
        await producer.stop()


async def test_mails_what_it_hears_and_logs_nothing_personal(
    make_database: MakeDatabase, broker: Broker, mail: Mail, tmp_path: Path
) -> None:
    database = await make_database(SERVICE.migrations, "notifications")
    await ensure_topics(broker.bootstrap, ["orders.events", "returns.events"])
    (port,) = free_ports(1)
    env = {
        **os.environ,
        **environment(database, mail.smtp_port),
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap,
        "KAFKA_IDEMPOTENCE": str(broker.idempotent),
        "LOG_LEVEL": "DEBUG",
        "PORT": str(port),
    }
    command = Command(argv=(sys.executable, "-m", "services.notifications"), env=env)
    log = tmp_path / "notifications.log"
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:

        async def ready() -> bool:
            try:
                return (await http.get("/readyz")).status_code == 200
            except httpx.TransportError:
                return False

        async def done() -> bool:
            metrics = (await http.get("/metrics")).text
            return all(
                line in metrics
                for line in (
                    'orderflow_messages{status="SENT"} 17.0',
                    'orderflow_messages{status="BOUNCED"} 1.0',
                )
            )

        async with running(command, ready=ready, log=log) as process:
            order, bounced = Order(), Order(email="bounce@example.com")
            order.confirmed()
            await publish(broker, [*order.everything_else(), *bounced.confirmed()])
            await until(done, what="every mail is sent or bounced")
            assert (await http.get("/livez")).status_code == 200
        assert process.returncode == 0
    assert await summary(mail) == {"total": 17, "distinct": 17, "resent": 0}
    written = log.read_text()
    assert "started" in written
    for words in (*PERSONAL, "bounce@example.com"):
        assert words not in written


def test_wrong_settings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    good = {
        "DATABASE_URL": "postgresql://x",
        "KAFKA_BOOTSTRAP_SERVERS": "x:1",
        "JWT_KEY": "j" * 32,
        "DATA_KEY": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=",
        "PORT": "1",
    }
    for name, value in good.items():
        monkeypatch.setenv(name, value)
    assert load(SERVICE.settings).shop.support_email == "shop@shop.example"
    for name, value in {
        "SENDER": "nobody",
        "SMTP_PORT": "0",
        "SMTP_TIMEOUT_S": "29",
        "SHOP_URL": "javascript:alert(1)",
    }.items():
        with monkeypatch.context() as wrong:
            wrong.setenv(name, value)
            with pytest.raises(SettingsError, match=name):
                load(SERVICE.settings)
