"""What every read model owes, shown on the history of a machine: its rows follow from the events alone.

A row that folds several streams is the same in whatever order the streams come, each in its own order; any
other row is fed by one stream only; and each row comes back from its columns unchanged.
"""

import random
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from shared.events.envelope import SYSTEM, Recorded, event_id
from shared.store.readmodel import Key, ReadModel

History = Sequence[tuple[str, Any, datetime]]


def check_folds(models: Iterable[ReadModel[Any]], history: History) -> None:
    """Assert all of that for the rows that `history`, events with stream and instant, folds into."""
    told = recorded(history)
    for model in models:
        rows = written(model, told)
        if model.shared_rows:
            for other in interleavings(told):
                again = model.folded({}, model.touched(other))
                assert again == rows, f"{model.name} depends on the order of streams"
        else:
            fed_by: dict[Key, str] = {}
            for event, keys in model.touched(told):
                for key in keys:
                    assert fed_by.setdefault(key, event.stream) == event.stream, f"{model.name} {key}"


def recorded(history: History) -> list[Recorded[Any]]:
    """The events in their envelopes, versions counted by stream."""
    heads: dict[str, int] = {}
    events = []
    for stream, data, at in history:
        heads[stream] = version = heads.get(stream, 0) + 1
        events.append(
            Recorded(
                stream=stream,
                version=version,
                event_id=event_id(1, stream, version),
                type=type(data).__name__,
                schema_version=1,
                occurred_at=at,
                correlation_id=event_id(1, "correlation", 1),
                causation_id=None,
                actor=SYSTEM,
                epoch=1,
                data=data,
            )
        )
    return events


def written(model: ReadModel[Any], events: Iterable[Recorded[Any]]) -> dict[Key, Any]:
    """The rows, each written to its columns and read again between any two events."""
    rows: dict[Key, Any] = {}
    for event, keys in model.touched(events):
        for key in keys:
            row = model.fold(rows.pop(key, None), event, key)
            if row is not None:
                columns: Any = dict(zip(model.columns, model.encode(row), strict=True))
                rows[key] = model.decode(columns)
                assert rows[key] == row, f"{model.name} is not what it was written as"
                assert tuple(getattr(row, name) for name in model.key) == key
    return rows


def interleavings(events: Sequence[Recorded[Any]]) -> Iterable[list[Recorded[Any]]]:
    """Other orders in which the same streams may come: one after another, both ways, and mixed at random."""
    streams: dict[str, list[Recorded[Any]]] = {}
    for event in events:
        streams.setdefault(event.stream, []).append(event)
    names = sorted(streams)
    yield [event for name in names for event in streams[name]]
    yield [event for name in reversed(names) for event in streams[name]]
    for seed in range(3):
        turns = [name for name in names for _ in streams[name]]
        random.Random(seed).shuffle(turns)
        waiting = {name: iter(streams[name]) for name in names}
        yield [next(waiting[name]) for name in turns]
