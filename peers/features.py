"""Features of the event alone, in plain Python: all that a service without a history has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zlib import crc32

_CODES: dict[str, tuple[str, ...]] = {
    "outcome": ("success", "failure"),
    "action": ("login", "access", "transfer", "mfa", "logout"),
    "auth_kind": ("interactive", "token", "service"),
    "auth_method": ("password", "sso", "mfa", "key", "token"),
}
_TEXTS = ("user_id", "country", "city", "device_id", "user_agent", "session_id", "resource")
_BUCKETS = 64


def row(event: Mapping[str, Any], width: int) -> list[float]:
    """Twenty numbers of one event, padded with zeros to the ``width`` of the models.

    >>> made = row({"timestamp": "2026-11-22T21:30:00+00:00", "outcome": "failure"}, 57)
    >>> len(made), made[:5]
    (57, [21.5, 6.0, 1.0, 1.0, 1.0])
    """
    at = event["timestamp"]
    at = at if isinstance(at, datetime) else datetime.fromisoformat(at)
    hour = at.hour + at.minute / 60.0
    made = [hour, float(at.weekday()), float(at.weekday() >= 5), float(not 7 <= hour < 19)]
    made += [_code(name, event.get(name)) for name in _CODES]
    made += [float(bool(event.get("mfa"))), event.get("latitude") or 0.0]
    made += [event.get("longitude") or 0.0, float((event.get("asn") or 0) % _BUCKETS)]
    made += [_bucket(event.get(name)) for name in _TEXTS]
    made.append(math.log1p(event.get("bytes_transferred") or 0))
    return made + [0.0] * (width - len(made))


def _code(name: str, value: str | None) -> float:
    return float(_CODES[name].index(value)) if value in _CODES[name] else -1.0


def _bucket(text: str | None) -> float:
    return float(crc32(text.encode()) % _BUCKETS) if text else -1.0
