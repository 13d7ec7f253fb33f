"""The network that foretells steps: trained with Keras, then plain numpy and ONNX nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.export import Graph
from models.keras_loading import keras_on_tensorflow
from models.steps import (
    GIVEN,
    HEADS,
    LEVELS,
    MOST_LEVELS,
    TOLD,
    Nodes,
    Numbers,
    Steps,
    in_pieces,
    strangers,
)

LEAST_LIKELY = 1e-6
"""No field of a step is more surprising than this: six decades."""
_NEVER = np.float32(-1e9)
"""Logit of a level that a field does not have."""
_MOST_LOGIT = np.float32(80.0)
"""Odds of 10^34 to one and no more: their sums are float32 without the largest taken off first."""
_BATCH = 128
_LEAST_STEPS = 20
_CHUNK = 2048
_LN10 = float(np.log(10.0))


@dataclass(frozen=True, slots=True)
class Foretelling:
    """Weights of the network, float32, as Keras orders them.

    ``units`` are the recurrent kernel's, u: ``kernel`` (TOLD, 3 u), ``recurrent`` (u, 3 u),
    ``bias`` (2, 3 u), gates in the order update, reset, candidate. ``mix`` (u + GIVEN, u) leads to
    ``levels`` (u, HEADS * MOST_LEVELS), each with its bias.
    """

    kernel: Numbers
    recurrent: Numbers
    bias: Numbers
    mix: Numbers
    mix_bias: Numbers
    levels: Numbers
    levels_bias: Numbers

    def surprise(self, steps: Steps) -> Numbers:
        """Of every step in decades, (n, s); 0 where there was no event yet."""
        state = self._states(steps.before)
        hidden = np.concatenate([state, steps.given], axis=2) @ self.mix + self.mix_bias
        logits = np.maximum(hidden, 0) @ self.levels + self.levels_bias
        logits = logits.reshape(*logits.shape[:2], HEADS, MOST_LEVELS)
        odds = np.exp(np.clip(logits, -_MOST_LOGIT, _MOST_LOGIT)) * _THERE
        stranger = steps.levels[..., None] <= _NAMES_OF_LEVELS
        chance = (odds * stranger).sum(axis=3) / odds.sum(axis=3)
        share = np.maximum(chance, np.float32(LEAST_LIKELY))
        decades: Numbers = np.log(share).sum(axis=2) / np.float32(-_LN10) * steps.present
        return decades

    def _states(self, before: Numbers) -> Numbers:
        """The units' state when each step begins, (n, s, u)."""
        units = len(self.recurrent)
        inputs = before @ self.kernel + self.bias[0]
        state = np.zeros((len(before), units), np.float32)
        states = np.empty((*before.shape[:2], units), np.float32)
        for at in range(before.shape[1]):
            x, h = inputs[:, at], state @ self.recurrent + self.bias[1]
            update, reset = np.split(_sigmoid(x[:, : 2 * units] + h[:, : 2 * units]), 2, axis=1)
            candidate = np.tanh(x[:, 2 * units :] + reset * h[:, 2 * units :])
            state = states[:, at] = update * state + (1 - update) * candidate
        return states

    def add_to(self, graph: Graph, length: int) -> str:
        """The nodes of ``surprise``, (s, n): of the steps that count for the last one, else 0."""
        steps = Nodes.of(graph, graph.sees, length)
        states = self._states_nodes(graph, steps.told, length)
        flat = graph.constant([-1], np.int64)
        counts = graph.add("Reshape", steps.counts, flat)
        rows = graph.add("Reshape", graph.add("NonZero", counts), flat)
        state, told, bytes_ = (
            graph.add("Gather", of, rows, axis=0) for of in (states, steps.told, steps.bytes_)
        )
        decades = graph.add("Reshape", self._decades(graph, state, told, bytes_), flat)
        nothing = graph.add("Mul", counts, graph.constant(0.0))
        spread = graph.add("ScatterElements", nothing, rows, decades, axis=0)
        return graph.add("Reshape", spread, graph.constant([length, -1], np.int64))

    def _states_nodes(self, graph: Graph, told: str, length: int) -> str:
        """The units' state when each step begins, (s n, u), step by step: the products of matrices
        and the functions of a whole tile are faster each than the GRU operator is as one."""
        units = len(self.recurrent)
        both = 2 * units
        kernel = in_pieces(self.kernel)
        bias = self.bias[0] + np.where(np.arange(3 * units) < both, self.bias[1], 0)
        gates, candidates = (
            graph.split(_dense(graph, told, kernel[:, of], bias[of]), length, axis=0)
            for of in (slice(both), slice(both, None))
        )
        recurrent = graph.constant(self.recurrent[:, :both])
        # Before the first step there is nothing, so its state is the same for all.
        nothing = graph.add("Mul", candidates[-1], graph.constant(0.0))
        state = graph.add("Add", nothing, graph.constant(self._first()))
        states = [state]
        for gate, candidate in zip(gates[:-1], candidates[:-1], strict=True):
            opened = graph.add("Sigmoid", graph.add("Gemm", state, recurrent, gate))
            update, reset = graph.split(opened, 2, axis=1)
            own = _dense(graph, state, self.recurrent[:, both:], self.bias[1, both:])
            kept = graph.add("Mul", reset, own)
            fresh = graph.add("Tanh", graph.add("Add", candidate, kept))
            moved = graph.add("Mul", update, graph.add("Sub", state, fresh))
            state = graph.add("Add", fresh, moved)
            states.append(state)
        return graph.add("Concat", *states, axis=0)

    def _first(self) -> Numbers:
        state: Numbers = self._states(np.zeros((1, 1, TOLD), np.float32))[0, 0]
        return state

    def _decades(self, graph: Graph, state: str, told: str, bytes_: str) -> str:
        """Surprise (m, 1) of m steps, from the units' state, what tells them, and their bytes."""
        unused = np.zeros((TOLD - GIVEN, len(self.recurrent)), np.float32)
        both = graph.add("Concat", state, told, axis=1)
        mixed = _dense(graph, both, np.concatenate([self.mix, unused]), self.mix_bias)
        logits = _dense(graph, graph.add("Relu", mixed), self.levels, self.levels_bias)
        odds = graph.add("Exp", _between(graph, logits, float(-_MOST_LOGIT), float(_MOST_LOGIT)))
        # A product with ones, of the levels that there are, adds a field's up.
        fields = np.eye(HEADS)[:, None] * _THERE[:, :, None]
        along = graph.constant(fields.reshape(-1, HEADS))
        chosen = graph.add("MatMul", graph.add("Mul", odds, strangers(graph, bytes_)), along)
        share = graph.add("Div", chosen, graph.add("MatMul", odds, along))
        logs = graph.add("Log", _between(graph, share, LEAST_LIKELY, 1.0))
        return graph.add("MatMul", logs, graph.constant(np.full((HEADS, 1), -1 / _LN10)))


