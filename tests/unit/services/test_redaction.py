"""What looks like a secret, or is known to be one, does not leave as text."""

from __future__ import annotations

import pytest

from services.redaction import Redaction


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Authorization: Bearer abcdef0123456789", "Authorization: Bearer ***"),
        ("basic dXNlcjpwYXNzd29yZA==", "basic ***"),
        ("key ztad_0123456789abcdefghijABCDEFGHIJ_- refused", "key ztad_*** refused"),
        ("https://ann:s3cret@mail.example.com/x", "https://***@mail.example.com/x"),
        ("POST https://hooks.slack.com/services/T0/B0/XyZ failed",
         "POST https://hooks.slack.com/*** failed"),
        ("https://discord.com/api/webhooks/12/abc", "https://discord.com/***"),
        ("https://api.telegram.org/bot12:abc/sendMessage", "https://api.telegram.org/***"),
        ("GET /?token=abcdef&page=2", "GET /?token=***&page=2"),
        ('{"password": "abcdef", "user": "ann"}', '{"password": "***", "user": "ann"}'),
        ("api-key=abcdef;", "api-key=***;"),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret(text: str, left: str) -> None:
    assert Redaction({})(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "isolation_forest failed",
        "ztad_requests_total of http://127.0.0.1:8000/metrics",
        "the token file cannot be read",
        "channel mail: message 12 waits: connection refused",
    ],
)
def test_what_is_none(text: str) -> None:
    assert Redaction({})(text) == text


def test_values_of_secret_variables() -> None:
    redact = Redaction({
        "SMTP_PASSWORD": "correct horse",
        "ZTAD_API_KEYS": "first-of-them, second-of-them",
        "RAY_AUTH_TOKEN_PATH": "/tmp/ray/token",
        "SHORT_TOKEN": "abc",
        "HOME": "/home/somebody",
    })  # fmt: skip
    text = "correct horse second-of-them first-of-them /tmp/ray/token abc /home/somebody"
    assert redact(text) == "*** *** *** /tmp/ray/token abc /home/somebody"
    assert "horse" not in repr(redact)


def test_of_two_secrets_the_longer_one_goes_whole() -> None:
    redact = Redaction({"A_TOKEN": "abcdefgh", "B_TOKEN": "abcdefghij"})
    assert redact("abcdefghij abcdefgh") == "*** ***"
