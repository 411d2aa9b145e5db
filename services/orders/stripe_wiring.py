"""Stripe's side of the composition root, in a module of its own: the SDK takes long to import."""

import httpx

from services.orders.settings import OrdersSettings
from services.orders.stripe_intents import StripeIntents
from services.orders.stripe_provider import TIMEOUT_S, StripeProvider, stripe_client
from services.orders.stripe_webhooks import StripeWebhooks
from shared.store.store import Store


def open_stripe(
    settings: OrdersSettings, store: Store
) -> tuple[StripeProvider, StripeWebhooks, httpx.AsyncClient]:
    """The adapter, the reader of its webhooks, and the connections to close in the end."""
    assert settings.stripe_secret_key is not None
    http = httpx.AsyncClient(timeout=TIMEOUT_S)
    client = stripe_client(settings.stripe_secret_key.get_secret_value(), settings.stripe_url, http)
    provider = StripeProvider(
        client, StripeIntents(store), store.clock, multicapture=settings.stripe_multicapture
    )
    return provider, StripeWebhooks(settings.live_secrets), http
