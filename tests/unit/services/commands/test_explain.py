import json
from pathlib import Path

import pytest

from ensemble.explain.asked import Asked
from ensemble.scorer import load_bundle
from preprocessing.event import AuthEvent, encode_event
from services import cli
from services.commands.explain import in_turn
from tests.unit.ensemble.alerts import flagged


@pytest.fixture
def events(fresh_events: list[AuthEvent], tmp_path: Path) -> Path:
    path = tmp_path / "events.ndjson"
    path.write_bytes(b"\n".join(map(encode_event, fresh_events[:300])))
    return path


def test_alerts_as_an_analyst_reads_them(
    bundle: Path, events: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["explain", "--bundle", str(bundle), "--events", str(events), "--alerts", "3"]
    assert cli.main([*words, "--method", "lime", "--method", "counterfactual"]) == 0
    told = capsys.readouterr().out
    for start in ("Nearby: From here", "Otherwise: ", "Compared with: ", "Confidence: ", "event "):
        assert told.count(f"  {start}") == 3, start
    assert "ATT&CK T1" in told


def test_one_event_as_json_and_one_that_is_not_there(
    bundle: Path, events: Path, fresh_events: list[AuthEvent], capsys: pytest.CaptureFixture[str]
) -> None:
    event_id = fresh_events[17].event_id
    words = ["explain", "--bundle", str(bundle), "--events", str(events), "--json"]
    assert cli.main([*words, "--id", event_id, "--id", "other", "--method", "lime"]) == 1
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["verdict"]["event_id"] == event_id
    assert told["explanations"]["lime"]["confidence"]["level"] in ("high", "moderate", "low")
    assert "not among the events: other" in err


def test_every_reason_has_its_turn_and_users_are_not_repeated(
    bundle: Path, fresh_events: list[AuthEvent]
) -> None:
    alerts = flagged(load_bundle(bundle), fresh_events[:500])
    chosen = in_turn(alerts, 4)
    assert len({one.verdict.user_id for one in chosen}) == len(chosen) == 4
    best: dict[str, Asked] = {}
    for one in sorted(alerts, key=lambda each: -each.verdict.score):
        best.setdefault(one.verdict.user_id, one)
    codes = {one.verdict.reasons[0].code for one in best.values()}
    assert len({one.verdict.reasons[0].code for one in chosen}) == min(4, len(codes))
    assert len(in_turn(alerts, len(alerts) + 5)) == len(alerts)
