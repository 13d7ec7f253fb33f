"""``Verdict``: what ztad answers for one event, and the decision that makes it."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

Severity = Literal["info", "low", "medium", "high", "critical"]

#: How many times rarer than the threshold demands an event must be for each severity.
#: Ours, by the share of attacks that each holds (docs/alerting.md): training holds attacks too, and
#: the tail of the calibration is heavy, so ten times rarer is much.
SEVERITIES: tuple[tuple[float, Severity], ...] = (
    (20.0, "critical"),
    (10.0, "high"),
    (3.0, "medium"),
    (1.0, "low"),
)
#: Every severity, the mildest first; the first one is flagged for nobody.
RANKS: tuple[Severity, ...] = ("info", *(severity for _, severity in reversed(SEVERITIES)))


class Reason(msgspec.Struct, frozen=True, gc=False):
    """Why an event is suspicious, observed against usual; weights of a verdict sum to at most 1."""

    code: str
    text: str
    observed: str
    usual: str
    attack: str
    weight: float


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """The keys of the wire format. ``score`` and ``threshold`` are in (0, 1); the threshold is that
    of the event's ``auth_kind``."""

    event_id: str
    user_id: str
    score: float
    is_anomaly: bool
    threshold: float
    severity: Severity
    reasons: tuple[Reason, ...]
    detectors: dict[str, float]
    variant: str
    model_version: str
    degraded: bool = False
    learning: bool = False
    late: bool = False
    duplicate: bool = False
    trace_id: str = ""


def decide(exceedance: ArrayLike, threshold: ArrayLike) -> NDArray[np.intp]:
    """How severe each event is, as its place in ``RANKS``; 0 is not over its threshold.

    >>> decide([0.01, 0.002, 2e-4], 0.997).tolist()
    [0, 1, 3]
    """
    times = (1.0 - np.asarray(threshold)) / np.asarray(exceedance)
    over = [times > least for least, _ in SEVERITIES]
    ranks: NDArray[np.intp] = np.sum(over, axis=0, dtype=np.intp)
    return ranks
