from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from ensemble.calibration import fit
from ensemble.combine import combine, surprise
from ensemble.decision import Decided, Ensemble, EnsembleSpec, Origin, Values, decode_spec
from ensemble.reasons import COMBINATION
from preprocessing.event import AuthEvent
from preprocessing.features import FEATURES, NAMES, Windows
from preprocessing.history import FACTS, Evidence
from preprocessing.prepare import Context
from preprocessing.surprise import Curve, Surprise

DETECTORS = ("one", "two")
#: Raw scores of ordinary events; 2,000 is far beyond them, 500 is the middle.
ORDINARY = np.arange(1000.0)
QUIET, LOUD = 500.0, 2000.0


def spec() -> EnsembleSpec:
    calibration = fit(ORDINARY)
    each = surprise(calibration.exceedance(ORDINARY))
    combined = combine(np.stack([each, each]), DETECTORS, method="mean", weights={})
    return EnsembleSpec(
        method="mean",
        weights={},
        detectors=dict.fromkeys(DETECTORS, calibration),
        combined=fit(combined),
        budget=25.0,
        threshold=0.9975,
        surprise=Surprise([Curve([0.0, 25.0], [0.0, 8.0])] * len(FEATURES)),
    )


@dataclass
class Case:
    """One event each of the given loudness; ``context`` lists rows."""

    loudness: list[float]
    features: NDArray[np.float32] = field(init=False)
    late: list[int] = field(default_factory=list)
    learning: list[int] = field(default_factory=list)
    duplicate: list[int] = field(default_factory=list)
    blatant: list[int] = field(default_factory=list)
    evidence: dict[int, Evidence] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.features = np.zeros((len(self.loudness), len(FEATURES)), np.float32)

    def context(self) -> Context:
        ids = [f"e{row}" for row in range(len(self.loudness))]
        users = [f"u{row}" for row in range(len(self.loudness))]
        return Context(
            event_ids=ids,
            user_ids=users,
            late=self.late,
            learning=self.learning,
            duplicate=self.duplicate,
            blatant=self.blatant,
            evidence={row: msgspec.msgpack.encode(one) for row, one in self.evidence.items()},
        )

    def decided(self, *names: str, origin: Origin | None = None) -> Decided:
        raw: dict[str, Values] = {name: np.array(self.loudness) for name in names or DETECTORS}
        return Ensemble(spec()).decide(
            self.features, self.context(), raw, origin or Origin("2026-11-22.1")
        )


def test_loud_is_flagged_and_quiet_is_not() -> None:
    quiet, loud = Case([QUIET, LOUD]).decided().verdicts
    assert (quiet.is_anomaly, quiet.severity, quiet.reasons) == (False, "info", ())
    assert loud.is_anomaly
    assert loud.severity != "info"
    assert loud.score > loud.threshold == 0.9975 > quiet.score
    assert quiet.detectors == pytest.approx({"one": 0.5, "two": 0.5}, abs=0.01)


def test_each_kind_of_session_is_held_against_its_own_threshold() -> None:
    case = Case([LOUD, LOUD, LOUD])
    context = msgspec.structs.replace(case.context(), kinds=["interactive", "token", "service"])
    (loud, *_) = case.decided().verdicts
    strict = (loud.score + 1.0) / 2
    known = msgspec.structs.replace(spec(), kind_thresholds={"token": strict})
    raw = {name: np.array(case.loudness) for name in DETECTORS}
    verdicts = Ensemble(known).decide(case.features, context, raw, Origin("v")).verdicts
    assert [verdict.threshold for verdict in verdicts] == [0.9975, strict, 0.9975]
    assert [verdict.is_anomaly for verdict in verdicts] == [True, False, True]
    marked = msgspec.structs.replace(context, marked=[1])
    _, token, _ = Ensemble(known).decide(case.features, marked, raw, Origin("v")).verdicts
    assert (token.is_anomaly, token.severity) == (True, "high")


def test_verdicts_carry_ids_version_variant_and_trace() -> None:
    origin = Origin("v7", variant="challenger", trace_ids=["t0", "t1"])
    first, second = Case([QUIET, LOUD]).decided(origin=origin).verdicts
    assert (first.event_id, first.user_id, first.trace_id) == ("e0", "u0", "t0")
    assert (second.event_id, second.user_id, second.trace_id) == ("e1", "u1", "t1")
    assert (second.model_version, second.variant) == ("v7", "challenger")


