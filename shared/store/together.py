"""Group commit: units of work that are asked for at the same time share one transaction.

While one transaction is under way, what arrives waits and becomes the next one: alone a unit waits for
nobody, and under load a transaction carries many. Whatever goes wrong with a shared transaction, each of
its units is then tried in one of its own.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from shared.domain import Rejected
from shared.events.envelope import Cause
from shared.store.errors import CONNECTION_LOST

if TYPE_CHECKING:
    from shared.store.store import Store
    from shared.store.unit_of_work import UnitOfWork

T = TypeVar("T")

MOST_AT_ONCE = 4
"""Shared transactions under way at most."""
PATIENCE_S = 0.02
"""A transaction that takes longer, such as one that waits for a lock, holds up no others any more."""


@dataclass(slots=True)
class _Unit:
    """One unit of work that somebody waits for."""

    cause: Cause
    work: "Callable[[UnitOfWork], Awaitable[Any]]"
    streams: tuple[str, ...]
    answer: "asyncio.Future[Any]" = field(default_factory=asyncio.Future)


class Together:
    """Runs units of work of one store, at most `most` in a transaction."""

    def __init__(self, store: "Store", most: int) -> None:
        self._store = store
        self._most = most
        self._waiting: deque[_Unit] = deque()
        self._under_way: dict[object, float] = {}

    async def transact(
        self, cause: Cause, work: "Callable[[UnitOfWork], Awaitable[T]]", streams: Iterable[str]
    ) -> T:
        """See Store.transact."""
        if not self._waiting and not self._under_way:
            return await self._at_once(cause, work)
        unit = _Unit(cause, work, tuple(streams))
        self._waiting.append(unit)
        asyncio.get_running_loop().call_soon(self._start)  # when all that is asked for now is here
        result: T = await unit.answer
        return result

    async def _at_once(self, cause: Cause, work: "Callable[[UnitOfWork], Awaitable[T]]") -> T:
        """With nobody else about: in the caller's own task, while others may come and wait."""
        place = object()
        self._under_way[place] = asyncio.get_running_loop().time()
        try:
            return await self._store.transact_alone(cause, work)
        finally:
            self._ended(place)

    def _start(self) -> None:
        """Begin a transaction with what waits, unless a young one is under way: its end begins the next."""
        loop = asyncio.get_running_loop()
        if not self._waiting or len(self._under_way) >= MOST_AT_ONCE:
            return
        youngest = max(self._under_way.values(), default=0.0)
        if self._under_way and (left := youngest + PATIENCE_S - loop.time()) > 0:
            loop.call_later(left, self._start)
            return
        units = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        task = loop.create_task(self._run(units))
        self._under_way[task] = loop.time()
        task.add_done_callback(self._ended)

    def _ended(self, task: object) -> None:
        del self._under_way[task]
        self._start()

    async def _run(self, units: list[_Unit]) -> None:
        try:
            if len(units) == 1:
                await self._alone(units[0])
            else:
                await self._share(units)
        finally:
            for unit in units:
                unit.answer.cancel()

    async def _share(self, units: list[_Unit]) -> None:
        try:
            outcomes = await self._in_one(units)
        except CONNECTION_LOST as error:
            for unit in units:  # nobody knows whether it was committed: each decides whether to ask again
                _fail(unit, error)
        except Exception:  # noqa: BLE001 - one of them failed or met another writer; each will say for itself
            await asyncio.gather(*(self._alone(unit) for unit in units))
        else:
            for unit, outcome in zip(units, outcomes, strict=True):
                if isinstance(outcome, Rejected):
                    _fail(unit, outcome)
                elif not unit.answer.done():
                    unit.answer.set_result(outcome)

    async def _in_one(self, units: list[_Unit]) -> list[Any]:
        """What each unit gives, or the refusal that it met; committed."""
        outcomes: list[Any] = []
        async with self._store.unit_of_work(Cause()) as uow:
            await uow.prefetch(stream for unit in units for stream in unit.streams)
            for unit in units:
                try:
                    with uow.attempt(unit.cause):
                        outcomes.append(await unit.work(uow))
                except Rejected as refusal:
                    outcomes.append(refusal)
        return outcomes

    async def _alone(self, unit: _Unit) -> None:
        try:
            result = await self._store.transact_alone(unit.cause, unit.work)
        except Exception as error:  # noqa: BLE001 - it is for the one who asked
            _fail(unit, error)
        else:
            if not unit.answer.done():
                unit.answer.set_result(result)


def _fail(unit: _Unit, error: Exception) -> None:
    if not unit.answer.done():
        unit.answer.set_exception(error)
