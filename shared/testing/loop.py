"""An event loop in which time passes only when everybody waits: runs are fast and always the same."""

import asyncio
import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

FOR_TIDYING_UP = 100_000
"""Steps that a run has after it took too many."""


class Stuck(RuntimeError):  # noqa: N818
    """Everybody waits, and for nothing that will come; or the run takes more steps than it may."""


class VirtualLoop(asyncio.BaseEventLoop):
    """`time()` is virtual, in seconds from 0. There is no input or output but what a simulation makes up."""

    def __init__(self, most_steps: int = 50_000_000) -> None:
        super().__init__()
        self._now = 0.0
        self._steps_left = most_steps
        self._ready: Any
        self._scheduled: list[asyncio.TimerHandle]

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        while self._scheduled and self._scheduled[0].cancelled():
            heapq.heappop(self._scheduled)
        if not self._ready:
            if not self._scheduled:
                raise Stuck("everybody waits for something that will never come")
            self._now = max(self._now, self._scheduled[0].when())
        while self._scheduled and self._scheduled[0].when() <= self._now:
            self._ready.append(heapq.heappop(self._scheduled))
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if not handle.cancelled():
                handle._run()
                self._steps_left -= 1
        if self._steps_left < 0:
            self._steps_left = FOR_TIDYING_UP
            raise Stuck("the run took more steps than it may")

    def run_in_executor(self, *_: Any) -> Any:  # type: ignore[override]
        """Refused: threads would bring back chance."""
        raise RuntimeError("a simulation has no threads; make it a coroutine")

    def _write_to_self(self) -> None:
        """Nobody calls from another thread."""

    def _process_events(self, event_list: object) -> None:
        """Nothing comes from outside."""


@contextmanager
def seeded_entropy(seed: int) -> Iterator[None]:
    """Within the block ids, nonces and jitter come from `seed`, so that a run can be repeated exactly."""
    import os  # noqa: PLC0415
    import random  # noqa: PLC0415

    chance = Random(seed)  # noqa: S311 - to be repeatable is the point
    real: Callable[[int], bytes] = os.urandom
    state = random.getstate()
    os.urandom = chance.randbytes
    random.seed(seed)
    try:
        yield
    finally:
        os.urandom = real
        random.setstate(state)
