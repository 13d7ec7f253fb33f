"""``Ensemble``: raw scores of several detectors and the context of n events in, verdicts out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from ensemble.calibration import Calibration
from ensemble.combine import HEEDING, Method, combine, surprise
from ensemble.reasons import COMBINATION, KNOWN_ATTACKER, REASONS, reasons
from ensemble.verdict import Reason, Verdict, decide
from preprocessing.event import AuthKind
from preprocessing.features import DEFAULT_WINDOWS, Windows
from preprocessing.prepare import Context, Lens
from preprocessing.surprise import Surprise

Values = NDArray[np.float64]

#: Decades of rarity that are told apart; what is rarer than one in 10^9 is the last.
MOST_DECADES = 10
#: Events of an attacker whom an analyst has found count as at least this many times rarer than the
#: threshold demands: of severity high.
KNOWN_TIMES = 15.0


class EnsembleSpec(msgspec.Struct, frozen=True):
    """What a model bundle holds of the ensemble (``ensemble.json``).

    ``detectors`` calibrates each detector's raw score, ``combined`` the combined surprise.
    ``budget`` is alerts per 1,000 active users per day; ``threshold`` follows from it, and so does
    the higher one in ``kind_thresholds`` of an ``auth_kind`` that would take more than its share.
    ``windows`` are those within which its features count.
    """

    method: Method
    weights: dict[str, float]
    detectors: dict[str, Calibration]
    combined: Calibration
    budget: float
    threshold: float
    surprise: Surprise
    windows: Windows = DEFAULT_WINDOWS
    kind_thresholds: dict[AuthKind, float] = {}

    def thresholds(self, context: Context) -> list[float]:
        """The threshold of each event."""
        if not self.kind_thresholds or not context.kinds:
            return [self.threshold] * len(context.event_ids)
        return [self.kind_thresholds.get(kind, self.threshold) for kind in context.kinds]

    @property
    def counted(self) -> frozenset[str]:
        """The detectors that a verdict depends on: those of some weight, where weights count. The
        others need not be asked."""
        if self.method not in HEEDING:
            return frozenset(self.detectors)
        heard = frozenset(name for name in self.detectors if self.weights.get(name, 1.0) > 0.0)
        return heard or frozenset(self.detectors)

    @property
    def lens(self) -> Lens:
        """How this version sees events."""
        return Lens(self.surprise, self.windows)

    def encode(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=1)


def decode_spec(data: bytes) -> EnsembleSpec:
    """The ensemble of a bundle; raises ``msgspec.ValidationError`` on anything else."""
    return msgspec.json.decode(data, type=EnsembleSpec)


@dataclass(frozen=True, slots=True)
class Origin:
    """Which version answers, under which variant, and for which traces (one id per event)."""

    version: str
    variant: str = "champion"
    trace_ids: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Decided:
    """Verdicts of n events in order, and the ids of those that may join the baseline.

    ``decades`` counts the events by their rarity: [0] up to one in ten, [1] up to one in a hundred,
    and so on, [9] all that is rarer. ``reasons`` counts the flagged ones by severity and first
    reason, as "high impossible_travel".
    """

    verdicts: list[Verdict]
    learn: list[str]
    decades: list[int]
    reasons: dict[str, int]


class Ensemble:
    """Calibrates, combines, decides and gives reasons. Pure and thread-safe."""

    def __init__(self, spec: EnsembleSpec) -> None:
        self.spec = spec
        self._counted = spec.counted

    def combined_surprise(self, raw: Mapping[str, Values]) -> Values:
        """Raw scores (n,) of at least one detector -> combined surprise, float64 (n,)."""
        return self._combine(self._exceedances(raw), list(raw))

    def decide(
        self,
        features: NDArray[np.float32],
        context: Context,
        raw: Mapping[str, Values],
        origin: Origin,
    ) -> Decided:
        """Verdicts from the detectors that answered; ``degraded`` if one that counts is missing.

        Raises ValueError when no detector answered: there is nothing to decide from.
        """
        if not raw:
            raise ValueError("no detector answered")
        names = list(raw)
        exceedances = self._exceedances(raw)
        exceedance = self.spec.combined.exceedance(self._combine(exceedances, names))
        if context.marked:
            most = (1.0 - np.array(self.spec.thresholds(context))[context.marked]) / KNOWN_TIMES
            exceedance[context.marked] = np.minimum(exceedance[context.marked], most)
        calibrated = (1.0 - exceedances).T.tolist()
        verdicts = self._verdicts(features, context, names, calibrated, exceedance, origin)
        return Decided(
            verdicts, _learnable(context, verdicts), _decades(exceedance), _counted(verdicts)
        )

    def _exceedances(self, raw: Mapping[str, Values]) -> Values:
        detectors = self.spec.detectors
        return np.stack([detectors[name].exceedance(values) for name, values in raw.items()])

    def _combine(self, exceedances: Values, names: list[str]) -> Values:
        spec = self.spec
        return combine(surprise(exceedances), names, method=spec.method, weights=spec.weights)

    def _verdicts(
        self,
        features: NDArray[np.float32],
        context: Context,
        names: list[str],
        calibrated: list[list[float]],
        exceedance: Values,
        origin: Origin,
    ) -> list[Verdict]:
        thresholds = self.spec.thresholds(context)
        degraded = not self._counted.issubset(names)
        late, learning = frozenset(context.late), frozenset(context.learning)
        duplicate = frozenset(context.duplicate)
        traces = origin.trace_ids or [""] * len(context.event_ids)
        verdicts = []
        for row, share in enumerate(exceedance.tolist()):
            flagged, severity = decide(share, thresholds[row])
            verdicts.append(
                Verdict(
                    event_id=context.event_ids[row],
                    user_id=context.user_ids[row],
                    score=1.0 - share,
                    is_anomaly=flagged,
                    threshold=thresholds[row],
                    severity=severity,
                    reasons=self._reasons(features[row], context, row) if flagged else (),
                    detectors=dict(zip(names, calibrated[row], strict=True)),
                    variant=origin.variant,
                    model_version=origin.version,
                    degraded=degraded,
                    learning=row in learning,
                    late=row in late,
                    duplicate=row in duplicate,
                    trace_id=traces[row],
                )
            )
        return verdicts

    def _reasons(
        self, values: NDArray[np.float32], context: Context, row: int
    ) -> tuple[Reason, ...]:
        evidence = context.evidence.get(row)
        if row in context.marked:
            attack = REASONS[KNOWN_ATTACKER].attack
            text = "an analyst found an attacker in this user's name who used the same"
            known = Reason(KNOWN_ATTACKER, text, "that attacker", "the user's own", attack, 1.0)
            return (known,)
        if evidence is not None:
            return reasons(values, evidence)
        # Every value is within its usual range: only the combination is strange.
        text = "every value is in its usual range; their combination is not"
        attack = REASONS[COMBINATION].attack
        return (Reason(COMBINATION, text, "the combination", "usual values alone", attack, 1.0),)


def _decades(exceedance: Values) -> list[int]:
    decades = np.clip(np.floor(-np.log10(exceedance)), 0, MOST_DECADES - 1).astype(np.intp)
    return [int(count) for count in np.bincount(decades, minlength=MOST_DECADES)]


def _counted(verdicts: Sequence[Verdict]) -> dict[str, int]:
    flagged = (each for each in verdicts if each.is_anomaly)
    return dict(Counter(f"{each.severity} {_first_code(each)}" for each in flagged))


def _first_code(verdict: Verdict) -> str:
    return verdict.reasons[0].code if verdict.reasons else COMBINATION


def _learnable(context: Context, verdicts: list[Verdict]) -> list[str]:
    """Ids that may join the baseline: what is not flagged, and for users still in learning mode
    whatever is not plainly an attack, or their baseline could never begin."""
    blatant = frozenset(context.blatant)
    return [
        verdict.event_id
        for row, verdict in enumerate(verdicts)
        if not (verdict.late or verdict.duplicate)
        and (not verdict.is_anomaly or (verdict.learning and row not in blatant))
    ]
