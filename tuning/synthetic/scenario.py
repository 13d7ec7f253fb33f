"""The scenarios the generator knows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

Attacks = Literal["incidents", "campaigns", "thefts"]

# Mondays, with no change of clocks in the weeks after, and always in the past
_JUNE = datetime(2025, 6, 2, tzinfo=UTC)
_MAY = datetime(2025, 5, 26, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a set is made of; shares in [0, 1].

    `quiet_share` of the period has at most `quiet_anomalies` anomalous events among its own.
    A `lively` company has benign oddities besides travellers and new devices. On day `change_day`
    it becomes another one. `ramp` says whether thefts are prepared by a slow ramp; a scenario with
    a `twin` draws the same random numbers as that one.
    """

    summary: str
    anomaly_share: float
    quiet_share: float
    quiet_anomalies: float
    attacks: Attacks = "incidents"
    start: datetime = _JUNE
    days: int = 30
    events_per_user: int = 150
    lively: bool = False
    change_day: int | None = None
    ramp: bool = False
    twin: str = ""


SCENARIOS: dict[str, Scenario] = {
    "seedlike": Scenario(
        summary="40 % anomalous in 15 types; the first 30 % of the period is almost clean",
        anomaly_share=0.40,
        quiet_share=0.30,
        quiet_anomalies=0.012,
    ),
    "seedlike-dirty": Scenario(
        summary="the same, with anomalies from the first minute",
        anomaly_share=0.40,
        quiet_share=0.0,
        quiet_anomalies=0.0,
    ),
    "enterprise": Scenario(
        summary="0.5 % anomalous: campaigns against a company with many benign oddities",
        anomaly_share=0.005,
        quiet_share=0.25,
        quiet_anomalies=0.001,
        attacks="campaigns",
        start=_MAY,
        days=42,
        lively=True,
    ),
}
SCENARIOS["drift"] = replace(
    SCENARIOS["enterprise"],
    summary="the same, and after three weeks a new office, VPN, browser and organisation",
    change_day=21,
)
SCENARIOS["poison"] = replace(
    SCENARIOS["enterprise"],
    summary="0.3 % thefts by accounts whose habits were slowly made to allow for them",
    anomaly_share=0.003,
    attacks="thefts",
    ramp=True,
)
SCENARIOS["poison-control"] = replace(
    SCENARIOS["poison"],
    summary="the same accounts, events and thefts without the slow ramp",
    ramp=False,
    twin="poison",
)


class UnknownScenario(ValueError):
    """No scenario has that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"unknown scenario {name!r}; known: {', '.join(SCENARIOS)}")


def scenario_named(name: str) -> Scenario:
    """The scenario of that name; raises `UnknownScenario`."""
    if name not in SCENARIOS:
        raise UnknownScenario(name)
    return SCENARIOS[name]
