"""Imports point one way: services -> shared, and inside shared from the outer layers to the pure ones."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("services", "shared", "cli", "sandbox")
OURS = frozenset({*PACKAGES, "tests"})


@dataclass(frozen=True, slots=True)
class Rule:
    """What a module may import: packages of this project, and third parties (None: any)."""

    project: tuple[str, ...]
    third_party: frozenset[str] | None = None

    def permits(self, imported: str) -> bool:
        top = imported.split(".", 1)[0]
        if top in OURS:
            return any(imported == package or imported.startswith(package + ".") for package in self.project)
        return self.third_party is None or top in self.third_party or top in sys.stdlib_module_names


NOTHING: frozenset[str] = frozenset()
LAYERS = ("shared.domain", "shared.events", "shared.store", "shared.messaging", "shared.service")


def rule_for(module: str) -> Rule:
    """The rule that binds a module, by its dotted name."""
    match module.split("."):
        case ["services", name, "domain", *_]:
            return Rule(("shared.domain", "shared.events", f"services.{name}.domain"), NOTHING)
        case ["services", name, *_]:
            return Rule((*LAYERS, f"services.{name}"))
        case ["shared", "domain", *_]:
            return Rule(LAYERS[:1], NOTHING)
        case ["shared", "events", *_]:
            return Rule(LAYERS[:2], frozenset({"orjson", "pydantic"}))
        case ["shared", "store", *_]:
            return Rule(LAYERS[:3])
        case ["shared", "messaging", *_]:
            return Rule(LAYERS[:4])
        case ["shared", "service", *_]:
            return Rule(LAYERS)
        case ["shared", *_]:
            return Rule(("shared",))
        case _:
            return Rule(("shared", "services", "cli", "sandbox"))


def imports_of(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Every import in `source`, as line and absolute dotted name; `package` resolves relative ones."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                parts = package.split(".")
                base = ".".join(
                    [*parts[: len(parts) - level + 1], *filter(None, [module])] if level else [module or ""]
                )
                yield from ((node.lineno, f"{base}.{alias.name}") for alias in names)


def violations(root: Path) -> list[str]:
    """Each forbidden import under `root` as `file:line imports name`."""
    found = []
    for path in sorted(file for package in PACKAGES for file in (root / package).rglob("*.py")):
        relative = path.relative_to(root)
        package = ".".join(relative.parent.parts)
        module = package if path.stem == "__init__" else f"{package}.{path.stem}"
        rule = rule_for(module)
        found += [
            f"{relative}:{line} imports {imported}"
            for line, imported in imports_of(path.read_text(encoding="utf-8"), package)
            if not rule.permits(imported)
        ]
    return found


def test_imports_point_one_way() -> None:
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("path", "statement", "imported"),
    [
        ("services/cart/http.py", "from services.orders.http import routes", "services.orders.http.routes"),
        ("services/cart/http.py", "from cli.main import main", "cli.main.main"),
        ("services/cart/http.py", "import shared.testing.scenario", "shared.testing.scenario"),
        ("services/cart/domain/cart.py", "import pydantic", "pydantic"),
        ("services/cart/domain/cart.py", "from shared import store", "shared.store"),
        ("services/cart/domain/cart.py", "from ..http import routes", "services.cart.http.routes"),
        ("services/cart/domain/cart.py", "from services.cart import http", "services.cart.http"),
        ("shared/domain/money.py", "import orjson", "orjson"),
        ("shared/domain/money.py", "from shared.events.common import Line", "shared.events.common.Line"),
        ("shared/events/cart.py", "import asyncpg", "asyncpg"),
        ("shared/store/append.py", "from shared.messaging import relay", "shared.messaging.relay"),
        ("shared/messaging/relay.py", "from shared.service import settings", "shared.service.settings"),
        ("shared/service/app.py", "def late():\n    from services.cart import app", "services.cart.app"),
        ("sandbox/mail.py", "from tests.e2e import demo", "tests.e2e.demo"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, path: str, statement: str, imported: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(f"import json\n{statement}\n", encoding="utf-8")

    (found,) = violations(tmp_path)

    assert found.startswith(f"{path}:")
    assert found.endswith(f" imports {imported}")


@pytest.mark.parametrize(
    ("path", "statement"),
    [
        ("services/cart/http.py", "from services.cart.domain import cart"),
        ("services/cart/http.py", "from .domain.cart import decide"),
        ("services/cart/http.py", "import fastapi"),
        ("services/cart/domain/cart.py", "from shared.domain import Rejected"),
        ("services/cart/domain/cart.py", "from . import product"),
        ("shared/messaging/relay.py", "from shared.store import outbox"),
        ("shared/service/app.py", "from shared.messaging import relay"),
        ("cli/main.py", "from services.cart import app"),
    ],
)
def test_what_the_layout_allows_is_left_alone(tmp_path: Path, path: str, statement: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(f"{statement}\n", encoding="utf-8")

    assert violations(tmp_path) == []
