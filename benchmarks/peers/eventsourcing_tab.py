"""The same tab with the `eventsourcing` library, as its documentation shows it, on its Postgres recorder."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from time import perf_counter
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from benchmarks.tab import OpenTab, Pay, Serve, TabCommand, evening

WARM_UP_TABS = 4
START_LIMIT_S = 60.0
RUN_LIMIT_S = 100.0


class Tab(Aggregate):
    """What is owed."""

    @event("Opened")
    def __init__(self, guest: str, currency: str) -> None:
        self.guest, self.currency = guest, currency
        self.owed, self.paid = 0, False

    @event("ItemServed")
    def serve(self, item: str, quantity: int, price: int) -> None:
        """Put something onto the tab."""
        if self.paid:
            raise ValueError("open another tab")
        self.owed += quantity * price

    @event("Paid")
    def pay(self, amount: int) -> None:
        """Settle the tab."""
        self.paid = True


@dataclass(frozen=True, slots=True)
class Settings:
    """Where a bar keeps its tabs; `functions`: append by the library's stored function."""

    user: str
    database: str
    host: str
    functions: bool


class Bar(Application[UUID]):
    """Keeps tabs; no snapshots, no cache of aggregates."""

    name = "bar"

    def __init__(self, settings: Settings, connections: int) -> None:
        super().__init__(
            {
                "PERSISTENCE_MODULE": "eventsourcing.postgres",
                "POSTGRES_DBNAME": settings.database,
                "POSTGRES_HOST": settings.host,
                "POSTGRES_PORT": "5432",
                "POSTGRES_USER": settings.user,
                "POSTGRES_PASSWORD": "",
                "POSTGRES_POOL_SIZE": str(connections),
                "POSTGRES_MAX_OVERFLOW": "0",
                "POSTGRES_PRE_PING": "n",
                "POSTGRES_ENABLE_DB_FUNCTIONS": "y" if settings.functions else "n",
            }
        )
        self._tabs: dict[UUID, UUID] = {}

    def do(self, command: TabCommand) -> None:
        """Load, decide, append."""
        match command:
            case OpenTab(guest=guest, currency=currency):
                tab = Tab(guest=guest, currency=currency)
                self._tabs[command.tab] = tab.id
            case Serve(item=item, quantity=quantity, price=price):
                tab = self.repository.get(self._tabs[command.tab])
                tab.serve(item=item, quantity=quantity, price=price)
            case Pay():
                tab = self.repository.get(self._tabs.pop(command.tab))
                tab.pay(amount=tab.owed)
        self.save(tab)

    def do_all(self, commands: Iterable[TabCommand]) -> None:
        """One after the other."""
        for command in commands:
            self.do(command)

    def serve_at_once(self, items: int) -> None:
        """A new tab with so many items, saved in one transaction."""
        tab = Tab(guest="Ada Lovelace", currency="EUR")
        for n in range(items - 1):
            tab.serve(item=f"Espresso no. {n}", quantity=1, price=250)
        self.save(tab)


def in_threads(settings: Settings, threads: int, tabs: int) -> float:
    """So many threads, each with so many tabs, in this process; gives the seconds that it took."""
    bar = Bar(settings, threads)
    try:
        _serve(bar, threads, WARM_UP_TABS)
        return _serve(bar, threads, tabs)
    finally:
        bar.close()


def in_processes(settings: Settings, processes: int, threads: int, tabs: int) -> float:
    """The same in so many processes with so many threads each."""
    context = get_context("spawn")
    ready, go, first = context.Queue(), context.Event(), context.Lock()
    children = [
        context.Process(target=_child, args=(settings, threads, tabs, ready, go, first), daemon=True)
        for _ in range(processes)
    ]
    for child in children:
        child.start()
    try:
        for _ in children:
            ready.get(timeout=START_LIMIT_S)
        start = perf_counter()
        go.set()
        for _ in children:
            ready.get(timeout=RUN_LIMIT_S)
        return perf_counter() - start
    finally:
        for child in children:
            child.join(START_LIMIT_S)


def at_once(settings: Settings, transactions: int, events: int) -> float:
    """So many transactions, each with a new tab of so many events."""
    bar = Bar(settings, 1)
    try:
        bar.serve_at_once(events)
        start = perf_counter()
        for _ in range(transactions):
            bar.serve_at_once(events)
        return perf_counter() - start
    finally:
        bar.close()


def _serve(bar: Bar, threads: int, tabs: int) -> float:
    work: Sequence[list[TabCommand]] = [list(evening(tabs)) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        start = perf_counter()
        for done in [pool.submit(bar.do_all, commands) for commands in work]:
            done.result()
        return perf_counter() - start


def _child(settings: Settings, threads: int, tabs: int, ready: Any, go: Any, first: Any) -> None:
    with first:  # it makes its tables, which two cannot do at once
        bar = Bar(settings, threads)
    _serve(bar, threads, WARM_UP_TABS)
    ready.put("ready")
    go.wait(START_LIMIT_S)
    _serve(bar, threads, tabs)
    ready.put("done")
    bar.close()
