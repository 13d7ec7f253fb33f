import csv
import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ensemble.scorer import Scorer, load_bundle
from preprocessing.event import AuthEvent
from services.cli import main
from services.commands.score import batches


def _score(bundle: Path, events: Path, out: Path | str, *words: str) -> int:
    command = ["score", "--bundle", str(bundle), "--events", str(events), "--out", str(out)]
    return main([*command, *words])


def _ids(events: Path) -> list[str]:
    with events.open() as file:
        return [row["event_id"] for row in csv.DictReader(file)]


def test_a_verdict_per_event_in_order(
    bundle: Path, small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events, out = small_set / "events.csv", tmp_path / "v.ndjson"
    assert _score(bundle, events, out) == 0
    verdicts = [json.loads(line) for line in out.read_text().splitlines()]
    assert [verdict["event_id"] for verdict in verdicts] == _ids(events)
    assert not any(verdict["duplicate"] for verdict in verdicts)
    alerts = sum(verdict["is_anomaly"] for verdict in verdicts)
    told = capsys.readouterr()
    assert f"600 scored, {alerts:,} alerts, 0 rejected\n" in told.err
    assert told.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["v.ndjson"]


def test_csv_says_the_same_as_ndjson(bundle: Path, small_set: Path, tmp_path: Path) -> None:
    events = small_set / "events.csv"
    assert _score(bundle, events, tmp_path / "v.ndjson.gz") == 0
    assert _score(bundle, events, tmp_path / "v.csv") == 0
    lines = gzip.decompress((tmp_path / "v.ndjson.gz").read_bytes()).splitlines()
    with (tmp_path / "v.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["score"]) for row in rows] == [json.loads(line)["score"] for line in lines]
    assert set(load_bundle(bundle).detectors) <= set(rows[0])


def test_bad_lines_go_beside_the_output_and_the_rest_is_scored(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = '{"event_id": "a", "timestamp": "2026-01-01T00:00:00Z", "user_id": "u"%s}\n'
    events = tmp_path / "events.ndjson"
    events.write_text(good % ', "outcome": "success"' + "nonsense\n" + good % "")
    out = tmp_path / "v.ndjson"
    assert _score(bundle, events, out) == 0
    (verdict,) = [json.loads(line) for line in out.read_text().splitlines()]
    rejected = (tmp_path / "v.ndjson.rejected.ndjson").read_text().splitlines()
    told = [json.loads(line) for line in rejected]
    assert [line["line"] for line in told] == [2, 3]
    assert (told[0]["event_id"], told[0]["raw"]) == (None, "nonsense")
    assert (told[1]["event_id"], told[1]["error"]["field"]) == ("a", "outcome")
    counts = f"1 scored, {int(verdict['is_anomaly'])} alerts, 2 rejected"
    assert f"{counts}; 2 lines rejected; the" in capsys.readouterr().err


def test_a_better_run_removes_the_rejects_of_the_last(bundle: Path, tmp_path: Path) -> None:
    events, out = tmp_path / "events.csv", tmp_path / "v.ndjson"
    for row in ("x,ada,success", "2026-01-01T00:00:00Z,ada,success"):
        events.write_text(f"timestamp,user_id,outcome\n{row}\n")
        assert _score(bundle, events, out) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"events.csv", "v.ndjson"}


def test_stdout_takes_verdicts_and_stderr_the_rest(
    bundle: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    events = tmp_path / "events.csv"
    rows = "2026-01-01T00:00:00Z,ada,success\nx,ada,success\n"
    events.write_text(f"timestamp,user_id,outcome\n{rows}")
    assert _score(bundle, events, "-", "--summary", "--top", "1") == 0
    told = capsysbinary.readouterr()
    (line,) = told.out.splitlines()
    assert json.loads(line)["user_id"] == "ada"
    assert b'"raw":"x,ada,success"' in told.err
    assert b"most alerted addresses" in told.err
    assert [path.name for path in tmp_path.iterdir()] == ["events.csv"]


def test_a_failing_run_leaves_no_half_file(
    bundle: Path, small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = gzip.compress((small_set / "events.csv").read_bytes())
    (tmp_path / "cut.csv.gz").write_bytes(whole[: len(whole) // 2])
    assert _score(bundle, tmp_path / "cut.csv.gz", tmp_path / "v.ndjson") == 2
    assert "cut.csv.gz: gzip data ends too early" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["cut.csv.gz"]


def test_the_events_are_never_overwritten(
    bundle: Path, small_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = small_set / "events.csv"
    before = events.read_bytes()
    assert _score(bundle, events, events) == 2
    assert capsys.readouterr().err.endswith("holds the events; write the verdicts elsewhere\n")
    assert events.read_bytes() == before


def test_a_directory_as_out_is_refused(
    bundle: Path, small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _score(bundle, small_set / "events.csv", tmp_path) == 2
    assert capsys.readouterr().err == f"ztad score: {tmp_path}: is a directory; name a file\n"


def test_a_repeated_id_gets_its_first_verdict(
    bundle: Path, small_set: Path, tmp_path: Path
) -> None:
    header, *rows = (small_set / "events.csv").read_text().splitlines()
    twice = tmp_path / "twice.csv"
    twice.write_text("\n".join([header, *rows, *rows[:5]]) + "\n")
    assert _score(bundle, twice, tmp_path / "v.ndjson") == 0
    verdicts = [json.loads(line) for line in (tmp_path / "v.ndjson").read_text().splitlines()]
    for first, again in zip(verdicts[:5], verdicts[600:], strict=True):
        assert again == {**first, "duplicate": True}


def test_verdicts_are_those_of_the_scorer(bundle: Path, small_set: Path, tmp_path: Path) -> None:
    out = tmp_path / "v.ndjson"
    assert _score(bundle, small_set / "events.csv", out, "--until", "2000-01-02") == 0
    assert out.read_text() == ""
    assert Scorer(load_bundle(bundle)).score([], now_s=0.0) == []


def test_a_damaged_bundle_is_refused(
    bundle: Path, small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in bundle.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "history.msgpack").write_bytes(b"\0")
    assert _score(copy, small_set / "events.csv", tmp_path / "v.ndjson") == 2
    assert "'history.msgpack' was changed after training" in capsys.readouterr().err


def test_batches_stream() -> None:
    def events() -> Iterator[AuthEvent]:
        for _ in range(3):
            yield AuthEvent(datetime(2026, 1, 1, tzinfo=UTC), "ada", "success")
        raise AssertionError("read too far")

    assert len(next(batches(events(), size=3))) == 3
