"""Laws of the record itself: streams without holes, topics that repeat them, consumers that heard all."""

from collections import defaultdict
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any
from uuid import UUID

from cli.laws.law import Kind, Law, Place
from shared.events.envelope import Recorded

DIGEST_BYTES = 8


class VersionsContiguous(Law):
    """L18: a stream's versions are 1, 2, 3 … in the order in which they were written."""

    number = "L18"
    claim = "versions contiguous in every stream"
    listens = (object,)
    needs_rest = False

    def __init__(self) -> None:
        super().__init__()
        self._heads: defaultdict[str, int] = defaultdict(int)

    def see(self, event: Recorded[Any]) -> None:
        expected = self._heads[event.stream] + 1
        if event.version != expected:
            kind = Kind.DUPLICATED if event.version < expected else Kind.LOST
            self.blame(event.stream, f"version {event.version} where {expected} was due", event, kind)
        self._heads[event.stream] = event.version

    @property
    def heads(self) -> dict[str, int]:
        """The last version of every stream."""
        return dict(self._heads)


class TopicIsStore(Law):
    """L18: a topic, without its duplicates, is its service's public streams, unchanged and in order.

    A record ahead of its turn is a duplicate too if it comes again in its turn, as it does after a broker
    lost everything: the record that reveals the loss is there before all is sent again. Holds eight bytes an
    event. `stored` is called for every public event first, then `published` for every record.
    """

    number = "L18"
    claim = "topic without duplicates = store, per key, in order"
    listens = ()

    def __init__(self) -> None:
        super().__init__()
        self._digests: defaultdict[str, bytearray] = defaultdict(bytearray)
        self._read: defaultdict[str, int] = defaultdict(int)
        self._ahead: dict[str, tuple[Place, int]] = {}
        self.duplicates = 0
        self.events = 0

    def stored(self, event: Recorded[Any], data: bytes) -> None:
        """An event of a public stream, with its JSON as stored; each stream in order."""
        digests = self._digests[event.stream]
        digests += digest(event.event_id, event.type, event.epoch, data)

    def published(self, place: Place, epoch: int, key: bytes | None, data: bytes) -> None:
        """A record of the topic, in its order."""
        stream, version = place.stream, place.version
        if key != stream.encode():
            self.blame(stream, f"its record is keyed {key!r}", place)
        due = self._read[stream] + 1
        start = (version - 1) * DIGEST_BYTES
        known = self._digests[stream][start : start + DIGEST_BYTES] if stream in self._digests else b""
        if known != digest(place.event_id, place.type, epoch, data):
            told = "the topic has it, the store does not" if not known else "differs from the store"
            self.blame(stream, f"version {version} {told}", place)
        if version > due:
            self._ahead.setdefault(stream, (place, due))
        if version != due:
            self.duplicates += 1
            return
        self.events += 1
        self._read[stream] = version

    @property
    def heads(self) -> Iterator[tuple[str, int]]:
        """The last version of every public stream."""
        return ((stream, len(digests) // DIGEST_BYTES) for stream, digests in self._digests.items())

    @property
    def unread(self) -> bool:
        """Whether the topic ends before the store does."""
        return any(self._read[stream] < head for stream, head in self.heads)

    def finish(self) -> None:
        for stream, head in self.heads:
            if self._read[stream] == head:
                continue
            if stream in self._ahead:
                place, due = self._ahead[stream]
                self.blame(stream, f"version {place.version} came where {due} was due", place, Kind.LOST)
            else:
                told = f"the topic ends at version {self._read[stream]}, the store at {head}"
                self.blame(stream, told, kind=Kind.LOST)


class MarksAreHeads(Law):
    """L18: a consumer's marks are the heads of all streams of the topics it hears."""

    number = "L18"
    claim = "every mark = its stream's head"
    listens = ()

    def __init__(self) -> None:
        super().__init__()
        self._behind: dict[tuple[str, str], int] = {}
        self.marks = 0

    def head(self, consumer: str, stream: str, version: int) -> None:
        """A stream that `consumer` hears, and its last version; all of them before its marks."""
        self._behind[consumer, stream] = version

    def mark(self, consumer: str, stream: str, version: int) -> None:
        """Where `consumer` stands in a stream."""
        head = self._behind.pop((consumer, stream), 0)
        self.marks += 1
        if version != head:
            kind = Kind.LOST if version < head else Kind.WRONG
            self.blame(f"{consumer}, {stream}", f"the mark is {version}, the head {head}", kind=kind)

    def finish(self) -> None:
        for (consumer, stream), version in self._behind.items():
            self.blame(f"{consumer}, {stream}", f"there is no mark, the head is {version}", kind=Kind.LOST)


def digest(event_id: UUID, type_name: str, epoch: int, data: bytes) -> bytes:
    """What tells one event from another, in few bytes."""
    text = f"{event_id}\x1f{type_name}\x1f{epoch}\x1f".encode()
    return blake2b(text + data, digest_size=DIGEST_BYTES).digest()


LAWS: tuple[type[Law], ...] = (VersionsContiguous,)
