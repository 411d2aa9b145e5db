"""Requests made up from a service's OpenAPI document: as documented, against it, or damaged."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeAlias
from urllib.parse import urlencode

import schemathesis
from hypothesis import strategies as st
from schemathesis import Case as AnyCase
from schemathesis import GenerationMode
from schemathesis.core.parameters import ParameterLocation

from services.orders.psp import NoticeKind
from tests.integration.fuzz.platform import document

Json = Any
Case: TypeAlias = AnyCase[Any]
DRAWN_HEADERS = {
    b"Idempotency-Key": (b"", b"k", b"\xff\xfe", b"k" * 255, b"k" * 256, "schlüssel".encode(), b"\x7f"),
    b"If-Match": (b"*", b'"1"', b'W/"1"', b"1", b'"' + b"9" * 5000 + b'"', b'"a", "b",,', b"\xff"),
    b"X-Request-Id": (b"", b"x" * 5000, b"\xc3\x28", b"00000000-0000-0000-0000-000000000001", b"{}"),
    b"traceparent": (
        b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01",
        b"00-" + b"A" * 32 + b"-" + b"0" * 16 + b"-01",
        b"\xff" * 60,
        b"00-" * 3000,
    ),
    b"Content-Type": (
        b"text/plain",
        b"application/json; charset=utf-16",
        b"application/json; charset=nonsense",
        b"application/x-www-form-urlencoded",
        b"multipart/form-data",
        b"multipart/form-data; boundary=x",
        b"application/merge-patch+json",
        b"\xff/\xff",
        b"",
    ),
    b"Content-Encoding": (b"gzip", b"nonsense"),
    b"Accept": (b"text/html", b"\xff", b"application/xml;q=nonsense"),
}
"""Headers that an app reads or might stumble over, with values that HTTP servers let through."""

BODIES = (
    b"",
    b"null",
    b"[]",
    b'"\\ud800"',
    b'{"\\ud800": 1}',
    b"\xff\xfe{}",
    b'{"a": "\x00"}',
    b'{"a": 1, "a": 2}',
    b"[" * 100_000,
    b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    b"1" * 5_000,
    b"NaN",
    b'{"lines": [NaN, -Infinity]}',
    b"{" + b" " * 3_000_000 + b"}",
    b'{"note": "' + b"x" * 3_000_000 + b'"}',
    b"{}{}",
    b"\xef\xbb\xbf{}",
)
VALUES: tuple[Json, ...] = (
    None,
    True,
    0,
    -1,
    2**31,
    2**63 - 1,
    2**63,
    -(2**63) - 1,
    10**400,
    1.5,
    1e308,
    "",
    "\x00",
    "a\x00b",
    "\ud800",
    "\U0001f9ff" * 300,
    "x" * 100_000,
    " ",
    "9" * 400,
    "0001-01-01",
    "9999-12-31T23:59:59+00:00",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "00000000-0000-0000-0000-000000000000",
    "urn:uuid:00000000-0000-0000-0000-000000000000",
    [],
    {},
    [[]] * 2,
    {"\x00": "\x00"},
    {"\ud800": 1},
)
"""What somebody may put where something else was meant."""

WEBHOOK_TYPES = (*(f"payment_intent.{kind.lower()}" for kind in NoticeKind), "nonsense")
INSTANTS = (
    "2026-11-22T05:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "2026-11-22T05:00:00",
)
PATHS = (
    "%00",
    "%FF",
    "..",
    "%2e%2e%2f",
    "x" * 3000,
    "%F0%9F%A7%BF",
    "-1",
    "1e9",
    "null",
    "%0d%0a",
    "'",
    "{}",
)


@dataclass(frozen=True)
class Operation:
    """A route of a service by its documented method and path."""

    service: str
    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.service} {self.method.upper()} {self.path}"

    @property
    def documented(self) -> Any:
        """What the service's OpenAPI document says of it."""
        return _schema(self.service)[self.path][self.method]


@cache
def _schema(service: str) -> Any:
    """The document without what it says of tokens and other headers, which the tests choose themselves."""
    paths = {
        path: {
            method: {
                **about,
                "security": [],
                "parameters": [said for said in about.get("parameters", ()) if said["in"] != "header"],
            }
            for method, about in methods.items()
        }
        for path, methods in document(service)["paths"].items()
    }
    return schemathesis.openapi.from_dict({**document(service), "paths": paths})


