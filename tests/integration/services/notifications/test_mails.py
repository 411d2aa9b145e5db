"""One mail per occasion and recipient, whatever is repeated, refused or interrupted."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.command import free_ports
from services.notifications.app import SERVICE
from services.notifications.domain.occasions import Template
from services.notifications.reactions import EMAIL_SEND
from shared.events.notifications import FailureStage, Locale, MessageFailed, MessageSent
from shared.store import todo
from tests.conftest import MakeDatabase
from tests.integration.sandbox.test_mail import Mail, mail_running
from tests.integration.services.notifications.desk import (
    EMAIL,
    MERCHANT,
    NAME,
    NOTE,
    PERSONAL,
    STREET,
    VAULT,
    Desk,
    Order,
    letters,
    open_desk,
    policy_adopted,
    summary,
)

pytestmark = pytest.mark.integration


async def test_a_confirmed_order_gives_one_mail_to_the_customer_and_one_to_the_merchant(
    desk: Desk, tmp_path: Path
) -> None:
    order = Order()
    await desk.hear(order.confirmed())
    await desk.worker.run_due()

    sent = {str(each["To"]): each for each in letters(tmp_path)}
    assert sent.keys() == {EMAIL, MERCHANT}
    cause = str(order.told[-1].event_id)
    assert {(each["X-Orderflow-Template"], each["X-Orderflow-Cause"]) for each in sent.values()} == {
        ("order_confirmation", cause),
        ("merchant_sale", cause),
    }
    assert {each["X-Orderflow-Order"] for each in sent.values()} == {str(order.order_id)}
    assert sorted(await desk.outcomes(), key=lambda each: each.template) == [
        MessageSent(
            template=template,
            cause_event_id=order.told[-1].event_id,
            order_id=order.order_id,
            recipient_hash=VAULT.fingerprint(to),
            locale=Locale.EN,
            provider_ref=str(sent[to]["Message-ID"]),
        )
        for template, to in (("merchant_sale", MERCHANT), ("order_confirmation", EMAIL))
    ]
    assert await desk.waiting() == []


async def test_the_confirmation_says_what_was_ordered_and_what_it_costs(desk: Desk, tmp_path: Path) -> None:
    order = Order()
    await desk.hear(order.confirmed())
    await desk.worker.run_due()

    (mail,) = [each for each in letters(tmp_path) if each["To"] == EMAIL]
    plain, rich = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert rich is not None
    text = plain.get_content()
    assert mail["Subject"] == f"Thank you! Your order {order.number} is confirmed"
    for words in (
        f"Hello {NAME}",
        "2 x Mug & saucer (MUG): 24.00 GBP",
        "1 x Teapot (POT): 18.00 GBP",
        "Royal Mail 48: 4.80 GBP",
        "Total: 46.80 GBP",
        STREET,
        "SW1Y 4JH London",
        "Payment: Visa 4242, authorized",
        "You will be charged when your order is shipped",
        "Shipping: being prepared",
        f"https://shop.example/orders/{order.order_id}/print",
    ):
        assert words in text
    assert "Mug &amp; saucer" in rich.get_content()


async def test_every_occasion_has_its_mail(desk: Desk, tmp_path: Path) -> None:
    order = Order()
    await desk.hear([policy_adopted(order.at), *order.confirmed()])
    await desk.hear(order.everything_else())
    await desk.worker.run_due()

    mails = {(each["X-Orderflow-Template"], str(each["To"])): each for each in letters(tmp_path)}
    assert {template for template, _ in mails} == {str(each) for each in Template}
    assert len(mails) == len(letters(tmp_path)) - 1  # two events alert the merchant
    assert await desk.waiting() == []
    bodies = {template: mail.get_body(("plain",)).get_content() for (template, _), mail in mails.items()}  # type: ignore[union-attr]
    assert "Thirty days." in bodies["shipped"]
    assert "royalmail.com" in bodies["shipped"]
    assert "You get 34.80 GBP back" in bodies["cancelled"]
    assert "4 x Mug & saucer (MUG): 48.00 GBP" in bodies["order_changed"]
    assert "The total was 46.80 GBP before." in bodies["order_changed"]
    assert "If something is left to pay, we write to you about it." in bodies["order_changed"]
    assert "24.00 GBP is left to pay for your order." in bodies["payment_due"]
    assert NOTE in bodies["return_declined"]
    assert "within 10 days" in bodies["return_received"]


async def test_mail_comes_in_the_language_of_the_order(desk: Desk, tmp_path: Path) -> None:
    await desk.hear(Order(locale="it-CH").confirmed())
    await desk.worker.run_due()

    (mail,) = [each for each in letters(tmp_path) if each["To"] == EMAIL]
    plain = mail.get_body(("plain",))
    assert plain is not None
    assert "Pagamento: Visa 4242, autorizzato" in plain.get_content()
    assert mail["Content-Language"] == "it"


async def test_the_same_events_again_give_no_second_mail(desk: Desk, mail: Mail) -> None:
    events = Order().confirmed()
    for _ in range(2):
        await desk.hear([*events, *events])
        await desk.worker.run_due()
    assert await summary(mail) == {"total": 2, "distinct": 2, "resent": 0}


async def test_even_a_lost_todo_table_gives_no_second_mail(desk: Desk, mail: Mail) -> None:
    await desk.hear(Order().confirmed())
    rows = await desk.waiting()
    await desk.worker.run_due()
    await desk.store.pool.executemany(
        "INSERT INTO todo (todo_id, kind, name, stream_id, payload, due, correlation_id) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7)",
        [
            tuple(
                row[n] for n in ("todo_id", "kind", "name", "stream_id", "payload", "due", "correlation_id")
            )
            for row in rows
        ],
    )
    await desk.worker.run_due()
    assert await desk.waiting() == []
    assert await summary(mail) == {"total": 2, "distinct": 2, "resent": 0}


async def test_a_crash_between_sending_and_recording_repeats_the_same_message_id(
    desk: Desk, mail: Mail
) -> None:
    await desk.hear(Order().confirmed())
    async with desk.store.pool.acquire() as connection:
        (row,) = await todo.claim(connection, desk.clock(), 1, timedelta(seconds=30))
    await desk.duties.effects[EMAIL_SEND](row)  # sent, and then the process was killed

    await desk.worker.run_due()
    assert await summary(mail) == {"total": 2, "distinct": 2, "resent": 0}
    desk.clock.advance(timedelta(seconds=31))
    await desk.worker.run_due()
    assert await summary(mail) == {"total": 3, "distinct": 2, "resent": 1}
    assert [type(each) for each in await desk.outcomes()] == [MessageSent, MessageSent]


async def test_an_unknown_mailbox_is_a_bounce_and_not_tried_again(desk: Desk, mail: Mail) -> None:
    order = Order(email="bounce@example.com")
    await desk.hear(order.confirmed())
    await desk.worker.run_due()
    desk.clock.advance(timedelta(days=2))
    await desk.worker.run_due()

    (failed,) = [each for each in await desk.outcomes() if isinstance(each, MessageFailed)]
    assert failed == MessageFailed(
        template="order_confirmation",
        cause_event_id=order.told[-1].event_id,
        order_id=order.order_id,
        recipient_hash=VAULT.fingerprint("bounce@example.com"),
        stage=FailureStage.BOUNCED,
        detail="550 5.1.1",
    )
    assert await desk.waiting() == []
    assert (await summary(mail))["total"] == 1


async def test_what_is_no_address_is_rejected(desk: Desk) -> None:
    await desk.hear(Order(email="a,b@example.com").confirmed())
    await desk.worker.run_due()
    (failed,) = [each for each in await desk.outcomes() if isinstance(each, MessageFailed)]
    assert (failed.stage, failed.detail) == (FailureStage.REJECTED, "not an e-mail address")


async def test_a_passing_refusal_is_tried_again_until_it_is_taken(
    make_database: MakeDatabase, tmp_path: Path
) -> None:
    database = await make_database(SERVICE.migrations, "notifications")
    async with (
        mail_running(tmp_path, "--refuse-first", "2") as mail,
        open_desk(database, mail.smtp_port) as desk,
    ):
        await desk.hear(Order().confirmed())
        tries = []
        for _ in range(3):
            await desk.worker.run_due()
            tries.append([(row["attempts"], row["last_error"]) for row in await desk.waiting()])
            desk.clock.advance(timedelta(minutes=1))
        assert tries == [
            [(1, "unavailable: 451 4.3.0")] * 2,
            [(2, "unavailable: 451 4.3.0")] * 2,
            [],
        ]
        assert await summary(mail) == {"total": 2, "distinct": 2, "resent": 0}


async def test_what_no_server_takes_for_a_day_has_failed(make_database: MakeDatabase) -> None:
    database = await make_database(SERVICE.migrations, "notifications")
    async with open_desk(database, *free_ports(1)) as desk:
        await desk.hear(Order().confirmed())
        await desk.worker.run_due()
        assert {row["last_error"] for row in await desk.waiting()} == {"unavailable: SMTPConnectError"}
        desk.clock.advance(timedelta(hours=23, minutes=51))
        await desk.worker.run_due()
        assert await desk.waiting() == []
        outcomes: list[Any] = await desk.outcomes()
        assert {(type(each), each.stage, each.detail) for each in outcomes} == {
            (MessageFailed, FailureStage.REJECTED, "unsent for a day: SMTPConnectError")
        }


async def test_a_return_waits_for_the_order_that_it_is_about(desk: Desk, mail: Mail) -> None:
    order = Order()
    placed = order.placed()
    await desk.hear(order.returned())
    await desk.worker.run_due()
    assert (await summary(mail))["total"] == 0
    assert len(await desk.waiting()) == 3
    await desk.hear(placed)
    desk.clock.advance(timedelta(minutes=1))
    await desk.worker.run_due()
    assert (await summary(mail))["total"] == 3


async def test_history_is_told_and_not_mailed(desk: Desk, mail: Mail) -> None:
    before = Order(at=datetime.now(UTC) - timedelta(days=1))
    await desk.hear(before.confirmed())
    assert await desk.waiting() == []
    # What happens to the old order from now on is news.
    before.at = datetime.now(UTC) + timedelta(seconds=1)
    await desk.hear(before.everything_else())
    await desk.worker.run_due()
    assert "order_confirmation" not in {each.template for each in await desk.outcomes()}
    assert (await summary(mail))["total"] == 14


async def test_settings_may_name_another_beginning(make_database: MakeDatabase, mail: Mail) -> None:
    database = await make_database(SERVICE.migrations, "notifications")
    since = datetime.now(UTC) - timedelta(days=2)
    async with open_desk(database, mail.smtp_port, react_since=since.isoformat()) as desk:
        await desk.hear(Order(at=since + timedelta(days=1)).confirmed())
        await desk.hear(Order(at=since - timedelta(days=1)).confirmed())
        await desk.worker.run_due()
        assert (await summary(mail))["total"] == 2


async def test_nothing_personal_is_kept_in_the_clear(desk: Desk) -> None:
    order = Order()
    await desk.hear([*order.confirmed(), *order.returned()])
    tables = ("order_snippets", "mail_occasions", "todo", "events", "message_ledger")

    async def clear() -> str:
        found = [await desk.store.pool.fetch(f"SELECT t::text FROM {table} AS t") for table in tables]
        data = await desk.store.pool.fetch("SELECT data FROM events")
        return str(found) + str(data)

    before = await clear()
    await desk.worker.run_due()
    for words in PERSONAL:
        assert words not in before + await clear()
