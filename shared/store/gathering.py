"""Questions that are asked in the same moment share one query."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Gathering(Generic[K, V]):
    """Looks things up by key. `fetch` gives what there is for many keys at once.

    What is asked until the event loop comes round again is asked together; nothing is kept.
    """

    def __init__(self, fetch: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._fetch = fetch
        self._asked: dict[K, asyncio.Future[V | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def get(self, key: K) -> V | None:
        """What there is for `key`, or None. Raises what `fetch` raises."""
        if not self._asked:
            task = asyncio.create_task(self._answer())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        answer = self._asked.setdefault(key, asyncio.get_running_loop().create_future())
        return await asyncio.shield(answer)

    async def _answer(self) -> None:
        asked, self._asked = self._asked, {}
        try:
            found = await self._fetch(list(asked))
        except BaseException as error:
            for answer in asked.values():
                if isinstance(error, Exception):
                    answer.set_exception(error)
                    answer.exception()  # if nobody waits any more, nobody needs to hear of it
                else:
                    answer.cancel()
            if not isinstance(error, Exception):
                raise
        else:
            for key, answer in asked.items():
                answer.set_result(found.get(key))
