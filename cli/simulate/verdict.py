"""Judges a run at rest: every law over all events, topics, marks, read models, and what people were told."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from cli.laws import Laws, Place
from cli.laws.mail import MailIsLedger, OccasionsAreAnswered
from cli.laws.provider import ProviderAgrees
from cli.laws.streams import MarksAreHeads, TopicIsStore
from cli.simulate.people import Acknowledged
from cli.simulate.world import World, blueprints
from shared.domain import category_of, key_of
from shared.events.cart import CartCheckedOut, CartMerged
from shared.events.envelope import Recorded
from shared.events.orders import Delivered, OrderCancelled, OrderEdited, OrderProcessingStarted, Shipped
from shared.events.returns import ReturnReceived, ReturnRequested
from shared.messaging.cloudevents import parse
from shared.messaging.topics import topic_of
from shared.store.readmodel import Key, ReadModel
from shared.testing.memory.session import decoded
from shared.testing.simulation import Blueprint


def violations(world: World, acknowledged: list[Acknowledged]) -> list[str]:
    """Everything that does not hold, in words."""
    events = {each.name: _events(world, each) for each in blueprints()}
    return [
        *_laws(world, events),
        *_topics_and_marks(world, events),
        *_read_models(world, events),
        *_told(events, acknowledged),
        *(f"a process died by itself: {death}" for death in world.simulation.deaths),
    ]


def _events(world: World, blueprint: Blueprint) -> list[Recorded[Any]]:
    registry = blueprint.definition.registry
    return [decoded(registry, event) for event in world.simulation.databases[blueprint.name].events()]


def _laws(world: World, events: dict[str, list[Recorded[Any]]]) -> Iterator[str]:
    laws = Laws()
    laws[OccasionsAreAnswered].since = None
    for of_service in events.values():
        for event in of_service:
            laws.see(event)
    for line in world.provider.payments.entries(0, 100_000):
        law = laws[ProviderAgrees]
        law.entry(line["kind"], line["reference"], line["amount"], line["currency"], line["provider_ref"])
    for message_id in world.mail.taken:
        laws[MailIsLedger].mail(message_id)
    laws.finish(at_rest=True)
    yield from map(str, laws.violations)


def _topics_and_marks(world: World, events: dict[str, list[Recorded[Any]]]) -> Iterator[str]:
    simulation = world.simulation
    marks, heads = MarksAreHeads(), {}
    for blueprint in blueprints():
        law, registry = TopicIsStore(), blueprint.definition.registry
        public = {each.category for each in blueprint.definition.deciders if each.public}
        for event in events[blueprint.name]:
            if category_of(event.stream) in public:
                law.stored(event, registry.encode(event.data))
        for log in simulation.broker.partitions(topic_of(blueprint.name)):
            for record in log:
                told = parse(record)
                place = Place(told.occurred_at, told.stream, told.version, told.type, told.event_id)
                law.published(place, told.epoch, record.key, record.value or b"")
        law.finish()
        yield from map(str, law.violations)
        heads[topic_of(blueprint.name)] = list(law.heads)
    for blueprint in blueprints():
        if (heard := blueprint.subscription) is None:
            continue
        for topic in heard.topics:
            for stream, version in heads[topic]:
                marks.head(heard.consumer, stream, version)
        for (consumer, stream), mark in simulation.databases[blueprint.name].table("marks").items():
            if mark.version:
                marks.mark(consumer, stream, mark.version)
    marks.finish()
    yield from map(str, marks.violations)


def _read_models(world: World, events: dict[str, list[Recorded[Any]]]) -> Iterator[str]:
    """Each model folded anew, a service's own events first, against its live rows."""
    for blueprint in blueprints():
        heard = blueprint.subscription
        own = {model.name: model for model in blueprint.definition.read_models}
        foreign = {model.name: model for model in heard.read_models} if heard else {}
        for name, model in {**own, **foreign}.items():
            seen = events[blueprint.name] if name in own else []
            if heard and name in foreign:
                topics = [topic.removesuffix(".events") for topic in heard.topics]
                seen = seen + [event for topic in topics for event in events[topic]]
            rows = _folded(model, seen)
            live = world.simulation.databases[blueprint.name].table(name)
            for key in rows.keys() | live.keys():
                if rows.get(key) != live.get(key):
                    yield f"{blueprint.name}.{name} {key}: the row is not what its events say"


def _folded(model: ReadModel[Any], events: list[Recorded[Any]]) -> dict[Key, Any]:
    after = model.folded({}, model.touched(events))
    return {key: row for key, row in after.items() if row is not None}


def _told(events: dict[str, list[Recorded[Any]]], acknowledged: list[Acknowledged]) -> Iterator[str]:
    """Whatever somebody was told was done is there exactly once."""
    counts: dict[tuple[str, str], int] = {}
    for of_service in events.values():
        for event in of_service:
            for fact in _facts(event):
                counts[fact] = counts.get(fact, 0) + 1
    for each in acknowledged:
        if (promised := _promise(each)) and counts.get(promised, 0) != 1:
            yield (
                f"{each.method} {each.path} was acknowledged at {each.at:.3f}, "
                f"{promised} is there {counts.get(promised, 0)} times"
            )


def _facts(event: Recorded[Any]) -> Iterator[tuple[str, str]]:
    """What an event says in the words of `_promise`."""
    match event.data:
        case CartCheckedOut(order_id=order_id):
            yield "checkout", str(order_id)
        case CartMerged():
            yield "merge", key_of(event.stream)
        case OrderProcessingStarted():
            yield "processing", key_of(event.stream)
        case OrderCancelled():
            yield "cancelled", key_of(event.stream)
        case OrderEdited(edit_id=edit_id):
            yield "edit", str(edit_id)
        case Shipped(shipment_id=shipment_id):
            yield "shipment", str(shipment_id)
        case Delivered(shipment_id=shipment_id):
            yield "delivery", str(shipment_id)
        case ReturnRequested():
            yield "return", key_of(event.stream)
        case ReturnReceived(receipt_id=receipt_id):
            yield "receipt", str(receipt_id)


def _promise(each: Acknowledged) -> tuple[str, str] | None:
    match each.path.strip("/").split("/"):
        case ["carts", _, "checkout"]:
            return "checkout", str(each.answer["order_id"])
        case ["carts", _, "merge"]:
            return "merge", str(each.answer["merged"]["cart_id"])
        case ["orders", order, "processing"]:
            return "processing", order
        case ["orders", order, "cancel"]:
            return "cancelled", order
        case ["orders", _, "edits"]:
            return "edit", str(each.answer["edit_id"])
        case ["orders", _, "shipments"]:
            return "shipment", str(each.answer["shipment_id"])
        case ["orders", _, "shipments", shipment, "delivery"]:
            return "delivery", shipment
        case ["returns"]:
            return "return", str(UUID(each.answer["return_id"]))
        case _:
            return None
