"""The categorical values an event shows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from preprocessing.event import AuthEvent
from preprocessing.history import CATEGORIES
from preprocessing.values import agent_family, network, values_of

AT = datetime(2026, 11, 2, tzinfo=UTC)
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Version/17.5 Safari/604.1"


def shown(**fields: Any) -> dict[str, str | None]:
    values = values_of(AuthEvent(AT, "ana", "success", event_id="x", **fields))
    return dict(zip(CATEGORIES, values, strict=True))


def test_a_bare_event_shows_only_its_kind() -> None:
    assert {n: v for n, v in shown().items() if v is not None} == {"kind": "interactive login"}


def test_a_full_event() -> None:
    assert shown(
        country="de", asn=3320, device_id="d", resource="wiki", source_ip="192.0.2.1",
        user_agent=CHROME, auth_method="sso", auth_kind="token", action="access", mfa=False,
    ) == {
        "country": "DE", "network": "AS3320", "device": "d", "resource": "wiki",
        "address": "192.0.2.1", "agent": "Chrome on Windows", "method": "sso",
        "kind": "token access", "mfa": "without MFA",
    }  # fmt: skip


def test_empty_texts_are_absent() -> None:
    values = shown(device_id="", resource="", source_ip="", user_agent="", asn=0)
    assert {n for n, v in values.items() if v is not None} == {"kind"}


def test_without_asn_the_network_is_the_neighbourhood() -> None:
    assert shown(source_ip="91.197.232.109")["network"] == "91.197.0.0/16"
    assert network("2001:db8:1:2::3") == "2001:db8::/32"
    assert network("nonsense") is None


@pytest.mark.parametrize(
    ("agent", "family"),
    [
        (CHROME, "Chrome on Windows"),
        (CHROME + " Edg/126.0", "Edge on Windows"),
        (PHONE, "Safari on iOS"),
        ("curl/8.5.0", "curl"),
        ("Linux", "Linux"),
        ("NTLM/Network", "NTLM/Network"),
        ("x" * 300, "x" * 64),
        ("(" * 40, "(" * 40),
    ],
)
def test_agent_families(agent: str, family: str) -> None:
    assert agent_family(agent) == family
