"""The capturing mail server as a process: what it accepted is there, once for each time it was sent."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import httpx
import pytest

from sandbox.command import Command, free_ports, running, tcp_open

pytestmark = pytest.mark.integration


class Mail:
    """A running server as its clients see it."""

    def __init__(self, smtp_port: int, http: httpx.AsyncClient, process: asyncio.subprocess.Process) -> None:
        self.smtp_port = smtp_port
        self.http = http
        self.process = process

    async def send(self, message: EmailMessage) -> None:
        await aiosmtplib.send(message, hostname="127.0.0.1", port=self.smtp_port, start_tls=False)


@asynccontextmanager
async def mail_running(folder: Path, *options: str) -> AsyncIterator[Mail]:
    """A server over the database in `folder`."""
    smtp_port, http_port = free_ports(2)
    argv = (
        *(sys.executable, "-m", "sandbox.mail", "--database", str(folder / "mail.db")),
        *("--smtp-port", str(smtp_port), "--http-port", str(http_port)),
    )

    async def ready() -> bool:
        return await tcp_open(smtp_port) and await tcp_open(http_port)

    async with (
        running(Command(argv=(*argv, *options)), ready=ready, log=folder / "mail.log") as process,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{http_port}", trust_env=False) as http,
    ):
        yield Mail(smtp_port, http, process)


def letter(number: int = 1, to: str = "ada@example.com") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "shop@example.com"
    message["To"] = to
    message["Subject"] = f"Your order № {number} <b>"
    message["Message-ID"] = f"<effect-{number}@example.com>"
    message["Date"] = "Mon, 05 Jan 2026 09:00:00 +0000"
    message["X-Cause-Event-Id"] = f"cause-{number}"
    message.set_content("Thank you.")
    message.add_alternative("<p>Thank <script>you</script>.</p>", subtype="html")
    return message


async def test_keeps_every_message_and_every_repetition(tmp_path: Path) -> None:
    async with mail_running(tmp_path) as mail:
        for number in (1, 2, 2, 3):
            await mail.send(letter(number))
        summary = (await mail.http.get("/api/summary")).json()
        first = (await mail.http.get("/api/messages", params={"limit": 3})).json()
        second = (await mail.http.get("/api/messages", params={"limit": 3, "after": first["next"]})).json()

    assert summary == {"total": 4, "distinct": 3, "resent": 1}
    assert [each["message_id"] for each in (*first["data"], *second["data"])] == [
        f"<effect-{number}@example.com>" for number in (1, 2, 2, 3)
    ]
    assert second["next"] is None
    message = first["data"][0]
    assert message["recipients"] == ["ada@example.com"]
    assert message["subject"] == "Your order № 1 <b>"
    assert message["date"] == "Mon, 05 Jan 2026 09:00:00 +0000"
    assert message["headers"] == {"X-Cause-Event-Id": "cause-1"}


async def test_what_was_accepted_survives_a_sigkill(tmp_path: Path) -> None:
    async with mail_running(tmp_path) as mail:
        await mail.send(letter())
        mail.process.kill()
        await mail.process.wait()

    async with mail_running(tmp_path) as mail:
        assert (await mail.http.get("/api/summary")).json()["total"] == 1


async def test_people_can_read_the_mail_and_it_cannot_do_anything(tmp_path: Path) -> None:
    async with mail_running(tmp_path) as mail:
        await mail.send(letter())
        listed = (await mail.http.get("/")).text
        read = (await mail.http.get("/messages/1")).text
        missing = await mail.http.get("/messages/2")

    assert "Your order № 1 &lt;b&gt;" in listed
    assert "Thank you." in read
    assert "<iframe sandbox srcdoc=" in read
    assert "<script>" not in read
    assert missing.status_code == 404


async def test_refuses_for_good_whom_it_does_not_know(tmp_path: Path) -> None:
    async with mail_running(tmp_path, "--refuse-domain", "nowhere.example") as mail:
        for address in ("bounce@example.com", "ada@nowhere.example"):
            with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as caught:
                await mail.send(letter(to=address))
            assert [each.code for each in caught.value.recipients] == [550]
        assert (await mail.http.get("/api/summary")).json()["total"] == 0


async def test_refuses_at_first_when_told_to(tmp_path: Path) -> None:
    async with mail_running(tmp_path, "--refuse-first", "2") as mail:
        for _ in range(2):
            with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as caught:
                await mail.send(letter())
            assert [each.code for each in caught.value.recipients] == [451]
        await mail.send(letter())
        assert (await mail.http.get("/api/summary")).json()["total"] == 1
