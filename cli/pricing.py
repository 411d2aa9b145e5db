"""`orderflow pricing`: the pricing policy as a JSON file, written out and taken in again."""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx

from cli.demo.client import Person, Refused
from cli.platform import Platform
from shared.events.envelope import ActorKind

TIMEOUT_S: Final = 60.0
BAD_FILE: Final = 2
STANDARD_INPUT: Final = Path("-")


class PolicyFileError(Exception):
    """A file cannot be imported or exported; the message is one line for a person."""


async def import_policy(platform: Platform, file: Path, *, dry_run: bool = False) -> int:
    """Adopt the policy of a file; 0, or 2 if the service finds faults in it, each told in a line.

    Raises PolicyFileError, Refused or GaveUp with one line for a person.
    """
    document = _read(file)
    url = f"{platform.services['cart'].url}/pricing-policy"
    async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as http:
        admin = Person(http, platform.token(ActorKind.ADMIN, "pricing"))
        try:
            found = await admin.call("PUT", f"{url}?check_only=true", document)
            if found["changed"] and not dry_run:
                await admin.call("PUT", url, document)
        except Refused as refusal:
            if not (faults := list(_faults(refusal.problem))):
                raise
            for fault in faults:
                print(f"{file}: {fault}", file=sys.stderr)
            return BAD_FILE
    print(f"{file}: {_told(found, dry_run=dry_run)}")
    return 0


async def export_policy(platform: Platform, file: Path | None, *, at: str | None = None) -> int:
    """Write the policy that holds now, or at an instant. Raises PolicyFileError, Refused or GaveUp."""
    url = f"{platform.services['cart'].url}/pricing-policy"
    if at is not None:
        url += f"?at={quote(_instant(at).isoformat(), safe='')}"
    async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as http:
        admin = Person(http, platform.token(ActorKind.ADMIN, "pricing"))
        policy: dict[str, Any] = await admin.call("GET", url)
    del policy["version"]
    _write(file, json.dumps(policy, indent=2, ensure_ascii=False) + "\n")
    return 0


def _read(file: Path) -> Any:
    try:
        content = sys.stdin.buffer.read() if file == STANDARD_INPUT else file.read_bytes()
    except OSError as error:
        raise PolicyFileError(f"{file}: {error.strerror}") from None
    try:
        return json.loads(content)
    except ValueError as error:
        raise PolicyFileError(f"{file}: is not JSON: {error}") from None


def _write(file: Path | None, text: str) -> None:
    if file is None:
        sys.stdout.write(text)
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PolicyFileError(f"{file}: {error.strerror}") from None


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise PolicyFileError(f"--at {text}: is no instant as 2027-01-01T00:00:00+00:00") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _faults(problem: dict[str, Any]) -> Iterator[str]:
    """The places of the document that the service complains about, and why."""
    yield from problem.get("problems", ())
    for error in problem.get("errors", ()):
        yield f"{error['pointer']}: {error['detail']}"


def _told(found: dict[str, Any], *, dry_run: bool) -> str:
    if not found["changed"]:
        return "holds already; nothing changed"
    verb = "would hold" if dry_run else "holds"
    return f"{verb} from {found['effective_from']} on"
