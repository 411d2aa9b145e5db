"""The teller's accounts: a public stream each, with a deadline while overdrawn, a reaction and an effect."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, assert_never
from uuid import UUID

from shared.domain import Decider, Rejected
from shared.events.envelope import Recorded
from shared.store import todo
from shared.store.readmodel import Key, ReadModel

GRACE = timedelta(hours=1)
LIMIT = -1000
LETTER_FROM = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    owner: str
    bonus: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposited:
    owner: str
    amount: int
    memo: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    owner: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reminded:
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterSent:
    owner: str
    letter_id: UUID


AccountEvent = Opened | Deposited | Withdrawn | Reminded | LetterSent
EVENTS: tuple[type, ...] = (Opened, Deposited, Withdrawn, Reminded, LetterSent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    account: str
    owner: str
    bonus: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposit:
    account: str
    amount: int
    memo: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdraw:
    account: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Remind:
    account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordLetter:
    account: str
    letter_id: UUID


AccountCommand = Open | Deposit | Withdraw | Remind | RecordLetter


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    owner: str
    balance: int = 0
    overdrawn_at: datetime | None = None
    letters: tuple[UUID, ...] = ()


def decide(state: Account | None, command: AccountCommand) -> Sequence[AccountEvent]:
    if isinstance(command, Open):
        return [] if state else [Opened(owner=command.owner, bonus=command.bonus)]
    if state is None:
        raise Rejected("no_account", "open it first")
    match command:
        case Deposit():
            return [Deposited(owner=state.owner, amount=command.amount, memo=command.memo)]
        case Withdraw():
            if state.balance - command.amount < LIMIT:
                raise Rejected("limit", "not that much")
            return [Withdrawn(owner=state.owner, amount=command.amount)]
        case Remind():
            return [Reminded(owner=state.owner)]
        case RecordLetter():
            if command.letter_id in state.letters:
                return []
            return [LetterSent(owner=state.owner, letter_id=command.letter_id)]
    assert_never(command)


def evolve(state: Account | None, event: AccountEvent, at: datetime) -> Account:
    if isinstance(event, Opened):
        return Account(owner=event.owner)
    assert state is not None
    match event:
        case Deposited() | Withdrawn():
            change = event.amount if isinstance(event, Deposited) else -event.amount
            balance = state.balance + change
            return replace(state, balance=balance, overdrawn_at=at if balance < 0 else None)
        case Reminded():
            return replace(state, overdrawn_at=None)
        case LetterSent():
            return replace(state, letters=(*state.letters, event.letter_id))
    assert_never(event)


def deadlines(state: Account) -> Mapping[str, datetime]:
    return {"remind": state.overdrawn_at + GRACE} if state.overdrawn_at else {}


ACCOUNT: Decider[Account, AccountCommand, AccountEvent] = Decider("account", decide, evolve, deadlines)


def react(event: Recorded[Any]) -> Iterable[todo.Wanted]:
    """A bonus for a new account; a letter about a large withdrawal."""
    match event.data:
        case Opened(bonus=bonus) if bonus:
            account = event.stream.removeprefix("account-")
            yield todo.command(Deposit(account=account, amount=bonus, memo="bonus"), event.stream)
        case Withdrawn(amount=amount) if amount >= LETTER_FROM:
            yield todo.effect("letter", event.stream, amount=amount)


@dataclass(frozen=True, slots=True)
class AccountRow:
    account: str
    owner: str
    balance: int
    moves: int
    last_move_at: datetime | None
    memos: tuple[str, ...]


def fold_account(row: AccountRow | None, event: Recorded[Any], key: Key) -> AccountRow | None:
    if isinstance(event.data, Opened):
        return AccountRow(str(key[0]), event.data.owner, 0, 0, None, ())
    assert row is not None
    match event.data:
        case Deposited(amount=amount, memo=memo):
            return replace(
                row,
                balance=row.balance + amount,
                moves=row.moves + 1,
                last_move_at=event.occurred_at,
                memos=(*row.memos, memo)[-5:] if memo else row.memos,
            )
        case Withdrawn(amount=amount):
            return replace(
                row, balance=row.balance - amount, moves=row.moves + 1, last_move_at=event.occurred_at
            )
    return row


@dataclass(frozen=True, slots=True)
class HoldingRow:
    owner: str
    accounts: int
    total: int


def fold_holding(row: HoldingRow | None, event: Recorded[Any], key: Key) -> HoldingRow | None:
    row = row or HoldingRow(str(key[0]), 0, 0)
    match event.data:
        case Opened():
            return replace(row, accounts=row.accounts + 1)
        case Deposited(amount=amount):
            return replace(row, total=row.total + amount)
        case Withdrawn(amount=amount):
            return replace(row, total=row.total - amount)
    return row


ACCOUNT_ROWS = ReadModel[AccountRow](
    name="account_rows",
    row=AccountRow,
    key=("account",),
    events=frozenset({Opened, Deposited, Withdrawn}),
    keys=lambda event: [(event.stream,)],
    fold=fold_account,
)
HOLDINGS = ReadModel[HoldingRow](
    name="holdings",
    row=HoldingRow,
    key=("owner",),
    events=frozenset({Opened, Deposited, Withdrawn}),
    keys=lambda event: [(event.data.owner,)],
    fold=fold_holding,
    shared_rows=True,
)
