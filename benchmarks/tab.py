"""The aggregate that benchmarks append to: a guest's tab, as small as one that still refuses things."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never
from uuid import UUID, uuid4

from shared.domain import Decider, Rejected


@dataclass(frozen=True, slots=True, kw_only=True)
class TabOpened:
    """A guest sat down."""

    guest: str
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemServed:
    """Something went onto the tab; `price` in minor units."""

    item: str
    quantity: int
    price: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TabPaid:
    """The tab was settled."""

    amount: int


TabEvent = TabOpened | ItemServed | TabPaid
EVENTS: tuple[type, ...] = (TabOpened, ItemServed, TabPaid)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTab:
    """Begin a tab."""

    tab: UUID
    guest: str
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Serve:
    """Put something onto an open tab."""

    tab: UUID
    item: str
    quantity: int
    price: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeAll:
    """Put many things onto an open tab at once."""

    tab: UUID
    items: tuple[ItemServed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pay:
    """Settle the tab."""

    tab: UUID


TabCommand = OpenTab | Serve | ServeAll | Pay


@dataclass(frozen=True, slots=True, kw_only=True)
class Tab:
    """What is owed."""

    owed: int = 0
    paid: bool = False


def decide(tab: Tab | None, command: TabCommand) -> Sequence[TabEvent]:
    """Refuses with no_tab or paid."""
    if isinstance(command, OpenTab):
        return [] if tab else [TabOpened(guest=command.guest, currency=command.currency)]
    if tab is None:
        raise Rejected("no_tab", "open it first")
    match command:
        case Serve(item=item, quantity=quantity, price=price):
            if tab.paid:
                raise Rejected("paid", "open another tab")
            return [ItemServed(item=item, quantity=quantity, price=price)]
        case ServeAll(items=items):
            if tab.paid:
                raise Rejected("paid", "open another tab")
            return items
        case Pay():
            return [] if tab.paid else [TabPaid(amount=tab.owed)]
    assert_never(command)


def evolve(tab: Tab | None, event: TabEvent, _at: datetime) -> Tab:
    """The tab after one more event."""
    tab = tab or Tab()
    match event:
        case TabOpened():
            return tab
        case ItemServed(quantity=quantity, price=price):
            return Tab(owed=tab.owed + quantity * price, paid=tab.paid)
        case TabPaid():
            return Tab(owed=tab.owed, paid=True)
    assert_never(event)


TAB: Decider[Tab, TabCommand, TabEvent] = Decider("tab", decide, evolve)


def evening(tabs: int, *, served: int = 3) -> Iterator[TabCommand]:
    """All commands of `tabs` guests, one guest after the other: open, `served` items, pay."""
    for _ in range(tabs):
        tab = uuid4()
        yield OpenTab(tab=tab, guest="Ada Lovelace", currency="EUR")
        for n in range(served):
            yield Serve(tab=tab, item=f"Espresso no. {n}", quantity=1 + n, price=250)
        yield Pay(tab=tab)


COMMANDS_A_TAB = 5
"""How many commands `evening` gives for each tab, each with one event."""
