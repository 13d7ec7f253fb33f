import json
import re

import msgspec
import pytest

from ensemble.verdict import RANKS, SEVERITIES, Reason, Severity, Verdict, decide

REASON = Reason("impossible_travel", "9,940 km in 40 min", "Singapore", "Berlin", "T1078", 0.61)
VERDICT = Verdict(
    event_id="e1",
    user_id="ada",
    score=0.9999999999999432,
    is_anomaly=True,
    threshold=0.9987123456789012,
    severity="high",
    reasons=(REASON,),
    detectors={"isolation_forest": 1 - 2**-53, "autoencoder": 0.1 + 0.2},
    variant="champion",
    model_version="2026-11-22.1",
)


def test_keys_are_those_of_the_wire_format_in_its_order() -> None:
    keys = list(json.loads(msgspec.json.encode(VERDICT)))
    assert keys == [
        "event_id", "user_id", "score", "is_anomaly", "threshold", "severity", "reasons",
        "detectors", "variant", "model_version", "degraded", "learning", "late", "duplicate",
        "trace_id",
    ]  # fmt: skip


def test_keys_of_a_reason() -> None:
    (reason,) = json.loads(msgspec.json.encode(VERDICT))["reasons"]
    assert list(reason) == ["code", "text", "observed", "usual", "attack", "weight"]


def test_numbers_survive_json_to_the_last_bit() -> None:
    assert msgspec.json.decode(msgspec.json.encode(VERDICT), type=Verdict) == VERDICT
    assert json.loads(msgspec.json.encode(VERDICT))["score"] == VERDICT.score
    assert re.search(rb'"isolation_forest":0\.9{15}', msgspec.json.encode(VERDICT))


def test_msgpack_round_trip() -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(VERDICT), type=Verdict) == VERDICT


@pytest.mark.parametrize(
    ("rarer", "expected"),
    [
        (0.5, "info"),
        (1.5, "low"),
        (5.0, "medium"),
        (15.0, "high"),
        (150.0, "critical"),
    ],
)
def test_severity_is_how_much_rarer_than_the_threshold_demands(
    rarer: float, expected: Severity
) -> None:
    assert RANKS[int(decide(0.001 / rarer, 0.999))] == expected


def test_exactly_at_the_threshold_is_ordinary() -> None:
    assert decide(1.0 - 0.75, 0.75) == 0


def test_no_budget_no_alert() -> None:
    assert decide(1e-300, 1.0) == 0


def test_severities_fall() -> None:
    assert [least for least, _ in SEVERITIES] == [20.0, 10.0, 3.0, 1.0]
