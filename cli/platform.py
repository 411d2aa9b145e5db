"""Where a running platform is: addresses and keys of one deployment, as a file that `orderflow up` writes."""

import os
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_settings import EnvSettingsSource

from shared.events.envelope import Actor, ActorKind
from shared.service.auth import issue
from shared.service.clock import utc_now
from shared.service.run import Service
from shared.service.settings import Settings

SERVICES = ("cart", "orders", "inventory", "returns", "notifications")
STATE_DIR = Path(".orderflow")
FILE_NAME = "platform.json"


class PlatformError(Exception):
    """There is no platform to talk to; the message is one line for a person."""


class ServiceAddress(BaseModel):
    """One service: its HTTP address, its own database role's address and the table owner's."""

    model_config = ConfigDict(frozen=True)

    url: str
    database_url: str
    owner_database_url: str
    settings: dict[str, str] = {}


class Platform(BaseModel):
    """One deployment, as seen from where the command runs."""

    model_config = ConfigDict(frozen=True)

    services: dict[str, ServiceAddress]
    kafka_bootstrap_servers: str
    kafka_idempotence: bool
    provider_url: str
    mail_url: str
    smtp_host: str
    smtp_port: int
    webhook_secret: str
    jwt_key: str
    data_key: str

    def environment(self, name: str) -> dict[str, str]:
        """The settings of service `name` as environment variables."""
        address = self.services[name]
        return {
            "DATABASE_URL": address.database_url,
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka_bootstrap_servers,
            "KAFKA_IDEMPOTENCE": str(self.kafka_idempotence).lower(),
            "JWT_KEY": self.jwt_key,
            "DATA_KEY": self.data_key,
            "PORT": address.url.rsplit(":", 1)[1],
            "PROVIDER_URL": self.provider_url,
            "WEBHOOK_SECRETS": self.webhook_secret,
            "SMTP_HOST": self.smtp_host,
            "SMTP_PORT": str(self.smtp_port),
            **address.settings,
        }

    def settings_for(self, name: str) -> Settings:
        """The settings of service `name`, read as its process reads them."""
        kind = service_of(name).settings
        source = EnvSettingsSource(kind)
        source.env_vars = {key.lower(): value for key, value in self.environment(name).items()}
        settings: Settings = kind(**source())
        return settings

    def token(self, kind: ActorKind, person: str, valid_for: timedelta = timedelta(hours=12)) -> str:
        """A token that makes its bearer this person."""
        return issue(self.jwt_key, Actor(kind, person), utc_now(), valid_for)

    def save(self, path: Path) -> None:
        """Write the file, for this user's eyes only: it holds keys."""
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(self.model_dump_json(indent=2) + "\n")
        new.replace(path)


def attach(path: Path | None) -> Platform:
    """The platform of `path`, of ORDERFLOW_PLATFORM or of `orderflow up` in this directory.

    Raises PlatformError if there is none.
    """
    chosen = path or Path(os.environ.get("ORDERFLOW_PLATFORM", STATE_DIR / FILE_NAME))
    try:
        return Platform.model_validate_json(chosen.read_bytes())
    except FileNotFoundError:
        raise PlatformError(f"no platform at {chosen}: start one with `orderflow up`") from None
    except (OSError, ValidationError) as error:
        raise PlatformError(
            f"{chosen} does not describe a platform: {' '.join(str(error).split())}"
        ) from None


def service_of(name: str) -> Service[Any]:
    """The composition of a service, from its app.py."""
    service: Service[Any] = import_module(f"services.{name}.app").SERVICE
    return service
