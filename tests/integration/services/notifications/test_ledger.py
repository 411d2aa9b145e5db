"""What staff see of messages, sending them again, and that every row is what its events say."""

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from prometheus_client import REGISTRY

from services.notifications.readmodels.mail_occasions import MAIL_OCCASIONS
from services.notifications.readmodels.message_ledger import MESSAGE_LEDGER
from services.notifications.readmodels.order_snippets import ORDER_SNIPPETS
from services.notifications.readmodels.return_policies import RETURN_POLICIES
from shared.events import notifications, orders, returns
from shared.events.envelope import ActorKind, Recorded
from shared.events.registry import Registry
from shared.store.connection import Connection
from shared.store.readmodel import ReadModel
from shared.store.rebuild import rebuild
from tests.integration.sandbox.test_mail import Mail
from tests.integration.services.notifications.desk import (
    EMAIL,
    PERSONAL,
    VAULT,
    Desk,
    Order,
    policy_adopted,
    summary,
)

pytestmark = pytest.mark.integration


async def listed(client: httpx.AsyncClient, **query: str) -> list[dict[str, Any]]:
    answer = await client.get("/messages", params=query)
    assert answer.status_code == 200, answer.text
    for words in PERSONAL:
        assert words not in answer.text
    rows: list[dict[str, Any]] = answer.json()
    return rows


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rsplit(":", 1)[1]


async def test_staff_see_messages_by_hash_template_and_status(desk: Desk) -> None:
    order, other = Order(email="bounce@example.com"), Order()
    await desk.hear([*order.confirmed(), *other.confirmed()])
    await desk.worker.run_due()
    async with desk.client() as staff:
        rows = await listed(staff, order_id=str(order.order_id))
        assert {(row["template"], row["status"], row["detail"]) for row in rows} == {
            ("order_confirmation", "BOUNCED", "550 5.1.1"),
            ("merchant_sale", "SENT", None),
        }
        assert VAULT.fingerprint("bounce@example.com") in {row["recipient_hash"] for row in rows}
        assert len(await listed(staff, status="SENT")) == 3
        everything = await listed(staff)
        first = await listed(staff, limit="3")
        rest = await listed(staff, after=first[-1]["message_id"])
        assert (everything, len(everything)) == ([*first, *rest], 4)
        one = await staff.get(f"/messages/{rows[0]['message_id']}")
        assert one.json() == rows[0]


async def test_only_staff_may_look_and_only_sensible_things_can_be_asked(desk: Desk) -> None:
    async with (
        desk.client(ActorKind.CUSTOMER) as customer,
        desk.client(None) as nobody,
        desk.client() as staff,
    ):
        for route in ("GET /messages", f"GET /messages/{uuid4()}", f"POST /messages/{uuid4()}/resend"):
            method, path = route.split()
            assert code(await customer.request(method, path)) == (403, "forbidden")
            assert code(await nobody.request(method, path)) == (401, "unauthenticated")
        assert code(await staff.get(f"/messages/{uuid4()}")) == (404, "unknown_message")
        assert code(await staff.post(f"/messages/{uuid4()}/resend")) == (404, "unknown_message")
        for query in (
            {"order_id": "x"},
            {"limit": "0"},
            {"limit": "1001"},
            {"status": "LOST"},
            {"after": "1"},
        ):
            assert code(await staff.get("/messages", params=query)) == (422, "invalid_request")
        assert await listed(staff, after=str(uuid4())) == []


async def test_a_resend_is_a_message_of_its_own_and_one_however_often_it_is_asked_for(
    desk: Desk, mail: Mail
) -> None:
    order = Order()
    await desk.hear(order.confirmed())
    await desk.worker.run_due()
    async with desk.client() as staff:
        rows = await listed(staff, order_id=str(order.order_id))
        (first,) = [row["message_id"] for row in rows if row["template"] == "order_confirmation"]
        answers = [await staff.post(f"/messages/{first}/resend") for _ in range(2)]
        second = answers[0].json()["message_id"]
        assert [(each.status_code, each.json()) for each in answers] == [
            (202, {"message_id": second, "resend_of": first})
        ] * 2
        await desk.worker.run_due()
        await staff.post(f"/messages/{first}/resend")
        await desk.worker.run_due()
        assert await summary(mail) == {"total": 3, "distinct": 3, "resent": 0}

        again = (await staff.get(f"/messages/{second}")).json()
        assert (again["status"], again["resend_of"]) == ("SENT", first)
        assert again["recipient_hash"] == VAULT.fingerprint(EMAIL)
        third = (await staff.post(f"/messages/{second}/resend")).json()["message_id"]
        await desk.worker.run_due()
        assert len({first, second, third}) == 3
        assert await summary(mail) == {"total": 4, "distinct": 4, "resent": 0}
    correlated = {
        event.correlation_id
        for stream in await desk.store.load([f"message-{each}" for each in (first, second, third)])
        for event in (await desk.store.load([stream]))[stream]
    }
    assert correlated == {order.order_id}


class Heard:
    """The foreign events that were applied, told once."""

    missing = 0

    def __init__(self, events: Sequence[Recorded[Any]]) -> None:
        self._left = [events]

    async def applied(self, _connection: Connection) -> AsyncIterator[Sequence[Recorded[Any]]]:
        while self._left:
            yield self._left.pop()


@pytest.mark.parametrize(
    "model",
    [MESSAGE_LEDGER, ORDER_SNIPPETS, MAIL_OCCASIONS, RETURN_POLICIES],
    ids=lambda model: str(model.name),
)
async def test_rebuilt_rows_are_equal(desk: Desk, model: ReadModel[Any]) -> None:
    order, bounced = Order(), Order(email="bounce@example.com")
    heard = [policy_adopted(order.at), *order.confirmed(), *bounced.confirmed()]
    await desk.hear(heard)
    await desk.hear(order.everything_else())
    await desk.worker.run_due()

    registry = Registry.of(notifications, orders, returns)
    owner = await asyncpg.create_pool(desk.database.owner_url, min_size=1, max_size=4)
    try:
        foreign = Heard([heard[0], *order.told, *bounced.told])
        rebuilt = await rebuild(owner, registry, model, foreign=foreign)
    finally:
        await owner.close()
    assert rebuilt.equal
    assert rebuilt.rows > 0
    assert await desk.waiting() == []


async def test_gauges_count_messages_by_status_and_waiting_mails_by_age(desk: Desk) -> None:
    order = Order(email="bounce@example.com")
    await desk.hear(order.confirmed())
    await desk.worker.run_due()
    await desk.hear(Order().confirmed())
    async with desk.store.pool.acquire() as connection:
        for sample in desk.samples:
            await sample(connection)

    def value(name: str, **labels: str) -> float | None:
        return REGISTRY.get_sample_value(name, labels)

    assert value("orderflow_messages", status="SENT") == 1
    assert value("orderflow_messages", status="BOUNCED") == 1
    assert value("orderflow_mails_waiting", age="under_1m") == 2
    assert value("orderflow_mails_waiting", age="over_1h") == 0
