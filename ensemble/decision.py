"""``Ensemble``: raw scores of several detectors and the context of n events in, verdicts out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import starmap

import msgspec
import numpy as np
from numpy.typing import NDArray

from ensemble.calibration import Calibration
from ensemble.combine import HEEDING, Method, combine, surprise
from ensemble.reasons import COMBINATION, KNOWN_ATTACKER, REASONS, reasons
from ensemble.verdict import RANKS, Reason, Verdict, decide
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
        verdicts = self._verdicts(features, context, names, exceedances, exceedance, origin)
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
        exceedances: Values,
        exceedance: Values,
        origin: Origin,
    ) -> list[Verdict]:
        """Column by column, and each verdict from its row of them: in the order of its fields."""
        rows = len(exceedance)
        thresholds = self.spec.thresholds(context)
        ranks = decide(exceedance, thresholds)
        told: list[tuple[Reason, ...]] = [()] * rows
        for row in np.flatnonzero(ranks).tolist():
            told[row] = self._reasons(features[row], context, row)
        columns = (
            context.event_ids,
            context.user_ids,
            (1.0 - exceedance).tolist(),
            (ranks > 0).tolist(),
            thresholds,
            [RANKS[rank] for rank in ranks.tolist()],
            told,
            [dict(zip(names, row, strict=True)) for row in (1.0 - exceedances).T.tolist()],
            [origin.variant] * rows,
            [origin.version] * rows,
            [not self._counted.issubset(names)] * rows,
            _marks(context.learning, rows),
            _marks(context.late, rows),
            _marks(context.duplicate, rows),
            origin.trace_ids or [""] * rows,
        )
        return list(starmap(Verdict, zip(*columns, strict=True)))

    def _reasons(
        self, values: NDArray[np.float32], context: Context, row: int
    ) -> tuple[Reason, ...]:
        evidence = context.shown(row)
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


def _marks(marked: Sequence[int], rows: int) -> list[bool]:
    """For each row whether it is listed."""
    marks = [False] * rows
    for row in marked:
        marks[row] = True
    return marks


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
    kept = {*context.late, *context.duplicate}
    learning, blatant = frozenset(context.learning), frozenset(context.blatant)
    for row, verdict in enumerate(verdicts):
        if verdict.is_anomaly and (row in blatant or row not in learning):
            kept.add(row)
    ids = context.event_ids
    return [event_id for row, event_id in enumerate(ids) if row not in kept] if kept else ids
