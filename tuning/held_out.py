"""Best parameters against the default ones, on events that no search has seen.

Both are trained as ``ztad train`` trains, on all events before the held-out ones, written as
bundles, and those score the held-out events as serving does, learning on the way. What is then
caught is counted; how far that is chance is told by a bootstrap over users, since the events of
one user rise and fall together (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from ensemble.decision import Origin as Answering
from ensemble.scorer import Scorer, load_bundle
from models.bundle import Bundle
from preprocessing.event import AuthEvent
from preprocessing.features import measured
from preprocessing.prepare import Observed
from tuning import bundling
from tuning.data import Labels, fingerprint
from tuning.excursions import excursions
from tuning.objective import DAY_S, Slices, objective, truth
from tuning.train import Features, Mask, Step, Trained, TrainingSettings, train

#: Held-out events scored at a time; serving's micro-batches are about as large under load.
BATCH = 250
#: Resamples behind an interval, and what share of them lies within it.
RESAMPLES = 2000
SHARE = 0.95

Counts = NDArray[np.float64]
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one version did on the held-out events, intervals beside the figures.

    ``recall`` is the share caught at the alert budget, ``alerts_per_1000`` the false alerts per
    1,000 user-days, ``objective`` what the search maximised (tuning/objective.py).
    """

    recall: float
    recall_interval: Interval
    alerts_per_1000: float
    alerts_interval: Interval
    objective: float
    objective_interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Both versions, and how much more of the objective the tuned one reaches."""

    default: Figures
    tuned: Figures
    gain: float
    gain_interval: Interval
    recall_gain_interval: Interval

    @property
    def better(self) -> bool:
        return self.gain > 0.0

    @property
    def certain(self) -> bool:
        """Whether the interval of the gain leaves no room for chance."""
        return self.gain_interval[0] > 0.0 or self.gain_interval[1] < 0.0


class Candidate:
    """A version trained on everything before the held-out events, and how to write it."""

    def __init__(self, events: Sequence[AuthEvent], settings: TrainingSettings, step: Step) -> None:
        started = time.monotonic()
        self._trained: Trained = train(events, settings=settings, step=step)
        self._origin = bundling.Origin(
            events=events,
            settings=settings,
            fingerprint=fingerprint(events),
            training_s=time.monotonic() - started,
        )

    def write(self, path: Path, version: str) -> Bundle:
        return bundling.write(self._trained, path, version=version, origin=self._origin)


def compare(
    default: Candidate,
    tuned: Candidate,
    parts: Slices,
    labels: Labels | None,
    *,
    budget: float,
    seed: int,
) -> Comparison:
    """Score the held-out events with both; raises :class:`tuning.objective.TuningError`."""
    judged, anomalous = truth(parts.held_out, labels, "held-out")
    with TemporaryDirectory(prefix="ztad-tune-") as folder:
        seen = [
            _Seen.by(candidate.write(Path(folder) / name, name), parts.held_out)
            for name, candidate in (("default", default), ("tuned", tuned))
        ]
    if labels is None:
        made = excursions(seen[0].features, seen[0].scorer.ensemble.spec.surprise, seed=seed)
        counts = [_unlabelled(one, parts.held_out, made) for one in seen]
    else:
        counts = [_labelled(one, parts.held_out, judged, anomalous) for one in seen]
    return compared(counts[0], counts[1], budget=budget, seed=seed)


def compared(default: Counts, tuned: Counts, *, budget: float, seed: int) -> Comparison:
    """From counts (n_clusters, 4) of each: caught, to be caught, false alerts, user-days."""
    allowed = max(budget, float(_alerts(default.sum(axis=0))))
    drawn = _resampled(np.stack([default, tuned]), seed)
    before, after = (_objective(part, allowed) for part in drawn)
    whole = [_objective(counts.sum(axis=0), allowed) for counts in (default, tuned)]
    return Comparison(
        default=_figures(default, drawn[0], allowed),
        tuned=_figures(tuned, drawn[1], allowed),
        gain=float(whole[1] - whole[0]),
        gain_interval=_interval(after - before),
        recall_gain_interval=_interval(_recall(drawn[1]) - _recall(drawn[0])),
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """Held-out events as one version saw them: features (n, d), alerts (n,), first of their id."""

    scorer: Scorer
    features: Features
    flagged: Mask
    first: Mask

    @classmethod
    def by(cls, bundle: Bundle, events: Sequence[AuthEvent]) -> _Seen:
        scorer = Scorer(load_bundle(bundle.path))
        spec, history = scorer.ensemble.spec, scorer.history
        features, flagged, first = [], [], []
        for start in range(0, len(events), BATCH):
            batch = events[start : start + BATCH]
            facts = history.observe(batch, now_s=batch[-1].timestamp.timestamp())
            prepared = Observed(batch, facts, history).through(spec.lens)
            decided = scorer.ensemble.decide(
                prepared.features,
                prepared.context,
                scorer.raw(prepared.features),
                Answering(bundle.version),
            )
            history.learn(decided.learn)
            features.append(measured(facts.values, spec.windows))
            flagged += [verdict.is_anomaly for verdict in decided.verdicts]
            first.append(~facts.duplicate)
        return cls(
            scorer, np.concatenate(features), np.array(flagged, np.bool_), np.concatenate(first)
        )

    def alerted(self, features: Features) -> Mask:
        """Which rows of features (n, d) would be alerted."""
        ensemble = self.scorer.ensemble
        raw = self.scorer.raw(ensemble.spec.surprise(features))
        exceedance = ensemble.spec.combined.exceedance(ensemble.combined_surprise(raw))
        return np.asarray(exceedance < 1.0 - ensemble.spec.threshold)


def _labelled(seen: _Seen, events: Sequence[AuthEvent], judged: Mask, anomalous: Mask) -> Counts:
    """Counts by user."""
    judged = judged & seen.first
    users = sorted({event.user_id for event in events})
    at = {user: row for row, user in enumerate(users)}
    counts = np.zeros((len(users), 4))
    days: set[tuple[str, float]] = set()
    for row, event in enumerate(events):
        if not judged[row]:
            continue
        mine = counts[at[event.user_id]]
        mine[0] += seen.flagged[row] and anomalous[row]
        mine[1] += anomalous[row]
        mine[2] += seen.flagged[row] and not anomalous[row]
        days.add((event.user_id, event.timestamp.timestamp() // DAY_S))
    for user, _ in days:
        counts[at[user], 3] += 1
    return counts


def _unlabelled(seen: _Seen, events: Sequence[AuthEvent], made: Features) -> Counts:
    """Counts by user, in which every alert is false, and one row for each excursion."""
    nothing = np.zeros(len(events), np.bool_)
    users = _labelled(seen, events, ~nothing, nothing)
    caught = seen.alerted(made).astype(np.float64)
    rows = np.stack([caught, np.ones(len(made)), np.zeros(len(made)), np.zeros(len(made))], axis=1)
    return np.concatenate([users, rows])


def _resampled(counts: Counts, seed: int) -> Counts:
    """Sums (2, RESAMPLES, 4) of clusters drawn with replacement, the same ones for both."""
    rng = np.random.default_rng(seed)
    clusters = counts.shape[1]
    sums = np.empty((2, RESAMPLES, 4))
    for row in range(RESAMPLES):
        times = np.bincount(rng.integers(clusters, size=clusters), minlength=clusters)
        sums[:, row] = np.einsum("c,kcj->kj", times.astype(np.float64), counts)
    return sums


def _figures(counts: Counts, drawn: Counts, allowed: float) -> Figures:
    whole = counts.sum(axis=0)
    return Figures(
        recall=float(_recall(whole)),
        recall_interval=_interval(_recall(drawn)),
        alerts_per_1000=float(_alerts(whole)),
        alerts_interval=_interval(_alerts(drawn)),
        objective=float(_objective(whole, allowed)),
        objective_interval=_interval(_objective(drawn, allowed)),
    )


def _recall(sums: Counts) -> Counts:
    return np.asarray(sums[..., 0] / np.maximum(1.0, sums[..., 1]))


def _alerts(sums: Counts) -> Counts:
    return np.asarray(1000.0 * sums[..., 2] / np.maximum(1.0, sums[..., 3]))


def _objective(sums: Counts, allowed: float) -> Counts:
    return objective(_recall(sums), _alerts(sums), allowed)


def _interval(values: Counts) -> Interval:
    low, high = np.quantile(values, [(1.0 - SHARE) / 2.0, (1.0 + SHARE) / 2.0])
    return float(low), float(high)
