import csv
import gzip
import io
import json
import os
from pathlib import Path

import pytest

from ensemble.verdict import Reason, Verdict
from preprocessing.sources import Rejected
from services.commands.outputs import encode_rejected, output, verdict_writer

REASONS = (
    Reason("impossible_travel", "9,940 km in 40 min", "Singapore", "Berlin", "T1078", 0.6),
    Reason("unusual_device", "device seen in 0 of 9", "x", "y", "T1078", 0.4),
)
VERDICT = Verdict(
    event_id="e1",
    user_id="ada",
    score=0.9999,
    is_anomaly=True,
    threshold=0.998,
    severity="medium",
    reasons=REASONS,
    detectors={"autoencoder": 0.5, "isolation_forest": 0.75},
    variant="champion",
    model_version="2026-11-22.1",
)


def test_a_file_gets_its_name_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with output(str(path)) as stream:
        stream.write(b"all")
        assert not path.exists()
    assert path.read_bytes() == b"all"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def _interrupted(path: Path) -> None:
    with output(str(path)) as stream:
        stream.write(b"half")
        raise KeyboardInterrupt


def test_a_failing_run_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt):
        _interrupted(path)
    assert path.read_bytes() == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_gz_is_compressed_and_the_same_every_time(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        with output(str(tmp_path / name)) as stream:
            stream.write(b"verdicts")
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == b"verdicts"
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_no_such_directory_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, output(str(tmp_path / "no" / "out")):
        pass
    assert caught.value.filename == str(tmp_path / "no")


def test_a_device_is_written_not_replaced() -> None:
    with output(os.devnull) as stream:
        stream.write(b"gone")
    assert not Path(os.devnull).is_file()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with output(str(tmp_path / "link")) as stream:
        stream.write(b"all")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"all"


@pytest.mark.parametrize("name", ["v.ndjson", "v.json.gz", "v", "-"])
def test_ndjson(name: str) -> None:
    stream = io.BytesIO()
    verdict_writer(name, stream, ["autoencoder"]).write([VERDICT, VERDICT])
    first, second = stream.getvalue().splitlines()
    assert first == second
    assert json.loads(first)["reasons"][0]["code"] == "impossible_travel"


@pytest.mark.parametrize("name", ["v.csv", "v.csv.gz", "my.file.CSV"])
def test_csv_has_joined_reasons_and_a_column_per_detector(name: str) -> None:
    stream = io.BytesIO()
    verdict_writer(name, stream, ["autoencoder", "isolation_forest"]).write([VERDICT])
    (row,) = csv.DictReader(io.StringIO(stream.getvalue().decode()))
    assert row["reason_codes"] == "impossible_travel+unusual_device"
    assert row["reasons"] == "9,940 km in 40 min; device seen in 0 of 9"
    assert (row["score"], row["is_anomaly"], row["isolation_forest"]) == ("0.9999", "true", "0.75")


def test_csv_without_verdicts_has_its_header() -> None:
    stream = io.BytesIO()
    verdict_writer("v.csv", stream, ["autoencoder"])
    assert stream.getvalue().startswith(b"event_id,user_id,score,")


def test_a_rejected_line_is_told_whole() -> None:
    rejected = Rejected(7, "user_id", "required", "e9", b'{"a": "\xff"}\r\n')
    assert json.loads(encode_rejected(rejected)) == {
        "line": 7,
        "event_id": "e9",
        "error": {"field": "user_id", "message": "required"},
        "raw": '{"a": "\\xff"}',
    }
