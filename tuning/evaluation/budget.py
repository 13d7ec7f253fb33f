"""The alert budget as it was promised and as it turned out, in all, by day and around a change.

The budget is a promise about ordinary events: so many alerts per 1,000 user-days, a user-day being
a user who had any event on that UTC day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tuning.data import LabelsError
from tuning.evaluation.judged import DAY_S, Index, Judged, Mask, Values
from tuning.evaluation.resampling import Clusters, figure, ratio

#: Days after a change that are told one by one.
DAYS_TOLD = 14
#: Days after a change in which more alerts are to be borne.
SETTLING_DAYS = 2


@dataclass(frozen=True, slots=True)
class Change:
    """Something that changed for many users at once, and nobody did anything wrong."""

    at_s: float
    kinds: tuple[str, ...]

    @classmethod
    def of_scenario(cls, facts: Mapping[str, Any]) -> list[Change]:
        """The changes that a set's ``scenario.json`` tells, those of one moment together."""
        found: dict[float, list[str]] = {}
        for change in facts.get("changes") or ():
            at = datetime.fromisoformat(str(change["at"]))
            found.setdefault(at.timestamp(), []).append(str(change["kind"]))
        return [cls(at_s, tuple(kinds)) for at_s, kinds in sorted(found.items())]


def read_changes(path: Path) -> list[Change]:
    """The changes told by a ``scenario.json``; raises LabelsError where it is not one."""
    try:
        return Change.of_scenario(msgspec.json.decode(path.read_bytes(), type=dict))
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as problem:
        raise LabelsError(str(path), f"cannot tell what changed when: {problem}") from None


def realised(judged: Judged, promised: float, clusters: Clusters) -> dict[str, Any]:
    """Alerts per 1,000 user-days on ordinary events and on all, and by day."""
    daily = _Daily(judged, judged.days)
    rates = [daily.told(day) for day in range(daily.count)]
    of_ordinary = daily.rate(daily.false, clusters)
    return {
        "promised": promised,
        **figure("realised_on_ordinary", *of_ordinary),
        **figure("realised_on_all", *daily.rate(daily.alerts, clusters)),
        "user_days": int(daily.user_days.sum()),
        "days_over": sum(rate["realised_on_ordinary"] > promised for rate in rates),
        "by_day": [{"day": _date(daily.first + d), **rate} for d, rate in enumerate(rates)],
    }


