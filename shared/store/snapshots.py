"""States of long streams that this process committed or read: a hot stream is not folded anew for every
decision. Only a shortcut: a state counts only if its last event is the one that is stored.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shared.events.envelope import Recorded

LONG = 50
"""Streams with fewer events are quicker to fold than worth the memory."""
KEPT = 500


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A stream's state as of `last`, its last event then."""

    last: Recorded[Any]
    state: Any
    correlation_id: UUID | None

    @property
    def version(self) -> int:
        """The version of the last event."""
        return self.last.version


class Snapshots:
    """At most `kept` of them; the longest unused goes first. To be told only of what is committed."""

    def __init__(self, *, kept: int = KEPT, long: int = LONG) -> None:
        self._kept, self._long = kept, long
        self._of: OrderedDict[str, Snapshot] = OrderedDict()

    def of(self, streams: Iterable[str]) -> Mapping[str, Snapshot]:
        """Those there are."""
        return {stream: self._of[stream] for stream in streams if stream in self._of}

    def keep(self, snapshots: Iterable[Snapshot]) -> None:
        """Take over those of long streams, unless a newer one is here."""
        for snapshot in snapshots:
            stream, here = snapshot.last.stream, self._of.get(snapshot.last.stream)
            if snapshot.version >= self._long and (here is None or here.version <= snapshot.version):
                self._of[stream] = snapshot
                self._of.move_to_end(stream)
        while len(self._of) > self._kept:
            self._of.popitem(last=False)

    def drop(self, streams: Iterable[str]) -> None:
        """Forget what is known of these streams."""
        for stream in streams:
            self._of.pop(stream, None)
