"""Secrets are read where they are needed and shown nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerting.secret import MOST_SECRET_BYTES, Secret, SecretMissing, Secrets


def test_references_are_replaced() -> None:
    secrets = Secrets({"A": "alpha-secret", "B": "beta-secret"})
    assert secrets.read(Secret("x://${A}/${B}/#c")) == "x://alpha-secret/beta-secret/#c"


def test_a_file_is_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("first\n")
    secrets = Secrets({})
    assert secrets.read(Secret(file=file)) == "first"
    file.write_text("second\r\n")
    assert secrets.read(Secret(file=file)) == "second"


@pytest.mark.parametrize("value", [None, ""])
def test_a_variable_that_is_not_set_is_named(value: str | None) -> None:
    environment = {} if value is None else {"TOKEN": value}
    with pytest.raises(SecretMissing, match="environment variable TOKEN is not set"):
        Secrets(environment).read(Secret("${TOKEN}"))


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    with pytest.raises(SecretMissing, match="secret cannot be read: No such file"):
        Secrets({}).read(Secret(file=file))
    file.write_text("\n")
    with pytest.raises(SecretMissing, match="is empty"):
        Secrets({}).read(Secret(file=file))
    file.write_text("x" * (MOST_SECRET_BYTES + 1))
    with pytest.raises(SecretMissing, match="is larger than"):
        Secrets({}).read(Secret(file=file))


def test_what_was_read_is_shown_nowhere() -> None:
    secrets = Secrets({"TOKEN": "hunter2hunter2"})
    secret = Secret("https://x.example/${TOKEN}")
    secrets.read(secret)
    shown = f"{secrets!r} {secrets} {secret!r} {secret}"
    assert "hunter2" not in shown
    assert str(secret) == "https://x.example/${TOKEN}"
    assert secrets.scrub("POST https://x.example/hunter2hunter2 failed") == "POST *** failed"
    assert secrets.scrub("token hunter2hunter2") == "token ***"


def test_a_secret_is_known_in_its_quoted_form_too() -> None:
    secrets = Secrets({"TOKEN": "hunter 2/hunter"})
    secrets.read(Secret("${TOKEN}"))
    assert secrets.scrub("GET /hunter%202%2Fhunter?x") == "GET /***?x"
