"""A mail server that delivers nothing: it keeps every message it accepted and shows them on a page.

`python -m sandbox.mail --smtp-port 2525 --http-port 8025 --database mail.db`. A message is in the database
before it is answered with 250, so that a sender who got that answer may count on it even if this process is
killed.
"""

import argparse
import asyncio
import html
import json
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from aiosmtpd.smtp import SMTP, Envelope, Session
from fastapi import FastAPI, HTTPException, Query
from fastapi.responses import HTMLResponse

from sandbox.command import StartError, claim_port
from sandbox.options import Options

SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT NOT NULL, sender TEXT NOT NULL,
    recipients TEXT NOT NULL, subject TEXT NOT NULL, date TEXT, headers TEXT NOT NULL,
    received_at TEXT NOT NULL, raw BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS messages_message_id ON messages (message_id);
"""

_HEADERS = BytesHeaderParser(policy=policy.compat32)
LISTED = "id, message_id, sender, recipients, subject, date, headers, received_at"


class Mailbox:
    """All accepted messages, duplicates too, in one SQLite file.

    WAL with synchronous=NORMAL: what is committed survives a SIGKILL, though not a crash of the machine.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(SCHEMA)

    def keep(self, sender: str, recipients: list[str], raw: bytes) -> None:
        """Store one message; it is durable when this returns."""
        headers = _HEADERS.parsebytes(raw)
        own = {name: _plain(value) for name, value in headers.items() if name.lower().startswith("x-")}
        self._connection.execute(
            "INSERT INTO messages (message_id, sender, recipients, subject, date, headers, received_at, raw)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                _plain(headers.get("Message-ID", "")),
                sender,
                json.dumps(recipients),
                _plain(headers.get("Subject", "")),
                _plain(headers["Date"]) if "Date" in headers else None,
                json.dumps(own),
                datetime.now(UTC).isoformat(),
                raw,
            ),
        )

    def page(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Messages in order of arrival, without their bodies; `headers` are those that begin with X-."""
        rows = self._connection.execute(
            f"SELECT {LISTED} FROM messages WHERE id > ? ORDER BY id LIMIT ?",  # noqa: S608
            (after, limit),
        )
        return [_shown(row) for row in rows]

    def latest(self, limit: int) -> list[dict[str, Any]]:
        """The newest messages first, without their bodies."""
        rows = self._connection.execute(
            f"SELECT {LISTED} FROM messages ORDER BY id DESC LIMIT ?",  # noqa: S608
            (limit,),
        )
        return [_shown(row) for row in rows]

    def message(self, number: int) -> EmailMessage | None:
        """One whole message."""
        row = self._connection.execute("SELECT raw FROM messages WHERE id = ?", (number,)).fetchone()
        return _parsed(row["raw"]) if row else None

    def summary(self) -> dict[str, int]:
        """`total` messages, `distinct` Message-IDs, and `resent`, the difference."""
        row = self._connection.execute(
            "SELECT count(*) AS total, count(DISTINCT message_id) AS different FROM messages"
        ).fetchone()
        total, distinct = row["total"], row["different"]
        return {"total": total, "distinct": distinct, "resent": total - distinct}

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


class Reception:
    """What the SMTP server asks: whom to accept, and what to do with a message.

    The local part `bounce` and everybody at `refuse_domain` get 550; everybody else gets 451 the first
    `refuse_first` times.
    """

    def __init__(self, mailbox: Mailbox, refuse_first: int = 0, refuse_domain: str = "") -> None:
        self._mailbox = mailbox
        self._refuse_first = refuse_first
        self._refuse_domain = refuse_domain.lower()
        self._tried: Counter[str] = Counter()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Accept or refuse one recipient."""
        local, _, domain = address.lower().rpartition("@")
        if local == "bounce" or (self._refuse_domain and domain == self._refuse_domain):
            return "550 5.1.1 no such mailbox"
        if self._refuse_first:
            self._tried[address] += 1
            if self._tried[address] <= self._refuse_first:
                return "451 4.3.0 try again later"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep the message, then promise that it is kept."""
        raw = envelope.content or b""
        assert isinstance(raw, bytes)
        self._mailbox.keep(envelope.mail_from or "", list(envelope.rcpt_tos), raw)
        return "250 OK"


def create_app(mailbox: Mailbox, reception: Reception, host: str, smtp_port: int) -> FastAPI:
    """The HTTP side; the SMTP server runs while it does."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: SMTP(reception, hostname="sandbox.mail", loop=loop), host, smtp_port
        )
        yield
        server.close()
        mailbox.close()

    app = FastAPI(title="Sandbox mail", lifespan=lifespan)

    @app.get("/api/messages")
    async def messages(
        after: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 1000
    ) -> dict[str, Any]:
        page = mailbox.page(after, limit)
        return {"data": page, "next": page[-1]["id"] if len(page) == limit else None}

    @app.get("/api/summary")
    async def summary() -> dict[str, int]:
        return mailbox.summary()

    @app.get("/", response_class=HTMLResponse)
    async def front() -> str:
        return _list_page(mailbox.latest(500), mailbox.summary())

    @app.get("/messages/{number}", response_class=HTMLResponse)
    async def read(number: int) -> str:
        message = mailbox.message(number)
        if message is None:
            raise HTTPException(404, "there is no such message")
        return _message_page(message)

    return app


