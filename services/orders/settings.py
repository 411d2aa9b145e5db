"""What orders needs to know besides every service's settings."""

from dataclasses import fields
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr

from services.orders.domain import OrderPolicy
from shared.service.settings import Settings


def _known_names(value: object) -> object:
    """A misspelt member would silently leave the default in force."""
    if isinstance(value, dict) and (strange := value.keys() - {f.name for f in fields(OrderPolicy)}):
        raise ValueError(f"no such members: {', '.join(sorted(strange))}")
    return value


class OrdersSettings(Settings):
    """`webhook_secrets`: one, or two separated by a comma while the provider exchanges them."""

    provider_url: str = Field(description="base address of the payment provider")
    provider_public_url: str | None = Field(None, description="its address for buyers, if another one")
    webhook_secrets: SecretStr = Field(min_length=1, description="keys of the provider's signatures")
    order_policy: Annotated[OrderPolicy, BeforeValidator(_known_names)] = Field(
        OrderPolicy(), description="JSON; durations in seconds or as ISO 8601"
    )

    @property
    def live_secrets(self) -> tuple[str, ...]:
        """The secrets that are good now."""
        return tuple(s for part in self.webhook_secrets.get_secret_value().split(",") if (s := part.strip()))