def operations(service: str) -> list[Operation]:
    """All that the service's document has."""
    return [
        Operation(service, method, path)
        for path, methods in document(service)["paths"].items()
        for method in methods
    ]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request; `case` is what schemathesis knows about it, None once the request was damaged."""

    method: str
    target: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    case: Case | None = None


@st.composite
def calls(draw: st.DrawFn, operation: Operation, known: Mapping[str, list[str]]) -> Call:
    """A request to the operation: as documented (with ids that exist, as often as not), against its schema,
    or damaged in a way that no schema speaks of."""
    documented = operation.documented
    plain = not (documented.body or documented.path_parameters or documented.query)
    mode = GenerationMode.POSITIVE if plain or draw(st.booleans()) else GenerationMode.NEGATIVE
    case = draw(documented.as_strategy(generation_mode=mode))
    if draw(st.integers(0, 3)):
        if _fits(case, ParameterLocation.PATH):
            case.path_parameters = draw(_with_known(case.path_parameters, known))
        if _fits(case, ParameterLocation.BODY):
            case.body = draw(_with_known(case.body, known))
    call = _as_documented(case)
    if operation.path == "/webhooks/payments":
        call = replace(call, body=draw(webhooks(known)))
    return draw(_damaged(call)) if draw(st.integers(0, 2)) == 0 else call


def _fits(case: Case, location: ParameterLocation) -> bool:
    """Whether this part of the request is as its schema says."""
    assert case.meta is not None
    part = case.meta.components.get(location)
    return part is not None and part.mode is GenerationMode.POSITIVE


@st.composite
def webhooks(draw: st.DrawFn, known: Mapping[str, list[str]]) -> bytes:
    """What the payment provider might say; its signature vouches for it, but no document describes it."""
    uuids = st.sampled_from([*known["intent_id"], "no uuid", ""])
    texts = st.text(max_size=3) | st.sampled_from(["\x00", "x" * 100_000])
    said = {
        "id": draw(texts),
        "type": draw(st.sampled_from(WEBHOOK_TYPES)),
        "reference": draw(uuids),
        "amount": draw(st.integers(-(2**64), 2**64) | st.integers(0, 3000)),
        "provider_ref": draw(texts),
        "capture_reference": draw(st.none() | uuids),
        "method_label": draw(st.none() | texts),
        "risk": draw(st.sampled_from(["NORMAL", "HIGH"])),
        "multicapture": draw(st.booleans()),
        "expires_at": draw(st.none() | st.sampled_from(INSTANTS)),
        "decline_code": draw(st.none() | texts),
        "metadata": {"order_id": draw(st.sampled_from([*known["order_id"], "no uuid"]))},
    }
    return json.dumps(said).encode()


@st.composite
def _with_known(draw: st.DrawFn, value: Json, known: Mapping[str, list[str]], name: str = "") -> Json:
    """The value with ids that exist where they go by a known name."""
    if isinstance(value, dict):
        return {key: draw(_with_known(member, known, key)) for key, member in value.items()}
    if isinstance(value, list):
        return [draw(_with_known(member, known, name)) for member in value]
    choices = known.get(name)
    return draw(st.sampled_from(choices)) if choices and isinstance(value, str) else value


def _as_documented(case: Case) -> Call:
    sent = case.as_transport_kwargs(base_url="http://service")
    query = urlencode(sent["params"] or {}, doseq=True)
    target = sent["url"].removeprefix("http://service") + (f"?{query}" if query else "")
    body = sent["data"] if "data" in sent else json.dumps(sent["json"]) if "json" in sent else b""
    body = body.encode() if isinstance(body, str) else body
    assert isinstance(body, bytes), sent
    kind = case.media_type if body else None
    headers = ((b"Content-Type", kind.encode()),) if kind else ()
    return Call(method=case.method.upper(), target=target, headers=headers, body=body, case=case)


@st.composite
def _damaged(draw: st.DrawFn, call: Call) -> Call:
    match draw(st.sampled_from(("header", "bytes", "body", "value", "path"))):
        case "header":
            name = draw(st.sampled_from(list(DRAWN_HEADERS)))
            header = (name, draw(st.sampled_from(DRAWN_HEADERS[name])))
            kept = tuple(pair for pair in call.headers if pair[0] != name)
            return replace(call, headers=(*kept, header), case=None)
        case "bytes":
            at, end = draw(st.integers(0, len(call.body))), draw(st.integers(0, 8))
            body = call.body[:at] + draw(st.binary(max_size=4)) + call.body[at + end :]
            return replace(call, body=body, case=None)
        case "body":
            return replace(call, body=draw(st.sampled_from(BODIES)), case=None)
        case "value":
            return replace(call, body=draw(_other_value(call.body)), case=None)
        case _:
            path, _, query = call.target.partition("?")
            parts = path.split("/")
            parts[draw(st.integers(1, len(parts) - 1))] = draw(st.sampled_from(PATHS))
            return replace(call, target="/".join(parts) + (f"?{query}" if query else ""), case=None)


@st.composite
def _other_value(draw: st.DrawFn, body: bytes) -> bytes:
    """The same JSON with something else in one place."""
    try:
        value = json.loads(body)
    except ValueError:
        value = None

    def swap(value: Json) -> Json:
        here = draw(st.integers(0, 3)) == 0
        if isinstance(value, dict) and value and not here:
            name = draw(st.sampled_from(sorted(value)))
            return {**value, name: swap(value[name])}
        if isinstance(value, list) and value and not here:
            return [swap(value[0]), *value[1:]]
        return draw(st.sampled_from(VALUES))

    return json.dumps(swap(value)).encode()
