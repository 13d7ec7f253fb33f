import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest

from preprocessing.event import AuthEvent
from preprocessing.sources import SourceError, lanl
from tuning.data import UNTYPED, Labels, LabelsError, fingerprint, read_labels


def _labels(folder: Path, text: str) -> Labels:
    (folder / "labels.csv").write_text(text)
    return read_labels(str(folder / "labels.csv"))


def test_reads_types_by_id_in_any_column_order(tmp_path: Path) -> None:
    text = "anomaly_type,event_id,is_anomaly,more\nspray,a,1,x\nnormal,b,0,x\n,c,1,x\n\n"
    labels = _labels(tmp_path, text)
    assert labels.types == {"a": "spray", "b": None, "c": UNTYPED}
    assert labels.anomalous == {"a", "c"}
    assert labels.knows("b")
    assert not labels.knows("d")


def test_campaigns_are_those_of_attacks_and_causes_those_of_ordinary_events(tmp_path: Path) -> None:
    text = "event_id,is_anomaly,anomaly_type,campaign_id,cause\n"
    text += "a,1,spray,c1,\nb,0,normal,,traveller\nc,1,spray,,night_shift\nd,0,normal,c1,\n"
    labels = _labels(tmp_path, text)
    assert labels.campaigns == {"a": "c1"}
    assert labels.causes == {"b": "traveller"}


def test_labels_without_campaigns_and_causes_have_none(tmp_path: Path) -> None:
    labels = _labels(tmp_path, "event_id,is_anomaly\na,1\nb,0\n")
    assert labels.types == {"a": UNTYPED, "b": None}
    assert not labels.campaigns
    assert not labels.causes


def test_reads_gz_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbfevent_id,is_anomaly\na,1\n"))
    assert read_labels(str(path)).anomalous == {"a"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no column event_id, is_anomaly; expected a header with event_id,is_anomaly"),
        ("event_id,label\na,1\n", "no column is_anomaly"),
        ("event_id,is_anomaly\na,yes\n", "line 2: is_anomaly must be 0 or 1, got 'yes'"),
        ("event_id,is_anomaly\na\n", "line 2: is_anomaly must be 0 or 1, got ''"),
        ("event_id,is_anomaly\n,1\n", "line 2: event_id is empty"),
        ("event_id,is_anomaly\na,1\na,0\n", "line 3: event 'a' was labelled otherwise before"),
    ],
)
def test_bad_labels_say_where_and_what(text: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(LabelsError) as caught:
        _labels(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'labels.csv'}: {problem}")


def test_a_missing_file_is_a_source_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        read_labels(str(tmp_path / "gone.csv"))


def test_a_red_team_list_is_joined_with_its_events(tmp_path: Path) -> None:
    row = "{},U1@D,U1@D,C1,{},NTLM,Network,LogOn,Success\n"
    auth = tmp_path / "auth.csv"
    auth.write_text(f"{lanl.HEADER}\n" + row.format(5, "C2") + row.format(6, "C2"))
    redteam = tmp_path / "redteam.csv"
    redteam.write_text(f"{lanl.REDTEAM_HEADER}\n6,U1@D,C1,C2\n")
    labels = read_labels(str(redteam), events=str(auth))
    assert list(labels.types.values()) == [lanl.REDTEAM]
    assert labels.knows("any other event")
    with pytest.raises(LabelsError, match="needs --events to be a file"):
        read_labels(str(redteam), events="-")


def test_fingerprint_knows_content_not_order() -> None:
    ada = AuthEvent(datetime(2026, 1, 2, tzinfo=UTC), "ada", "success", event_id="1")
    bob = AuthEvent(datetime(2026, 1, 3, tzinfo=UTC), "bob", "success", event_id="2")
    assert fingerprint([ada, bob]) == fingerprint([bob, ada])
    assert fingerprint([ada, bob]) != fingerprint([ada])
    assert fingerprint([ada]) == fingerprint([ada], Labels({"1": None}))
    assert fingerprint([ada]) != fingerprint([ada], Labels({"1": "spray"}))
    assert len(fingerprint([])) == 64
