"""What a search may choose, and the training that a choice stands for. Knows no Ray.

A choice is a flat mapping, ``{"one_class_svm.nu": 0.1, "windows.failures": "1h", ...}``: the
parameters that every detector declares in its ``search_space``, the windows of features, how the
detectors are combined, and how much each of them counts; one that counts nothing is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from inspect import signature
from typing import Any

from ensemble.combine import METHODS, Method
from models import resolve
from models.base import Range
from preprocessing.features import Windows, kept_windows
from tuning.train import TrainingSettings

Choice = Mapping[str, Any]

#: Steps of a detector's weight: 0 leaves it out, which a search should be able to try often.
WEIGHTS = 4
METHOD = "ensemble.method"
WEIGHT = "ensemble.weight."
WINDOW = "windows."


def space(settings: TrainingSettings, *, windows: bool = True) -> dict[str, Range]:
    """Everything there is to choose for these detectors, with or without feature windows."""
    ranges: dict[str, Range] = {}
    for name in settings.detectors:
        for parameter, where in resolve(name).search_space.items():
            ranges[f"{name}.{parameter}"] = where
    if windows:
        for window in Windows.__struct_fields__:
            ranges[WINDOW + window] = Range(choices=kept_windows(window))
    ranges[METHOD] = Range(choices=METHODS)
    if len(settings.detectors) > 1:
        for name in settings.detectors:
            ranges[WEIGHT + name] = Range(low=0, high=WEIGHTS, kind="int")
    return ranges


def default_choice(settings: TrainingSettings, ranges: Mapping[str, Range]) -> dict[str, Any]:
    """The choice that stands for these settings as they are."""
    choice: dict[str, Any] = {}
    for key in ranges:
        if key == METHOD:
            choice[key] = settings.method
        elif key.startswith(WEIGHT):
            choice[key] = round(WEIGHTS * settings.weights.get(key.removeprefix(WEIGHT), 1.0))
        elif key.startswith(WINDOW):
            choice[key] = getattr(settings.windows, key.removeprefix(WINDOW))
        else:
            name, _, parameter = key.partition(".")
            choice[key] = _parameter(name, parameter, settings)
    return choice


def chosen(choice: Choice, settings: TrainingSettings, *, effort: float = 1.0) -> TrainingSettings:
    """Settings changed as chosen; ``effort`` in (0, 1] is the part of each detector's effort."""
    method: Method = choice.get(METHOD, settings.method)
    weights = {
        key.removeprefix(WEIGHT): value / WEIGHTS
        for key, value in choice.items()
        if key.startswith(WEIGHT)
    }
    # Where nothing counts, everything does: as in ensemble.combine.weighted.
    kept = tuple(name for name in settings.detectors if weights.get(name, 1.0) > 0.0)
    detectors = kept or settings.detectors
    windows = {
        key.removeprefix(WINDOW): value for key, value in choice.items() if key.startswith(WINDOW)
    }
    changed = replace(
        settings,
        method=method,
        weights={name: weights[name] for name in kept if name in weights},
        detectors=detectors,
        windows=Windows(**windows) if windows else settings.windows,
        parameters={name: _parameters(name, choice, settings) for name in detectors},
    )
    return changed if effort >= 1.0 else _shortened(changed, effort)


def _parameters(name: str, choice: Choice, settings: TrainingSettings) -> dict[str, Any]:
    prefix = f"{name}."
    mine = {key.removeprefix(prefix): v for key, v in choice.items() if key.startswith(prefix)}
    return {**settings.parameters.get(name, {}), **mine}


def _shortened(settings: TrainingSettings, effort: float) -> TrainingSettings:
    parameters = {}
    for name in settings.detectors:
        keyword = resolve(name).effort
        whole = _parameter(name, keyword, settings)
        part = max(1, round(effort * whole))
        parameters[name] = {**settings.parameters.get(name, {}), keyword: part}
    return replace(settings, parameters=parameters)


def _parameter(name: str, parameter: str, settings: TrainingSettings) -> Any:
    """What these settings give a detector for one keyword, or its own default."""
    given = settings.parameters.get(name, {})
    if parameter in given:
        return given[parameter]
    return signature(resolve(name)).parameters[parameter].default
