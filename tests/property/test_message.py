"""Notifications' Message: what becomes of a message is written down once, in whatever order it is told."""

from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import rule

from services.notifications.domain.message import MESSAGE, Message, RecordFailed, RecordSent
from services.notifications.readmodels.message_ledger import MESSAGE_LEDGER
from shared.events import notifications
from shared.events.notifications import Channel, FailureStage, Locale, MessageFailed, MessageSent
from shared.events.registry import Registry
from tests.property.machine import ACCEPTED, AggregateMachine, Decision, uid
from tests.property.profiles import PROFILE

MESSAGES = tuple(uid("message", n) for n in range(3))
messages = st.sampled_from(MESSAGES)
texts = st.text(max_size=20)


class NaiveOutcomes:
    """What became of each message: the set of all that happened to it. A fact is never refused."""

    def __init__(self) -> None:
        self.known: dict[UUID, set[str]] = {message: set() for message in MESSAGES}

    def tell(self, command: RecordSent | RecordFailed) -> frozenset[str]:
        heard = self.known[command.message_id]
        if isinstance(command, RecordSent):
            heard.add("SENT")
        elif "SENT" not in heard or command.stage in {"BOUNCED", "COMPLAINED"}:
            heard.add(command.stage)
        return ACCEPTED


class MessageMachine(AggregateMachine):
    deciders = (MESSAGE,)
    registry = Registry.of(notifications)
    read_models = (MESSAGE_LEDGER,)

    def __init__(self) -> None:
        super().__init__()
        self.model: NaiveOutcomes = NaiveOutcomes()

    def decide(self, command: Any) -> Decision:
        stream = MESSAGE.stream(command.message_id)
        return [(stream, event) for event in MESSAGE.decide(self.states.get(stream), command)]

    @rule(
        message=messages,
        locale=st.sampled_from(Locale),
        channel=st.sampled_from(Channel),
        ref=texts,
        to=texts,
    )
    def the_server_takes_it(self, message: UUID, locale: Locale, channel: Channel, ref: str, to: str) -> None:
        self.tell(
            RecordSent(
                message_id=message,
                template="shipped",
                cause_event_id=uid("cause"),
                order_id=None,
                recipient_hash=to,
                channel=channel,
                locale=locale,
                provider_ref=ref,
            )
        )

    @rule(message=messages, stage=st.sampled_from(FailureStage), detail=texts)
    def it_fails(self, message: UUID, stage: FailureStage, detail: str) -> None:
        self.tell(
            RecordFailed(
                message_id=message,
                template="shipped",
                cause_event_id=uid("cause"),
                order_id=uid("order"),
                recipient_hash="anna",
                stage=stage,
                detail=detail,
            )
        )

    def compare(self) -> None:
        for message, heard in self.model.known.items():
            state: Message = self.states.get(MESSAGE.stream(message)) or Message()
            assert state.sent == ("SENT" in heard)
            assert state.failed == heard - {"SENT"}
        for message in MESSAGES:  # L17
            events = [event for stream, event, _ in self.history if stream == MESSAGE.stream(message)]
            assert sum(isinstance(event, MessageSent) for event in events) <= 1
            stages = [event.stage for event in events if isinstance(event, MessageFailed)]
            assert len(stages) == len(set(stages))


TestMessage = MessageMachine.TestCase
TestMessage.settings = PROFILE
