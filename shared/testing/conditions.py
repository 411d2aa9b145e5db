"""Evaluates the small part of SQL in which services ask their read models: for the in-memory store."""

import operator
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

R = TypeVar("R")

Test = Callable[[Any, Sequence[Any]], bool]

_TAIL = re.compile(r"^(.*?)(?: ORDER BY (.+?))?(?: LIMIT (\$?\d+))?$", re.DOTALL)
_COMPARED = re.compile(r"^(\w+) (=|<>|<=|>=|<|>) \$(\d+)$")
_AMONG = re.compile(r"^(\w+) = ANY\(\$(\d+)(?:::\w+\[\])?\)$")
_ABSENT = re.compile(r"^(\w+) IS (NOT )?NULL$")
_OPTIONAL = re.compile(r"^\(\$(\d+)(?:::\w+)? IS NULL OR (.+)\)$")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class UnknownCondition(ValueError):  # noqa: N818
    """SQL that the in-memory store does not understand."""


def choose(rows: Sequence[R], condition: str, arguments: Sequence[Any]) -> list[R]:
    """The rows that `condition` selects, in its order and up to its limit. Raises UnknownCondition."""
    test, order, limit = _compiled(condition)
    found = [row for row in rows if test(row, arguments)]
    for column, descending in reversed(order):
        found.sort(key=lambda row: _sortable(getattr(row, column)), reverse=descending)
    if limit is None:
        return found
    return found[: arguments[int(limit[1:]) - 1] if limit.startswith("$") else int(limit)]


@lru_cache
def _compiled(condition: str) -> tuple[Test, tuple[tuple[str, bool], ...], str | None]:
    parts = _TAIL.match(" ".join(condition.split()))
    assert parts is not None
    where, order, limit = parts.groups()
    tests = [_test(clause) for clause in where.split(" AND ")]
    columns = [column.strip().split(" ") for column in order.split(",")] if order else []
    return (
        lambda row, arguments: all(test(row, arguments) for test in tests),
        tuple((column[0], column[1:] == ["DESC"]) for column in columns),
        limit,
    )


def _test(clause: str) -> Test:
    if clause == "true":
        return lambda _row, _arguments: True
    if clause.isidentifier():
        return lambda row, _arguments: bool(getattr(row, clause))
    if found := _COMPARED.match(clause):
        return _compared(found[1], _OPERATORS[found[2]], int(found[3]) - 1)
    if found := _AMONG.match(clause):
        column, place = found[1], int(found[2]) - 1
        return lambda row, arguments: getattr(row, column) in arguments[place]
    if found := _ABSENT.match(clause):
        column, wanted = found[1], found[2] is None
        return lambda row, _arguments: (getattr(row, column) is None) is wanted
    if found := _OPTIONAL.match(clause):
        place, inner = int(found[1]) - 1, _test(found[2])
        return lambda row, arguments: arguments[place] is None or inner(row, arguments)
    raise UnknownCondition(clause)


def _compared(column: str, compare: Callable[[Any, Any], bool], place: int) -> Test:
    def test(row: Any, arguments: Sequence[Any]) -> bool:
        value, wanted = getattr(row, column), arguments[place]
        return value is not None and wanted is not None and compare(value, wanted)

    return test


def _sortable(value: Any) -> tuple[bool, Any]:
    """None comes last, as in Postgres."""
    return value is None, value if value is not None else 0