def around(judged: Judged, change: Change, clusters: Clusters) -> dict[str, Any] | None:
    """Benign alerts per 1,000 user-days before a change and on each day after it, and what was
    found of the attacks on both sides; None unless there are events on both.

    Days are of 24 hours and count from the change. ``relative`` is the day's rate over the mean
    rate before, ``worst_relative`` that of the worst day, ``settled_relative`` the mean from the
    third day on; ``back_after_days`` is the first day whose rate is at most the mean before.
    """
    days = np.asarray((judged.at_s - change.at_s) // DAY_S, np.intp)
    if not (days < 0).any() or not (days >= 0).any():
        return None
    daily = _Daily(judged, days)
    before = np.arange(daily.count) + daily.first < 0
    level, drawn_level = daily.rate(daily.false, clusters, before)
    after = [
        {
            "day": daily.first + int(day),
            **daily.told(day),
            **_relative(daily, day, (level, drawn_level), clusters),
        }
        for day in np.flatnonzero(~before)[:DAYS_TOLD]
    ]
    rates = [row["realised_on_ordinary"] for row in after]
    return {
        "at": datetime.fromtimestamp(change.at_s, UTC).isoformat(),
        "kinds": list(change.kinds),
        **figure("before", level, drawn_level),
        "days": after,
        **_worst(after),
        **_settled(daily, (level, drawn_level), clusters),
        "back_after_days": next((d for d, rate in enumerate(rates) if rate <= level), None),
        "attacks_before": _found(judged, days < 0),
        "attacks_after": _found(judged, days >= 0),
    }


class _Daily:
    """Alerts and user-days by user and day, (users, days) each, from day ``first`` on."""

    def __init__(self, judged: Judged, days: Index) -> None:
        self.first = int(days.min(initial=0 if not len(days) else int(days[0])))
        self.count = int(days.max(initial=self.first) - self.first) + 1 if len(days) else 0
        self._days, self._users = days - self.first, judged.users.of
        self._shape = (len(judged.users), self.count)
        self.alerts = self._sums(judged.flagged)
        self.false = self._sums(judged.flagged & ~judged.anomalous)
        self.user_days = np.minimum(1.0, self._sums(np.ones(len(judged), np.bool_)))

    def _sums(self, rows: Mask) -> Values:
        sums = np.zeros(self._shape)
        np.add.at(sums, (self._users[rows], self._days[rows]), 1.0)
        return sums

    def told(self, day: int) -> dict[str, Any]:
        users = float(self.user_days[:, day].sum())
        alerts, false = float(self.alerts[:, day].sum()), float(self.false[:, day].sum())
        return {
            "user_days": int(users),
            "alerts": int(alerts),
            "false_alerts": int(false),
            "realised_on_ordinary": 1000.0 * false / max(1.0, users),
            "realised_on_all": 1000.0 * alerts / max(1.0, users),
        }

    def rate(
        self, counts: Values, clusters: Clusters, days: Mask | None = None
    ) -> tuple[float, Values]:
        """Per 1,000 user-days of the chosen days, and the same in every resample of users."""
        chosen = np.ones(self.count, np.bool_) if days is None else days
        sums = counts[:, chosen].sum(axis=1), self.user_days[:, chosen].sum(axis=1)
        drawn = ratio(clusters.of_users @ sums[0], clusters.of_users @ sums[1])
        return float(1000.0 * ratio(sums[0].sum(), sums[1].sum())), 1000.0 * drawn


def _relative(
    daily: _Daily, day: int, before: tuple[float, Values], clusters: Clusters
) -> dict[str, Any]:
    only = np.arange(daily.count) == day
    rate, drawn = daily.rate(daily.false, clusters, only)
    return figure("relative", ratio(rate, before[0]), ratio(drawn, before[1]))


def _worst(days: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    told = [day for day in days if day["relative"] is not None]
    worst = max(told, key=lambda day: float(day["relative"]), default=None)
    names = ("relative", "relative_interval")
    return {f"worst_{name}": worst[name] if worst else None for name in names}


def _settled(daily: _Daily, before: tuple[float, Values], clusters: Clusters) -> dict[str, Any]:
    """The rate of the days told, but for the first two, over the rate before."""
    days = np.arange(daily.count) + daily.first
    settled = (days >= SETTLING_DAYS) & (days < DAYS_TOLD)
    rate, drawn = daily.rate(daily.false, clusters, settled)
    return figure("settled_relative", ratio(rate, before[0]), ratio(drawn, before[1]))


def _found(judged: Judged, side: Mask) -> dict[str, Any]:
    """Attacks of one side: events alerted of those there are, and campaigns with an alert."""
    mine = judged.anomalous & side
    campaigns = np.unique(judged.campaigns.of[mine & (judged.campaigns.of >= 0)])
    hit = judged.campaigns.of[mine & judged.flagged & (judged.campaigns.of >= 0)]
    return {
        "events": int(mine.sum()),
        "events_alerted": int((mine & judged.flagged).sum()),
        "campaigns": len(campaigns),
        "campaigns_found": len(np.unique(hit)),
    }


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * DAY_S, UTC).date().isoformat()


def changes(judged: Judged, known: Sequence[Change], clusters: Clusters) -> list[dict[str, Any]]:
    """Every change that lies within the judged span."""
    told = (around(judged, change, clusters) for change in known)
    return [change for change in told if change is not None]
