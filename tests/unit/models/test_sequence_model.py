"""The network behind the sequence model, against Keras and by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.base import InvalidParameter
from models.foretelling import LEAST_LIKELY, _network, _weights, train
from models.keras_loading import keras_on_tensorflow
from models.onnx_scorer import OnnxScorer
from models.sequence_model import SequenceModel
from models.steps import GIVEN, HEADS, KINDS, LEVELS, MOST_LEVELS, TOLD, Steps, in_pieces
from preprocessing.trail import FIELDS, LENGTH, WIDTH, Trails

NAMES = [field.name for field in FIELDS]


def trails(n: int = 40, seed: int = 0) -> Trails:
    rng = np.random.default_rng(seed)
    made = rng.integers(1, 3, (n, LENGTH, WIDTH)).astype(np.uint8)
    made[: n // 2, : LENGTH // 2] = 0
    return made


def test_surprise_is_that_of_the_keras_network() -> None:
    network = _network(LENGTH, 8, 3e-3, 0)
    steps = Steps.of(trails())
    outputs = np.asarray(network([steps.before, steps.given], training=False))
    softmax: Any = keras_on_tensorflow().ops.softmax
    expected = np.zeros(outputs.shape[:2])
    for head, levels in enumerate(LEVELS):
        at = head * MOST_LEVELS
        chance = np.asarray(softmax(outputs[..., at : at + levels]))
        stranger = np.arange(levels) >= steps.levels[..., head, None]
        expected -= np.log10(np.maximum((chance * stranger).sum(axis=-1), LEAST_LIKELY))
    there = steps.present > 0
    told = _weights(network).surprise(steps)
    np.testing.assert_allclose(told[there], expected[there], rtol=1e-3, atol=1e-4)
    assert not told[~there].any()


def test_a_step_does_not_know_the_steps_after_it() -> None:
    foretelling = train(
        Steps.of(trails()), units=4, learning_rate=1e-2, trimmed=0.0, epochs=1, seed=0
    )
    whole = trails(10, seed=1)
    changed = whole.copy()
    changed[:, 9:] = 2
    before = foretelling.surprise(Steps.of(whole))[:, :9]
    np.testing.assert_array_equal(foretelling.surprise(Steps.of(changed))[:, :9], before)


def test_steps_tell_what_is_new_in_the_trail() -> None:
    trail = np.ones((1, LENGTH, WIDTH), np.uint8)
    trail[0, :, NAMES.index("device_link")] = [*[5] * 10, 7, 7, 5, 0, 9, 9]
    new = Steps.of(trail).before[0, :, -3]
    assert np.flatnonzero(new).tolist() == [11, 15], "told a step later; the first is no news"


def test_a_chain_counts_what_came_from_where_the_event_did() -> None:
    trail = np.ones((1, LENGTH, WIDTH), np.uint8)
    trail[0, :, NAMES.index("network_link")] = [*[3] * 14, 4, 3]
    assert Steps.of(trail).linked[0].tolist() == [*[1.0] * 14, 0.0, 1.0]


def test_one_kind_of_event_is_one() -> None:
    steps = Steps.of(trails())
    kinds = steps.given[:, :, 1:]
    np.testing.assert_array_equal(kinds.sum(axis=2), steps.present)
    assert kinds.shape[2] == KINDS


def test_attacks_among_the_training_trails_teach_little() -> None:
    calm = np.ones((300, LENGTH, WIDTH), np.uint8)
    attacks = calm[:3].copy()
    attacks[:, -1, NAMES.index("resource")] = 8
    mixed = np.concatenate([calm, attacks])
    given: Any = {"units": 8, "max_epochs": 6, "learning_rate": 1e-2}
    trimmed = SequenceModel(**given, trimmed=0.02).fit(mixed).score(attacks)
    taught = SequenceModel(**given, trimmed=0.0).fit(mixed).score(attacks)
    assert trimmed.mean() > taught.mean()


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("units", 0),
        ("learning_rate", 0.0),
        ("chain", -0.1),
        ("fading", 1.1),
        ("trimmed", 1.0),
        ("max_epochs", 0),
        ("max_rows", 0),
    ],
)
def test_parameters_have_a_range(parameter: str, value: float) -> None:
    with pytest.raises(InvalidParameter, match=parameter):
        SequenceModel(**{parameter: value})  # type: ignore[arg-type]


def test_the_file_scores_as_the_detector_whatever_is_missing(tmp_path: Path) -> None:
    rows = np.random.default_rng(3).integers(1, 256, (64, LENGTH, WIDTH)).astype(np.uint8)
    rows[8:16, : LENGTH - 1] = 0
    rows[16:24, -1] = 0
    rows[24:32, 5] = 0
    rows[32:40, :, NAMES.index("session_link")] = 0
    rows[40:, :, [NAMES.index("device_link"), NAMES.index("network_link")]] = 7
    rows[:8] = 0
    model = SequenceModel(units=5, max_epochs=1).fit(trails())
    model.export(tmp_path / "model.onnx")
    scorer = OnnxScorer(tmp_path / "model.onnx", name="sequence_model", version="1")
    np.testing.assert_allclose(scorer.score(rows).values, model.score(rows), rtol=2e-5, atol=2e-5)
    assert not scorer.score(rows[:8]).values.any(), "no step counts"


def test_told_in_pieces_is_told() -> None:
    rows = trails() * np.uint8(3)
    kernel = np.random.default_rng(4).normal(size=(TOLD, 3)).astype(np.float32)
    levels = np.maximum(rows[:, :-1, [field.ordered for field in FIELDS]].astype(np.float32) - 1, 0)
    before = Steps.of(rows).before[:, 1:]
    given, new = before[..., :GIVEN], before[..., GIVEN + 2 * HEADS :]
    pieces = np.concatenate([given, levels, np.maximum(levels - 1, 0), new], axis=2)
    np.testing.assert_allclose(pieces @ in_pieces(kernel), before @ kernel, rtol=1e-4, atol=1e-5)
