"""Upcasters: an event written under an older schema version is read as one of today."""

from dataclasses import dataclass

import orjson
import pytest

from shared.events.registry import JsonObject, Registry, UnknownEventType


@dataclass(frozen=True, slots=True, kw_only=True)
class ParcelWeighed:
    """Version 1 said `weight` in kilograms; version 2 says `weight_g`; version 3 adds who weighed."""

    weight_g: int
    weighed_by: str


def in_grams(document: JsonObject) -> JsonObject:
    return {"weight_g": round(document["weight"] * 1000)}


def by_someone(document: JsonObject) -> JsonObject:
    return document | {"weighed_by": "unknown"}


REGISTRY = Registry([ParcelWeighed], {"ParcelWeighed": (in_grams, by_someone)})


@pytest.mark.parametrize(
    ("schema_version", "stored", "read"),
    [
        (1, {"weight": 1.25}, ParcelWeighed(weight_g=1250, weighed_by="unknown")),
        (2, {"weight_g": 1250}, ParcelWeighed(weight_g=1250, weighed_by="unknown")),
        (3, {"weight_g": 1250, "weighed_by": "Ada"}, ParcelWeighed(weight_g=1250, weighed_by="Ada")),
    ],
)
def test_every_version_is_lifted_to_the_newest(
    schema_version: int, stored: JsonObject, read: ParcelWeighed
) -> None:
    assert REGISTRY.decode("ParcelWeighed", schema_version, orjson.dumps(stored)) == read


def test_the_newest_version_is_written() -> None:
    event = ParcelWeighed(weight_g=1250, weighed_by="Ada")

    assert REGISTRY.schema_version("ParcelWeighed") == 3
    assert REGISTRY.decode("ParcelWeighed", 3, REGISTRY.encode(event)) == event


@pytest.mark.parametrize("schema_version", [0, 4])
def test_a_version_that_does_not_exist_yet_is_refused(schema_version: int) -> None:
    with pytest.raises(ValueError, match="ParcelWeighed has versions 1 to 3"):
        REGISTRY.decode("ParcelWeighed", schema_version, b"{}")


def test_members_added_by_a_newer_writer_are_ignored() -> None:
    stored = b'{"weight_g": 1250, "weighed_by": "Ada", "scale": "B7"}'

    assert REGISTRY.decode("ParcelWeighed", 3, stored) == ParcelWeighed(weight_g=1250, weighed_by="Ada")


@pytest.mark.parametrize("stored", [b"", b"not json", b"[]", b'{"weight_g": "much", "weighed_by": "Ada"}'])
def test_data_that_does_not_fit_is_a_value_error(stored: bytes) -> None:
    with pytest.raises(ValueError, match="ParcelWeighed"):
        REGISTRY.decode("ParcelWeighed", 3, stored)


def test_an_unknown_type_is_named() -> None:
    with pytest.raises(UnknownEventType, match="ParcelLost"):
        REGISTRY.decode("ParcelLost", 1, b"{}")
    with pytest.raises(UnknownEventType, match="dict"):
        REGISTRY.encode({})


def test_upcasters_of_unknown_types_and_equal_names_are_refused() -> None:
    with pytest.raises(ValueError, match="ParcelLost"):
        Registry([ParcelWeighed], {"ParcelLost": (by_someone,)})
    with pytest.raises(ValueError, match="two event types are called ParcelWeighed"):
        Registry([ParcelWeighed, type("ParcelWeighed", (), {})])
