"""``Explaining``: every method over one bundle, and what its answers rest on."""

from __future__ import annotations

from threading import Lock
from typing import Any

from ensemble.explain.asked import Asked
from ensemble.explain.counterfactual import Counterfactual
from ensemble.explain.judge import Judge
from ensemble.explain.lime import Lime
from ensemble.explain.methods import Method
from ensemble.explain.shap import Shap
from ensemble.explain.stating import Doubt, stated
from ensemble.explain.wording import summary
from models.bundle import Bundle

_DOUBTS: dict[str, Doubt] = {
    "fair": ("moderate", "a straight line tells only part of how the score moves nearby"),
    "poor": ("low", "a straight line hardly fits here; trust SHAP's contributions instead"),
}


class Explaining:
    """Explanations by one model version. Thread-safe.

    Deterministic: the same kept event gives the same explanation, however much later. shap is
    loaded when it is first asked for, which takes seconds.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.judge = Judge(bundle)
        self._lime = Lime(self.judge)
        self._counterfactual = Counterfactual(self.judge)
        self._shap: Shap | None = None
        self._making = Lock()

    def explain(self, method: Method, asked: Asked) -> dict[str, Any]:
        """One event's explanation, ready for JSON, with ``summary``, ``baseline``, ``window`` and
        ``confidence`` in words. Raises ValueError for features of another schema."""
        told = self._told(method, asked)
        doubts = [_DOUBTS[told["fit_is"]]] if told.get("fit_is") in _DOUBTS else []
        doubts += [
            ("low", f"{name} cannot be asked again: what came before is not kept")
            for name in self.judge.left_out(asked)
        ]
        told |= stated(asked, self.judge.spec.windows, doubts)
        return told | {"summary": summary(told, asked)}

    def _told(self, method: Method, asked: Asked) -> dict[str, Any]:
        if method == "lime":
            return self._lime.explain(asked)
        if method == "counterfactual":
            return self._counterfactual.explain(asked)
        with self._making:
            if self._shap is None:
                self._shap = Shap(self.judge)
        return self._shap.explain(asked)

    def warm(self) -> None:
        """Load what explanations need, so that the first one is not slow."""
        self._told("shap", self.judge.canned())
