"""What the Recorder runs of alerting: recorded verdicts in, encoded answers out."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from alerting.clock import ManualClock
from alerting.log import AlertQuery, Matchers, Silence
from alerting.memory_log import MemoryLog
from ensemble.verdict import Verdict
from preprocessing.event import AuthEvent
from preprocessing.history import Evidence
from services.alerting import Alerts
from services.storage.alert_log import SqliteAlertLog
from services.telemetry import Tracing
from services.wire import Recorded
from tests.unit.alerting.making import NOW_S, event, verdict

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def evidence(of: AuthEvent) -> bytes:
    return msgspec.msgpack.encode(Evidence(of, (), None, 0, 0.0, {}, (), 0.0))


def recorded(
    *verdicts: Verdict,
    known: bool = True,
    traces: dict[int, str] | None = None,
    shadow: bool = False,
) -> Recorded:
    """Verdicts as the Recorder gets them; every flagged one with its event if it is ``known``."""
    events = {row: event(each.event_id, each.user_id, at_s=NOW_S - 60 + row)
              for row, each in enumerate(verdicts)}  # fmt: skip
    flagged = [row for row, each in enumerate(verdicts) if each.is_anomaly]
    return Recorded(
        event_ids=[each.event_id for each in verdicts],
        verdicts=[msgspec.json.encode(each) for each in verdicts],
        columns=1,
        values=np.zeros(len(verdicts), np.float32).tobytes(),
        stamps=np.array([NOW_S - 60 + row for row in events], np.float64).tobytes(),
        addresses=["" for _ in verdicts],
        evidence={row: evidence(events[row]) for row in flagged} if known else {},
        alerts=flagged,
        shadow=shadow,
        traces=traces or {},
    )


def ordinary(event_id: str) -> Verdict:
    return msgspec.structs.replace(verdict(event_id), is_anomaly=False, severity="info", reasons=())


def alerts(log: Any = None, **more: Any) -> Alerts:
    return Alerts(None, log if log is not None else MemoryLog(), clock=ManualClock(NOW_S), **more)


def told(desk: Alerts, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(asyncio.run(desk.alerts(AlertQuery(**query))))[
        "alerts"
    ]
    return found


def test_flagged_verdicts_become_alerts_with_their_events() -> None:
    desk = alerts()
    batch = recorded(ordinary("e0"), verdict("e1"), ordinary("e2"), verdict("e3", "bob"))
    assert asyncio.run(desk.offer(batch)) == 2
    assert asyncio.run(desk.offer(batch)) == 0
    bob, ann = sorted(told(desk), key=lambda each: each["subject"], reverse=True)
    assert (ann["subject"], bob["subject"]) == ("user:ann", "user:bob")
    assert ann["first_at"] == "2026-11-22T07:59:01.000Z"
    assert ann["lead"]["event"]["source_ip"] == "203.0.113.9"
    assert ann["addresses"] == ["203.0.113.9"]


def test_without_its_event_a_verdict_still_knows_when_it_was() -> None:
    desk = alerts()
    asyncio.run(desk.offer(recorded(verdict("e1"), known=False)))
    (found,) = told(desk)
    assert found["first_at"] == "2026-11-22T07:59:00.000Z"
    assert found["lead"]["event"] is None


def test_what_another_ztad_recorded_holds_up_no_alert() -> None:
    desk = alerts()
    batch = recorded(verdict("e1"), verdict("e2", "bob"))
    batch.verdicts[0] = b'{"event_id":"e1"}'
    batch.evidence[1] = b"\xc0"
    assert asyncio.run(desk.offer(batch)) == 1
    (found,) = told(desk)
    assert found["subject"] == "user:bob"
    assert found["lead"]["event"] is None


def test_a_shadow_version_alerts_nobody() -> None:
    desk = alerts()
    assert asyncio.run(desk.offer(recorded(verdict("e1"), shadow=True))) == 0
    assert told(desk) == []


def test_pages() -> None:
    desk = alerts()
    asyncio.run(desk.offer(recorded(*(verdict(f"e{n}", f"user-{n}") for n in range(5)))))
    seen, after = [], None
    for expected in (2, 2, 1):
        query = AlertQuery(limit=2, after=after)
        page = json.loads(asyncio.run(desk.alerts(query)))
        assert len(page["alerts"]) == expected
        seen += [each["subject"] for each in page["alerts"]]
        if page["next"] is not None:
            opened, _, alert_id = page["next"].partition("_")
            after = (float(opened), alert_id)
    assert page["next"] is None
    assert sorted(seen) == [f"user:user-{n}" for n in range(5)]


def test_one_alert_with_its_chain_and_deliveries() -> None:
    desk = alerts()
    asyncio.run(desk.offer(recorded(verdict("e1"), verdict("e2"))))
    (row,) = told(desk)
    whole = json.loads(asyncio.run(desk.alert(row["alert_id"])) or b"")
    assert [each["verdict"]["event_id"] for each in whole["chain"]] == ["e1", "e2"]
    assert (whole["omitted"], whole["deliveries"]) == (0, [])
    assert asyncio.run(desk.alert("none")) is None


def test_acknowledging() -> None:
    desk = alerts()
    asyncio.run(desk.offer(recorded(verdict("e1"))))
    (row,) = told(desk)
    done = json.loads(asyncio.run(desk.acknowledge(row["alert_id"], "bob", "calls her")) or b"")
    assert (done["status"], done["acknowledged_by"], done["note"]) == (
        "acknowledged", "bob", "calls her",
    )  # fmt: skip
    assert told(desk, status="open") == []
    assert asyncio.run(desk.acknowledge("none", "bob", "")) is None


def test_silences() -> None:
    desk = alerts()
    silence = Silence(
        silence_id="s1", matchers=Matchers(users=("ann",)), from_s=NOW_S, until_s=NOW_S + 60,
        created_by="bob", comment="travels",
    )  # fmt: skip
    made = json.loads(asyncio.run(desk.silence(silence)))
    assert made == {
        "silence_id": "s1", "from": "2026-11-22T08:00:00.000Z",
        "until": "2026-11-22T08:01:00.000Z", "created_by": "bob", "comment": "travels",
        "matchers": {"users": ["ann"], "addresses": [], "reasons": [], "severity_below": None,
                     "no_other_reason": False},
    }  # fmt: skip
    assert json.loads(asyncio.run(desk.silences())) == {"silences": [made]}
    assert asyncio.run(desk.end_silence("s1", NOW_S)) is not None
    assert json.loads(asyncio.run(desk.silences())) == {"silences": []}
    assert asyncio.run(desk.end_silence("s1", NOW_S)) is None


def test_alerts_of_a_file_survive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "alerts.sqlite"
    log = SqliteAlertLog(path)
    asyncio.run(alerts(log).offer(recorded(verdict("e1"), verdict("e2", "bob"))))
    before = told(alerts(log))
    log.close()
    again = SqliteAlertLog(path)
    desk = alerts(again)
    assert told(desk) == before
    assert asyncio.run(desk.offer(recorded(verdict("e1")))) == 0
    again.close()


@pytest.mark.parametrize("flags", ["01", "00"])
def test_what_was_traced_is_traced_to_its_alert(flags: str) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing = Tracing(enabled=True)
    tracing._tracer = provider.get_tracer("test")
    desk = alerts(observe=tracing.following)
    traceparent = TRACE[:-2] + flags
    asyncio.run(desk.offer(recorded(verdict("e1"), traces={0: traceparent})))
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == (["ztad.alert.group"] if flags == "01" else [])
    for span in spans:
        assert span.parent is not None
        assert f"{span.parent.trace_id:032x}-{span.parent.span_id:016x}" == TRACE[3:-3]


async def sent_metrics(desk: Alerts) -> str:
    """The metrics once something was sent."""
    async with asyncio.timeout(30):
        while True:
            text = (await desk.metrics()).decode()
            if 'state="sent"' in text:
                return text
            await asyncio.sleep(0.001)


def test_metrics_tell_what_happened(tmp_path: Path) -> None:
    rules = tmp_path / "alerts.yaml"
    rules.write_text(
        "channels: {soc: {type: memory}}\notherwise: [soc]\n"
        "rules: [{name: quiet, when: {users: [cid]}, drop: true}]"
    )

    async def talk() -> str:
        desk = Alerts(rules, MemoryLog(), clock=ManualClock(NOW_S))
        await desk.start()
        given = [verdict("e1", severity="critical"), verdict("e2", "bob"), verdict("e3", "cid")]
        await desk.offer(recorded(*given))
        text = await sent_metrics(desk)
        await desk.close()
        return text

    lines = set(asyncio.run(talk()).splitlines())
    assert {
        'ztad_alerts_opened_total{reason="impossible_travel",severity="critical"} 1.0',
        'ztad_alerts_opened_total{reason="impossible_travel",severity="high"} 1.0',
        "ztad_alert_events_total 2.0",
        'ztad_alert_dropped_events_total{rule="rules.quiet"} 1.0',
        'ztad_alert_messages_total{channel="soc",outcome="sent"} 1.0',
        'ztad_alert_messages{channel="soc",state="sent"} 1.0',
        'ztad_alert_channel_up{channel="soc"} 1.0',
        "ztad_alert_rules_broken 0.0",
    } <= lines


def test_state_is_told_without_rules() -> None:
    state = asyncio.run(alerts().state())
    assert (state.channels, state.deliveries, state.rules_problem) == ({}, {}, "")
