"""Events of one user, for tests of histories."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from preprocessing.event import AuthEvent

START = datetime(2026, 11, 2, 9, tzinfo=UTC)
NOW_S = START.timestamp()


def event(name: str, minutes: float = 0.0, **fields: Any) -> AuthEvent:
    """An event called ``name``, some minutes after the start."""
    usual: dict[str, Any] = {
        "user_id": "ana", "outcome": "success", "event_id": name, "country": "DE",
        "device_id": f"device {len(name)}", "resource": name[-2:], "source_ip": "192.0.2.1",
    }  # fmt: skip
    return AuthEvent(START + timedelta(minutes=minutes), **usual | fields)
