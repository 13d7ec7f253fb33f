"""Best parameters against the default ones, on events that no search has seen.

Both are trained as ``ztad train`` trains, on all events before the held-out ones, written as
bundles, and those score the held-out events as serving does, learning on the way. What is then
caught is counted by user; intervals come from drawing the users again (tuning/counting.py).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ensemble.decision import Origin as Answering
from ensemble.scorer import Scorer, load_bundle
from models.bundle import Bundle
from preprocessing.event import AuthEvent
from preprocessing.features import measured
from preprocessing.prepare import Observed
from preprocessing.trail import Trails
from tuning import bundling
from tuning.counting import Counts, Users, Values, alerts, objective, recall, resampled, with_made
from tuning.data import Labels, fingerprint
from tuning.excursions import excursions, shown
from tuning.objective import Slices, truth
from tuning.train import Features, Mask, Step, Trained, TrainingSettings, train

#: Held-out events scored at a time; serving's micro-batches are about as large under load.
BATCH = 250
#: Resamples behind an interval, and what share of them lies within it.
RESAMPLES = 2000
SHARE = 0.95

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one version did on the held-out events, intervals beside the figures.

    ``recall`` is the share caught at the alert budget, ``alerts_per_1000`` the false alerts per
    1,000 user-days, ``objective`` what the search maximised, a mean over resamples.
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
    recall_gain: float
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
        surprise = seen[0].scorer.ensemble.spec.surprise
        made, drawn = excursions(seen[0].features, surprise, seed=seed)
        trails = shown(seen[0].trails[drawn], made)
        counts = [
            with_made(_alerts_all_false(one, parts.held_out), one.alerted(made, trails))
            for one in seen
        ]
    else:
        counts = [_labelled(one, parts.held_out, judged, anomalous) for one in seen]
    return compared(counts[0], counts[1], budget=budget, seed=seed)


def compared(default: Counts, tuned: Counts, *, budget: float, seed: int) -> Comparison:
    """From counts (n_clusters, 4) of each: caught, to be caught, false alerts, user-days."""
    allowed = max(budget, float(alerts(default.sum(axis=0))))
    drawn = resampled(np.stack([default, tuned]), RESAMPLES, seed=seed)
    before, after = objective(drawn, allowed)
    return Comparison(
        default=_figures(default, drawn[0], allowed),
        tuned=_figures(tuned, drawn[1], allowed),
        gain=float((after - before).mean()),
        gain_interval=_interval(after - before),
        recall_gain=float(recall(tuned.sum(axis=0)) - recall(default.sum(axis=0))),
        recall_gain_interval=_interval(recall(drawn[1]) - recall(drawn[0])),
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """Held-out events as one version saw them: features (n, d), trails (n, LENGTH, WIDTH), alerts
    (n,), first of their id."""

    scorer: Scorer
    features: Features
    trails: Trails
    flagged: Mask
    first: Mask

    @classmethod
    def by(cls, bundle: Bundle, events: Sequence[AuthEvent]) -> _Seen:
        scorer = Scorer(load_bundle(bundle.path))
        spec, history = scorer.ensemble.spec, scorer.history
        features, trails, flagged, first = [], [], [], []
        for start in range(0, len(events), BATCH):
            batch = events[start : start + BATCH]
            facts = history.observe(batch, now_s=batch[-1].timestamp.timestamp())
            prepared = Observed(batch, facts, history).through(spec.lens)
            decided = scorer.ensemble.decide(
                prepared.features,
                prepared.context,
                scorer.raw(prepared.views),
                Answering(bundle.version),
            )
            history.learn(decided.learn)
            features.append(measured(facts.values, spec.windows))
            trails.append(facts.trails)
            flagged += [verdict.is_anomaly for verdict in decided.verdicts]
            first.append(~facts.duplicate)
        return cls(
            scorer,
            np.concatenate(features),
            np.concatenate(trails),
            np.array(flagged, np.bool_),
            np.concatenate(first),
        )

    def alerted(self, features: Features, trails: Trails) -> Mask:
        """Which rows of features (n, d) and trails (n, LENGTH, WIDTH) would be alerted."""
        ensemble = self.scorer.ensemble
        raw = self.scorer.raw({"features": ensemble.spec.surprise(features), "trails": trails})
        exceedance = ensemble.spec.combined.exceedance(ensemble.combined_surprise(raw))
        return np.asarray(exceedance < 1.0 - ensemble.spec.threshold)


def _labelled(seen: _Seen, events: Sequence[AuthEvent], judged: Mask, anomalous: Mask) -> Counts:
    judged = judged & seen.first
    return Users.of_events(events, judged).counts(seen.flagged, judged, anomalous)


def _alerts_all_false(seen: _Seen, events: Sequence[AuthEvent]) -> Counts:
    """Where nobody labelled: every alert on a real event is false."""
    nothing = np.zeros(len(events), np.bool_)
    return _labelled(seen, events, ~nothing, nothing)


def _figures(counts: Counts, drawn: Counts, allowed: float) -> Figures:
    whole = counts.sum(axis=0)
    return Figures(
        recall=float(recall(whole)),
        recall_interval=_interval(recall(drawn)),
        alerts_per_1000=float(alerts(whole)),
        alerts_interval=_interval(alerts(drawn)),
        objective=float(objective(drawn, allowed).mean()),
        objective_interval=_interval(objective(drawn, allowed)),
    )


def _interval(values: Values) -> Interval:
    low, high = np.quantile(values, [(1.0 - SHARE) / 2.0, (1.0 + SHARE) / 2.0])
    return float(low), float(high)
