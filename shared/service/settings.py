"""Settings from the environment; the same names everywhere, only values differ between backends."""

import base64
import hmac
from enum import StrEnum
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, AwareDatetime, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class Role(StrEnum):
    """Which part of a service a process runs."""

    ALL = "all"
    API = "api"
    CONSUMER = "consumer"
    RELAY = "relay"
    WORKER = "worker"


def _thirty_two_bytes(value: SecretStr) -> SecretStr:
    try:
        length = len(base64.b64decode(value.get_secret_value(), validate=True))
    except ValueError:
        length = 0
    if length != 32:
        raise ValueError("must be 32 bytes in base64")
    return value


Key32 = Annotated[SecretStr, AfterValidator(_thirty_two_bytes)]


class Settings(BaseSettings):
    """What every service needs. Field names in upper case are the environment variables."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    database_url: str = Field(description="postgresql:// address of this service's own database")
    kafka_bootstrap_servers: str = Field(description="host:port, several separated by commas")
    kafka_idempotence: bool = Field(True, description="the broker has idempotent producers")
    kafka_replication: int = Field(1, ge=1, description="replicas of a topic that is missing at the start")
    jwt_key: SecretStr = Field(min_length=32, description="key that signs actors' tokens (HS256)")
    data_key: Key32 = Field(description="key-encryption key of personal data: 32 bytes in base64")
    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535, description="HTTP port of this process")
    instance: str | None = Field(None, description="stable name of this replica in its consumer group")
    pool_size: int = Field(10, ge=2, description="database connections at most")
    commands_together: int = Field(64, ge=1, description="commands that share a transaction at most")
    consumer_batch: int = Field(1000, ge=1, description="events that a consumer applies together at most")
    consumer_gather_s: float = Field(
        0.1, gt=0, le=10, description="seconds from one batch of few events to the next at least"
    )
    relay_chunk: int = Field(5000, ge=1, description="events that the relay sends together at most")
    todo_concurrency: int = Field(16, ge=1, description="todo rows worked on at once")
    todo_lease_s: float = Field(30.0, gt=0, description="seconds one worker may take for a todo row")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    quote_keys: SecretStr | None = Field(
        None, description="keys of quotes; the first signs, two while they change; default: one of JWT_KEY"
    )
    react_since: AwareDatetime | None = Field(None, description="events before this instant only project")

    @property
    def live_quote_keys(self) -> tuple[bytes, ...]:
        """The keys that sign quotes, the first one new ones."""
        named = self.quote_keys.get_secret_value().split(",") if self.quote_keys else ()
        if keys := tuple(key.encode() for part in named if (key := part.strip())):
            return keys
        return (hmac.digest(self.jwt_key.get_secret_value().encode(), b"orderflow quotes", "sha256"),)


S = TypeVar("S", bound=BaseSettings)


class SettingsError(Exception):
    """Settings are missing or wrong; the message is one line that says which."""


def load(kind: type[S]) -> S:
    """The settings of this process. Raises SettingsError."""
    try:
        return kind()
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])).upper()}: {fault['msg']}" for fault in error.errors()
        )
        raise SettingsError(f"settings: {faults}") from None
