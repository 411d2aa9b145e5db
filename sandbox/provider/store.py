"""The provider's memory: one SQLite file, changed in short transactions.

WAL with synchronous=NORMAL: a commit survives a SIGKILL of this process. Only a crash of the whole machine
may undo the last ones, and then every other store of the sandbox is gone too.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS intents (
    id TEXT PRIMARY KEY, reference TEXT NOT NULL UNIQUE, client_secret TEXT NOT NULL,
    amount INTEGER NOT NULL, currency TEXT NOT NULL, capture_method TEXT NOT NULL, metadata TEXT NOT NULL,
    status TEXT NOT NULL, amount_authorized INTEGER NOT NULL DEFAULT 0,
    amount_captured INTEGER NOT NULL DEFAULT 0, amount_voided INTEGER NOT NULL DEFAULT 0,
    amount_refunded INTEGER NOT NULL DEFAULT 0, card TEXT, decline_code TEXT,
    expires_at REAL, failed_captures INTEGER NOT NULL DEFAULT 0, failed_refunds INTEGER NOT NULL DEFAULT 0,
    events INTEGER NOT NULL DEFAULT 0, created REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS operations (
    id TEXT PRIMARY KEY, intent_id TEXT NOT NULL REFERENCES intents, kind TEXT NOT NULL,
    amount INTEGER NOT NULL, reference TEXT, created REAL NOT NULL, UNIQUE (intent_id, kind, reference)
);
CREATE TABLE IF NOT EXISTS ledger (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, amount INTEGER NOT NULL,
    currency TEXT NOT NULL, reference TEXT NOT NULL, intent_id TEXT NOT NULL, provider_ref TEXT NOT NULL,
    operation_reference TEXT, at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS due (
    intent_id TEXT NOT NULL REFERENCES intents, what TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (intent_id, what)
);
CREATE INDEX IF NOT EXISTS due_at ON due (at);
CREATE TABLE IF NOT EXISTS webhooks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, intent_id TEXT NOT NULL, body TEXT NOT NULL,
    copies INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, next_at REAL
);
CREATE INDEX IF NOT EXISTS webhooks_next ON webhooks (next_at) WHERE next_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS answers (
    route TEXT NOT NULL, key TEXT NOT NULL, fingerprint TEXT NOT NULL, status INTEGER NOT NULL,
    body TEXT NOT NULL, PRIMARY KEY (route, key)
);
"""

Row = dict[str, Any]


class Store:
    """All statements run on one connection, in the thread of the event loop, for well under a millisecond."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.executescript(SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. Must not be held over an `await`."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def all(self, sql: str, *values: object) -> list[Row]:
        """The rows of a query."""
        return [dict(row) for row in self._connection.execute(sql, values)]

    def one(self, sql: str, *values: object) -> Row | None:
        """The first row of a query, if any."""
        row = self._connection.execute(sql, values).fetchone()
        return dict(row) if row else None

    def insert(self, table: str, **values: object) -> None:
        """Add a row; names of tables and columns come from the code only."""
        marks = ", ".join("?" for _ in values)
        sql = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})"  # noqa: S608
        self._connection.execute(sql, tuple(values.values()))

    def update(self, table: str, key: dict[str, object], **values: object) -> None:
        """Change the row that has this key."""
        changes = ", ".join(f"{name} = ?" for name in values)
        where = " AND ".join(f"{name} = ?" for name in key)
        sql = f"UPDATE {table} SET {changes} WHERE {where}"  # noqa: S608
        self._connection.execute(sql, (*values.values(), *key.values()))

    def execute(self, sql: str, *values: object) -> None:
        """Any other statement."""
        self._connection.execute(sql, values)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()
