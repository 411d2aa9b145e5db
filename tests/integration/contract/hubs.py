"""The brokers under test: the one of the fixtures behind aiokafka and FastStream, and one of lists."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from shared.messaging.cloudevents import KafkaRecord, parse
from shared.messaging.consumer import Consumer
from shared.messaging.reading import stored
from shared.messaging.subscriber import Subscriber
from shared.messaging.topic_reader import read_topics
from shared.messaging.topic_writer import TopicWriter, open_topic
from shared.messaging.topics import topic_of
from shared.store.marks import StoredRecord
from shared.testing.broker import Broker as Lists
from shared.testing.broker import Member, memory_topic
from tests.backends import Broker, OwnBroker
from tests.waiting import in_background

Handle = Callable[[Sequence[KafkaRecord]], Awaitable[None]]


class Hub(Protocol):
    """A broker with the topic of one service that no other test knows."""

    def topic(self) -> AbstractAsyncContextManager[TopicWriter]: ...

    def member(self, group: str, handle: Handle) -> AbstractAsyncContextManager[object]:
        """A member of a group that hears the topic within the block."""
        ...

    async def records(self) -> Mapping[int, list[StoredRecord]]:
        """What the topic holds, by partition."""
        ...


class PerishableHub(Hub, Protocol):
    """A broker of one test's own."""

    async def stop(self) -> None:
        """It goes away, and loses everything."""
        ...

    async def start(self) -> None:
        """It comes back."""
        ...


class KafkaHub:
    """A real broker."""

    def __init__(self, broker: Broker, own: OwnBroker | None = None) -> None:
        self._broker = broker
        self._own = own
        self._service = f"contract_{secrets.token_hex(4)}"

    def topic(self) -> AbstractAsyncContextManager[TopicWriter]:
        return open_topic(self._broker.bootstrap, self._service, idempotent=self._broker.idempotent)

    def member(self, group: str, handle: Handle) -> AbstractAsyncContextManager[object]:
        subscriber = Subscriber(
            _Hearing(handle),
            group=f"{self._service}_{group}",
            topics=[topic_of(self._service)],
            bootstrap=self._broker.bootstrap,
            instance=None,
        )
        return in_background(subscriber.run)

    async def records(self) -> Mapping[int, list[StoredRecord]]:
        found: dict[int, list[StoredRecord]] = {}
        async for records in read_topics(self._broker.bootstrap, [topic_of(self._service)]):
            for record in records:
                found.setdefault(record.partition, []).append(stored(record))
        return found

    async def stop(self) -> None:
        assert self._own is not None
        await self._own.kill()

    async def start(self) -> None:
        assert self._own is not None
        await self._own.start()


class _Hearing(Consumer):
    """Hands batches to a test instead of a store."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def handle_batch(self, records: Sequence[KafkaRecord]) -> None:
        await self._handle(records)

    async def unheard(self, records: Iterable[KafkaRecord]) -> list[KafkaRecord]:
        return []

    async def retry_parked(self, limit: int = 100) -> int:
        return 0


class MemoryHub:
    """Lists."""

    def __init__(self) -> None:
        self._broker = Lists()
        self._service = "contract"

    def topic(self) -> AbstractAsyncContextManager[TopicWriter]:
        return memory_topic(self._broker, self._service)

    @asynccontextmanager
    async def member(self, group: str, handle: Handle) -> AsyncIterator[object]:
        member = Member(self._broker, group, [topic_of(self._service)], handle)
        member.join()
        stop = asyncio.Event()
        task = asyncio.create_task(member.run(stop))
        try:
            yield task
        finally:
            stop.set()
            member.news.set()
            await task
            member.leave()

    async def records(self) -> Mapping[int, list[StoredRecord]]:
        logs = self._broker.partitions(topic_of(self._service))
        return {number: list(log) for number, log in enumerate(logs) if log}

    async def stop(self) -> None:
        self._broker.up = False
        self._broker.lose_everything()

    async def start(self) -> None:
        self._broker.up = True


class Ears:
    """What a member does with its batches: it may be told to wait or to fail, and remembers what it heard."""

    def __init__(self) -> None:
        self.tried: list[list[tuple[str, int]]] = []
        self.heard: list[tuple[str, int]] = []
        self.failing = False
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, records: Sequence[KafkaRecord]) -> None:
        batch = [(item.stream, item.version) for item in map(parse, records)]
        self.tried.append(batch)
        await self.go_on.wait()
        if self.failing:
            raise RuntimeError("this batch cannot be applied now")
        self.heard += batch
