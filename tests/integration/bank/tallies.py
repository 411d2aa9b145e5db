"""The auditor's own streams: one tally an owner, which every deposit that it hears of adds to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from shared.domain import Decider, Rejected
from shared.events.envelope import Recorded
from shared.messaging.subscription import Do
from shared.store import todo
from shared.store.readmodel import Key, ReadModel
from tests.integration.bank.accounts import Deposited, Opened, Withdrawn

FOREIGN: tuple[type, ...] = (Opened, Deposited, Withdrawn)
"""The auditor does not know the teller's other event types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tallied:
    owner: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    owner: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TallyState:
    count: int = 0
    total: int = 0


def decide(_state: TallyState | None, command: Tally) -> Sequence[Tallied]:
    if command.amount == 0:
        raise Rejected("nothing", "there is nothing to tally")
    return [Tallied(owner=command.owner, amount=command.amount)]


def evolve(state: TallyState | None, event: Tallied, _at: datetime) -> TallyState:
    state = state or TallyState()
    return TallyState(count=state.count + 1, total=state.total + event.amount)


TALLY: Decider[TallyState, Tally, Tallied] = Decider("tally", decide, evolve, public=False)


class Auditing:
    """What the auditor does about an event; memos in `broken` make it fail until they are taken out."""

    def __init__(self) -> None:
        self.broken: set[str] = set()

    def react(self, event: Recorded[Any]) -> Iterable[Do | todo.Wanted]:
        match event.data:
            case Deposited(owner=owner, amount=amount, memo=memo):
                if memo in self.broken:
                    raise RuntimeError(f"cannot audit {memo}")
                yield Do(Tally(owner=owner, amount=amount), expects=frozenset({"nothing"}))
            case Withdrawn(amount=amount):
                yield todo.effect("report", event.stream, amount=amount)


@dataclass(frozen=True, slots=True)
class OverviewRow:
    owner: str
    tallied: int
    tallies: int
    heard: int
    accounts: tuple[str, ...]


def fold_overview(row: OverviewRow | None, event: Recorded[Any], key: Key) -> OverviewRow | None:
    row = row or OverviewRow(str(key[0]), 0, 0, 0, ())
    match event.data:
        case Tallied(amount=amount):
            return replace(row, tallied=row.tallied + amount, tallies=row.tallies + 1)
        case Deposited(amount=amount):
            return replace(row, heard=row.heard + amount)
        case Opened():
            return replace(row, accounts=tuple(sorted({*row.accounts, event.stream})))
    return row


OVERVIEW = ReadModel[OverviewRow](
    name="overviews",
    row=OverviewRow,
    key=("owner",),
    events=frozenset({Tallied, Deposited, Opened}),
    keys=lambda event: [(event.data.owner,)],
    fold=fold_overview,
    shared_rows=True,
)
