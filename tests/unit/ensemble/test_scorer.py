from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from ensemble.scorer import (
    ENSEMBLE_FILE,
    HISTORY_FILE,
    FirstVerdicts,
    Scorer,
    ensemble_of,
    feature_schema,
    history_of,
    load_bundle,
)
from ensemble.verdict import Verdict
from models.bundle import Bundle, write_bundle
from models.manifest import BundleError, FileChanged, WrongSchema
from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import FIELDS, AuthEvent, from_mapping

NOW_S = 4e9


class LearnsLater(EmbeddedHistory):
    """Learns only at ``flush``, so that batches of any size meet the same baselines."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self.restore(history_of(bundle).snapshot())
        self.waiting: list[str] = []

    def learn(self, event_ids: Iterable[str]) -> int:
        self.waiting.extend(event_ids)
        return 0

    def flush(self) -> None:
        super().learn(self.waiting)
        self.waiting = []


def scored(bundle: Bundle, events: Sequence[AuthEvent], size: int) -> tuple[list[Verdict], bytes]:
    """Verdicts in batches of ``size``, learning after each half; and the history afterwards."""
    history = LearnsLater(bundle)
    scorer = Scorer(bundle, history)
    verdicts = []
    middle = len(events) // 2
    for half in (events[:middle], events[middle:]):
        for start in range(0, len(half), size):
            verdicts += scorer.score(half[start : start + size], now_s=NOW_S)
        history.flush()
    return verdicts, history.snapshot()


def numbers(verdict: Verdict) -> list[float]:
    return [verdict.score, *verdict.detectors.values()]


def the_rest(verdict: Verdict) -> Verdict:
    return msgspec.structs.replace(verdict, score=0.0, detectors={})


def test_batch_size_changes_nothing(bundle: Bundle, fresh_events: list[AuthEvent]) -> None:
    whole, after = scored(bundle, fresh_events, 1000)
    for size in (1, 7):
        verdicts, history = scored(bundle, fresh_events, size)
        assert [the_rest(verdict) for verdict in verdicts] == [the_rest(v) for v in whole]
        # A matrix product may add up in another order in a larger batch.
        expected = np.array([numbers(verdict) for verdict in whole])
        got = np.array([numbers(verdict) for verdict in verdicts])
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)
        assert history == after


def test_one_verdict_per_event_in_order(bundle: Bundle, fresh_events: list[AuthEvent]) -> None:
    verdicts = Scorer(bundle).score(fresh_events[:200], now_s=NOW_S)
    assert [v.event_id for v in verdicts] == [event.event_id for event in fresh_events[:200]]
    assert all(0.0 <= v.score < 1.0 for v in verdicts)
    assert all(set(v.detectors) == ensemble_of(bundle).counted for v in verdicts)
    assert {v.model_version for v in verdicts} == {bundle.version}
    assert not any(v.degraded or v.duplicate for v in verdicts)
    assert all(bool(v.reasons) == v.is_anomaly for v in verdicts)


def test_no_events_no_verdicts(bundle: Bundle) -> None:
    assert Scorer(bundle).score([], now_s=NOW_S) == []


def test_a_repeated_id_gets_its_first_verdict_and_changes_nothing(
    bundle: Bundle, fresh_events: list[AuthEvent]
) -> None:
    scorer = Scorer(bundle)
    events = fresh_events[:50]
    first = scorer.score(events, now_s=NOW_S)
    before = scorer.history.snapshot()
    forged = msgspec.structs.replace(events[3], user_id="mallory", country="KP")
    again = scorer.score([events[7], forged], now_s=NOW_S)
    assert again == [msgspec.structs.replace(first[row], duplicate=True) for row in (7, 3)]
    assert scorer.history.snapshot() == before


def test_an_id_repeated_within_a_batch(bundle: Bundle, fresh_events: list[AuthEvent]) -> None:
    first, second = Scorer(bundle).score([fresh_events[0]] * 2, now_s=NOW_S)
    assert (first.duplicate, second.duplicate) == (False, True)
    assert msgspec.structs.replace(second, duplicate=False) == first


def test_training_ids_do_not_count_as_seen(
    bundle: Bundle, training_events: list[AuthEvent]
) -> None:
    (verdict,) = Scorer(bundle).score(training_events[-1:], now_s=NOW_S)
    assert not verdict.duplicate


def test_a_late_event_says_so(bundle: Bundle, fresh_events: list[AuthEvent]) -> None:
    scorer = Scorer(bundle)
    newest = fresh_events[0]
    hours_before = newest.timestamp - timedelta(hours=3)
    late = msgspec.structs.replace(newest, event_id="late", timestamp=hours_before)
    assert [v.late for v in scorer.score([newest, late], now_s=NOW_S)] == [False, True]


def test_two_scorers_agree(bundle: Bundle, fresh_events: list[AuthEvent]) -> None:
    one, other = Scorer(bundle), Scorer(load_bundle(bundle.path))
    assert one.score(fresh_events, now_s=NOW_S) == other.score(fresh_events, now_s=NOW_S)


def test_labels_are_neither_needed_nor_looked_at(bundle: Bundle) -> None:
    row = {"timestamp": "2026-11-22T08:15:00Z", "user_id": "ada", "outcome": "success"}
    labelled = row | {"is_anomaly": "1", "anomaly_type": "impossible_travel", "event_id": "e"}
    plain = from_mapping(row | {"event_id": "e"}, b"", now_s=NOW_S)
    assert from_mapping(labelled, b"", now_s=NOW_S) == plain
    assert not {"is_anomaly", "anomaly_type"} & set(FIELDS)
    assert len(Scorer(bundle).score([plain], now_s=NOW_S)) == 1


def test_scoring_anything_strange_is_finite(bundle: Bundle, fresh_events: list[AuthEvent]) -> None:
    changed = {
        "event_id": "far",
        "latitude": -90.0,
        "longitude": 180.0,
        "bytes_transferred": 2**53,
        "failed_attempts": 2**53,
        "source_ip": "::",
    }
    far = msgspec.structs.replace(fresh_events[0], **changed)
    _, verdict = Scorer(bundle).score([fresh_events[0], far], now_s=NOW_S)
    assert verdict.is_anomaly
    assert verdict.threshold < verdict.score < 1.0
    assert np.isfinite(list(verdict.detectors.values())).all()


def test_first_verdicts_are_bounded_and_the_first_stays(bundle: Bundle) -> None:
    first = FirstVerdicts(most=2)
    base = Verdict("a", "ada", 0.1, False, 0.9, "info", (), {}, "champion", "v")
    first.add(base)
    first.add(msgspec.structs.replace(base, score=0.2))
    assert first.get("a") == base
    for name in ("b", "c"):
        first.add(msgspec.structs.replace(base, event_id=name))
    assert len(first) == 2
    assert first.get("a") is None


def changed_bundle(bundle: Bundle, path: Path, **files: bytes) -> Bundle:
    contents = {
        name: bundle.read(name) for name in bundle.files if not name.endswith(".onnx")
    } | files
    return write_bundle(
        path,
        version="x",
        schema=bundle.schema,
        detectors={name: bundle.read(f"{name}.onnx") for name in bundle.detectors},
        files=contents,
    )


@pytest.mark.parametrize(
    ("file", "read"), [(ENSEMBLE_FILE, ensemble_of), (HISTORY_FILE, history_of)]
)
def test_an_unreadable_part_is_named(
    bundle: Bundle, tmp_path: Path, file: str, read: Callable[[Bundle], object]
) -> None:
    broken = changed_bundle(bundle, tmp_path / "broken", **{file: b"\xc1nothing"})
    with pytest.raises(BundleError, match=file):
        read(broken)


def test_another_feature_schema_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    other = msgspec.structs.replace(feature_schema(), version="features-0")
    write_bundle(tmp_path / "old", version="x", schema=other, detectors={}, files={})
    with pytest.raises(WrongSchema):
        load_bundle(tmp_path / "old")


def test_a_changed_byte_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    copy = changed_bundle(bundle, tmp_path / "copy")
    target = copy.path / ENSEMBLE_FILE
    target.write_bytes(target.read_bytes().replace(b"0.", b"1.", 1))
    with pytest.raises(FileChanged):
        load_bundle(copy.path)
