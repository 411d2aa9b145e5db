"""The containers of docker-compose.yml are the platform that deploy/compose/platform.json describes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from cli.demo.command import PROVIDER_OPTIONS, SHORT_WAITS
from cli.platform import SERVICES, Platform, attach

ROOT = Path(__file__).resolve().parents[2]
OWN_IMAGE = "orderflow:dev"


@pytest.fixture(scope="module")
def containers() -> dict[str, Any]:
    composed: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return composed


@pytest.fixture(scope="module")
def platform() -> Platform:
    return attach(ROOT / "deploy" / "compose" / "platform.json")


def published(container: dict[str, Any]) -> dict[str, str]:
    """Address on this machine by port in the container."""
    return dict(reversed(port.rsplit(":", 1)) for port in container["ports"])


def readable(settings: Mapping[str, str]) -> dict[str, Any]:
    """Settings with what is JSON read, since it may be written in several ways."""
    return {key: json.loads(value) for key, value in settings.items()}


def test_every_service_is_there_and_needs_both_jobs(containers: dict[str, Any]) -> None:
    done = {"condition": "service_completed_successfully"}
    for name in SERVICES:
        assert containers[name]["command"] == f"python -m services.{name}"
        assert containers[name]["depends_on"] == {"migrate": done, "topics": done}


def test_ports_are_for_this_machine_only(containers: dict[str, Any]) -> None:
    ports = [port for container in containers.values() for port in container.get("ports", [])]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
    assert len({port.rsplit(":", 1)[0] for port in ports}) == len(ports)


def test_our_containers_can_change_nothing_but_their_data(containers: dict[str, Any]) -> None:
    for container in containers.values():
        assert container["security_opt"] == ["no-new-privileges:true"]
        if container["image"] == OWN_IMAGE:
            assert container["read_only"] is True
            assert container["cap_drop"] == ["ALL"]


def test_addresses_of_the_platform_are_published(containers: dict[str, Any], platform: Platform) -> None:
    database = published(containers["postgres"])["5432"]
    for name in SERVICES:
        address = platform.services[name]
        assert address.url == f"http://{published(containers[name])['8000']}"
        for url, user in ((address.database_url, name), (address.owner_database_url, "postgres")):
            parts = urlsplit(url)
            assert (parts.netloc.rsplit("@", 1)[1], parts.username, parts.path) == (
                database,
                user,
                f"/{name}",
            )
    kafka = containers["kafka"]
    assert platform.kafka_bootstrap_servers in published(kafka).values()
    assert f"HOST://{platform.kafka_bootstrap_servers}" in kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert platform.provider_url == f"http://{published(containers['provider'])['8000']}"
    assert platform.provider_url == containers["orders"]["environment"]["PROVIDER_PUBLIC_URL"]
    assert platform.mail_url == f"http://{published(containers['mail'])['8000']}"
    assert f"{platform.smtp_host}:{platform.smtp_port}" == published(containers["mail"])["2525"]


def test_keys_of_the_platform_are_those_of_the_containers(
    containers: dict[str, Any], platform: Platform
) -> None:
    admin = containers["postgres"]["environment"]["POSTGRES_PASSWORD"]
    for name in SERVICES:
        address, environment = platform.services[name], containers[name]["environment"]
        assert (environment["JWT_KEY"], environment["DATA_KEY"]) == (platform.jwt_key, platform.data_key)
        assert urlsplit(address.database_url).password == environment["PGPASSWORD"]
        assert urlsplit(address.owner_database_url).password == admin
    assert containers["orders"]["environment"]["WEBHOOK_SECRETS"] == platform.webhook_secret
    assert containers["provider"]["environment"]["PROVIDER_WEBHOOK_SECRET"] == platform.webhook_secret


def test_the_demo_waits_as_long_as_everywhere(containers: dict[str, Any], platform: Platform) -> None:
    for name in SERVICES:
        environment, settings = containers[name]["environment"], platform.services[name].settings
        in_container = {key: environment.get(key) for key in SHORT_WAITS.get(name, {})}
        assert readable(in_container) == readable(settings) == readable(SHORT_WAITS.get(name, {}))

    waits = dict(zip(PROVIDER_OPTIONS[::2], PROVIDER_OPTIONS[1::2], strict=True))
    as_options = {
        f"--{name.removeprefix('PROVIDER_').replace('_', '-').lower()}": value
        for name, value in containers["provider"]["environment"].items()
        if name.startswith("PROVIDER_") and name.endswith("_SECONDS")
    }
    assert as_options == waits


def test_settings_are_accepted(platform: Platform) -> None:
    for name in SERVICES:
        assert platform.settings_for(name).kafka_idempotence
