"""``Verdict``: what ztad answers for one event, and the decision that makes it."""

from __future__ import annotations

from typing import Literal

import msgspec

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


class Reason(msgspec.Struct, frozen=True, gc=False):
    """Why an event is suspicious, observed against usual; weights of a verdict sum to at most 1."""

    code: str
    text: str
    observed: str
    usual: str
    attack: str
    weight: float


class Verdict(msgspec.Struct, frozen=True):
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


def decide(exceedance: float, threshold: float) -> tuple[bool, Severity]:
    """Whether an event is over the threshold, and how severe.

    >>> decide(0.01, 0.997), decide(0.002, 0.997), decide(2e-4, 0.997)
    ((False, 'info'), (True, 'low'), (True, 'high'))
    """
    times = (1.0 - threshold) / exceedance
    for least, severity in SEVERITIES:
        if times > least:
            return True, severity
    return False, "info"
