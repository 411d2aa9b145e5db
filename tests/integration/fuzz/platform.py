"""The services by name, without neighbours: their settings and their OpenAPI documents."""

import base64
from functools import cache
from typing import Any

from services.cart.app import SERVICE as CART
from services.inventory.app import SERVICE as INVENTORY
from services.notifications.app import SERVICE as NOTIFICATIONS
from services.orders.app import SERVICE as ORDERS
from services.returns.app import SERVICE as RETURNS
from shared.service.clock import utc_now
from shared.service.http import create_app
from shared.service.run import Service
from shared.store.store import Store

SERVICES: dict[str, Service[Any]] = {
    service.name: service for service in (CART, ORDERS, INVENTORY, RETURNS, NOTIFICATIONS)
}


def settings_of(name: str, database_url: str = "postgresql://nowhere/nothing") -> Any:
    """The settings of a service whose neighbours are all away."""
    return SERVICES[name].settings.model_validate_strings(
        {
            "database_url": database_url,
            "kafka_bootstrap_servers": "127.0.0.1:1",
            "jwt_key": "k" * 32,
            "data_key": base64.b64encode(bytes(32)).decode(),
            "port": "0",
            "provider_url": "http://127.0.0.1:1",
            "webhook_secrets": "secret",
            "smtp_host": "127.0.0.1",
            "smtp_port": "1",
            "merchant_email": "merchant@shop.example",
            "shop_url": "https://shop.example/",
        }
    )


@cache
def document(name: str) -> dict[str, Any]:
    """What GET /openapi.json of this service answers."""
    service, settings = SERVICES[name], settings_of(name)
    nothing: Any = None
    store = Store(nothing, service.define(settings), epoch=1, clock=utc_now)

    async def alive() -> None:
        """There are no background tasks."""

    return create_app(name, service.wire(settings, store).router, {}, alive).openapi()
