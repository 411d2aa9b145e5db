"""What orders needs to know besides every service's settings."""

import json
from dataclasses import fields
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, StringConstraints
from pydantic_settings import NoDecode

from services.orders.domain import OrderPolicy
from shared.service.settings import Settings


def _policy_members(value: object) -> object:
    """JSON text as its members. A misspelt one would silently leave the default in force."""
    members = json.loads(value) if isinstance(value, str) else value
    if isinstance(members, dict) and (strange := members.keys() - {f.name for f in fields(OrderPolicy)}):
        raise ValueError(f"no such members: {', '.join(sorted(strange))}")
    return members


def _split(secrets: SecretStr) -> tuple[str, ...]:
    return tuple(s for part in secrets.get_secret_value().split(",") if (s := part.strip()))


def _some_secret(secrets: SecretStr) -> SecretStr:
    if not _split(secrets):
        raise ValueError("name at least one secret")
    return secrets


Address = Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+")]


class OrdersSettings(Settings):
    """`webhook_secrets`: one, or two separated by a comma while the provider exchanges them."""

    provider_url: Address = Field(description="base address of the payment provider")
    provider_public_url: Address | None = Field(None, description="its address for buyers, if another one")
    webhook_secrets: Annotated[SecretStr, AfterValidator(_some_secret)] = Field(
        description="keys of the provider's signatures"
    )
    order_policy: Annotated[OrderPolicy, NoDecode, BeforeValidator(_policy_members)] = Field(
        OrderPolicy(), description="JSON; durations in seconds or as ISO 8601"
    )

    @property
    def live_secrets(self) -> tuple[str, ...]:
        """The secrets that are good now."""
        return _split(self.webhook_secrets)
