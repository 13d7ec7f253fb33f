"""What is particular to the network: it copies no attack, and leaves global random state alone."""

import random

import numpy as np
import pytest

from models.autoencoder import Autoencoder
from models.base import InvalidParameter


def test_global_random_state_is_untouched() -> None:
    x = np.random.default_rng(0).exponential(size=(60, 3)).astype(np.float32)
    random.seed(1)
    state = random.getstate()
    Autoencoder(max_epochs=1).fit(x)
    assert random.getstate() == state


def test_attacks_in_the_training_rows_are_not_learnt() -> None:
    x = np.random.default_rng(0).exponential(size=(1000, 4)).astype(np.float32)
    x[:20, 3] += 20
    scores = Autoencoder(max_epochs=5).fit(x).score(x)
    assert scores[:20].min() > np.quantile(scores[20:], 0.98)


@pytest.mark.parametrize(
    "wrong", [{"hidden": 0}, {"code": 17}, {"max_epochs": 0}, {"learning_rate": 0}, {"max_rows": 0}]
)
def test_parameters(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidParameter, match="autoencoder: "):
        Autoencoder(**wrong)