def train(
    steps: Steps, *, units: int, learning_rate: float, trimmed: float, epochs: int, seed: int
) -> Foretelling:
    """Fit the network to steps; after each pass the share ``trimmed`` that fits worst is left out
    of the next."""
    length = steps.before.shape[1]
    network = _network(length, units, learning_rate, seed)
    counted = steps.present
    for _ in range(epochs):
        network.fit(
            [steps.before, steps.given],
            steps.levels,
            sample_weight=counted,
            batch_size=int(np.clip(len(steps.levels) // _LEAST_STEPS, 1, _BATCH)),
            epochs=1,
            shuffle=False,
            verbose=0,
        )
        counted = _counted(network, steps, trimmed)
    return _weights(network)


def _network(length: int, units: int, learning_rate: float, seed: int) -> Any:
    keras = keras_on_tensorflow()

    def start(number: int) -> Any:
        return keras.initializers.GlorotUniform(seed=seed * 10 + number)

    before, given = keras.Input((length, TOLD)), keras.Input((length, GIVEN))
    state = keras.layers.GRU(
        units,
        return_sequences=True,
        kernel_initializer=start(1),
        recurrent_initializer=keras.initializers.Orthogonal(seed=seed * 10 + 2),
        name="units",
    )(before)
    both = keras.layers.Concatenate()([state, given])
    hidden = keras.layers.Dense(units, "relu", kernel_initializer=start(3), name="mix")(both)
    levels = keras.layers.Dense(HEADS * MOST_LEVELS, kernel_initializer=start(4), name="levels")(
        hidden
    )
    network = keras.Model([before, given], levels)
    network.compile(keras.optimizers.Adam(learning_rate), loss=_loss, jit_compile=False)
    return network


def _loss(truth: Any, foretold: Any) -> Any:
    """Cross-entropy of all fields of a step, (n, s)."""
    ops = keras_on_tensorflow().ops
    shape = (*ops.shape(foretold)[:2], HEADS, MOST_LEVELS)
    logits = ops.reshape(foretold, shape) + _MISSING
    levels = ops.cast(truth, "int32")
    return ops.sum(ops.sparse_categorical_crossentropy(levels, logits, from_logits=True), -1)


def _counted(network: Any, steps: Steps, trimmed: float) -> Numbers:
    """1 for the steps that are there, (n, s), but for those that fit worst."""
    losses = np.concatenate(
        [
            np.asarray(_loss(steps.levels[rows], network([steps.before[rows], steps.given[rows]])))
            for rows in (slice(at, at + _CHUNK) for at in range(0, len(steps.levels), _CHUNK))
        ]
    )
    there = steps.present > 0
    kept: NDArray[np.bool_] = there & (losses <= np.quantile(losses[there], 1.0 - trimmed))
    return kept.astype(np.float32)


def _weights(network: Any) -> Foretelling:
    layers = (network.get_layer(name) for name in ("units", "mix", "levels"))
    kernel, recurrent, bias, mix, mix_bias, levels, levels_bias = (
        np.asarray(weight, np.float32) for layer in layers for weight in layer.get_weights()
    )
    missing = _MISSING.ravel() < 0
    return Foretelling(
        kernel, recurrent, bias, mix, mix_bias,
        np.where(missing, np.float32(0), levels), np.where(missing, _NEVER, levels_bias),
    )  # fmt: skip


_NAMES_OF_LEVELS = np.arange(MOST_LEVELS, dtype=np.float32)
_MISSING: Numbers = np.where(
    np.array(LEVELS)[:, None] > _NAMES_OF_LEVELS, np.float32(0), _NEVER
).astype(np.float32)
_THERE: Numbers = (_MISSING == 0).astype(np.float32)


def _sigmoid(x: Numbers) -> Numbers:
    return np.asarray((np.tanh(x / 2) + 1) / 2)


def _dense(graph: Graph, x: str, kernel: Numbers, bias: Numbers) -> str:
    return graph.add("Gemm", x, graph.constant(kernel), graph.constant(bias))


def _between(graph: Graph, x: str, low: float, high: float) -> str:
    return graph.add("Clip", x, graph.constant(low), graph.constant(high))
