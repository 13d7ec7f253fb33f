"""What each stage costs an event, in one process and without anything around it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from ensemble.decision import Origin
from ensemble.scorer import Scorer, load_bundle
from preprocessing import COMPILED
from preprocessing.event import AuthEvent, decode_lines
from preprocessing.history import UserHistory
from preprocessing.prepare import Context, observe
from services.bench.traffic import load as load_traffic

T = TypeVar("T")

BATCH = 1000
#: Events before the measured ones, so that nobody is a newcomer any more.
WARM_UP = 160_000


class Staged(msgspec.Struct, frozen=True):
    """Processor time by stage, microseconds an event, at batches of :data:`BATCH`; ``evidence`` is
    the share of events that got any. ``wall_us`` is what the clock says of all stages: more where
    something is waited for."""

    events: int
    compiled: bool
    evidence: float
    us: dict[str, float]
    wall_us: float

    @property
    def total_us(self) -> float:
        """All stages."""
        return sum(self.us.values())


def run_stages(
    bundle: Path,
    events: Path,
    count: int,
    warm_up: int = WARM_UP,
    history: UserHistory | None = None,
) -> Staged:
    """Score ``count`` events of the bench's traffic, after others of the same people; the history
    is the bundle's unless one is given."""
    traffic = load_traffic(events, run="stages")
    stages = Stages(Scorer(load_bundle(bundle), history))
    for _ in range(0, warm_up, BATCH):
        stages.score(traffic.batch(BATCH))
    stages.clear()
    for _ in range(max(1, count // BATCH)):
        stages.score(traffic.batch(BATCH))
    return stages.found()


class Stages:
    """A scorer in pieces."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._encode = msgspec.json.Encoder().encode
        self.clear()

    def clear(self) -> None:
        """Forget what was measured."""
        self._s: defaultdict[str, float] = defaultdict(float)
        self._wall_s = 0.0
        self._events = self._evidence = 0

    def found(self) -> Staged:
        """What was measured since."""
        us = {stage: spent / self._events * 1e6 for stage, spent in self._s.items()}
        wall_us = self._wall_s / self._events * 1e6
        return Staged(self._events, COMPILED, self._evidence / self._events, us, wall_us)

    def score(self, body: bytes) -> None:
        """One batch; what travels between deployments is encoded and decoded as there."""
        now_s = time.time()
        history, ensemble = self._scorer.history, self._scorer.ensemble
        decoded = self._timed("decode", lambda: decode_lines(body, now_s=now_s))
        events = [each for each in decoded if isinstance(each, AuthEvent)]
        seen = self._timed("observe", lambda: observe(events, history, now_s=now_s))
        prepared = self._timed("features and evidence", lambda: seen.through(ensemble.spec.lens))
        sent = self._timed("encode context", prepared.context.encode)
        raw = {}
        for name, detector in self._scorer.detectors.items():
            view = prepared.views[detector.sees]
            raw[name] = self._timed(name, partial(detector.score, view)).values
        context = self._timed("decode context", lambda: Context.decode(sent))
        decided = self._timed(
            "decide", lambda: ensemble.decide(prepared.features, context, raw, Origin(""))
        )
        self._timed("encode verdicts", lambda: [self._encode(each) for each in decided.verdicts])
        self._timed("learn", lambda: history.learn(decided.learn))
        self._events += len(events)
        self._evidence += len(prepared.context.evidence)

    def _timed(self, stage: str, work: Callable[[], T]) -> T:
        started, before = time.perf_counter(), time.process_time()
        result = work()
        self._s[stage] += time.process_time() - before
        self._wall_s += time.perf_counter() - started
        return result
