from dataclasses import replace
from typing import ClassVar

import pytest

from models import DETECTORS, resolve
from models.base import Range
from preprocessing.features import Windows
from tuning.space import chosen, default_choice, space
from tuning.train import TrainingSettings

TWO = TrainingSettings(detectors=("isolation_forest", "one_class_svm"))


def test_every_parameter_that_a_detector_declares_can_be_chosen() -> None:
    ranges = space(TrainingSettings())
    for name in DETECTORS:
        for parameter, where in resolve(name).search_space.items():
            assert ranges[f"{name}.{parameter}"] == where
        assert ranges[f"ensemble.weight.{name}"].contains(0)
    assert ranges["windows.failures"] == Range(choices=("15m", "1h", "1d"))
    assert ranges["ensemble.method"].contains("vote")


def test_a_new_detector_is_picked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Newcomer:
        search_space: ClassVar = {"depth": Range(low=1, high=9, kind="int")}
        effort = "rounds"

        def __init__(self, *, depth: int = 3, rounds: int = 30, seed: int = 0) -> None: ...

    monkeypatch.setattr("tuning.space.resolve", {"newcomer": Newcomer}.__getitem__)
    settings = TrainingSettings(detectors=("newcomer",))
    ranges = space(settings)
    assert ranges["newcomer.depth"] == Range(low=1, high=9, kind="int")
    assert default_choice(settings, ranges)["newcomer.depth"] == 3
    shortened = chosen({"newcomer.depth": 5}, settings, effort=0.1)
    assert shortened.parameters == {"newcomer": {"depth": 5, "rounds": 3}}


def test_one_detector_alone_has_no_weight() -> None:
    ranges = space(TrainingSettings(detectors=("one_class_svm",)))
    assert not [key for key in ranges if "weight" in key]


def test_windows_can_be_left_alone() -> None:
    assert not [key for key in space(TWO, windows=False) if key.startswith("windows.")]


@pytest.mark.parametrize(
    "settings",
    [
        TWO,
        replace(TWO, windows=Windows(failures="1h"), method="max"),
        replace(TWO, parameters={"one_class_svm": {"nu": 0.2}}, weights={"one_class_svm": 0.5}),
    ],
    ids=["defaults", "others", "parameters"],
)
def test_the_default_choice_stands_for_the_settings_themselves(settings: TrainingSettings) -> None:
    choice = default_choice(settings, space(settings))
    made = chosen(choice, settings)
    assert (made.method, made.windows, made.detectors) == (
        settings.method, settings.windows, settings.detectors,
    )  # fmt: skip
    for name in settings.detectors:
        assert made.weights[name] == settings.weights.get(name, 1.0)
        assert made.parameters[name].items() >= settings.parameters.get(name, {}).items()
        ranges = resolve(name).search_space
        assert all(where.contains(made.parameters[name][key]) for key, where in ranges.items())


def test_a_detector_without_weight_is_left_out() -> None:
    weights = {"ensemble.weight.isolation_forest": 0, "ensemble.weight.one_class_svm": 2}
    made = chosen(weights, TWO)
    assert made.detectors == ("one_class_svm",)
    assert made.weights == {"one_class_svm": 0.5}


def test_where_nothing_counts_everything_does() -> None:
    made = chosen(dict.fromkeys(("ensemble.weight.isolation_forest",
                                 "ensemble.weight.one_class_svm"), 0), TWO)  # fmt: skip
    assert made.detectors == TWO.detectors
    assert made.weights == {}


@pytest.mark.parametrize(("effort", "trees", "rows"), [(1.0, 300, 3000), (0.5, 150, 1500)])
def test_effort_is_a_part_of_what_makes_fitting_dear(effort: float, trees: int, rows: int) -> None:
    made = chosen({"isolation_forest.n_trees": 300}, TWO, effort=effort)
    parameters = made.parameters
    assert parameters["isolation_forest"]["n_trees"] == trees
    assert parameters["one_class_svm"].get("max_rows", 3000) == rows


def test_no_effort_is_nothing_at_all() -> None:
    assert chosen({"isolation_forest.n_trees": 50}, TWO, effort=0.001).parameters[
        "isolation_forest"
    ] == {"n_trees": 1}
