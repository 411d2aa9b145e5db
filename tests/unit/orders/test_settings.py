"""The settings choose who moves the money; what that choice needs and lacks is named in one line."""

import base64
import os
import subprocess
import sys

import pytest

from services.orders.settings import OrdersSettings, ProviderKind
from shared.service.settings import SettingsError, load

GOOD = {
    "DATABASE_URL": "postgresql://orders:pass@127.0.0.1/orders",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
    "JWT_KEY": "j" * 32,
    "DATA_KEY": base64.b64encode(bytes(32)).decode(),
    "PORT": "8080",
    "WEBHOOK_SECRETS": "whsec_one",
}
SANDBOX = {"PROVIDER_URL": "http://127.0.0.1:8090"}
STRIPE = {"PAYMENT_PROVIDER": "stripe", "STRIPE_SECRET_KEY": "sk_test_not_to_be_seen"}


@pytest.fixture(autouse=True)
def only_the_good_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OrdersSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def settings(monkeypatch: pytest.MonkeyPatch, **more: str) -> OrdersSettings:
    for name, value in more.items():
        monkeypatch.setenv(name, value)
    return load(OrdersSettings)


def test_the_sandbox_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = settings(monkeypatch, **SANDBOX)
    assert (loaded.payment_provider, loaded.order_policy.provider) == (ProviderKind.SANDBOX, "sandbox")


def test_stripe_is_switched_on_by_name_and_recorded_as_stripe(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = settings(
        monkeypatch, **STRIPE, WEBHOOK_SECRETS="whsec_old, whsec_new", ORDER_POLICY='{"payment_window": 20}'
    )
    assert (loaded.payment_provider, loaded.order_policy.provider) == (ProviderKind.STRIPE, "stripe")
    assert loaded.order_policy.payment_window.total_seconds() == 20
    assert (loaded.stripe_url, loaded.stripe_multicapture) == ("https://api.stripe.com", False)
    assert loaded.live_secrets == ("whsec_old", "whsec_new")
    assert "not_to_be_seen" not in repr(loaded)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, "PROVIDER_URL: Field required with PAYMENT_PROVIDER=sandbox"),
        ({"PAYMENT_PROVIDER": "stripe"}, "STRIPE_SECRET_KEY: Field required with PAYMENT_PROVIDER=stripe"),
        (
            STRIPE | {"STRIPE_SECRET_KEY": " "},
            "STRIPE_SECRET_KEY: Field required with PAYMENT_PROVIDER=stripe",
        ),
    ],
)
def test_what_a_provider_needs_is_named(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], missing: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(monkeypatch, **given)
    assert str(caught.value) == f"settings: {missing}"


@pytest.mark.parametrize(
    "wrong",
    [STRIPE | {"WEBHOOK_SECRETS": ","}, STRIPE | {"STRIPE_URL": "stripe"}, {"PAYMENT_PROVIDER": "paypal"}],
)
def test_wrong_ones_are_named_without_their_secrets(
    monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str]
) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(monkeypatch, **wrong)
    message = str(caught.value)
    assert message.startswith(
        ("settings: WEBHOOK_SECRETS:", "settings: STRIPE_URL:", "settings: PAYMENT_PROV")
    )
    assert "\n" not in message
    assert "not_to_be_seen" not in message


def test_a_process_without_stripes_key_does_not_start() -> None:
    environment = {**os.environ, **GOOD, "PAYMENT_PROVIDER": "stripe"}
    environment.pop("STRIPE_SECRET_KEY", None)
    ended = subprocess.run(
        [sys.executable, "-m", "services.orders"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 2
    assert ended.stderr == (
        "orders: settings: STRIPE_SECRET_KEY: Field required with PAYMENT_PROVIDER=stripe\n"
    )
