"""Makes a full example of an event type: every field filled, optional ones too.

`python -m tests.contract.golden` writes the examples that are missing and never touches one that exists: a
golden file is what an event of that version looks like in a store, for ever.
"""

import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, NewType, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import orjson

from shared.domain import Sealed
from shared.domain.ids import derive
from tests.contract.catalogue import event_types

SUBJECT = derive("subject", "golden")
TEXTS = {
    "sku": "85123A",
    "title": "White hanging heart T-light holder",
    "currency": "GBP",
    "locale": "en-GB",
    "country": "GB",
    "region": "ENG",
    "postal_prefix": "SW1A",
    "missing": "city",
    "tax_class": "STANDARD",
    "carrier": "Royal Mail",
    "tracking_number": "RM123456789GB",
    "tracking_url": "https://track.example/RM123456789GB",
    "order_number": "A7K3F-92QXM",
    "provider": "sandbox",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
}
NUMBERS = {"quantity": 6, "tax_rate_bp": 2000, "weight_g": 450, "n": 1, "parcel_no": 1}


def example(hint: Any, path: str) -> Any:
    """A value of the type `hint`; `path` (dotted field names) makes ids and texts differ from each other."""
    name = path.rsplit(".", 1)[-1]
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Sealed:
        return Sealed(f"v1.{SUBJECT}.AAAAAAAAAAAAAAAA.{name}")
    if isinstance(hint, NewType):
        return example(hint.__supertype__, path)
    if is_dataclass(hint) and isinstance(hint, type):
        hints = get_type_hints(hint)
        return hint(
            **{field.name: example(hints[field.name], f"{path}.{field.name}") for field in fields(hint)}
        )
    if origin in (Union, UnionType):
        return example(next(argument for argument in arguments if argument is not NoneType), path)
    if origin is Literal:
        return arguments[0]
    if origin is tuple:
        items = arguments[:1] if arguments[-1] is Ellipsis else arguments
        return tuple(example(item, path) for item in items)
    if origin is not None and issubclass(origin, Mapping):
        return {example(arguments[0], f"{path}.key"): example(arguments[1], f"{path}.value")}
    return _plain(hint, path, name)


def _plain(hint: type[Any], path: str, name: str) -> Any:
    if issubclass(hint, Enum):
        return next(iter(hint))
    if hint is UUID:
        return derive("golden", path)
    if hint is bool:
        return True
    if hint is int:
        return NUMBERS.get(name, 100 + 7 * len(name))
    if hint is str:
        return TEXTS.get(name, name.replace("_", " "))
    if hint is datetime:
        return datetime(2026, 1, 5, 9, 30, 15, 250_000, tzinfo=UTC)
    if hint is date:
        return date(2026, 1, 5)
    raise TypeError(f"no example for {path}: {hint}")


def write_missing() -> list[str]:
    """Write an example of each type's newest version that has none; returns the names of what was written."""
    written = []
    for kind in event_types():
        file = kind.golden(kind.newest)
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(_pretty(kind.registry.encode(example(kind.event, kind.name))))
            written.append(str(kind))
    return written


def _pretty(document: bytes) -> bytes:
    return orjson.dumps(orjson.loads(document), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


if __name__ == "__main__":
    sys.stdout.write("".join(f"{name}\n" for name in write_missing()))
