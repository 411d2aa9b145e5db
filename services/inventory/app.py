"""Inventory's composition root: everything of this service is wired here and nowhere else."""

from pathlib import Path

from services.inventory.commands import execute, streams
from services.inventory.domain import ledger
from services.inventory.domain.availability import SKU_AVAILABILITY, AssessAvailability
from services.inventory.domain.reservation import RESERVATION
from services.inventory.domain.stock import STOCK_ITEM
from services.inventory.http import routes
from services.inventory.openapi import EXAMPLES, OPERATIONS
from services.inventory.reactions import follow_up, react
from services.inventory.readmodels import stock_levels
from services.inventory.readmodels.reservations import RESERVATIONS
from services.inventory.readmodels.stock_levels import STOCK_LEVELS
from services.inventory.readmodels.stock_movements import STOCK_MOVEMENTS
from shared.events import inventory, orders, returns
from shared.events.registry import Registry
from shared.messaging.subscription import Subscription
from shared.messaging.topics import topic_of
from shared.service.auth import Authenticator
from shared.service.openapi import described
from shared.service.run import Service, Wired
from shared.service.settings import Settings
from shared.store.store import Definition, Store
from shared.store.worker import Duties


def define(_settings: Settings) -> Definition:
    """What inventory keeps."""
    return Definition(
        registry=Registry.of(inventory, ledger),
        deciders=[STOCK_ITEM, RESERVATION, SKU_AVAILABILITY],
        read_models=[STOCK_LEVELS, STOCK_MOVEMENTS, RESERVATIONS],
        react=follow_up,
    )


def subscription(settings: Settings) -> Subscription:
    """What inventory hears."""
    return Subscription(
        consumer="inventory",
        topics=[topic_of("orders"), topic_of("returns")],
        registry=Registry.of(orders, returns),
        execute=execute,
        react=react,
        streams=streams,
        read_models=[RESERVATIONS],
        react_since=settings.react_since,
    )


def wire(settings: Settings, store: Store) -> Wired:
    """How inventory's parts hang together."""
    router = routes(store, Authenticator(settings.jwt_key.get_secret_value(), store.clock))
    return Wired(
        duties=Duties(execute=execute, commands=(AssessAvailability,), streams=streams),
        router=described(router, OPERATIONS, EXAMPLES),
        samples=(stock_levels.sample,),
    )


SERVICE = Service(
    name="inventory",
    folder=Path(__file__).parent,
    settings=Settings,
    define=define,
    subscription=subscription,
    wire=wire,
)
