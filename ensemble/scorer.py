"""The whole pipeline in one process: the same functions that the serving graph calls."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ensemble.decision import Ensemble, EnsembleSpec, Origin, decode_spec
from ensemble.verdict import Verdict
from models.bundle import Bundle
from models.manifest import BundleError, Schema
from models.onnx_scorer import OnnxScorer
from preprocessing import trail
from preprocessing.embedded import EmbeddedHistory
from preprocessing.event import AuthEvent
from preprocessing.features import NAMES, SCHEMA, UnknownWindow, needed_facts
from preprocessing.history import HistoryError, UserHistory
from preprocessing.prepare import prepare

ENSEMBLE_FILE = "ensemble.json"
HISTORY_FILE = "history.msgpack"
BACKGROUND_FILE = "background.f32"

#: Verdicts remembered for repeated ids; the same number of ids is remembered by a history.
MOST_FIRST_VERDICTS = 1_000_000


def feature_schema() -> Schema:
    """The features this build computes, and the trails it keeps."""
    return Schema(f"{SCHEMA}, {trail.SCHEMA}", NAMES)


def load_bundle(path: Path) -> Bundle:
    """A verified bundle that this build can serve; raises ``models.bundle.BundleError``.

    Its features must be those computed here, from facts that the history keeps.
    """
    bundle = Bundle.load(path, schema=feature_schema())
    try:
        needed_facts(ensemble_of(bundle).windows)
    except UnknownWindow as error:
        raise BundleError(str(path), f"{error}; train a new bundle") from None
    return bundle


def ensemble_of(bundle: Bundle) -> EnsembleSpec:
    """The bundle's calibration tables and threshold; raises ``BundleError``."""
    try:
        return decode_spec(bundle.read(ENSEMBLE_FILE))
    except msgspec.DecodeError as error:
        raise BundleError(str(bundle.path), f"{ENSEMBLE_FILE}: {error}; train anew") from None


def history_of(bundle: Bundle) -> EmbeddedHistory:
    """An embedded history as of the bundle's last training event; training ids are not seen.

    Raises ``BundleError``.
    """
    history = EmbeddedHistory()
    try:
        history.restore(bundle.read(HISTORY_FILE))
    except HistoryError as error:
        raise BundleError(str(bundle.path), f"{HISTORY_FILE}: {error}") from None
    return history


class FirstVerdicts:
    """The first verdict of each of the last ``most`` event ids, about 150 bytes each."""

    def __init__(self, most: int = MOST_FIRST_VERDICTS) -> None:
        self._most = most
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, verdict: Verdict) -> None:
        """Remember a verdict unless its id has one already."""
        if verdict.event_id in self._kept:
            return
        self._kept[verdict.event_id] = _ENCODE(verdict)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def get(self, event_id: str) -> Verdict | None:
        """The first verdict of an id, or None if it is not, or no longer, known."""
        data = self._kept.get(event_id)
        return None if data is None else _DECODE(data)


_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(Verdict).decode


def as_duplicate(first: Verdict) -> Verdict:
    """The answer to a repeated id: its first verdict, marked."""
    return msgspec.structs.replace(first, duplicate=True)


class Scorer:
    """Scores batches in one process, learning as serving does: after each batch's verdicts.

    ``every`` asks those detectors as well that do not count, for whoever compares them.
    """

    def __init__(
        self, bundle: Bundle, history: UserHistory | None = None, *, every: bool = False
    ) -> None:
        self.ensemble = Ensemble(ensemble_of(bundle))
        self.history = history if history is not None else history_of(bundle)
        self.detectors: Mapping[str, OnnxScorer] = {
            name: bundle.scorer(name)
            for name in bundle.detectors
            if every or name in self.ensemble.spec.counted
        }
        self._version = bundle.manifest.version
        self._first = FirstVerdicts()

    def score(self, events: Sequence[AuthEvent], *, now_s: float) -> list[Verdict]:
        """One verdict per event, in order; ordinary ones are learned before this returns."""
        if not events:
            return []
        prepared = prepare(events, self.history, self.ensemble.spec.lens, now_s=now_s)
        raw = self.raw(prepared.views)
        origin = Origin(self._version)
        decided = self.ensemble.decide(prepared.features, prepared.context, raw, origin)
        self.history.learn(decided.learn)
        return [self._first_of(verdict) for verdict in decided.verdicts]

    def raw(self, views: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
        """Raw scores by detector, of what each sees of n events (``Prepared.views``)."""
        return {
            name: scorer.score(views[scorer.sees]).values for name, scorer in self.detectors.items()
        }

    def _first_of(self, verdict: Verdict) -> Verdict:
        first = self._first.get(verdict.event_id) if verdict.duplicate else None
        if first is not None:
            return as_duplicate(first)
        self._first.add(verdict)
        return verdict
