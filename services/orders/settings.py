"""What orders needs to know besides every service's settings."""

import json
from dataclasses import fields, replace
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError
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


class ProviderKind(StrEnum):
    """Who moves the money; `docs/payments.md` compares them."""

    SANDBOX = "sandbox"
    STRIPE = "stripe"


_NEEDED = {"provider_url": ProviderKind.SANDBOX, "stripe_secret_key": ProviderKind.STRIPE}


class OrdersSettings(Settings):
    """`webhook_secrets`: one, or two separated by a comma while the provider exchanges them."""

    payment_provider: ProviderKind = Field(ProviderKind.SANDBOX, description="sandbox or stripe")
    provider_url: Address | None = Field(
        None, validate_default=True, description="base address of the sandbox provider"
    )
    provider_public_url: Address | None = Field(None, description="its address for buyers, if another one")
    stripe_secret_key: SecretStr | None = Field(
        None, validate_default=True, description="secret or restricted key of the Stripe account"
    )
    stripe_url: Address = Field("https://api.stripe.com", description="another one only for tests")
    stripe_multicapture: bool = Field(
        False, description="the Stripe account may capture an authorization several times"
    )
    webhook_secrets: Annotated[SecretStr, AfterValidator(_some_secret)] = Field(
        description="keys of the provider's signatures"
    )
    order_policy: Annotated[OrderPolicy, NoDecode, BeforeValidator(_policy_members)] = Field(
        OrderPolicy(), validate_default=True, description="JSON; durations in seconds or as ISO 8601"
    )

    @field_validator("provider_url", "stripe_secret_key")
    @classmethod
    def _there_if_needed(cls, value: Any, info: ValidationInfo) -> Any:
        kind = info.data.get("payment_provider")
        named = value.get_secret_value().strip() if isinstance(value, SecretStr) else value
        if kind is _NEEDED[info.field_name or ""] and not named:
            raise PydanticCustomError(
                "missing", "Field required with PAYMENT_PROVIDER={kind}", {"kind": kind}
            )
        return value

    @field_validator("order_policy")
    @classmethod
    def _names_the_provider(cls, policy: OrderPolicy, info: ValidationInfo) -> OrderPolicy:
        """What is asked of Stripe is recorded as Stripe's."""
        stripe = info.data.get("payment_provider") is ProviderKind.STRIPE
        return replace(policy, provider=ProviderKind.STRIPE.value) if stripe else policy

    @property
    def live_secrets(self) -> tuple[str, ...]:
        """The secrets that are good now."""
        return _split(self.webhook_secrets)
