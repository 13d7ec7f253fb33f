"""An explanation as an analyst reads it: one sentence, or a page of text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from typing import Any

from ensemble.explain.asked import Asked
from ensemble.reasons import REASONS
from ensemble.telling import shown

#: Most reasons named in a sentence, and the least share of all that was added to earn a place.
MOST_NAMED = 3
LEAST_SHARE = 0.1
#: What is rarer is extrapolated far beyond the events of any training.
RAREST = 1e-5


def summary(told: dict[str, Any], asked: Asked) -> str:
    """The explanation in one or two sentences."""
    return _SUMMARIES[told["method"]](told, asked)


def rarity(share: float) -> str:
    """How rare an event is among ordinary ones.

    >>> rarity(0.00042), rarity(1e-12)
    ('1 in 2,400 ordinary events', 'fewer than 1 in 100,000 ordinary events')
    """
    if share < RAREST:
        return f"fewer than 1 in {1 / RAREST:,.0f} ordinary events"
    one_in = 1.0 / share
    digits = max(0, len(f"{one_in:.0f}") - 2)
    return f"1 in {round(one_in, -digits):,.0f} ordinary events"


def added_by_reason(told: dict[str, Any]) -> list[tuple[str, float]]:
    """What each reason code added to the surprise, of those that added something, largest first."""
    added: dict[str, float] = {}
    for part in told["contributions"]:
        code = str(part["reason"])
        added[code] = added.get(code, 0.0) + float(part["contribution"])
    return sorted(((c, v) for c, v in added.items() if v > 0), key=lambda pair: -pair[1])


def named(code: str) -> str:
    """A reason code in words."""
    return code.replace("_", " ")


def _shap(told: dict[str, Any], asked: Asked) -> str:
    added = added_by_reason(told)
    whole = sum(value for _, value in added)
    main = [(c, v) for c, v in added[:MOST_NAMED] if v >= LEAST_SHARE * whole]
    if not main or told["value"] <= told["base"]:
        return f"{_rare(asked)}; nothing made it stranger than an average ordinary event."
    parts = ", ".join(f"{named(code)} {value / whole:.0%}" for code, value in main)
    return f"{_rare(asked)}. What made it strange: {parts}."


def _lime(told: dict[str, Any], asked: Asked) -> str:
    added = added_by_reason(told)[:MOST_NAMED]
    fit = f"a straight line explains {max(0.0, told['fit']):.0%} of how it moves nearby"
    if told["fit_is"] == "poor":
        fit += ", too little to rely on"
    if not added:
        return f"From here no value would move the score much ({fit})."
    parts = ", ".join(named(code) for code, _ in added)
    return f"From here the score moves most with {parts} ({fit})."


def _counterfactual(told: dict[str, Any], asked: Asked) -> str:
    status = told["status"]
    if status == "not_flagged":
        return "The event was not flagged: nothing had to be different."
    if status == "unknown":
        return (
            "It cannot be said what would have kept this event quiet: nothing usual was learned of "
            "the user, or nothing of this event differs from it."
        )
    if status == "found":
        first = told["counterfactuals"][0]
        return f"Would have stayed quiet {_joined(first)}."
    nearest = told["nearest"]
    lowered = f"{told['value']:.1f} to {nearest['value']:.1f}"
    text = (
        f"No change of up to three circumstances would have kept it quiet. Nearest: "
        f"{_joined(nearest)}, which lowers its surprise from {lowered}; {told['threshold']:.1f} "
        "is flagged"
    )
    left = ", ".join(named(code) for code in told["remaining"][:MOST_NAMED])
    return f"{text}. What would remain: {left}." if left else f"{text}."


_SUMMARIES = {"shap": _shap, "lime": _lime, "counterfactual": _counterfactual}


def _joined(found: dict[str, Any]) -> str:
    """Several changes in a sentence."""
    return " and ".join(each["text"] for each in found["changes"])


def _rare(asked: Asked) -> str:
    share = 1.0 - asked.verdict.score
    return f"As strange as {rarity(share)}" if share < 0.5 else "An ordinary event"


def page(asked: Asked, explanations: dict[str, dict[str, Any]]) -> str:
    """One alert with its explanations by method, as plain text."""
    return "\n".join(_page(asked, explanations)) + "\n"


def _page(asked: Asked, explanations: dict[str, dict[str, Any]]) -> Iterator[str]:
    verdict = asked.verdict
    yield f"{verdict.severity.upper()}  {_headline(asked)}"
    if asked.evidence is not None:
        yield f"  {_event(asked)}"
    yield ""
    for reason in verdict.reasons:
        yield f"  - {reason.text}"
        yield f"    ATT&CK {reason.attack}. Next: {REASONS[reason.code].runbook}"
    yield ""
    for method, told in explanations.items():
        yield f"  {_TITLES[method]}: {told['summary']}"
        for other in told.get("counterfactuals", [])[1:]:
            yield f"      or {_joined(other)}"
    last = next(iter(explanations.values()), None)
    if last is not None:
        worst = min(explanations.values(), key=lambda told: _TRUST[told["confidence"]["level"]])
        yield f"  Compared with: {last['baseline']['text']}"
        yield f"  Windows: {last['window']['text']}"
        yield f"  Confidence: {worst['confidence']['text']}"
    yield f"  event {shown(verdict.event_id)}, model version {verdict.model_version}"


_TITLES = {"shap": "Why", "lime": "Nearby", "counterfactual": "Otherwise"}
_TRUST = {"low": 0, "moderate": 1, "high": 2}


def _headline(asked: Asked) -> str:
    verdict = asked.verdict
    what = named(verdict.reasons[0].code) if verdict.reasons else "not flagged"
    return f"{what}: {shown(verdict.user_id)} ({rarity(1.0 - verdict.score)})"


def _event(asked: Asked) -> str:
    evidence = asked.evidence
    assert evidence is not None
    event = evidence.event
    parts = [
        f"{event.timestamp.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        f"{event.auth_kind} {event.action} {event.outcome}",
        f"from {event.source_ip}" if event.source_ip else "",
        ", ".join(part for part in (event.city, event.country) if part),
        f"on {event.resource}" if event.resource else "",
    ]
    return shown(", ".join(part for part in parts if part))
