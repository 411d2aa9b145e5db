"""What the contract's tests write: accounts, their rows, things to do, marks and answers."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from shared.domain.ids import derive
from shared.events.envelope import Actor, ActorKind, Recorded, event_id
from shared.events.registry import Registry
from shared.store import todo
from shared.store.idempotency import Answer
from shared.store.marks import Mark, Parked, Reason, StoredRecord
from shared.store.session import Session
from shared.store.todo import Entry, Wanted
from tests.integration.bank import accounts
from tests.integration.bank.accounts import ACCOUNT_ROWS, HOLDINGS, AccountRow, Deposited, HoldingRow, Opened

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEASE = timedelta(seconds=30)
REGISTRY = Registry(accounts.EVENTS)
CONSUMER = "auditor"


def recorded(stream: str, version: int, data: Any) -> Recorded[Any]:
    """An event with its whole envelope."""
    return Recorded(
        stream=stream,
        version=version,
        event_id=event_id(1, stream, version),
        type=type(data).__name__,
        schema_version=1,
        occurred_at=NOW + timedelta(microseconds=version),
        correlation_id=derive("correlation", stream),
        causation_id=None if version == 1 else event_id(1, stream, version - 1),
        actor=Actor(ActorKind.CUSTOMER, "ann"),
        epoch=1,
        data=data,
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" if version == 2 else None,
    )


def account(name: str, *, first: int = 1, last: int = 1, owner: str = "ann") -> list[Recorded[Any]]:
    """The events `first` to `last` of an account: opened, then a deposit of its version each."""
    return [
        recorded(
            f"account-{name}",
            version,
            Opened(owner=owner) if version == 1 else Deposited(owner=owner, amount=version),
        )
        for version in range(first, last + 1)
    ]


async def append(
    session: Session, events: Sequence[Recorded[Any]], *, expected: Mapping[str, int] | None = None
) -> None:
    """Append events that follow what their streams should have."""
    if expected is None:
        expected = {}
        for event in events:
            expected.setdefault(event.stream, event.version - 1)
    await session.append(REGISTRY, events, expected, {"account"})


async def versions(session: Session, stream: str) -> list[int]:
    """The versions of a stream as this session sees it."""
    return [event.version for event in (await session.load(REGISTRY, [stream]))[stream]]


def entry(wanted: Wanted, *, due: datetime = NOW, cause: str = "cause") -> Entry:
    """A row to write for something wanted."""
    return Entry(
        todo_id=wanted.todo_id(derive("cause", cause)),
        wanted=wanted,
        due=due,
        correlation_id=derive("correlation", cause),
        causation_id=derive("cause", cause),
    )


def effect(name: str, *, due: datetime = NOW, **payload: Any) -> Entry:
    """A letter to write."""
    return entry(todo.effect("letter", f"account-{name}", **payload), due=due, cause=name)


def timer(name: str, *, due: datetime = NOW, cause: str = "cause") -> Entry:
    """A timer of an account."""
    return Entry(
        todo_id=todo.timer_id(f"account-{name}", "remind"),
        wanted=todo.timer(f"account-{name}", "remind"),
        due=due,
        correlation_id=derive("correlation", cause),
        causation_id=derive("cause", cause),
    )


def parked(name: str, version: int, **changes: Any) -> Parked:
    """A record that waits."""
    fields: dict[str, Any] = {
        "stream": f"account-{name}",
        "version": version,
        "record": StoredRecord(
            "bank.events", 3, version, b"key", None, (("ce_epoch", b"1"), ("odd", None), ("", b"\xff"))
        ),
        "reason": Reason.EARLY,
        "error": None,
        "attempts": 0,
        "retry_at": NOW,
    }
    return Parked(**{**fields, **changes})


def answer(key: str, **changes: Any) -> Answer:
    """An answer to a request."""
    fields: dict[str, Any] = {
        "principal": "ann",
        "route": "POST /accounts",
        "key": key,
        "body_hash": b"\x00\xff" * 16,
        "status": 201,
        "headers": {"location": "/accounts/1"},
        "body": b"{}",
    }
    return Answer(**{**fields, **changes})


def account_row(name: str, **changes: Any) -> AccountRow:
    """The row of a new account."""
    fields: dict[str, Any] = {
        "account": f"account-{name}",
        "owner": "ann",
        "balance": 0,
        "moves": 0,
        "last_move_at": None,
        "memos": (),
    }
    return AccountRow(**{**fields, **changes})


async def write_everything(session: Session) -> None:
    """One of each kind of writing."""
    events = account("all", last=3)
    await append(session, events)
    await session.project(HOLDINGS, events)
    await session.insert(ACCOUNT_ROWS, account_row("all"))
    await session.update(ACCOUNT_ROWS, account_row("all", balance=7))
    await session.add_todo([effect("all", due=NOW + timedelta(days=9))])
    marks = await session.lock_marks(CONSUMER, ["account-all"])
    await session.move_marks(CONSUMER, {stream: Mark(1, 3) for stream in marks})
    await session.park(CONSUMER, [parked("all", 4)])
    await session.remember(answer("all"))


async def read_everything(session: Session) -> list[Any]:
    """What `write_everything` has written, as this session sees it."""
    return [
        (await session.load(REGISTRY, ["account-all"]))["account-all"],
        await session.find(HOLDINGS, ("ann",)),
        await session.query(ACCOUNT_ROWS, "true"),
        await session.parked_of(CONSUMER, ["account-all"]),
        await session.parked_due(CONSUMER, NOW, 10),
        await session.recall("ann", "POST /accounts", "all"),
    ]


NOTHING: list[Any] = [[], None, [], {}, [], None]
EVERYTHING: list[Any] = [
    account("all", last=3),
    HoldingRow(owner="ann", accounts=1, total=5),
    [account_row("all", balance=7)],
    {("account-all", 4): parked("all", 4)},
    [parked("all", 4)],
    answer("all"),
]
NOBODY = UUID(int=0)
