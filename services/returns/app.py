"""Returns' composition root: everything of this service is wired here and nowhere else."""

import base64
from pathlib import Path

from services.returns.commands import ProposeForReceipt, adopt_default_policy, execute, streams
from services.returns.domain import returnable_events
from services.returns.domain.policy import RETURN_POLICY
from services.returns.domain.refund import REFUND_GRANT
from services.returns.domain.returnable import RETURNABLE
from services.returns.domain.returns import RETURN, CloseReturn
from services.returns.http import routes
from services.returns.openapi import EXAMPLES, OPERATIONS
from services.returns.reactions import due, follow_up, react
from services.returns.readmodels import refund_queue, return_view, returnable
from services.returns.readmodels.refund_queue import REFUND_QUEUE
from services.returns.readmodels.return_policies import RETURN_POLICIES
from services.returns.readmodels.return_view import RETURN_VIEW
from services.returns.readmodels.returnable import RETURNABLE_ROWS
from services.returns.settings import ReturnsSettings
from shared.events import orders, returns
from shared.events.registry import Registry
from shared.messaging.subscription import Subscription
from shared.messaging.topics import topic_of
from shared.service.auth import Authenticator
from shared.service.openapi import described
from shared.service.run import Service, Wired
from shared.service.vault import Vault
from shared.store.store import Definition, Store
from shared.store.worker import Duties


def define(_settings: ReturnsSettings) -> Definition:
    """What returns keeps."""
    return Definition(
        registry=Registry.of(returns, returnable_events),
        deciders=[RETURN, REFUND_GRANT, RETURN_POLICY, RETURNABLE],
        read_models=[RETURN_POLICIES, RETURNABLE_ROWS, RETURN_VIEW, REFUND_QUEUE],
        react=follow_up,
    )


def subscription(settings: ReturnsSettings) -> Subscription:
    """What returns hears."""
    return Subscription(
        consumer="returns",
        topics=[topic_of("orders")],
        registry=Registry.of(orders),
        execute=execute,
        react=react,
        streams=streams,
        read_models=[RETURNABLE_ROWS, REFUND_QUEUE],
        react_since=settings.react_since,
    )


def wire(settings: ReturnsSettings, store: Store) -> Wired:
    """How returns' parts hang together."""
    router = routes(
        store,
        Authenticator(settings.jwt_key.get_secret_value(), store.clock),
        Vault(base64.b64decode(settings.data_key.get_secret_value())),
        auto_approve=settings.auto_approve_returns,
    )
    return Wired(
        duties=Duties(
            execute=execute,
            commands=[ProposeForReceipt, CloseReturn],
            on_deadline={RETURN.category: due},
            expected={ProposeForReceipt: frozenset({"already_proposed"})},
        ),
        router=described(router, OPERATIONS, EXAMPLES),
        samples=(return_view.sample, returnable.sample, refund_queue.sample),
        prepare=lambda: adopt_default_policy(store),
    )


SERVICE = Service(
    name="returns",
    folder=Path(__file__).parent,
    settings=ReturnsSettings,
    define=define,
    subscription=subscription,
    wire=wire,
)
