"""The ways to explain an event."""

from __future__ import annotations

from typing import Literal, get_args

Method = Literal["shap", "lime", "counterfactual"]
METHODS: tuple[Method, ...] = get_args(Method)
