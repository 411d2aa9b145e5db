"""The mail port, and its adapter for any SMTP server. Its errors hold neither addresses nor texts."""

import asyncio
import re
from binascii import b2a_qp
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from email.errors import MessageError
from email.header import Header
from email.headerregistry import Address
from email.utils import formataddr
from functools import lru_cache
from typing import Protocol

import aiosmtplib

from services.notifications.render import Rendered
from shared.events.notifications import FailureStage
from shared.store.worker import Unavailable

_ENHANCED_CODE = re.compile(r"[245]\.\d{1,3}\.\d{1,3}\b")
_PLAIN_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@[A-Za-z0-9.-]+"
)
_SHORT_LINE = 66
_GOODBYE_S = 1.0
_IDLE_AT_MOST_S = 15.0
"""Servers hang up after minutes; a connection that was idle for so long is not tried again."""
_MAILS_A_CONNECTION = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A mail to send; `message_id` is its Message-ID with the angle brackets."""

    message_id: str
    to: str = field(repr=False)
    content: Rendered = field(repr=False)
    headers: tuple[tuple[str, str], ...]


class Refused(Exception):  # noqa: N818 - an answer
    """The mail server will never take this message; `detail` holds its codes, no text of its own."""

    def __init__(self, stage: FailureStage, detail: str) -> None:
        super().__init__(detail)
        self.stage = stage
        self.detail = detail


class Mail(Protocol):
    """Hands mails to a server."""

    async def send(self, letter: Letter) -> None:
        """Returns once the server has taken it. Raises Refused, or Unavailable if it may be sent later."""
        ...


@dataclass(frozen=True, kw_only=True)
class Smtp:
    """An SMTP server. A connection serves many mails; `timeout_s` bounds each mail's conversation.

    `starttls`: True demands it, False never tries, None takes it where the server offers it; `tls`: speak
    TLS from the first byte.
    """

    host: str
    port: int
    sender: str
    sender_name: str
    timeout_s: float
    tls: bool = False
    starttls: bool | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    _idle: "list[_Line]" = field(default_factory=list, init=False, repr=False, compare=False)

    async def send(self, letter: Letter) -> None:
        """See Mail.send."""
        content = compose(letter, self.sender, self.sender_name)
        options = () if letter.to.isascii() else ("SMTPUTF8", "BODY=8BITMIME")
        line: _Line | None = self._line()
        assert line
        try:
            async with asyncio.timeout(self.timeout_s):
                if not line.client.is_connected:
                    await line.client.connect()
                await line.client.sendmail(self.sender, [letter.to], content, mail_options=options)
        except aiosmtplib.SMTPRecipientsRefused as error:
            refusal = error.recipients[0]
            raise _answer(FailureStage.BOUNCED, refusal.code, refusal.message) from None
        except aiosmtplib.SMTPDataError as error:
            raise _answer(FailureStage.REJECTED, error.code, error.message) from None
        except aiosmtplib.SMTPNotSupported:
            raise Refused(FailureStage.REJECTED, "the mail server cannot write to such an address") from None
        except aiosmtplib.SMTPResponseException as error:
            raise Unavailable(_codes(error.code, error.message)) from None
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise Unavailable(type(error).__name__) from None
        except ValueError:
            raise Refused(FailureStage.REJECTED, "not an e-mail address") from None
        else:
            line.mails += 1
            line.since = asyncio.get_running_loop().time()
            if line.mails < _MAILS_A_CONNECTION:
                self._idle.append(line)
                line = None
        finally:
            if line is not None:
                line.client.close()

    async def close(self) -> None:
        """Hang up; what the server has taken is taken, however the goodbye goes."""
        while self._idle:
            client = self._idle.pop().client
            with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                async with asyncio.timeout(_GOODBYE_S):
                    await client.quit()
            client.close()

    def _line(self) -> "_Line":
        """The connection that was used last, if the server cannot have grown tired of it, else a new one."""
        oldest = asyncio.get_running_loop().time() - _IDLE_AT_MOST_S
        while self._idle:
            line = self._idle.pop()
            if line.since > oldest and line.client.is_connected:
                return line
            line.client.close()
        return _Line(self._client())

    def _client(self) -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            hostname=self.host,
            port=self.port,
            local_hostname=domain_of(self.sender),
            timeout=self.timeout_s,
            use_tls=self.tls,
            start_tls=False if self.tls else self.starttls,
            username=self.username,
            password=self.password,
        )


@dataclass(slots=True)
class _Line:
    """A connection, how many mails went over it, and since when it is idle."""

    client: aiosmtplib.SMTP
    mails: int = 0
    since: float = 0.0


def compose(letter: Letter, sender: str, sender_name: str) -> bytes:
    """The mail as it is sent: a text and an HTML part. Raises Refused if `to` is no e-mail address.

    Written by hand: the standard library's message objects take forty times as long.
    """
    content = letter.content
    boundary = f"=_{letter.message_id.strip('<>').partition('@')[0]}"  # no quoted-printable text has `=_`
    head = [
        ("To", _mailbox(letter.to)),
        ("From", _from(sender, sender_name)),
        ("Subject", _words(content.subject)),
        ("Message-ID", letter.message_id),
        ("Auto-Submitted", "auto-generated"),
        *letter.headers,
        ("Content-Language", str(content.locale)),
        ("MIME-Version", "1.0"),
        ("Content-Type", f'multipart/alternative; boundary="{boundary}"'),
    ]
    return b"\r\n".join(
        (
            *(f"{name}: {value}".encode() for name, value in head),
            b"",
            *_part(boundary, "plain", content.text),
            *_part(boundary, "html", content.html),
            f"--{boundary}--".encode(),
            b"",
        )
    )


def _part(boundary: str, subtype: str, text: str) -> Iterator[bytes]:
    yield f"--{boundary}".encode()
    yield f'Content-Type: text/{subtype}; charset="utf-8"'.encode()
    yield b"Content-Transfer-Encoding: quoted-printable"
    yield b""
    lines = "\n".join(text.splitlines())
    yield b2a_qp(lines.encode(), istext=True).rstrip(b"\n").replace(b"\n", b"\r\n") + b"\r\n"


def _mailbox(address: str) -> str:
    if _PLAIN_ADDRESS.fullmatch(address):
        return address
    try:
        return str(Address(addr_spec=address))
    except (MessageError, ValueError, IndexError):
        raise Refused(FailureStage.REJECTED, "not an e-mail address") from None


@lru_cache(maxsize=16)
def _from(sender: str, name: str) -> str:
    return formataddr((name, sender))


def _words(text: str) -> str:
    """A header of free text: one line, or folded ones, of ASCII."""
    text = " ".join(text.split())
    if text.isascii() and len(text) < _SHORT_LINE:
        return text
    charset = "ascii" if text.isascii() else "utf-8"
    return Header(text, charset, header_name="Subject").encode(linesep="\r\n")


def domain_of(address: str) -> str:
    """What follows the @ of an e-mail address."""
    return address.rpartition("@")[2]


def _answer(stage: FailureStage, code: int, reply: str) -> Exception:
    """5xx is for good: an unknown mailbox is a bounce, unwanted content a rejection. The rest may pass."""
    return Refused(stage, _codes(code, reply)) if code >= 500 else Unavailable(_codes(code, reply))


def _codes(code: int, reply: str) -> str:
    """`550 5.1.1`: the reply's text is left out, since servers quote addresses there."""
    enhanced = _ENHANCED_CODE.match(reply.strip())
    return f"{code} {enhanced.group()}" if enhanced else str(code)
