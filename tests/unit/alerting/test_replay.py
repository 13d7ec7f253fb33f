"""Rules tried on what has happened: the same as if it had happened live, and nobody is told."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from alerting.replay import Replay, replay
from alerting.rules import load
from tests.unit.alerting.making import NOW_S, occurrence

DAY_S = 86400.0
RULES = """
channels:
  soc: {type: webhook, url: https://nobody.example/, secret: '${NOT_SET}',
        digest: {below: medium, at: "07:30"}}
otherwise: [soc]
rules: [{name: quiet, when: {users: [cid]}, drop: true}]
"""


def replayed(*given: tuple[str, str, float, str]) -> Replay:
    """What becomes of events of (id, user, seconds, severity)."""
    happened = []
    for event_id, user, at_s, severity in given:
        each = occurrence(event_id, user, at_s=NOW_S + at_s, severity=severity)
        assert each.event is not None
        happened.append((each.verdict, each.event))
    return asyncio.run(replay(load(RULES), happened))


def test_messages_are_counted_at_the_time_they_would_have_been_sent() -> None:
    done = replayed(
        ("e3", "ann", 3600.0, "low"), ("e1", "bob", 0.0, "high"), ("e2", "bob", 5.0, "high"),
        ("e4", "cid", 10.0, "high"),
    )  # fmt: skip
    sent = [(each.at_s - NOW_S, each.channel, each.message.kind) for each in done.sent]
    assert sent == [(10.0, "soc", "alert"), (DAY_S - 1800.0, "soc", "digest")]
    assert [alert.users for alert in done.alerts] == [("ann",), ("bob",)]
    assert done.alert_of["e1"] == done.alert_of["e2"] != done.alert_of["e3"]
    assert "e4" not in done.alert_of
    assert done.counts.dropped == {"rules.quiet": 1}


def test_what_is_not_suspicious_is_left_out() -> None:
    each = occurrence("e1")
    assert each.event is not None
    ordinary = replace(each.verdict, is_anomaly=False)
    done = asyncio.run(replay(load(RULES), [(ordinary, each.event)]))
    assert (done.alerts, done.sent, done.alert_of) == ([], [], {})
