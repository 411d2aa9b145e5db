"""Records as a broken producer, a broken disk or somebody with access to the broker might leave them."""

import json
import random
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from shared.store.marks import StoredRecord
from tests.integration.fuzz.calls import VALUES

Header = tuple[str, bytes | None]

LONG = random.Random(0).randbytes(20_000).hex().encode()
"""Longer than any index takes, however it is compressed."""

HEADERS: dict[str, tuple[bytes, ...]] = {
    "ce_subject": (
        b"",
        b"order",
        b"order-",
        b"order-\x00",
        b"order-" + LONG,
        b"no-such-thing",
        b"-",
        b"\xff",
    ),
    "ce_sequence": (
        b"0",
        b"-1",
        b"1",
        b"2",
        b"2147483647",
        b"2147483648",
        b"9" * 5000,
        b"1.0",
        b"\xff",
        b"2 ",
    ),
    "ce_epoch": (b"0", b"2", b"2147483647", b"2147483648", b"-1", b"", b"x"),
    "ce_id": (b"", b"x", b"00000000-0000-0000-0000-000000000000", b"\xff"),
    "ce_type": (b"", b"NoSuchEvent", b"OrderPlaced", b"Shipped", b"\x00", b"\xff", LONG),
    "ce_dataschema": (b"", b".v", b"schemas/x.v0.json", b"schemas/x.v99.json", b"x.v-1.json", b"x.v1e9.json"),
    "ce_time": (
        b"",
        b"never",
        b"0001-01-01T00:00:00+23:59",
        b"9999-12-31T23:59:59-23:59",
        b"0001-01-01T00:00:00Z",
        b"9999-12-31T23:59:59Z",
        b"2026-11-22",
        b"1e400",
    ),
    "ce_actor": (b"", b"nobody", b"robot:1", b"system:\x00", b"system:" + LONG, b"\xff"),
    "ce_correlationid": (b"", b"x", b"\xff"),
    "ce_causationid": (b"x", b"\xff"),
    "traceparent": (b"\x00", b"00-x", LONG, b"\xff"),
    "content-type": (b"text/plain", b"\xff"),
    "\x00": (b"\x00",),
    "x": (LONG * 20,),
}
DATA = (
    None,
    b"",
    b"null",
    b"[]",
    b"{}",
    b"NaN",
    b'{"a": NaN}',
    b"\xff\xfe",
    b"\x00",
    b"[" * 100_000,
    b'{"a":' * 5_000,
    b"{}{}",
    b'"\\ud800"',
)


@st.composite
def damaged(draw: st.DrawFn, record: StoredRecord) -> StoredRecord:
    """The record with something wrong in its headers, its data or its key."""
    for _ in range(draw(st.integers(1, 2))):
        match draw(st.sampled_from(("header", "header", "bytes", "data", "value", "value", "key"))):
            case "header":
                record = replace(record, headers=draw(_other_headers(record.headers)))
            case "bytes":
                record = replace(record, value=draw(_other_bytes(record.value or b"")))
            case "data":
                record = replace(record, value=draw(st.sampled_from(DATA)))
            case "value":
                record = replace(record, value=draw(_other_member(record.value or b"{}")))
            case _:
                record = replace(record, key=draw(st.none() | st.binary(max_size=3)))
    return record


@st.composite
def _other_headers(draw: st.DrawFn, headers: tuple[Header, ...]) -> tuple[Header, ...]:
    names = [name for name, _ in headers] or [""]
    match draw(st.sampled_from(("other", "other", "missing", "null", "twice", "bytes", "none"))):
        case "other":
            name = draw(st.sampled_from(list(HEADERS)))
            value = draw(st.sampled_from(HEADERS[name]))
            return (*(pair for pair in headers if pair[0] != name), (name, value))
        case "missing":
            name = draw(st.sampled_from(names))
            return tuple(pair for pair in headers if pair[0] != name)
        case "null":
            name = draw(st.sampled_from(names))
            return tuple((each, None if each == name else value) for each, value in headers)
        case "twice":
            name = draw(st.sampled_from(list(HEADERS)))
            return (*headers, (name, draw(st.none() | st.sampled_from(HEADERS[name]))))
        case "bytes":
            name = draw(st.sampled_from(names))
            return tuple(
                (each, draw(_other_bytes(value or b"")) if each == name else value) for each, value in headers
            )
        case _:
            return ()


@st.composite
def _other_bytes(draw: st.DrawFn, value: bytes) -> bytes:
    at, gone = draw(st.integers(0, len(value))), draw(st.integers(0, 8))
    return value[:at] + draw(st.binary(max_size=4)) + value[at + gone :]


@st.composite
def _other_member(draw: st.DrawFn, data: bytes) -> bytes:
    """The same JSON with something else, or nothing, in one place."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = {}

    def swap(value: Any) -> Any:
        if isinstance(value, dict) and value and draw(st.integers(0, 5)):
            name = draw(st.sampled_from(sorted(value)))
            if draw(st.integers(0, 5)) == 0:
                return {each: member for each, member in value.items() if each != name}
            return {**value, name: swap(value[name])}
        if isinstance(value, list) and value and draw(st.integers(0, 5)):
            return [swap(value[0]), *value[1:]]
        return draw(st.sampled_from(VALUES))

    return json.dumps(swap(document)).encode()
