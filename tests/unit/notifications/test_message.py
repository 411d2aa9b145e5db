"""A message's outcome: recorded once, whatever the mail server says again."""

from dataclasses import replace

from services.notifications.domain.message import MESSAGE, Message, RecordFailed, RecordSent
from shared.domain.ids import derive, message_id
from shared.events.notifications import FailureStage, Locale, MessageFailed, MessageSent
from shared.testing.scenario import NOW, given

CAUSE, ORDER = derive("test", "cause"), derive("test", "order")
MESSAGE_ID = message_id(CAUSE, "shipped", "abc", "EMAIL", 0)
RECORD_SENT = RecordSent(
    message_id=MESSAGE_ID,
    template="shipped",
    cause_event_id=CAUSE,
    order_id=ORDER,
    recipient_hash="abc",
    locale=Locale.EN,
    provider_ref="250 ok",
)
RECORD_REFUSED = RecordFailed(
    message_id=MESSAGE_ID,
    template="shipped",
    cause_event_id=CAUSE,
    order_id=ORDER,
    recipient_hash="abc",
    stage=FailureStage.REJECTED,
    detail="550 no such user",
)
RECORD_BOUNCED = replace(RECORD_REFUSED, stage=FailureStage.BOUNCED, detail="mailbox full")
SENT = MessageSent(
    template="shipped",
    cause_event_id=CAUSE,
    order_id=ORDER,
    recipient_hash="abc",
    locale=Locale.EN,
    provider_ref="250 ok",
)
REFUSED = MessageFailed(
    template="shipped",
    cause_event_id=CAUSE,
    order_id=ORDER,
    recipient_hash="abc",
    stage=FailureStage.REJECTED,
    detail="550 no such user",
)
BOUNCED = replace(REFUSED, stage=FailureStage.BOUNCED, detail="mailbox full")


def test_a_message_is_sent_once() -> None:
    given(MESSAGE).when(RECORD_SENT).then(SENT)
    given(MESSAGE, SENT).when(replace(RECORD_SENT, provider_ref="250 again")).then()


def test_a_message_fails_once_per_stage() -> None:
    given(MESSAGE).when(RECORD_REFUSED).then(REFUSED)
    given(MESSAGE, REFUSED).when(replace(RECORD_REFUSED, detail="again")).then()
    given(MESSAGE, REFUSED).when(RECORD_SENT).then(SENT)


def test_a_sent_message_can_come_back_but_was_not_refused() -> None:
    given(MESSAGE, SENT).when(RECORD_BOUNCED).then(BOUNCED)
    given(MESSAGE, SENT).when(RECORD_REFUSED).then()


def test_the_fold_adds_outcomes_up() -> None:
    state = None
    for event in (SENT, BOUNCED):
        state = MESSAGE.evolve(state, event, NOW)
    assert state == Message(sent=True, failed=frozenset({FailureStage.BOUNCED}))
    assert MESSAGE.deadlines(state) == {}
    assert MESSAGE.stream(MESSAGE_ID) == f"message-{MESSAGE_ID}"
