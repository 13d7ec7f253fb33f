"""Settings come from ``ZTAD_*`` alone, and keys are never told."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.settings import Settings, SettingsError, load


def test_nothing_set() -> None:
    settings = load({"PATH": "/bin", "HOME": "/elsewhere"})
    assert settings == Settings()
    assert settings.home.name == "ztad"
    assert settings.api_keys == ()


def test_everything_set() -> None:
    settings = load({"ZTAD_HOME": "/srv/z", "ZTAD_API_KEYS": "a,b", "ZTAD_RUN_ID": "r"})
    assert (settings.home, settings.api_keys, settings.run_id) == (Path("/srv/z"), ("a", "b"), "r")


@pytest.mark.parametrize("keys", ["", ",", " , "])
def test_empty_keys_are_none(keys: str) -> None:
    assert load({"ZTAD_API_KEYS": keys}).api_keys == ()


def test_keys_are_stripped() -> None:
    assert load({"ZTAD_API_KEYS": " a , b,"}).api_keys == ("a", "b")


def test_keys_are_in_no_text() -> None:
    settings = load({"ZTAD_API_KEYS": "s3cret", "ZTAD_API_KEY": "s3cret-too"})
    assert settings.api_key == "s3cret-too"
    assert "s3cret" not in repr(settings) + str(settings)


@pytest.mark.parametrize("key", ["s3cret\nx", "s3cret too", "s3cret\u00fc"])
def test_a_key_that_no_header_can_hold_is_refused_without_telling_it(key: str) -> None:
    with pytest.raises(SettingsError, match=r"^ZTAD_API_KEY: expected a key of ASCII") as refused:
        load({"ZTAD_API_KEY": key})
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("address", ["", "http://mlflow:5000", "https://m", "sqlite:////srv/m.db"])
def test_a_registry_is_a_server_or_a_file(address: str) -> None:
    assert load({"ZTAD_REGISTRY": address}).registry == address


@pytest.mark.parametrize("address", ["mlflow:5000", "file:///srv", "http://me:s3cret@mlflow"])
def test_another_registry_is_refused_without_telling_its_password(address: str) -> None:
    with pytest.raises(SettingsError, match=r"^ZTAD_REGISTRY: ") as refused:
        load({"ZTAD_REGISTRY": address})
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("address", ["", "redis://r:6379/0", "rediss://me@r/1?name=prod"])
def test_a_history_is_in_a_redis(address: str) -> None:
    assert load({"ZTAD_HISTORY": address, "ZTAD_REDIS_PASSWORD": "s3cret"}).history == address


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("r:6379", r"expected redis://HOST:PORT/DB"),
        ("http://r", r"expected redis://HOST:PORT/DB"),
        ("redis://me:s3cret@r", r"the password goes into ZTAD_REDIS_PASSWORD"),
        (
            "redis://r?password=s3cret",
            r"expected name and ssl_ca_certs behind the \?, got password",
        ),
        ("redis://r?name=}", r"expected a name without }"),
    ],
)
def test_another_history_is_refused_without_telling_its_password(
    address: str, expected: str
) -> None:
    with pytest.raises(SettingsError, match=f"^ZTAD_HISTORY: {expected}") as refused:
        load({"ZTAD_HISTORY": address})
    assert "s3cret" not in str(refused.value)


def test_a_database_is_refused_with_its_password_untold() -> None:
    assert load({"ZTAD_DATABASE": "postgresql://me@db/ztad"}).database == "postgresql://me@db/ztad"
    with pytest.raises(SettingsError, match=r"^ZTAD_DATABASE: .*PGPASSWORD") as refused:
        load({"ZTAD_DATABASE": "postgresql://me:s3cret@db/ztad"})
    assert "s3cret" not in str(refused.value)


def test_the_process_environment_by_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ZTAD_HOME", str(tmp_path))
    assert load().home == tmp_path
