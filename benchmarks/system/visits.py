"""Visitors of the measured shop: each fills a cart and changes their mind, one command after the other."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from time import perf_counter
from typing import Any
from uuid import uuid4

from benchmarks.system.people import DELIVERY, SKUS, Failed, Shop, sku_of
from shared.events.envelope import ActorKind

BOUGHT_ONE_IN = 10
"""So few visits end with a checkout."""

Command = Callable[[], Awaitable[Any]]


@dataclass(slots=True)
class Visit:
    """One cart. Its commands know what the answers before them said."""

    shop: Shop
    number: int

    def commands(self) -> Iterator[Command]:
        """Begin, fill, change, deliver; some visitors buy."""
        cart, token = uuid4(), self.shop.platform.token(ActorKind.CUSTOMER, str(uuid4()))
        here, lines = f"/carts/{cart}", [uuid4() for _ in range(3)]
        seen: dict[str, Any] = {}

        def command(method: str, path: str, body: Any = None) -> Command:
            async def send() -> None:
                seen.update(await self.shop.done("cart", method, path, token, body, str(uuid4())))

            return send

        yield command("POST", "/carts", {"cart_id": cart, "currency": "EUR", "locale": "en"})
        for n, line in enumerate(lines):
            wish = {"line_id": line, "sku": sku_of((3 * self.number + n) % SKUS), "quantity": 1 + n}
            yield command("POST", f"{here}/lines", wish)
        yield command("PATCH", f"{here}/lines/{lines[0]}", {"quantity": 4})
        yield command("DELETE", f"{here}/lines/{lines[1]}")
        yield command("PUT", f"{here}/delivery", DELIVERY)
        yield command("PATCH", f"{here}/lines/{lines[2]}", {"quantity": 1})
        if self.number % BOUGHT_ONE_IN == 0:

            async def buy() -> None:
                wish = {"expected_total": seen["totals"]["total"], "terms_version": "2026-01"}
                await self.shop.done("cart", "POST", f"{here}/checkout", token, wish, str(cart))

            yield buy


@dataclass(slots=True)
class Visitors:
    """So many at a time, each sending the next command in turn; who has ended is followed by another."""

    shop: Shop
    at_once: int
    come: int = 0

    def commands(self) -> Iterator[tuple[asyncio.Lock, Command]]:
        """Command after command, for ever; those with the same lock must follow one another."""
        visits = [self._next() for _ in range(self.at_once)]
        for n in cycle(range(self.at_once)):
            lock, rest = visits[n]
            command = next(rest, None)
            if command is None:
                visits[n] = lock, rest = self._next()
                command = next(rest)
            yield lock, command

    def _next(self) -> tuple[asyncio.Lock, Iterator[Command]]:
        self.come += 1
        return asyncio.Lock(), Visit(self.shop, self.come).commands()


async def open_loop(
    commands: Iterator[tuple[asyncio.Lock, Command]], rate: float, seconds: float
) -> Sequence[float]:
    """Begin a command every 1/`rate` s, whatever became of those before.

    Gives how long each took, in s from the instant at which it was due, sorted. Raises Failed for any that
    was refused.
    """
    took: list[float] = []
    start = perf_counter() + 0.05

    async def one(lock: asyncio.Lock, command: Command, due: float) -> None:
        async with lock:
            await command()
        took.append(perf_counter() - due)

    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            due = start + number / rate
            await asyncio.sleep(max(0.0, due - perf_counter()))
            group.create_task(one(*next(commands), due))
    if len(took) < int(rate * seconds):
        raise Failed(f"{int(rate * seconds) - len(took)} commands got no answer")
    return sorted(took)
