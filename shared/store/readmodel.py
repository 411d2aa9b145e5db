"""Read models: rows folded from events. One fold serves inline, consumed and rebuilt rows."""

import types
import typing
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from enum import StrEnum
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from uuid import UUID

from pydantic import TypeAdapter

from shared.events.envelope import Recorded
from shared.store.connection import Connection, Record

if TYPE_CHECKING:
    from shared.store.session import Session

R = TypeVar("R")
Key = tuple[Hashable, ...]

_PLAIN: dict[object, str] = {
    str: "text",
    int: "bigint",
    bool: "boolean",
    UUID: "uuid",
    datetime: "timestamptz",
    date: "date",
}


@dataclass(frozen=True)
class Table(Generic[R]):
    """A table whose rows are frozen dataclasses.

    The fields of `row` are the columns (str, int, bool, UUID, datetime and date as such, StrEnum as text,
    anything else as jsonb); `key` names the primary key columns.
    """

    name: str
    row: type[R]
    key: tuple[str, ...]

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The table's columns in the order of the row's fields."""
        return tuple(field.name for field in fields(self.row))  # type: ignore[arg-type]

    @cached_property
    def _codecs(self) -> Mapping[str, "_Codec"]:
        hints = typing.get_type_hints(self.row)
        return {name: _Codec.of(hints[name]) for name in self.columns}

    @cached_property
    def _key_types(self) -> tuple[str, ...]:
        return tuple(self._codecs[name].column for name in self.key)

    @cached_property
    def _is_key(self) -> str:
        return " AND ".join(f"{name} = ${n}" for n, name in enumerate(self.key, start=1))

    def key_of(self, row: R) -> Key:
        """The row's primary key."""
        return tuple(getattr(row, name) for name in self.key)

    @cached_property
    def _values(self) -> Callable[[R], tuple[object, ...]]:
        return (
            attrgetter(*self.columns)
            if len(self.columns) > 1
            else lambda row: (getattr(row, self.columns[0]),)
        )

    @cached_property
    def _encoders(self) -> Sequence[tuple[int, Callable[[Any], object]]]:
        codecs = enumerate(self._codecs.values())
        return [(place, codec.encode) for place, codec in codecs if codec.encode is not _same]

    @cached_property
    def _decoders(self) -> Sequence[tuple[str, Callable[[Any], Any]]]:
        return [(name, codec.decode) for name, codec in self._codecs.items() if codec.decode is not _same]

    def encode(self, row: R) -> Sequence[object]:
        """The row as column values."""
        values = list(self._values(row))
        for place, encode in self._encoders:
            if values[place] is not None:
                values[place] = encode(values[place])
        return values

    def decode(self, record: Record) -> R:
        """The row that these column values hold."""
        values = dict(record.items())
        for name, decode in self._decoders:
            if values[name] is not None:
                values[name] = decode(values[name])
        return self.row(**values)

    async def find(self, session: "Session", *key: Hashable, lock: bool = False) -> R | None:
        """The row with this key, or None; `lock` keeps others from changing it in this transaction."""
        return await session.find(self, key, lock=lock)

    async def query(self, session: "Session", condition: str, *arguments: object) -> list[R]:
        """The rows where `condition` (SQL, may end in ORDER BY and LIMIT) holds."""
        return await session.query(self, condition, *arguments)

    def select(self, condition: str, table: str | None = None) -> str:
        """SQL that reads whole rows where `condition` holds."""
        return f"SELECT {', '.join(self.columns)} FROM {table or self.name} WHERE {condition}"  # noqa: S608

    async def select_one(self, connection: Connection, key: Key, *, lock: bool = False) -> R | None:
        """`find` in Postgres."""
        record = await connection.fetchrow(self.select(self._is_key) + (" FOR UPDATE" if lock else ""), *key)
        return None if record is None else self.decode(record)

    async def select_where(self, connection: Connection, condition: str, *arguments: object) -> list[R]:
        """`query` in Postgres."""
        return [self.decode(record) for record in await connection.fetch(self.select(condition), *arguments)]

    async def insert(self, connection: Connection, row: R) -> bool:
        """Write a new row; False if its key is there."""
        values = ", ".join(f"${n}" for n in range(1, len(self.columns) + 1))
        return bool(
            await connection.fetchval(
                f"INSERT INTO {self.name} ({', '.join(self.columns)}) VALUES ({values}) "  # noqa: S608
                "ON CONFLICT DO NOTHING RETURNING true",
                *self.encode(row),
            )
        )

    async def update(self, connection: Connection, row: R) -> None:
        """Write the row over the one with its key."""
        changes = ", ".join(f"{name} = ${n}" for n, name in enumerate(self.columns, start=1))
        is_key = " AND ".join(f"{name} = ${self.columns.index(name) + 1}" for name in self.key)
        await connection.execute(
            f"UPDATE {self.name} SET {changes} WHERE {is_key}",  # noqa: S608
            *self.encode(row),
        )


