"""Evaluates the small part of SQL in which services ask their read models: for the in-memory store."""

import operator
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

R = TypeVar("R")

Test = Callable[[Any, Sequence[Any], Sequence[Any]], bool]
"""(row, arguments, all rows of its table) -> whether the condition holds for the row."""

_TAIL = re.compile(r"^(.*?)(?: ORDER BY (.+?))?(?: LIMIT (\$?\d+))?$", re.DOTALL)
_COMPARED = re.compile(r"^(\w+) (=|<>|<=|>=|<|>) \$(\d+)$")
_AMONG = re.compile(r"^(\w+) = ANY\(\$(\d+)(?:::\w+\[\])?\)$")
_ABSENT = re.compile(r"^(\w+) IS (NOT )?NULL$")
_OPTIONAL = re.compile(r"^\(\$(\d+)(?:::\w+)? IS NULL OR (.+)\)$")
_BEFORE = re.compile(
    r"^\((\w+), (\w+)\) < \(SELECT \w+\.\1, \w+\.\2 FROM \w+ \w+ WHERE \w+\.(\w+) = \$(\d+)\)$"
)
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
    found = [row for row in rows if test(row, arguments, rows)]
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
    tests = [_test(clause) for clause in _clauses(where)]
    columns = [column.strip().split(" ") for column in order.split(",")] if order else []
    return (
        lambda row, arguments, rows: all(test(row, arguments, rows) for test in tests),
        tuple((column[0], column[1:] == ["DESC"]) for column in columns),
        limit,
    )


def _clauses(where: str) -> list[str]:
    """The parts that AND joins, but for an AND within parentheses."""
    clauses, depth = [""], 0
    for part in re.split(r"( AND |[()])", where):
        depth += (part == "(") - (part == ")")
        if part == " AND " and depth == 0:
            clauses.append("")
        else:
            clauses[-1] += part
    return clauses


def _test(clause: str) -> Test:
    if clause == "true":
        return lambda _row, _arguments, _rows: True
    if clause.isidentifier():
        return lambda row, _arguments, _rows: bool(getattr(row, clause))
    if found := _COMPARED.match(clause):
        return _compared(found[1], _OPERATORS[found[2]], int(found[3]) - 1)
    if found := _AMONG.match(clause):
        column, place = found[1], int(found[2]) - 1
        return lambda row, arguments, _rows: getattr(row, column) in arguments[place]
    if found := _ABSENT.match(clause):
        column, wanted = found[1], found[2] is None
        return lambda row, _arguments, _rows: (getattr(row, column) is None) is wanted
    if found := _OPTIONAL.match(clause):
        place, inner = int(found[1]) - 1, _test(found[2])
        return lambda row, arguments, rows: arguments[place] is None or inner(row, arguments, rows)
    if found := _BEFORE.match(clause):
        return _before((found[1], found[2]), found[3], int(found[4]) - 1)
    raise UnknownCondition(clause)


def _compared(column: str, compare: Callable[[Any, Any], bool], place: int) -> Test:
    def test(row: Any, arguments: Sequence[Any], _rows: Sequence[Any]) -> bool:
        value, wanted = getattr(row, column), arguments[place]
        return value is not None and wanted is not None and compare(value, wanted)

    return test


def _before(columns: tuple[str, str], key: str, place: int) -> Test:
    """A row whose `columns` are below those of the row with this `key`."""

    def values(row: Any) -> tuple[Any, ...]:
        return tuple(getattr(row, column) for column in columns)

    def test(row: Any, arguments: Sequence[Any], rows: Sequence[Any]) -> bool:
        return any(values(row) < values(other) for other in rows if getattr(other, key) == arguments[place])

    return test


def _sortable(value: Any) -> tuple[bool, Any]:
    """None comes last, as in Postgres."""
    return value is None, value if value is not None else 0