def test_a_missing_detector_degrades_and_the_other_decides() -> None:
    (whole,) = Case([LOUD]).decided().verdicts
    (verdict,) = Case([LOUD]).decided("two").verdicts
    assert (whole.degraded, verdict.degraded) == (False, True)
    assert verdict.is_anomaly
    assert list(verdict.detectors) == ["two"]


def test_a_detector_without_weight_need_not_be_asked() -> None:
    case = Case([LOUD])
    raw: dict[str, Values] = {"one": np.array(case.loudness)}
    heeding = msgspec.structs.replace(spec(), method="tail", weights={"two": 0.0})
    assert heeding.counted == {"one"}
    (verdict,) = Ensemble(heeding).decide(case.features, case.context(), raw, Origin("v")).verdicts
    assert not verdict.degraded
    assert msgspec.structs.replace(heeding, method="max").counted == {"one", "two"}
    none = msgspec.structs.replace(heeding, weights={"one": 0.0, "two": 0.0})
    assert none.counted == {"one", "two"}, "somebody has to decide"


def test_no_detector_no_verdict() -> None:
    case = Case([LOUD])
    with pytest.raises(ValueError, match="no detector answered"):
        Ensemble(spec()).decide(case.features, case.context(), {}, Origin("v"))


def test_no_events_no_verdicts() -> None:
    assert Case([]).decided() == Decided([], [], [0] * 10, {})


def test_flagged_events_are_not_learned() -> None:
    assert Case([QUIET, LOUD, QUIET]).decided().learn == ["e0", "e2"]


def test_late_and_repeated_events_are_never_learned() -> None:
    case = Case([QUIET] * 4, late=[1], duplicate=[2], learning=[1, 2])
    assert case.decided().learn == ["e0", "e3"]
    late, duplicate = case.decided().verdicts[1:3]
    assert (late.late, late.duplicate, late.learning) == (True, False, True)
    assert (duplicate.late, duplicate.duplicate) == (False, True)


def test_a_user_in_learning_mode_teaches_even_when_flagged_unless_plainly_an_attack() -> None:
    case = Case([LOUD, LOUD], learning=[0, 1], blatant=[1])
    decided = case.decided()
    assert [verdict.is_anomaly for verdict in decided.verdicts] == [True, True]
    assert [verdict.learning for verdict in decided.verdicts] == [True, True]
    assert decided.learn == ["e0"]


def test_a_plain_attack_that_is_not_flagged_is_learned_like_any_other() -> None:
    case = Case([QUIET, QUIET], learning=[1], blatant=[0, 1])
    assert case.decided().learn == ["e0", "e1"]


def test_reasons_come_from_the_evidence() -> None:
    case = Case([LOUD])
    case.features[0, NAMES.index("user_new")] = 9.0
    event = AuthEvent(timestamp=datetime(2026, 11, 22, tzinfo=UTC), user_id="u0", outcome="success")
    case.evidence[0] = Evidence(event, (0.0,) * len(FACTS), None, 0, 0.0, {}, (), 0.0)
    (reason,) = case.decided().verdicts[0].reasons
    assert (reason.code, reason.weight) == ("unknown_user", 1.0)


def test_without_evidence_only_the_combination_is_strange() -> None:
    (reason,) = Case([LOUD]).decided().verdicts[0].reasons
    assert (reason.code, reason.weight) == (COMBINATION, 1.0)


def test_verdicts_do_not_depend_on_the_neighbours() -> None:
    together = Case([QUIET, LOUD, 990.0]).decided().verdicts
    alone = [Case([raw]).decided().verdicts[0] for raw in (QUIET, LOUD, 990.0)]
    assert [verdict.score for verdict in together] == [verdict.score for verdict in alone]


def test_louder_is_never_less_severe() -> None:
    verdicts = Case(np.linspace(0.0, 5000.0, 200).tolist()).decided().verdicts
    scores = [verdict.score for verdict in verdicts]
    assert scores == sorted(scores)
    flags = [verdict.is_anomaly for verdict in verdicts]
    assert flags == sorted(flags)


def test_a_spec_survives_its_file_and_anything_else_is_refused() -> None:
    assert decode_spec(spec().encode()) == spec()
    with pytest.raises(msgspec.ValidationError):
        decode_spec(b'{"method": "median"}')


def test_a_spec_keeps_its_windows_and_one_without_has_the_defaults() -> None:
    chosen = msgspec.structs.replace(spec(), windows=Windows(failures="1h"))
    assert decode_spec(chosen.encode()) == chosen
    told = msgspec.json.decode(spec().encode())
    del told["windows"]
    assert decode_spec(msgspec.json.encode(told)) == spec()
