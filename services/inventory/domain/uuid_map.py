"""An immutable map from UUID for states that live long and change often: a change copies two rows of 64 and a
handful of entries, so folding thousands of events over thousands of live entries stays fast."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

V_co = TypeVar("V_co", covariant=True)
V = TypeVar("V")

_FAN = 64


@dataclass(frozen=True, slots=True)
class UuidMap(Generic[V_co]):
    """Use `put` and `drop` to get a changed copy; the original stays as it was."""

    _rows: tuple[tuple[Mapping[UUID, V_co], ...], ...] = (({},) * _FAN,) * _FAN

    def get(self, key: UUID) -> V_co | None:
        """The value at `key`, None if there is none."""
        row, place = _place(key)
        return self._rows[row][place].get(key)

    def __contains__(self, key: UUID) -> bool:
        row, place = _place(key)
        return key in self._rows[row][place]

    def __len__(self) -> int:
        return sum(len(entries) for row in self._rows for entries in row)

    def items(self) -> Iterator[tuple[UUID, V_co]]:
        """Every key with its value, in no particular order."""
        for row in self._rows:
            for entries in row:
                yield from entries.items()

    def put(self: "UuidMap[V]", key: UUID, value: V) -> "UuidMap[V]":
        """This map with `value` at `key`."""
        row, place = _place(key)
        return self._with(row, place, {**self._rows[row][place], key: value})

    def drop(self, key: UUID) -> "UuidMap[V_co]":
        """This map without `key`."""
        row, place = _place(key)
        return self._with(row, place, {k: v for k, v in self._rows[row][place].items() if k != key})

    def _with(self: "UuidMap[V]", row: int, place: int, entries: Mapping[UUID, V]) -> "UuidMap[V]":
        old = self._rows[row]
        new = (*old[:place], entries, *old[place + 1 :])
        return UuidMap((*self._rows[:row], new, *self._rows[row + 1 :]))


def _place(key: UUID) -> tuple[int, int]:
    return divmod(key.int % (_FAN * _FAN), _FAN)
