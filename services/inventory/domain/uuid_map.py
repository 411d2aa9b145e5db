"""An immutable map from UUID for states that live long and change often: a change copies one bucket of 64,
so folding thousands of events over thousands of live entries stays fast."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

V_co = TypeVar("V_co", covariant=True)
V = TypeVar("V")

_BUCKETS = 64


@dataclass(frozen=True, slots=True)
class UuidMap(Generic[V_co]):
    """Use `put` and `drop` to get a changed copy; the original stays as it was."""

    _buckets: tuple[Mapping[UUID, V_co], ...] = ({},) * _BUCKETS

    def get(self, key: UUID) -> V_co | None:
        """The value at `key`, None if there is none."""
        return self._buckets[key.int % _BUCKETS].get(key)

    def __contains__(self, key: UUID) -> bool:
        return key in self._buckets[key.int % _BUCKETS]

    def __len__(self) -> int:
        return sum(map(len, self._buckets))

    def items(self) -> Iterator[tuple[UUID, V_co]]:
        """Every key with its value, in no particular order."""
        for bucket in self._buckets:
            yield from bucket.items()

    def put(self: "UuidMap[V]", key: UUID, value: V) -> "UuidMap[V]":
        """This map with `value` at `key`."""
        index = key.int % _BUCKETS
        return self._with(index, {**self._buckets[index], key: value})

    def drop(self, key: UUID) -> "UuidMap[V_co]":
        """This map without `key`."""
        index = key.int % _BUCKETS
        return self._with(index, {k: v for k, v in self._buckets[index].items() if k != key})

    def _with(self: "UuidMap[V]", index: int, bucket: Mapping[UUID, V]) -> "UuidMap[V]":
        return UuidMap((*self._buckets[:index], bucket, *self._buckets[index + 1 :]))
