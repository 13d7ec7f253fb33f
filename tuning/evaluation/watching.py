"""What a version saw of the events it judged, for comparisons; the verdicts are the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.scorer import Scorer
from ensemble.verdict import Verdict
from models.bundle import Bundle
from preprocessing.event import AuthEvent


@dataclass(frozen=True, slots=True)
class Seen:
    """n judged events with their features, float32 (n, d), and trails, uint8 (n, LENGTH, WIDTH)."""

    events: list[AuthEvent]
    features: NDArray[np.float32]
    trails: NDArray[np.uint8]


class WatchedScorer(Scorer):
    """A scorer that keeps what its detectors see: about 600 bytes an event."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle, every=True)
        self._events: list[AuthEvent] = []
        self._views: list[Mapping[str, NDArray[Any]]] = []

    def score(self, events: Sequence[AuthEvent], *, now_s: float) -> list[Verdict]:
        self._events += events
        return super().score(events, now_s=now_s)

    def raw(self, views: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
        self._views.append({name: np.array(seen) for name, seen in views.items()})
        return super().raw(views)

    def seen(self, places: Sequence[int]) -> Seen:
        """Of the events at these places in the order in which they were scored."""
        chosen = np.array(places, np.intp)
        return Seen(
            [self._events[place] for place in places],
            np.concatenate([views["features"] for views in self._views])[chosen],
            np.concatenate([views["trails"] for views in self._views])[chosen],
        )