def _plain(value: Any) -> str:
    """A header as people read it. The library's modern policy does this too, twenty times slower."""
    unfolded = " ".join(str(value).split())
    try:
        return str(make_header(decode_header(unfolded))) if "=?" in unfolded else unfolded
    except (LookupError, ValueError):
        return unfolded


def _parsed(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def _shown(row: sqlite3.Row) -> dict[str, Any]:
    return {**dict(row), "recipients": json.loads(row["recipients"]), "headers": json.loads(row["headers"])}


def _document(title: str, body: str) -> str:
    return (
        f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title>"
        "<style>body{font:15px system-ui;margin:2rem}td,th{padding:.2rem .8rem .2rem 0;text-align:left}"
        "iframe{width:100%;height:70vh;border:1px solid #ccc}</style>"
        f"<h1>{html.escape(title)}</h1>{body}"
    )


def _list_page(messages: list[dict[str, Any]], summary: dict[str, int]) -> str:
    rows = "".join(
        f"<tr><td>{each['received_at'][:19]}<td>{html.escape(', '.join(each['recipients']))}"
        f"<td><a href='/messages/{each['id']}'>{html.escape(each['subject']) or '(no subject)'}</a>"
        for each in messages
    )
    counts = f"<p>{summary['total']} messages, {summary['distinct']} different, {summary['resent']} resent"
    return _document("Mail", f"{counts}<table><tr><th>Received<th>To<th>Subject{rows}</table>")


def _message_page(message: EmailMessage) -> str:
    headers = "".join(
        f"<tr><th>{html.escape(name)}<td>{html.escape(str(value))}" for name, value in message.items()
    )
    parts = []
    if rich := message.get_body(("html",)):
        # Without scripts, forms or an origin of its own: mail is somebody else's HTML.
        parts.append(f'<iframe sandbox srcdoc="{html.escape(rich.get_content())}"></iframe>')
    if plain := message.get_body(("plain",)):
        parts.append(f"<pre>{html.escape(plain.get_content())}</pre>")
    body = f"<p><a href='/'>All messages</a><table>{headers}</table>{''.join(parts)}"
    return _document(str(message.get("Subject", "(no subject)")), body)


def _options(arguments: list[str] | None = None) -> argparse.Namespace:
    options = Options("sandbox.mail", "MAIL", "A mail server that delivers nothing and shows everything.")
    options.add("host", str, "127.0.0.1", "address to listen on")
    options.add("smtp-port", int, None, "port for mail")
    options.add("http-port", int, None, "port of the page")
    options.add("database", Path, None, "SQLite file of the messages")
    options.add("refuse-first", int, 0, "how often each recipient is refused with 451 at first")
    options.add("refuse-domain", str, "", "a domain whose recipients are refused with 550")
    return options.parse(arguments)


def main() -> int:
    """Serve until told to stop; exit code 2 and one line if it cannot start."""
    options = _options()
    try:
        claim_port(options.smtp_port, "mail", options.host)
        claim_port(options.http_port, "the mail page", options.host)
        mailbox = Mailbox(options.database)
    except (StartError, sqlite3.Error) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    reception = Reception(mailbox, options.refuse_first, options.refuse_domain)
    app = create_app(mailbox, reception, options.host, options.smtp_port)
    uvicorn.run(
        app, host=options.host, port=options.http_port, log_level="warning", timeout_graceful_shutdown=1
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
