"""Every occasion wants its mails once, by ids alone: nothing personal waits in the todo table."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from services.notifications.domain.occasions import OCCASION_EVENTS, Template, occasions
from services.notifications.reactions import email_send, react
from services.notifications.readmodels.mail_occasions import MAIL_OCCASIONS
from shared.domain.ids import derive
from shared.events.envelope import SYSTEM, Recorded, event_id
from shared.store.todo import Kind, Wanted
from shared.testing.scenario import NOW
from tests.unit.notifications.test_occasions import (
    APPROVED,
    BALANCE,
    CANCELLED,
    CAPTURE_FAILED,
    CONFIRMED,
    DECLINED,
    DELIVERED,
    EDITED,
    ISSUED,
    LATE,
    RECEIVED,
    REFUND_FAILED,
    RETURN_DECLINED,
    SHIPPED,
)

ORDER = derive("test", "order")
RETURN = derive("test", "return")
OF_ORDERS = (
    CONFIRMED,
    EDITED,
    BALANCE,
    DECLINED,
    LATE,
    CAPTURE_FAILED,
    CANCELLED,
    SHIPPED,
    DELIVERED,
    ISSUED,
    REFUND_FAILED,
)
OF_RETURNS = tuple(replace(event, order_id=ORDER) for event in (APPROVED, RETURN_DECLINED, RECEIVED))


def recorded(data: Any) -> Recorded[Any]:
    stream = f"return-{RETURN}" if data in OF_RETURNS else f"order-{ORDER}"
    return Recorded(
        stream=stream,
        version=7,
        event_id=event_id(1, stream, 7),
        type=type(data).__name__,
        schema_version=1,
        occurred_at=NOW,
        correlation_id=ORDER,
        causation_id=None,
        actor=SYSTEM,
        epoch=1,
        data=data,
    )


def wanted(cause: UUID, template: str) -> Wanted:
    return Wanted(
        kind=Kind.EFFECT,
        name="email.send",
        stream=f"order-{ORDER}",
        target=f"{template}/0",
        payload={
            "cause_event_id": cause,
            "order_id": ORDER,
            "template": template,
            "resend_no": 0,
            "resend_of": None,
        },
    )


@pytest.mark.parametrize("data", [*OF_ORDERS, *OF_RETURNS], ids=lambda data: type(data).__name__)
def test_each_occasion_wants_its_mails_about_its_order(data: Any) -> None:
    event = recorded(data)
    assert react(event) == tuple(wanted(event.event_id, each.template) for each in occasions(data))


def test_all_occasions_are_covered_here_and_give_all_templates() -> None:
    events = (*OF_ORDERS, *OF_RETURNS)
    assert {type(event) for event in events} == set(OCCASION_EVENTS)
    assert {each.payload["template"] for event in events for each in react(recorded(event))} == set(Template)


def test_the_same_event_wants_the_same_rows_and_a_resend_another() -> None:
    event = recorded(CONFIRMED)
    rows = [each.todo_id(event.event_id) for each in react(event)]
    again = email_send(event.event_id, ORDER, Template.ORDER_CONFIRMATION, resend_no=1)
    assert rows == [each.todo_id(event.event_id) for each in react(recorded(CONFIRMED))]
    assert len({*rows, again.todo_id(event.event_id)}) == 3


def test_what_nobody_is_written_to_about_wants_nothing_and_is_not_kept() -> None:
    event = recorded(replace(DECLINED, final=True))
    assert (react(event), MAIL_OCCASIONS.keys(event)) == ((), [])


def test_an_occasion_is_kept_whole() -> None:
    event = recorded(SHIPPED)
    ((key,),) = MAIL_OCCASIONS.keys(event)
    row = MAIL_OCCASIONS.fold(None, event, (key,))
    assert row is not None
    assert (key, row.order_id, row.event()) == (event.event_id, ORDER, SHIPPED)
