"""Settings that are missing or wrong are named in one line that shows no secret."""

import base64

import pytest

from shared.service.settings import Settings, SettingsError, load

GOOD = {
    "DATABASE_URL": "postgresql://cart:pass@127.0.0.1/cart",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
    "JWT_KEY": "j" * 32,
    "DATA_KEY": base64.b64encode(bytes(32)).decode(),
    "PORT": "8080",
}


@pytest.fixture(autouse=True)
def good_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def fault() -> str:
    """The message of the settings as they are now."""
    with pytest.raises(SettingsError) as caught:
        load(Settings)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_good_settings_load_with_defaults_for_the_rest() -> None:
    settings = load(Settings)
    assert settings.database_url == GOOD["DATABASE_URL"]
    assert (settings.host, settings.port, settings.log_level, settings.react_since) == (
        "127.0.0.1",
        8080,
        "INFO",
        None,
    )


def test_settings_do_not_show_their_keys() -> None:
    shown = repr(load(Settings))
    assert GOOD["JWT_KEY"] not in shown
    assert GOOD["DATA_KEY"] not in shown


@pytest.mark.parametrize("name", GOOD)
def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)
    assert fault() == f"settings: {name}: Field required"


def test_all_missing_settings_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in GOOD:
        monkeypatch.delenv(name)
    assert all(name in fault() for name in GOOD)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "-1"),
        ("PORT", "65536"),
        ("PORT", ""),
        ("JWT_KEY", "tooweak"),
        ("DATA_KEY", "not base64!"),
        ("DATA_KEY", base64.b64encode(bytes(31)).decode()),
        ("DATA_KEY", ""),
        ("POOL_SIZE", "1"),
        ("TODO_CONCURRENCY", "0"),
        ("TODO_LEASE_S", "0"),
        ("KAFKA_IDEMPOTENCE", "perhaps"),
        ("KAFKA_REPLICATION", "0"),
        ("LOG_LEVEL", "LOUD"),
        ("REACT_SINCE", "yesterday"),
        ("REACT_SINCE", "2026-01-05T09:00:00"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    message = fault()
    assert message.startswith(f"settings: {name}: ")
    assert "tooweak" not in message
    assert "base64!" not in message


def test_an_instant_with_its_zone_is_a_good_start_of_reactions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REACT_SINCE", "2026-01-05T09:00:00Z")
    since = load(Settings).react_since
    assert since is not None
    assert since.utcoffset() is not None
