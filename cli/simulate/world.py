"""The shop of a simulation: five services, wired once, and what may befall their servers."""

import asyncio
import base64
from datetime import timedelta
from functools import cache

from pydantic import SecretStr

from cli.simulate.outside import WEBHOOK_SECRET, MailPort, MailServer, Provider, ProviderPort
from cli.simulate.people import JWT_KEY
from services.cart import app as cart
from services.cart.settings import CartSettings
from services.inventory import app as inventory
from services.notifications import app as notifications
from services.notifications.settings import NotificationsSettings
from services.orders import app as orders
from services.orders.domain import OrderPolicy
from services.orders.settings import OrdersSettings
from services.returns import app as returns
from services.returns.settings import ReturnsSettings
from shared.service.settings import Settings
from shared.testing.faults import Fault
from shared.testing.simulation import Blueprint, CurrentStore, Simulation

_COMMON = {
    "database_url": "memory:",
    "kafka_bootstrap_servers": "memory:0",
    "jwt_key": SecretStr(JWT_KEY),
    "data_key": SecretStr(base64.b64encode(bytes(range(32))).decode()),
    "port": 0,
}
SOON = timedelta(hours=1)
"""A timer that is due so soon belongs to something that is under way, such as a refund to be tried again."""
PROVIDER, MAIL = ProviderPort(), MailPort()


ORDER_POLICY = OrderPolicy(
    stock_answer_within=timedelta(minutes=20),
    payment_window=timedelta(minutes=10),
    balance_window=timedelta(hours=2),
    late_authorization_ends_after=timedelta(hours=2),
    cancel_unprocessed_after=timedelta(hours=6),
    ship_within=timedelta(hours=1),
    capture_retry_after=timedelta(minutes=5),
    capture_give_up_after=timedelta(hours=1),
    refund_answer_within=timedelta(minutes=30),
    refund_retry_after=timedelta(minutes=10),
    orphan_refund_after=timedelta(minutes=30),
    usual_transit=timedelta(minutes=20),
    delivery_assumed_after=timedelta(minutes=30),
)
"""Deadlines short enough that a run of a few hours sees each of them pass."""


ABANDONED_AFTER = timedelta(minutes=15)
"""Longer than a buyer takes from one step to the next, shorter than a run."""


@cache
def blueprints() -> tuple[Blueprint, ...]:
    """All services, wired to the store of whichever process asks."""
    store = CurrentStore.as_store()
    common = Settings.model_validate(_COMMON)
    of_cart = CartSettings.model_validate({**_COMMON, "abandoned_after": ABANDONED_AFTER})
    of_orders = OrdersSettings.model_validate(
        {
            **_COMMON,
            "provider_url": "https://pay.example",
            "webhook_secrets": SecretStr(WEBHOOK_SECRET),
            "order_policy": ORDER_POLICY,
        }
    )
    of_returns = ReturnsSettings.model_validate(_COMMON)
    of_mail = NotificationsSettings.model_validate(
        {**_COMMON, "smtp_host": "memory", "smtp_port": 25, "merchant_email": "merchant@example.com"}
    )
    return (
        Blueprint.of("cart", cart.define(of_cart), cart.subscription(of_cart), cart.wire(of_cart, store)),
        Blueprint.of(
            "orders",
            orders.define(of_orders),
            orders.subscription(of_orders),
            orders.assemble(of_orders, store, PROVIDER),
        ),
        Blueprint.of(
            "inventory",
            inventory.define(common),
            inventory.subscription(common),
            inventory.wire(common, store),
        ),
        Blueprint.of(
            "returns",
            returns.define(of_returns),
            returns.subscription(of_returns),
            returns.wire(of_returns, store),
        ),
        Blueprint.of(
            "notifications",
            notifications.define(of_mail),
            notifications.subscription(of_mail),
            notifications.assemble(of_mail, store, MAIL),
        ),
    )


class World:
    """One run's services and outside."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.provider = Provider(simulation)
        self.mail = MailServer(simulation)
        PROVIDER.current, MAIL.current = self.provider, self.mail
        for blueprint in blueprints():
            simulation.start(blueprint, replicas=simulation.chance.randint(1, 2))
        simulation.spawn(self.provider.work())
        simulation.spawn(self._misfortune())

    async def _misfortune(self) -> None:
        """What befalls servers, a few times in a run."""
        simulation = self.simulation
        chance = simulation.chance
        for _ in range(chance.randint(0, 5)):
            await asyncio.sleep(chance.uniform(2, 60))
            kinds = (Fault.SCALE, Fault.DATABASE, Fault.BROKER, Fault.LOSS, Fault.OUTSIDE)
            fault, process = chance.choice(kinds), chance.choice(simulation.processes)
            seconds = chance.uniform(0.5, 30)
            subject = process.name if fault is Fault.SCALE else process.blueprint.name
            if fault in (Fault.BROKER, Fault.LOSS, Fault.OUTSIDE):
                subject = "broker" if fault is not Fault.OUTSIDE else "outside"
            if not simulation.happens(fault, subject):
                continue
            match fault:
                case Fault.SCALE:
                    process.grow(seconds)
                case Fault.DATABASE:
                    database = simulation.databases[process.blueprint.name]
                    database.restart()
                    database.away = True
                    await asyncio.sleep(seconds)
                    database.away = False
                case Fault.BROKER | Fault.LOSS:
                    simulation.broker.up = False
                    await asyncio.sleep(seconds)
                    if fault is Fault.LOSS:
                        simulation.broker.lose_everything()
                    simulation.broker.up = True
                case _:
                    self.provider.away = self.mail.away = True
                    await asyncio.sleep(seconds)
                    self.provider.away = self.mail.away = False

    def open(self) -> list[str]:
        """In words, what still moves or waits; empty when the system is at rest."""
        simulation, now = self.simulation, self.simulation.clock()
        waits = [f"{process.name} is dead" for process in simulation.processes if not process.alive]
        heads: dict[str, dict[str, int]] = {}
        for blueprint in blueprints():
            database, name = simulation.databases[blueprint.name], blueprint.name
            public = {each.category for each in blueprint.definition.deciders if each.public}
            heads[f"{name}.events"] = {
                stream: len(events)
                for stream, events in database.streams.items()
                if stream.split("-", 1)[0] in public
            }
            if depth := len(database.table("outbox")):
                waits.append(f"{name}: {depth} events in the outbox")
            for (_, stream, version), parked in database.table("parked").items():
                waits.append(f"{name}: {stream}#{version} is parked, {parked.reason} {parked.error or ''}")
            waits += [
                f"{name}: {row.todo.kind} {row.todo.name} of {row.todo.stream}, {row.last_error}"
                for row in database.table("todo").values()
                if row.todo.kind != "TIMER" or row.todo.due <= now + SOON
            ]
        for blueprint in blueprints():
            if (heard := blueprint.subscription) is None:
                continue
            marks = simulation.databases[blueprint.name].table("marks")
            for topic in heard.topics:
                for stream, head in heads[topic].items():
                    mark = marks.get((heard.consumer, stream))
                    if mark is None or mark.version < head:
                        waits.append(f"{blueprint.name}: has not heard {stream} up to {head}")
        if pending := len(self.provider.pending()):
            waits.append(f"provider: {pending} webhooks")
        if undecided := self.provider.undecided():
            waits.append(f"provider: {undecided} payments undecided")
        return waits
