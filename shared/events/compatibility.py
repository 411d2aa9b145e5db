"""What may change in an event's JSON Schema without a new schema version, and what may not.

Events of one version lie in stores and topics for ever, and others code against the committed schema. So
within a version an optional field may be added and an enum may grow; everything else needs a new version with
an upcaster.
"""

from collections.abc import Iterator
from typing import Any

JsonObject = dict[str, Any]
SCALAR_KEYS = ("type", "format", "const")


def breaking_changes(committed: JsonObject, current: JsonObject) -> list[str]:
    """Why `current` cannot replace `committed` at the same version: one line each, naming the field."""
    return list(_compare(committed, current, committed, current, ""))


def _compare(
    old: JsonObject, new: JsonObject, old_root: JsonObject, new_root: JsonObject, path: str
) -> Iterator[str]:
    old, new = _resolved(old, old_root), _resolved(new, new_root)
    here = path or "the event"
    if any(old.get(key) != new.get(key) for key in SCALAR_KEYS) or ("enum" in old) != ("enum" in new):
        yield f"{here} was {_shape(old)}, is {_shape(new)}"
        return
    if lost := set(old.get("enum", ())) - set(new.get("enum", ())):
        yield f"{here} no longer takes {', '.join(sorted(map(str, lost)))}"
    choices, choices_now = old.get("anyOf", []), new.get("anyOf", [])
    if len(choices) != len(choices_now):
        yield f"{here} was {_shape(old)}, is {_shape(new)}"
        return
    for choice, choice_now in zip(choices, choices_now, strict=True):
        yield from _compare(choice, choice_now, old_root, new_root, path)
    if "items" in old and "items" in new:
        yield from _compare(old["items"], new["items"], old_root, new_root, f"{path}[]")
    yield from _compare_fields(old, new, old_root, new_root, path)


def _compare_fields(
    old: JsonObject, new: JsonObject, old_root: JsonObject, new_root: JsonObject, path: str
) -> Iterator[str]:
    fields, fields_now = old.get("properties", {}), new.get("properties", {})
    required, required_now = set(old.get("required", ())), set(new.get("required", ()))
    for name, field in fields.items():
        inner = f"{path}.{name}" if path else name
        if name not in fields_now:
            yield f"{inner} is gone"
            continue
        if name in required - required_now:
            yield f"{inner} was required, is optional"
        yield from _compare(field, fields_now[name], old_root, new_root, inner)
    for name in sorted(required_now - required):
        yield f"{path}.{name} is required now" if path else f"{name} is required now"


def _resolved(node: JsonObject, root: JsonObject) -> JsonObject:
    while "$ref" in node:
        node = root["$defs"][node["$ref"].rsplit("/", 1)[1]]
    return node


def _shape(node: JsonObject) -> str:
    if "anyOf" in node:
        return " or ".join(_shape(choice) for choice in node["anyOf"])
    if "$ref" in node:
        return str(node["$ref"].rsplit("/", 1)[1])
    words = [str(node[key]) for key in SCALAR_KEYS if key in node]
    return " ".join([*words, *(["enum"] if "enum" in node else [])]) or "anything"
