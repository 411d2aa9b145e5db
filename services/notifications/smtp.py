"""The mail port, and its adapter for any SMTP server. Its errors hold neither addresses nor texts."""

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Protocol

import aiosmtplib

from services.notifications.render import Rendered
from shared.events.notifications import FailureStage
from shared.store.worker import Unavailable

_ENHANCED_CODE = re.compile(r"[245]\.\d{1,3}\.\d{1,3}\b")
_GOODBYE_S = 1.0


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
    """An SMTP server, one connection a mail. `timeout_s` bounds the whole conversation.

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

    async def send(self, letter: Letter) -> None:
        """See Mail.send."""
        message, client = self._compose(letter), self._client()
        try:
            async with asyncio.timeout(self.timeout_s):
                await client.connect()
                await client.send_message(message, sender=self.sender, recipients=[letter.to])
            await _say_goodbye(client)
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
        finally:
            client.close()

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

    def _compose(self, letter: Letter) -> EmailMessage:
        message = EmailMessage()
        try:
            message["To"] = Address(addr_spec=letter.to)
        except (MessageError, ValueError, IndexError):
            raise Refused(FailureStage.REJECTED, "not an e-mail address") from None
        message["From"] = Address(display_name=self.sender_name, addr_spec=self.sender)
        message["Subject"] = letter.content.subject
        message["Message-ID"] = letter.message_id
        message["Auto-Submitted"] = "auto-generated"
        for name, value in letter.headers:
            message[name] = value
        message.set_content(letter.content.text)
        message.add_alternative(letter.content.html, subtype="html")
        message["Content-Language"] = letter.content.locale
        return message


def domain_of(address: str) -> str:
    """What follows the @ of an e-mail address."""
    return address.rpartition("@")[2]


async def _say_goodbye(client: aiosmtplib.SMTP) -> None:
    """What the server has taken is taken, however the goodbye goes."""
    with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
        async with asyncio.timeout(_GOODBYE_S):
            await client.quit()


def _answer(stage: FailureStage, code: int, reply: str) -> Exception:
    """5xx is for good: an unknown mailbox is a bounce, unwanted content a rejection. The rest may pass."""
    return Refused(stage, _codes(code, reply)) if code >= 500 else Unavailable(_codes(code, reply))


def _codes(code: int, reply: str) -> str:
    """`550 5.1.1`: the reply's text is left out, since servers quote addresses there."""
    enhanced = _ENHANCED_CODE.match(reply.strip())
    return f"{code} {enhanced.group()}" if enhanced else str(code)
