"""Waiting for something to become true, and background work that ends with its test."""

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

PATIENCE: Final = float(os.environ.get("ORDERFLOW_TEST_PATIENCE", "2"))
"""What every limit of time is multiplied by: a slow machine may take its time, planted mistakes need not."""


async def until(
    condition: Callable[[], Any], *, seconds: float = 30, poll: float = 0.02, what: str = "the condition"
) -> Any:
    """Ask `condition` (plain or async) until its answer is true, and give that; AssertionError in the end."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds * PATIENCE
    while True:
        answer = condition()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        if loop.time() > deadline:
            raise AssertionError(f"{what} did not hold within {seconds * PATIENCE} s; last answer {answer!r}")
        await pause(poll)


async def pause(seconds: float) -> None:
    """Let the other tasks run for a moment."""
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)


@asynccontextmanager
async def in_background(
    run: Callable[[asyncio.Event], Awaitable[None]], *, seconds: float = 40
) -> AsyncIterator[asyncio.Task[None]]:
    """`run(stop)` as a task in the block; then it is told to stop and must end in time without error."""

    async def body() -> None:
        await run(stop)

    stop = asyncio.Event()
    task = asyncio.create_task(body())
    try:
        yield task
    finally:
        stop.set()
        try:
            await asyncio.wait_for(task, seconds * PATIENCE)
        finally:
            task.cancel()
