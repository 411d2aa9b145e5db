"""Golden JSON: what an event of each version looks like in a store. It must be readable for ever."""

import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from tests.contract.catalogue import GOLDEN, EventType, event_types

KINDS = event_types()
every_event = pytest.mark.parametrize("kind", KINDS, ids=str)


def document(kind: EventType, schema_version: int) -> dict[str, Any]:
    file = kind.golden(schema_version)
    assert file.exists(), f"{kind} has no golden file; `python -m tests.contract.golden` writes one"
    loaded: dict[str, Any] = orjson.loads(file.read_bytes())
    return loaded


def holes(value: object, path: str) -> Iterator[str]:
    """Where nothing stands below `value`: nulls, empty texts, lists and objects."""
    if isinstance(value, dict):
        inner = [(f"{path}.{name}", member) for name, member in value.items()]
    elif isinstance(value, list):
        inner = [(f"{path}[]", item) for item in value]
    elif value is None or value == "":
        yield path
        return
    else:
        return
    if not inner:
        yield path
    for place, member in inner:
        yield from holes(member, place)


@every_event
def test_golden_json_survives_decoding_and_encoding(kind: EventType) -> None:
    golden = document(kind, kind.newest)

    event = kind.registry.decode(kind.name, kind.newest, orjson.dumps(golden))

    assert type(event) is kind.event
    assert orjson.loads(kind.registry.encode(event)) == golden


@every_event
def test_golden_json_fits_its_schema(kind: EventType) -> None:
    validator = Draft202012Validator(kind.registry.json_schema(kind.name), format_checker=FormatChecker())

    assert [error.message for error in validator.iter_errors(document(kind, kind.newest))] == []


@every_event
def test_golden_json_fills_every_field(kind: EventType) -> None:
    golden = document(kind, kind.newest)

    assert golden.keys() == {field.name for field in fields(kind.event)}
    assert [hole for name, value in golden.items() for hole in holes(value, name)] == []


@every_event
def test_every_older_version_can_be_read(kind: EventType) -> None:
    for schema_version in range(1, kind.newest):
        older = orjson.dumps(document(kind, schema_version))
        assert type(kind.registry.decode(kind.name, schema_version, older)) is kind.event


def test_names_are_unique() -> None:
    names = [kind.name for kind in KINDS]
    assert sorted(names) == sorted(set(names))


def test_no_golden_file_is_left_over() -> None:
    versions = {(kind.service, kind.name): kind.newest for kind in KINDS}
    left_over = []
    for file in GOLDEN.rglob("*.json"):
        name = re.fullmatch(r"(\w+)\.v([1-9]\d*)\.json", file.name)
        if name is None or int(name[2]) > versions.get((file.parent.name, name[1]), 0):
            left_over.append(str(file.relative_to(GOLDEN)))
    assert left_over == []
