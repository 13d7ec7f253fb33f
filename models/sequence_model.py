"""Sequence model: how unlikely an event is after its user's last ones, and they after theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from models.base import NoEvents, NotFitted, Range, Trails, View, checked_trails, require
from models.export import Graph, write_checked
from models.foretelling import Foretelling, train
from models.sample import training_sample
from models.steps import Steps
from preprocessing.trail import WIDTH

_COMMONPLACE = 0.9
"""Quantile of the surprise of ordinary steps: what an earlier step has beyond it goes into a
chain."""
_CHUNK = 2048


class SequenceModel:
    """Gated recurrent units that foretell each step of a trail from the steps before it.

    A trail is what a user's last events looked like on fixed scales (preprocessing/trail.py). The
    network says how likely each level of each field of a step is after what came before, given
    what was done and how long after. A step's surprise is the sum over fields of ``-log10 P(this
    level or a stranger one)``. What was done counts nothing itself, nor does it whether device,
    network and session were in the trail before: that is only told of the earlier steps.

    The score is the surprise of the event's own step, plus ``chain`` times what the steps before it
    had beyond the commonplace, fading by ``fading`` a step and counted only where they came from
    the same device and network: a chain of slightly strange steps is strange, and the user who
    works beside an intruder is not.

    Attacks among the training events would teach it attacks. The steps that fit worst, a share of
    ``trimmed``, are left out of every pass after the first (trimmed likelihood, Neykov 2007).

    When it fails: nothing but the last sixteen events of one user is seen, so an attack spread over
    many users, or over weeks, is a strange step here and there; what an intruder does exactly as
    the user would leaves no mark. Of a user's first events nothing is unlikely. It adds little to
    the other three: on `enterprise` (100,000 events, seeds 201 to 203, trained on the first half)
    average precision of the ensemble is 0.534, 0.633 and 0.584 with it, 0.522, 0.625 and 0.584
    without, ROC-AUC 0.944, 0.949 and 0.922 instead of 0.937, 0.944 and 0.914; on `seedlike`
    (30,000, seed 201) ROC-AUC is 0.961 and 0.959.

    Cost: fitting takes 10 to 30 s for 12,000 trails on one busy core beside the import of
    TensorFlow; ONNX Runtime scores 100,000 trails a second in tiles of 512 there.

    Parameters
    ----------
    units
        Of the recurrent and of the hidden layer, 1 or more.
    learning_rate
        Of Adam, above 0.
    chain
        Weight of the steps before the event, 0 or more.
    fading
        What is left of a step's surprise one step later, in [0, 1].
    trimmed
        Share of the training steps left out, in [0, 1).
    max_epochs
        Passes over the training trails, 1 or more.
    max_rows
        Training trails used, drawn by `seed` when there are more, 1 or more.
    seed
        Of the draw and of the initial weights, 0 or more.

    Example
    -------
    >>> trails = np.zeros((50, 16, 20), np.uint8)
    >>> trails[:, -4:] = 1
    >>> model = SequenceModel(max_epochs=2, seed=1).fit(trails)
    >>> strange = trails[:1].copy()
    >>> strange[0, -1, 3] = 7
    >>> bool(model.score(strange)[0] > model.score(trails[:1])[0])
    True

    References: K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", EMNLP
    2014 (the units); N. Neykov, P. Filzmoser, R. Dimova, P. Neytchev, "Robust fitting of mixtures
    using the trimmed likelihood estimator", Computational Statistics and Data Analysis 52, 2007.
    """

    name: ClassVar[str] = "sequence_model"
    sees: ClassVar[View] = "trails"
    search_space: ClassVar[Mapping[str, Range]] = {
        "units": Range(low=8, high=64, kind="int", log=True),
        "learning_rate": Range(low=1e-3, high=1e-2, log=True),
        "chain": Range(low=0.0, high=1.0),
        "fading": Range(low=0.5, high=1.0),
    }
    effort: ClassVar[str] = "max_epochs"
    tile: ClassVar[int] = 512

    def __init__(
        self,
        *,
        units: int = 32,
        learning_rate: float = 3e-3,
        chain: float = 0.3,
        fading: float = 0.95,
        trimmed: float = 0.02,
        max_epochs: int = 4,
        max_rows: int = 12_000,
        seed: int = 0,
    ) -> None:
        require(units >= 1, self.name, "units", units, "at least 1")
        require(0 < learning_rate < np.inf, self.name, "learning_rate", learning_rate, "above 0")
        require(0 <= chain < np.inf, self.name, "chain", chain, "0 or more")
        require(0 <= fading <= 1, self.name, "fading", fading, "between 0 and 1")
        require(0 <= trimmed < 1, self.name, "trimmed", trimmed, "at least 0 and below 1")
        require(max_epochs >= 1, self.name, "max_epochs", max_epochs, "at least 1")
        require(max_rows >= 1, self.name, "max_rows", max_rows, "at least 1")
        require(seed >= 0, self.name, "seed", seed, "0 or more")
        self.units = units
        self.learning_rate = learning_rate
        self.chain = chain
        self.fading = fading
        self.trimmed = trimmed
        self.max_epochs = max_epochs
        self.max_rows = max_rows
        self.seed = seed
        self._fitted: _Fitted | None = None

    def fit(self, x: Trails) -> Self:
        rows = checked_trails(x)
        if len(rows) == 0:
            raise NoEvents
        checked_trails(rows, (rows.shape[1], WIDTH))
        kept = np.random.default_rng(self.seed).permutation(len(rows))[: self.max_rows]
        foretelling = train(
            Steps.of(rows[kept]),
            units=self.units,
            learning_rate=self.learning_rate,
            trimmed=self.trimmed,
            epochs=self.max_epochs,
            seed=self.seed,
        )
        sample = training_sample(rows, self.seed)
        steps = Steps.of(sample)
        surprise = foretelling.surprise(steps)[:, -1]
        weights = self.chain * self.fading ** np.arange(rows.shape[1] - 1, -1, -1.0)
        weights[-1] = 0.0
        usual = float(np.quantile(surprise, _COMMONPLACE))
        self._fitted = _Fitted(foretelling, usual, weights.astype(np.float32), sample)
        return self

    def score(self, x: Trails) -> NDArray[np.float64]:
        return self._learnt().score(x)

    def export(self, path: Path) -> None:
        fitted = self._learnt()
        content = fitted.onnx(tile=self.tile)
        write_checked(path, content, detector=self.name, sample=fitted.sample, score=fitted.score)

    def _learnt(self) -> _Fitted:
        if self._fitted is None:
            raise NotFitted(self.name)
        return self._fitted


@dataclass(frozen=True, slots=True)
class _Fitted:
    foretelling: Foretelling
    usual: float
    """Surprise of a step beyond which it goes into a chain."""
    weights: NDArray[np.float32]
    """Of the steps in a chain (s,), 0 for the event itself."""
    sample: Trails

    def score(self, x: Trails) -> NDArray[np.float64]:
        rows = checked_trails(x, self.sample.shape[1:])
        parts = [self._scored(rows[at : at + _CHUNK]) for at in range(0, len(rows), _CHUNK)]
        return np.concatenate(parts) if parts else np.empty(0)

    def _scored(self, rows: Trails) -> NDArray[np.float64]:
        steps = Steps.of(rows)
        surprise = self.foretelling.surprise(steps)
        beyond = np.maximum(surprise - np.float32(self.usual), 0) * steps.present * steps.linked
        scores: NDArray[np.float64] = (surprise[:, -1] + beyond @ self.weights).astype(np.float64)
        return scores

    def onnx(self, *, tile: int) -> bytes:
        length = len(self.weights)
        graph = Graph(length, WIDTH, sees="trails")
        surprise = self.foretelling.add_to(graph, length)
        above = graph.add("Sub", surprise, graph.constant(max(self.usual, 0.0)))
        chain = graph.add("MatMul", graph.constant(self.weights[None]), graph.add("Relu", above))
        own = graph.add("Gather", surprise, graph.constant([length - 1], np.int64), axis=0)
        return graph.model(graph.add("Add", own, chain), tile=tile)
