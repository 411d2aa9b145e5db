"""A mail as it is sent, read back by the standard library: nothing is lost and nothing can be smuggled in."""

from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest

from services.notifications.render import Rendered
from services.notifications.smtp import Letter, Refused, compose
from shared.events.notifications import Locale


def read(
    subject: str = "Hello", to: str = "ada@example.com", text: str = "Hi\n", html: str = "<p>Hi\n"
) -> EmailMessage:
    letter = Letter(
        message_id="<effect-1@shop.example>",
        to=to,
        content=Rendered(locale=Locale.IT, subject=subject, text=text, html=html),
        headers=(("X-Orderflow-Order", "o-1"),),
    )
    raw = compose(letter, "shop@shop.example", "Caffè, Bar")
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    assert raw.isascii() or not to.isascii()
    message = message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def test_every_header_is_there() -> None:
    mail = read()
    assert dict(mail.items()) == {
        "To": "ada@example.com",
        "From": '"Caffè, Bar" <shop@shop.example>',
        "Subject": "Hello",
        "Message-ID": "<effect-1@shop.example>",
        "Auto-Submitted": "auto-generated",
        "X-Orderflow-Order": "o-1",
        "Content-Language": "it",
        "MIME-Version": "1.0",
        "Content-Type": mail["Content-Type"],
    }


@pytest.mark.parametrize(
    "subject", ["Grazie", "Il tuo ordine è № 12", "a " * 60 + "end", "è" * 120, "one\r\nBcc: eve@example.com"]
)
def test_a_subject_arrives_in_one_line_whatever_is_in_it(subject: str) -> None:
    mail = read(subject=subject)
    assert mail["Subject"] == " ".join(subject.split())
    assert "Bcc" not in mail


@pytest.mark.parametrize(
    "text",
    ["Hi\n", "no end", "=_effect-1 = é\n.\n..\n", "--=_effect-1--\nmore\n", "x" * 2000 + "\n", "a\r\nb \n"],
)
def test_texts_arrive_as_they_were_written(text: str) -> None:
    mail = read(text=text, html=text)
    for kind in ("plain", "html"):
        part = mail.get_body((kind,))
        assert part is not None
        assert part.get_content().splitlines() == text.splitlines()


@pytest.mark.parametrize(
    "to", ["nobody", "a@b@c", "a b@example.com", "a@example.com\r\nBcc: b@c", ".a@b", "<a@b>"]
)
def test_what_is_no_address_is_refused(to: str) -> None:
    with pytest.raises(Refused):
        read(to=to)
