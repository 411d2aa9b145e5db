"""Plays days of purchases against a platform, some at a time, and says how far it is."""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.demo.client import GaveUp, Refused
from cli.demo.people import Shop
from cli.demo.scenario import Purchase
from cli.platform import Platform

HTTP_TIMEOUT_S = 15.0


class Meter(Protocol):
    """Shows progress to a person."""

    def step(self, text: str) -> None:
        """One more purchase has come to its end."""
        ...


async def play(
    platform: Platform,
    purchases: Sequence[Purchase],
    *,
    run: str,
    at_once: int,
    meter: Meter,
    strangers: int = 1,
) -> Counter[str]:
    """Play all purchases, `at_once` side by side, after `strangers` have paid; gives orders by final status.

    Raises GaveUp or Refused for the first purchase that does not go as planned; the others end with it.
    """
    limits = httpx.Limits(max_connections=4 * at_once, max_keepalive_connections=4 * at_once)
    async with httpx.AsyncClient(timeout=HTTP_TIMEOUT_S, limits=limits, trust_env=False) as http:
        shop = Shop.of(platform, http, run)
        await shop.open(list(purchases), run)
        for number in range(strangers):
            await shop.be_paid_by_a_stranger(f"{run} {number}")
        waiting = iter(purchases)
        ended: Counter[str] = Counter()

        async def buyers() -> None:
            for purchase in waiting:
                try:
                    status = await shop.play(purchase)
                except (GaveUp, Refused) as error:
                    raise GaveUp(f"{purchase.name}: {error}") from error
                ended[status] += 1
                meter.step(f"{purchase.name}: {status.lower()}")

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(buyers())
    return ended


class _Lines:
    """Progress as plain lines, one for every tenth."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0

    def step(self, text: str) -> None:
        self._done += 1
        if self._done * 10 // self._total > (self._done - 1) * 10 // self._total:
            print(f"{self._done} of {self._total} orders have come to their end ({text})", file=sys.stderr)


class _Bar:
    """Progress as a bar."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("orders", total=total)

    def step(self, text: str) -> None:
        self._progress.update(self._task, advance=1, description=text)


@contextmanager
def meter(total: int) -> Iterator[Meter]:
    """A progress bar on a terminal, plain lines otherwise; always on standard error."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(total)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Bar(progress, total)
