"""Rows on their way into a shadow table: folded in memory, a bounded number at a time, written by COPY."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from shared.events.envelope import Recorded
from shared.store.connection import Connection
from shared.store.readmodel import Key, ReadModel

R = TypeVar("R")

IN_HAND = 20_000
"""Rows held at most, beside those that one chunk of events touches."""


class Shadow(Generic[R]):
    """The rows of `model` in the making, in a `table` that nobody else writes; begins empty.

    Rows that no event has touched for a while are written out and read again if they are needed once more: a
    row that is complete when it leaves costs one COPY, whatever number of events made it.
    """

    def __init__(
        self, model: ReadModel[R], table: str, connection: Connection, *, in_hand: int = IN_HAND
    ) -> None:
        self._model, self._table, self._connection = model, table, connection
        self._half = in_hand // 2
        self._recent: dict[Key, R | None] = {}
        self._older: dict[Key, R | None] = {}
        self._as_written: dict[Key, R] = {}
        """Rows in hand that the table holds too, as it holds them."""
        self._has_rows = False

    async def fold(self, events: Iterable[Recorded[Any]]) -> None:
        """Fold `events`, in this order."""
        touched = self._model.touched(events)
        await self._take_in_hand({key for _, keys in touched for key in keys})
        rows, fold = self._recent, self._model.fold
        for event, keys in touched:
            for key in keys:
                rows[key] = fold(rows.get(key), event, key)
        if len(rows) > self._half:
            await self._write(self._older)
            self._recent, self._older = {}, rows

    async def flush(self) -> None:
        """Write everything out."""
        await self._write({**self._older, **self._recent})
        self._recent, self._older = {}, {}

    async def _take_in_hand(self, keys: Iterable[Key]) -> None:
        missing: list[Key] = []
        for key in keys:
            if key in self._older:
                self._recent[key] = self._older.pop(key)
            elif key not in self._recent:
                missing.append(key)
        if missing and self._has_rows:
            found = await self._model.read_rows(self._connection, self._table, missing)
            self._as_written |= found
            self._recent |= found

    async def _write(self, rows: Mapping[Key, R | None]) -> None:
        new: list[R] = []
        changed: list[R] = []
        gone: list[Key] = []
        for key, row in rows.items():
            before = self._as_written.pop(key, None)
            if row is None:
                if before is not None:
                    gone.append(key)
            elif before is None:
                new.append(row)
            elif row != before:
                changed.append(row)
        if new:
            await self._copy(new)
            self._has_rows = True
        await self._model.write_rows(self._connection, self._table, changed)
        await self._model.delete_rows(self._connection, self._table, gone)

    async def _copy(self, rows: Sequence[R]) -> None:
        await self._connection.copy_records_to_table(
            self._table, records=map(tuple, map(self._model.encode, rows)), columns=self._model.columns
        )
