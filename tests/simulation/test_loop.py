"""Virtual time: it passes when everybody waits, at once, and never by itself."""

import asyncio
import os
import random
import uuid

import pytest

from shared.testing.loop import Stuck, VirtualLoop, seeded_entropy


def in_virtual_time(coroutine: object) -> object:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)  # type: ignore[arg-type]


def test_a_day_passes_at_once() -> None:
    async def day() -> float:
        await asyncio.sleep(86_400)
        return asyncio.get_running_loop().time()

    assert in_virtual_time(day()) == 86_400


def test_who_waits_less_goes_first() -> None:
    async def race() -> list[str]:
        done: list[str] = []

        async def one(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            done.append(name)

        await asyncio.gather(one("slow", 3), one("fast", 1), one("middle", 2))
        return done

    assert in_virtual_time(race()) == ["fast", "middle", "slow"]


def test_a_timeout_strikes_in_virtual_time() -> None:
    async def impatient() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.sleep(10)
        return asyncio.get_running_loop().time()

    assert in_virtual_time(impatient()) == 5


def test_waiting_for_nothing_is_noticed() -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stuck, match="never come"):
        in_virtual_time(forever())


def test_running_for_ever_is_noticed() -> None:
    def busy() -> None:
        asyncio.get_running_loop().call_soon(busy)

    async def never_alone() -> None:
        busy()
        await asyncio.Event().wait()

    with (
        pytest.raises(Stuck, match="more steps"),
        asyncio.Runner(loop_factory=lambda: VirtualLoop(most_steps=1000)) as runner,
    ):
        runner.run(never_alone())


def test_threads_are_refused() -> None:
    async def threaded() -> None:
        await asyncio.to_thread(int)

    with pytest.raises(RuntimeError, match="no threads"):
        in_virtual_time(threaded())


def test_ids_and_chance_come_from_the_seed_and_only_within_the_block() -> None:
    def drawn(seed: int) -> tuple[uuid.UUID, float, bytes]:
        with seeded_entropy(seed):
            return uuid.uuid4(), random.random(), os.urandom(8)

    assert drawn(1) == drawn(1) != drawn(2)
    assert uuid.uuid4() != uuid.uuid4()
