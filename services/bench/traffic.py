"""Requests made from events: the same people again, week after week, with fresh ids.

Times go on from the last event at their natural pace, whatever the rate of sending: everybody
logs in a few times a day, as the model expects. Sent at the wall clock's time instead, thousands
of requests a second would look like an attack on everyone, and alerts cost more than logins.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

#: Each event is sent for so many people in turn, with devices, sessions and addresses of their own.
COPIES = 8
_DAY_MS = 86_400_000
_WEEK_MS = 7 * _DAY_MS


@dataclass(frozen=True, slots=True)
class Template:
    """One event: its moment, the offset its time is written with, and all after that time."""

    at_ms: int
    offset_ms: int
    zone: bytes
    rest: bytes


class Traffic:
    """Numbered events: the same number gives the same event. ``number`` is the next one's.

    native/traffic.c makes the same of the same templates.
    """

    def __init__(
        self, templates: list[Template], *, run: str, number: int = 0, now_s: float | None = None
    ) -> None:
        if not templates:
            raise ValueError("no events to send")
        self.templates = templates
        self._run = run.encode()
        self.number = number
        first, last = templates[0].at_ms, templates[-1].at_ms
        self.period_ms = (max(0, last - first) // _WEEK_MS + 1) * _WEEK_MS
        self._latest_ms = int((time.time() if now_s is None else now_s) * 1000)
        self._day = -1
        self._date = b""

    def event(self) -> bytes:
        """The next event as JSON."""
        number, self.number = self.number, self.number + 1
        turn, place = divmod(number, len(self.templates))
        template = self.templates[place]
        at_ms = min(template.at_ms + (turn + 1) * self.period_ms, self._latest_ms)
        return b'{"event_id":"%b-%d","timestamp":"%b%b"%b' % (
            self._run, number, self._time(at_ms + template.offset_ms), template.zone, template.rest,
        )  # fmt: skip

    def batch(self, events: int) -> bytes:
        """The next events as NDJSON."""
        return b"\n".join([self.event() for _ in range(events)])

    def _time(self, local_ms: int) -> bytes:
        day, rest = divmod(local_ms, _DAY_MS)
        if day != self._day:
            self._day = day
            self._date = datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m-%dT").encode()
        minutes, milliseconds = divmod(rest, 60_000)
        return b"%b%02d:%02d:%02d.%03d" % (
            self._date, minutes // 60, minutes % 60, milliseconds // 1000, milliseconds % 1000,
        )  # fmt: skip


def templates(line: bytes, run: str) -> list[Template]:
    """The templates of one event in JSON: one for each copy.

    The first copy is the event's own user, whom the model may know; the others are ``run``'s.
    """
    event: dict[str, Any] = msgspec.json.decode(line)
    event.pop("event_id", None)
    moment = datetime.fromisoformat(event.pop("timestamp"))
    offset = moment.utcoffset()
    assert offset is not None, "events have a zone"
    at_ms, offset_ms = int(moment.timestamp() * 1000), int(offset.total_seconds() * 1000)
    zone = moment.isoformat()[-6:].encode()
    return [
        Template(at_ms, offset_ms, zone, b"," + msgspec.json.encode(each)[1:])
        for each in (of_copy(event, copy, run) for copy in range(COPIES))
    ]


def of_copy(event: dict[str, Any], copy: int, run: str) -> dict[str, Any]:
    """The event as it happens to somebody else, with what is theirs; 0 is the event itself."""
    if copy == 0:
        return event
    other = event | {"user_id": f"{run}.{copy}.{event['user_id']}"}
    # Sessions too: one that is on eight devices at once would be a stolen one.
    for name in ("device_id", "session_id"):
        if name in event:
            other[name] = f"{event[name]}.{copy}"
    octets = str(event.get("source_ip", "")).split(".")
    if len(octets) == 4:
        octets[1] = str((int(octets[1]) + 31 * copy) % 256)
        octets[2] = str((int(octets[2]) + copy // 256) % 256)
        other["source_ip"] = ".".join(octets)
    return other


def load(path: Path, *, run: str, number: int = 0, now_s: float | None = None) -> Traffic:
    """Traffic from a file of NDJSON events, by time; none of it later than ``now_s``."""
    with path.open("rb") as lines:
        found = [each for line in lines if line.strip() for each in templates(line, run)]
    found.sort(key=lambda each: each.at_ms)
    return Traffic(found, run=run, number=number, now_s=now_s)


def save(path: Path, events: Iterable[bytes]) -> int:
    """Write encoded events as NDJSON; returns how many."""
    lines = [event + b"\n" for event in events]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(lines))
    return len(lines)


def head(path: str, host: str, *, content_type: str, key: str = "") -> bytes:
    """Everything of a request before the length of its body."""
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {content_type}\r\n"
        f"{authorization}Content-Length: "
    ).encode()
