"""Every table that services keep and every question that they ask one, with rows and arguments to try."""

import ast
import dataclasses
import importlib
import pkgutil
import random
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import services
from shared.store.readmodel import Table
from tests.integration.contract.facts import NOW

ROOT = Path(services.__file__ or "").parent
SERVICES = ("cart", "inventory", "notifications", "orders", "returns")


@dataclass(frozen=True)
class Question:
    """A condition as a service hands it to `query`."""

    service: str
    table: Table[Any]
    condition: str

    def __str__(self) -> str:
        return f"{self.service} {self.table.name}: {' '.join(self.condition.split())}"

    @property
    def order(self) -> tuple[str, ...]:
        """The columns of ORDER BY."""
        found = re.search(r"ORDER BY (.+?)(?: LIMIT|$)", self.condition.strip())
        return tuple(part.split()[0] for part in found[1].split(",")) if found else ()

    def arguments(self, rows: Sequence[Any], source: random.Random) -> Iterator[tuple[object, ...]]:
        """Arguments that select some of `rows`, all or none."""
        count = len(set(re.findall(r"\$(\d+)", self.condition)))
        for _ in range(25 if count else 1):
            yield tuple(self._argument(number, rows, source) for number in range(1, count + 1))

    def _argument(self, number: int, rows: Sequence[Any], source: random.Random) -> object:
        if re.search(rf"LIMIT \${number}\b", self.condition):
            return source.choice((0, 1, 3, 1000))
        compared = re.search(rf"(\w+) (?:[<>=]+) (ANY\()?\${number}\b", self.condition)
        assert compared is not None, f"${number} of {self}"
        values = [value for row in rows if (value := getattr(row, compared[1])) is not None]
        if compared[2]:
            return source.sample(values, source.randrange(4))
        if re.search(rf"\${number}(::\w+)? IS NULL", self.condition) and source.random() < 0.5:
            return None
        return source.choice(values)


def tables(service: str) -> dict[str, Table[Any]]:
    """The tables of a service by the name of their constant."""
    found: dict[str, Table[Any]] = {}
    package = importlib.import_module(f"services.{service}")
    for module in pkgutil.walk_packages(package.__path__, f"services.{service}."):
        if not module.name.endswith("__main__"):
            names = vars(importlib.import_module(module.name))
            found |= {name: each for name, each in names.items() if isinstance(each, Table)}
    return found


def questions(service: str) -> list[Question]:
    """What a service asks its tables."""
    found = []
    known = tables(service)
    for path in sorted((ROOT / service).rglob("*.py")):
        tree = ast.parse(path.read_text())
        texts = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id=table), attr="query"), args=[_, condition, *_]
                ) if table in known:
                    text = texts[condition.id] if isinstance(condition, ast.Name) else _text(condition)
                    found.append(Question(service, known[table], str(text)))
    return found


def _text(node: ast.expr) -> str:
    assert isinstance(node, ast.Constant), "a condition is constant text, else this test cannot see it"
    return str(node.value)


def rows(table: Table[Any], source: random.Random, count: int = 40) -> list[Any]:
    """Rows with different keys whose other values are often the same."""
    made = [_sample(table.row, source) for _ in range(count)]
    return list({table.key_of(row): row for row in made}.values())


def _sample(hint: Any, source: random.Random) -> Any:
    """A value of a type, out of few."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        options = [part for part in inner if part is not type(None)]
        none = type(None) in inner and source.random() < 0.4
        return None if none else _sample(options[0], source)
    if isinstance(hint, typing.NewType):
        return _sample(hint.__supertype__, source)
    if origin is tuple and inner[1:] == (...,):
        return tuple(_sample(inner[0], source) for _ in range(source.randrange(3)))
    if origin is list:
        return [_sample(inner[0], source) for _ in range(source.randrange(3))]
    if origin in (dict, Mapping):
        return {_sample(inner[0], source): _sample(inner[1], source) for _ in range(source.randrange(3))}
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return hint(**{field.name: _sample(hints[field.name], source) for field in dataclasses.fields(hint)})
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return source.choice(list(hint))
    return _PLAIN[hint](source)


_PLAIN: Mapping[object, Any] = {
    str: lambda source: source.choice(("A", "Z", "a", "z-1", "z1", "Ä", "", "é", "日本", "\U0001f4e6")),
    int: lambda source: source.randrange(-3, 20),
    bool: lambda source: source.random() < 0.5,
    UUID: lambda source: UUID(int=source.choice((1, 2**127, 2**64)) + source.randrange(20)),
    datetime: lambda source: NOW + timedelta(microseconds=source.randrange(4)),
    date: lambda source: NOW.date() + timedelta(days=source.randrange(4)),
    Any: lambda source: source.choice(("x", 1, None)),
}
