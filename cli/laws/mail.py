"""Laws of mail: every occasion has its message, each under one Message-ID however often it is sent."""

from datetime import datetime
from typing import Any
from uuid import UUID

from cli.laws.law import Kind, Law, Place
from services.notifications.domain.occasions import OCCASION_EVENTS, occasions
from shared.domain import key_of
from shared.events.envelope import Recorded
from shared.events.notifications import Channel, MessageFailed, MessageSent


class SentOnce(Law):
    """L17: a message is recorded as sent at most once."""

    number = "L17"
    claim = "at most one MessageSent per effect id"
    listens = (MessageSent,)

    def __init__(self) -> None:
        super().__init__()
        self._sent: set[UUID] = set()

    def see(self, event: Recorded[Any]) -> None:
        effect = UUID(key_of(event.stream))
        if effect in self._sent:
            self.blame(f"message {effect}", "is sent a second time", event, Kind.DUPLICATED)
        self._sent.add(effect)


class MailIsLedger(Law):
    """L17: the mail server has exactly the mails that the ledger says were sent, one Message-ID for each.

    Copies of one Message-ID count once: a crash between sending and recording repeats the mail. `mail` takes
    what the server has, before, between or after the events.
    """

    number = "L17"
    claim = "distinct Message-IDs at the mail server = e-mails in MessageSent"
    listens = (MessageSent,)

    def __init__(self) -> None:
        super().__init__()
        self._sent: dict[UUID, Place] = {}
        self._at_server: set[UUID] = set()
        self.mails = 0

    @property
    def sent(self) -> int:
        """E-mails in the ledger."""
        return len(self._sent)

    @property
    def resent(self) -> int:
        """Mails at the server beyond the first of their Message-ID."""
        return self.mails - len(self._at_server)

    def see(self, event: Recorded[Any]) -> None:
        if event.data.channel is Channel.EMAIL:
            self._sent.setdefault(UUID(key_of(event.stream)), Place.of(event))

    def mail(self, message_id: str) -> None:
        """A mail that the server accepted; its Message-ID is `<effect id@domain>`."""
        try:
            effect = UUID(message_id.strip("<>").partition("@")[0])
        except ValueError:
            self.blame(f"mail {message_id}", "has no Message-ID of ours")
            return
        self.mails += 1
        self._at_server.add(effect)

    def finish(self) -> None:
        for effect, place in self._sent.items():
            if effect not in self._at_server:
                self.blame(f"message {effect}", "the mail server never had it", place, Kind.LOST)
        for effect in self._at_server - self._sent.keys():
            self.blame(f"message {effect}", "the mail server has it, the ledger does not")


class OccasionsAreAnswered(Law):
    """L17: every event that somebody is to be written to about has a message, sent or failed.

    Events before `since` only project: nobody is written to about them.
    """

    number = "L17"
    claim = "a subscribed event gives MessageSent or MessageFailed"
    listens = (*OCCASION_EVENTS, MessageSent, MessageFailed)
    since: datetime | None = None

    def __init__(self) -> None:
        super().__init__()
        self._unanswered: dict[tuple[UUID, str], Place] = {}
        self._early: set[tuple[UUID, str]] = set()

    def see(self, event: Recorded[Any]) -> None:
        if isinstance(event.data, MessageSent | MessageFailed):
            key = event.data.cause_event_id, event.data.template
            if event.version == 1 and self._unanswered.pop(key, None) is None:
                self._early.add(key)
            return
        if self.since is not None and event.occurred_at < self.since:
            return
        for occasion in occasions(event.data):
            key = event.event_id, str(occasion.template)
            if key in self._early:
                self._early.discard(key)
            else:
                self._unanswered[key] = Place.of(event)

    def finish(self) -> None:
        for (cause, template), place in self._unanswered.items():
            self.blame(f"event {cause}, {template}", "nobody was written to", place, Kind.LOST)


LAWS: tuple[type[Law], ...] = (SentOnce, MailIsLedger, OccasionsAreAnswered)
