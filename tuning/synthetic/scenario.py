"""The scenarios the generator knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Attacks = Literal["incidents", "campaigns"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a set is made of; shares in [0, 1].

    `quiet_share` of the period has at most `quiet_anomalies` anomalous events among its own.
    """

    summary: str
    anomaly_share: float
    quiet_share: float
    quiet_anomalies: float
    attacks: Attacks = "incidents"
    days: int = 30
    events_per_user: int = 150


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
        quiet_share=0.2,
        quiet_anomalies=0.001,
        attacks="campaigns",
    ),
}


class UnknownScenario(ValueError):
    """No scenario has that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"unknown scenario {name!r}; known: {', '.join(SCENARIOS)}")


def scenario_named(name: str) -> Scenario:
    """The scenario of that name; raises `UnknownScenario`."""
    if name not in SCENARIOS:
        raise UnknownScenario(name)
    return SCENARIOS[name]
