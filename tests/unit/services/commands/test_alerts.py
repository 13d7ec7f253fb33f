"""``ztad alerts``: rules checked, channels tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from ensemble.scorer import Scorer, load_bundle
from preprocessing.event import AuthEvent, encode_event
from services.cli import main
from services.commands.score import batches
from tests.conftest import NOW_S
from tests.unit.alerting.servers import WebServer


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return tmp_path / "alerts.yaml"


def test_good_rules(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules.write_text("channels: {soc: {type: memory}}\notherwise: [soc]")
    assert main(["alerts", "check", "--rules", str(rules)]) == 0
    assert capsys.readouterr().out == f"{rules}: good; channels: soc; routes: 0\n"


def test_rules_that_send_nothing_say_so(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules.write_text("channels: {soc: {type: memory}}")
    assert main(["alerts", "check", "--rules", str(rules)]) == 0
    assert "kept and sent nowhere" in capsys.readouterr().out


def test_every_problem_of_bad_rules_on_a_line(
    rules: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules.write_text("keep: 5\nlink: x")
    assert main(["alerts", "check", "--rules", str(rules)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in told] == ["keep", "link"]


def test_a_file_that_is_not_there(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alerts", "check", "--rules", str(rules)]) == 2
    assert "No such file" in capsys.readouterr().err


def test_a_channel_is_tried(
    rules: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = WebServer()
    rules.write_text(
        f"channels: {{hook: {{type: webhook, url: 'http://127.0.0.1:{server.port}/', "
        "secret: '${HOOK_KEY}', plain_http: true}}"
    )
    command = ["alerts", "test", "hook", "--rules", str(rules)]
    try:
        assert main(command) == 1
        assert "environment variable HOOK_KEY is not set" in capsys.readouterr().out
        monkeypatch.setenv("HOOK_KEY", "hunter2hunter2")
        assert main(command) == 0
        assert capsys.readouterr().out == "hook: the test alert was taken\n"
        server.answers = [(503, {}), (400, {})]
        assert main(command) == 1
        assert "would be tried again: answered 503" in capsys.readouterr().out
        assert main(command) == 1
        assert "would be recorded as failed: answered 400" in capsys.readouterr().out
    finally:
        server.close()
    assert b'"type":"ztad.test"' in server.received[0].body


def test_whatever_a_channel_does_is_told_in_one_line(
    rules: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules.write_text(
        "channels: {soc: {type: email, host: a..b, sender: z@x.example, to: [s@x.example]}}"
    )
    assert main(["alerts", "test", "soc", "--rules", str(rules)]) == 1
    assert capsys.readouterr().out.endswith("tried again: unexpected UnicodeError\n")


def test_a_channel_that_is_not_there(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules.write_text("channels: {soc: {type: memory}}")
    assert main(["alerts", "test", "sco", "--rules", str(rules)]) == 2
    assert "did you mean 'soc'?" in capsys.readouterr().err


def test_rules_are_tried_on_past_events(
    bundle: Path,
    fresh_events: list[AuthEvent],
    rules: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rules.write_text("channels: {soc: {type: memory, rate: {most: 1000}}}\notherwise: [soc]")
    events, labels = tmp_path / "events.ndjson", tmp_path / "labels.csv"
    events.write_bytes(b"\n".join(encode_event(event) for event in fresh_events))
    lines = [f"{event.event_id},1,attack,everything" for event in fresh_events]
    labels.write_text("\n".join(["event_id,is_anomaly,anomaly_type,campaign_id", *lines]))
    command = ["alerts", "replay", "--rules", str(rules), "--bundle", str(bundle),
               "--events", str(events), "--labels", str(labels)]  # fmt: skip
    assert main(command) == 0
    told = {
        cells[0].strip(): cells[1].strip()
        for line in capsys.readouterr().out.splitlines()
        if len(cells := line.strip("│| ").split("│")) == 2
    }
    scorer = Scorer(load_bundle(bundle))
    scored = [each for batch in batches(fresh_events) for each in scorer.score(batch, now_s=NOW_S)]
    assert told["suspicious events"] == f"{sum(each.is_anomaly for each in scored):,}"
    assert told["campaigns told"] == "1 of 1"
    assert told["messages by channel"].endswith(" soc")
    right, _, alerts = told["low with a labelled event"].partition(" of ")
    assert right == alerts