@dataclass(frozen=True)
class ReadModel(Table[R]):
    """A table whose rows are folded from events.

    `keys(event)` gives the rows an event touches and `fold(row, event, key)` the row's next value, None to
    delete it: both pure. `events` are the types it listens to. `shared_rows`: several streams feed one row,
    so writers take turns and the fold must commute across streams.
    """

    events: frozenset[type[Any]]
    keys: Callable[[Recorded[Any]], Sequence[Key]]
    fold: Callable[[R | None, Recorded[Any], Key], R | None]
    shared_rows: bool = False

    def heeds(self, events: Iterable[Recorded[Any]]) -> bool:
        """Whether it listens to any of `events`."""
        return any(type(event.data) in self.events for event in events)

    def touched(self, events: Iterable[Recorded[Any]]) -> list[tuple[Recorded[Any], Sequence[Key]]]:
        """Those of `events` that this model listens to, each with the keys of its rows."""
        return [(event, self.keys(event)) for event in events if type(event.data) in self.events]

    def folded(
        self, before: Mapping[Key, R], touched: Iterable[tuple[Recorded[Any], Sequence[Key]]]
    ) -> Mapping[Key, R | None]:
        """What becomes of the rows that events touch, by key; None: it goes. Unchanged rows are left out."""
        rows: dict[Key, R | None] = {}
        for event, keys in touched:
            for key in keys:
                rows[key] = self.fold(rows[key] if key in rows else before.get(key), event, key)
        return {
            key: row
            for key, row in rows.items()
            if (row != before[key] if key in before else row is not None)
        }

    async def project(
        self, connection: Connection, events: Sequence[Recorded[Any]], table: str | None = None
    ) -> None:
        """Fold `events`, in this order, into the rows of `table` (the live one by default) in Postgres.

        Runs in the caller's transaction. Events of other types are passed over.
        """
        live = table in (None, self.name)
        table = table or self.name
        touched = self.touched(events)
        keys = sorted({key for _, of_event in touched for key in of_event})
        if not keys:
            return
        if self.shared_rows and live:  # a shadow table has one writer, which must not wait for the live ones
            await connection.execute(_LOCK_KEYS, [f"{self.name}{key!r}" for key in keys])
        after = self.folded(await self.read_rows(connection, table, keys), touched)
        await self.write_rows(connection, table, [row for key in keys if (row := after.get(key)) is not None])
        await self.delete_rows(
            connection, table, [key for key in keys if key in after and after[key] is None]
        )

    @cached_property
    def _is_one_of(self) -> str:
        arrays = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(self._key_types, start=1))
        return f"({', '.join(self.key)}) IN (SELECT * FROM unnest({arrays}))"  # noqa: S608

    async def read_rows(self, connection: Connection, table: str, keys: Sequence[Key]) -> dict[Key, R]:
        """Those of the rows that are there."""
        records = await connection.fetch(self.select(self._is_one_of, table), *_columns_of(keys))
        return {tuple(record[name] for name in self.key): self.decode(record) for record in records}

    async def write_rows(self, connection: Connection, table: str, rows: Sequence[R]) -> None:
        """Put the rows in the place of those with their keys."""
        if not rows:
            return
        await connection.execute(
            f"INSERT INTO {table} {self._upsert}",
            *_columns_of([self.encode(row) for row in rows]),
        )

    @cached_property
    def _upsert(self) -> str:
        columns, key = ", ".join(self.columns), ", ".join(self.key)
        arrays = ", ".join(
            f"${n}::{codec.column}[]" for n, codec in enumerate(self._codecs.values(), start=1)
        )
        changes = ", ".join(f"{name} = excluded.{name}" for name in self.columns if name not in self.key)
        then = f"UPDATE SET {changes}" if changes else "NOTHING"
        return f"({columns}) SELECT * FROM unnest({arrays}) ON CONFLICT ({key}) DO {then}"  # noqa: S608

    async def delete_rows(self, connection: Connection, table: str, keys: Sequence[Key]) -> None:
        """Remove the rows."""
        if keys:
            await connection.execute(
                f"DELETE FROM {table} WHERE {self._is_one_of}",  # noqa: S608
                *_columns_of(keys),
            )

    async def content_hash(self, connection: Connection, table: str | None = None) -> str:
        """A hash of the rows whatever their order: row count and two sums of 64-bit row hashes."""
        columns = ", ".join(self.columns)
        record = await connection.fetchrow(
            f"SELECT count(*) AS n, coalesce(sum(hashtextextended(r::text, 0)::numeric), 0) AS a, "  # noqa: S608
            f"coalesce(sum(hashtextextended(r::text, 1)::numeric), 0) AS b "
            f"FROM (SELECT {columns} FROM {table or self.name}) AS r"
        )
        assert record is not None
        return f"{record['n']}-{int(record['a']) % 2**64:016x}{int(record['b']) % 2**64:016x}"


_LOCK_KEYS = """
SELECT pg_advisory_xact_lock(h) FROM (
    SELECT DISTINCT hashtextextended(k, 7) AS h FROM unnest($1::text[]) AS k ORDER BY h
) AS ordered
"""


@dataclass(frozen=True, slots=True)
class _Codec:
    """How one field is a column: its Postgres type and the way there and back."""

    column: str
    encode: Callable[[Any], object]
    decode: Callable[[Any], Any]

    @classmethod
    def of(cls, hint: object) -> "_Codec":
        inner = _without_none(hint)
        if inner in _PLAIN:
            return cls(_PLAIN[inner], _same, _same)
        if isinstance(inner, type) and issubclass(inner, StrEnum):
            return cls("text", _same, inner)
        adapter: TypeAdapter[Any] = TypeAdapter(cast(Any, inner))
        to_json, from_json = adapter.serializer.to_json, adapter.validator.validate_json
        return cls("jsonb", lambda value: to_json(value).decode(), from_json)


def _columns_of(rows: Sequence[Sequence[object]]) -> Iterable[list[object]]:
    return map(list, zip(*rows, strict=True))


def _same(value: object) -> object:
    return value


def _without_none(hint: object) -> object:
    """The type behind `X | None` and NewType."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        inner = [part for part in typing.get_args(hint) if part is not type(None)]
        return _without_none(inner[0]) if len(inner) == 1 else hint
    return _without_none(hint.__supertype__) if isinstance(hint, typing.NewType) else hint
