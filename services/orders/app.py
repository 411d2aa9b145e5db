"""The composition root of orders: everything of this service is wired here and nowhere else."""

import base64
from pathlib import Path
from typing import Any

from services.orders import edits_http, http, orphans_http, pages, webhooks
from services.orders.commands import Commands, streams
from services.orders.domain import (
    EffectWanted,
    Reauthorize,
    RequestRefund,
    on_deadline,
    order_decider,
    orphan,
)
from services.orders.effects import ProviderCalls
from services.orders.openapi import EXAMPLES, OPERATIONS
from services.orders.orphan_effects import OrphanCalls
from services.orders.psp import NoticeReader, PaymentProvider
from services.orders.reactions import call, react
from services.orders.readmodels import order_view, orphan_payments, payments_ledger, processing_queue
from services.orders.readmodels.order_tracking import ORDER_TRACKING
from services.orders.readmodels.order_view import ORDER_VIEW
from services.orders.readmodels.orphan_payments import ORPHAN_PAYMENTS
from services.orders.readmodels.payments_ledger import PAYMENTS_LEDGER
from services.orders.readmodels.processing_queue import PROCESSING_QUEUE
from services.orders.sandbox_provider import SandboxProvider, SandboxWebhooks, http_client
from services.orders.settings import OrdersSettings, ProviderKind
from services.orders.webhooks import Inbox, TakeNotice
from shared.events import cart, inventory, orders, returns
from shared.events.registry import Registry
from shared.messaging.subscription import Subscription
from shared.messaging.topics import topic_of
from shared.service.auth import Authenticator
from shared.service.http import joined
from shared.service.openapi import described
from shared.service.quotes import QuoteKeys
from shared.service.run import Service, Wired
from shared.service.vault import Vault
from shared.store.store import Definition, Store
from shared.store.unit_of_work import UnitOfWork
from shared.store.worker import Duties


def define(settings: OrdersSettings) -> Definition:
    """What orders keeps."""
    return Definition(
        registry=Registry.of(orders),
        deciders=[order_decider(settings.order_policy), orphan.orphan_decider(settings.order_policy)],
        read_models=[ORDER_VIEW, PROCESSING_QUEUE, ORDER_TRACKING, PAYMENTS_LEDGER, ORPHAN_PAYMENTS],
    )


def subscription(settings: OrdersSettings) -> Subscription:
    """What orders hears."""
    return Subscription(
        consumer="orders",
        topics=[topic_of("cart"), topic_of("inventory"), topic_of("returns")],
        registry=Registry.of(cart, inventory, returns),
        execute=Commands(settings.order_policy),
        react=react,
        streams=streams,
        react_since=settings.react_since,
    )


def wire(settings: OrdersSettings, store: Store) -> Wired:
    """Orders with the provider that the settings name."""
    if settings.payment_provider is ProviderKind.STRIPE:
        from services.orders.stripe_wiring import open_stripe  # noqa: PLC0415 - only who uses it waits for it

        stripe, reader, connections = open_stripe(settings, store)
        wired = assemble(settings, store, stripe, reader)
        wired.resources.push_async_callback(connections.aclose)
        return wired
    assert settings.provider_url is not None
    calls = http_client(settings.provider_url)
    wired = assemble(
        settings, store, SandboxProvider(calls, settings.provider_public_url or settings.provider_url)
    )
    wired.resources.push_async_callback(calls.close)
    return wired


def assemble(
    settings: OrdersSettings, store: Store, provider: PaymentProvider, reader: NoticeReader | None = None
) -> Wired:
    """How the parts of orders hang together, with any payment provider; without a `reader` of its webhooks
    they are the sandbox's."""
    commands = Commands(settings.order_policy)
    reader = reader or SandboxWebhooks(settings.live_secrets)
    inbox = Inbox(reader, commands, settings.order_policy.provider)
    vault = Vault(base64.b64decode(settings.data_key.get_secret_value()))
    auth = Authenticator(settings.jwt_key.get_secret_value(), store.clock)

    router = joined(
        webhooks.routes(store, inbox),
        http.routes(store, commands, auth),
        edits_http.routes(store, commands, auth, QuoteKeys(settings.live_quote_keys)),
        pages.routes(store, provider, vault, auth),
        orphans_http.routes(store, commands, auth),
    )

    async def execute(uow: UnitOfWork, command: Any) -> None:
        await (inbox.take if isinstance(command, TakeNotice) else commands)(uow, command)

    def at_deadline(state: Any, timer: str, now: Any) -> Any:
        wanted = on_deadline(state, timer, now, settings.order_policy)
        return call(wanted) if isinstance(wanted, EffectWanted) else wanted

    def at_orphans_deadline(state: Any, timer: str, now: Any) -> Any:
        return orphan.on_deadline(state, timer, now, settings.order_policy)

    return Wired(
        duties=Duties(
            execute=execute,
            commands=(RequestRefund, TakeNotice),
            effects={
                **ProviderCalls(store, commands.order, provider).effects(),
                **OrphanCalls(store, commands.orphan, provider).effects(),
            },
            on_deadline={
                commands.order.category: at_deadline,
                commands.orphan.category: at_orphans_deadline,
            },
            streams=lambda command: () if isinstance(command, TakeNotice) else streams(command),
            expected={
                Reauthorize: frozenset(
                    {"payment_open", "nothing_due", "too_many_attempts", "order_cancelled"}
                )
            },
        ),
        router=described(router, OPERATIONS, EXAMPLES),
        samples=(
            order_view.sample,
            processing_queue.sample,
            payments_ledger.sample,
            orphan_payments.sample,
        ),
    )


SERVICE = Service(
    name="orders",
    folder=Path(__file__).parent,
    settings=OrdersSettings,
    define=define,
    subscription=subscription,
    wire=wire,
)
