"""The network that foretells steps: trained with Keras, then plain numpy and ONNX nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.export import Graph
from models.keras_loading import keras_on_tensorflow
from models.steps import GIVEN, HEADS, LEVELS, MOST_LEVELS, TOLD, Nodes, Numbers, Steps

LEAST_LIKELY = 1e-6
"""No field of a step is more surprising than this: six decades."""
_NEVER = np.float32(-1e9)
"""Logit of a level that a field does not have."""
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
        chance = np.exp(logits - logits.max(axis=3, keepdims=True))
        chance /= chance.sum(axis=3, keepdims=True)
        stranger = steps.levels[..., None] <= _NAMES_OF_LEVELS
        share = np.maximum((chance * stranger).sum(axis=3), np.float32(LEAST_LIKELY))
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

    def add_to(self, graph: Graph, length: int) -> tuple[str, Nodes]:
        """The nodes of ``surprise`` (n, s), and those of the steps."""
        steps = Nodes.of(graph, graph.sees, length)
        state = self._states_nodes(graph, steps.before)
        both = graph.add("Concat", state, steps.given, axis=2)
        hidden = graph.add("Relu", _dense(graph, both, self.mix, self.mix_bias))
        logits = _dense(graph, hidden, self.levels, self.levels_bias)
        share = _share_of_strangers(graph, logits, steps.levels, length)
        likely = _between(graph, share, LEAST_LIKELY, 1.0)
        both = graph.constant([2, 3], np.int64)
        tails = graph.add("ReduceSum", graph.add("Log", likely), both, keepdims=0)
        decades = graph.add("Div", tails, graph.constant(-_LN10))
        return graph.add("Mul", decades, steps.present), steps

    def _states_nodes(self, graph: Graph, before: str) -> str:
        units = len(self.recurrent)
        by_time = graph.add("Transpose", before, perm=[1, 0, 2])
        states = graph.add(
            "GRU",
            by_time,
            graph.constant(self.kernel.T[None]),
            graph.constant(self.recurrent.T[None]),
            graph.constant(self.bias.reshape(1, -1)),
            hidden_size=units,
            linear_before_reset=1,
        )
        flat = graph.add("Squeeze", states, graph.constant([1], np.int64))
        return graph.add("Transpose", flat, perm=[1, 0, 2])


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


def _sigmoid(x: Numbers) -> Numbers:
    return np.asarray((np.tanh(x / 2) + 1) / 2)


def _dense(graph: Graph, x: str, kernel: Numbers, bias: Numbers) -> str:
    return graph.add("Add", graph.add("MatMul", x, graph.constant(kernel)), graph.constant(bias))


def _share_of_strangers(graph: Graph, logits: str, levels: str, length: int) -> str:
    """How likely each level (n, s, HEADS) or a stranger one is, by the logits (n, s, HEADS *
    MOST_LEVELS) of all levels; as (n, s, HEADS, 1).

    A softmax of which only sums are wanted. Products with ones spread a number over the levels, or
    add them up, in a fraction of the time that broadcasting and reducing so short an axis takes.
    """
    apart = graph.constant([-1, length, HEADS, MOST_LEVELS], np.int64)
    one_by_one = graph.add("Reshape", logits, apart)
    top = graph.add("ReduceMax", one_by_one, axes=[3], keepdims=1)
    across = graph.add("MatMul", top, graph.constant(np.ones((1, MOST_LEVELS))))
    odds = graph.add("Exp", graph.add("Sub", one_by_one, across))
    # 1 for the levels at least as strange; of a level beyond the last one there is none.
    spread = graph.add("MatMul", levels, graph.constant(np.repeat(-np.eye(HEADS), MOST_LEVELS, 1)))
    names = graph.constant(np.tile(_NAMES_OF_LEVELS + 1, HEADS))
    stranger = _between(graph, graph.add("Add", spread, names), 0.0, 1.0)
    along = graph.constant(np.ones((MOST_LEVELS, 1)))
    chosen = graph.add("Mul", odds, graph.add("Reshape", stranger, apart))
    return graph.add("Div", graph.add("MatMul", chosen, along), graph.add("MatMul", odds, along))


def _between(graph: Graph, x: str, low: float, high: float) -> str:
    return graph.add("Clip", x, graph.constant(low), graph.constant(high))
