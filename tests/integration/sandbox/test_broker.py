"""The embedded broker as a child process: takes records, and comes back empty on the same port."""

from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.consumer import AIOKafkaConsumer

from sandbox.broker import BrokerProcess
from sandbox.command import free_ports, running

pytestmark = pytest.mark.integration


async def test_keeps_records_while_it_lives(tmp_path: Path) -> None:
    broker = BrokerProcess(*free_ports(1))
    async with running(broker.command(), ready=broker.ready, log=tmp_path / "log"):
        await _create_topic(broker, "orders.events")
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers())
        await producer.start()
        await producer.send_and_wait("orders.events", b"one", partition=3)
        await producer.stop()

        consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap_servers())
        await consumer.start()
        partition = TopicPartition("orders.events", 3)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        record = await consumer.getone()
        await consumer.stop()

    assert record.value == b"one"
    assert not await broker.ready()


async def test_comes_back_empty_on_its_port_after_sigkill(tmp_path: Path) -> None:
    broker = BrokerProcess(*free_ports(1))
    async with running(broker.command(), ready=broker.ready, log=tmp_path / "log") as process:
        await _create_topic(broker, "orders.events")
        assert await _topics(broker) == ["orders.events"]
        process.kill()
        await process.wait()

    async with running(broker.command(), ready=broker.ready, log=tmp_path / "log"):
        assert await _topics(broker) == []


async def _create_topic(broker: BrokerProcess, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers())
    await admin.start()
    await admin.create_topics([NewTopic(name, num_partitions=12, replication_factor=1)])
    await admin.close()


async def _topics(broker: BrokerProcess) -> list[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers())
    await admin.start()
    names: list[str] = await admin.list_topics()
    await admin.close()
    return names
