"""Two weeks of an organisation in which attacks happen, as events."""

from __future__ import annotations

import msgspec

from preprocessing.event import AuthEvent, decode_lines
from tuning.generate import generate

EVENTS = 3000


def fortnight() -> list[AuthEvent]:
    """The same events every time, in order."""
    rows = generate("enterprise", events=EVENTS, seed=5).events
    body = b"\n".join(msgspec.json.encode(row) for row in rows)
    return [each for each in decode_lines(body, now_s=4e9) if isinstance(each, AuthEvent)]
