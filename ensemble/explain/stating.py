"""What an explanation rests on, in words: the baseline, its window, and how far to trust it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

from ensemble.explain.asked import Asked
from ensemble.telling import counted, shown
from preprocessing.features import Windows

Level = Literal["high", "moderate", "low"]
LEVELS: tuple[Level, ...] = ("high", "moderate", "low")

#: A baseline of fewer events, or days, than this says little of what is rare for the user: in two
#: weeks every day of the week was there twice, and of fifty events one is two per cent.
SURE_EVENTS, SURE_DAYS = 50, 14.0

Doubt = tuple[Level, str]

_SPELLED = {"15m": "15 minutes", "1h": "an hour", "1d": "a day"}


def stated(asked: Asked, windows: Windows, doubts: Sequence[Doubt]) -> dict[str, Any]:
    """``baseline``, ``window`` and ``confidence`` of an explanation, ready for JSON; ``doubts`` are
    those of its method."""
    return {
        "baseline": _baseline(asked),
        "window": _window(windows),
        "confidence": _confidence([*_doubts(asked), *doubts]),
    }


def _baseline(asked: Asked) -> dict[str, Any]:
    evidence = asked.evidence
    if evidence is None:
        text = "no value of this event stood out, so the user's baseline was not kept with it"
        return {"text": text, "events": None, "days": None, "since": None, "until": None}
    until = evidence.event.timestamp
    since = until - timedelta(days=evidence.days)
    user = shown(evidence.event.user_id)
    if not evidence.events:
        text = f"nothing was learned of {user} before; compared with the whole tenant instead"
    else:
        days = counted(max(1, round(evidence.days)), "day")
        text = (
            f"{counted(evidence.events, 'learned event')} of {user} in {days}, "
            f"{since:%Y-%m-%d} to {until:%Y-%m-%d}"
        )
    return {
        "text": text,
        "events": evidence.events,
        "days": evidence.days,
        "since": since.isoformat() if evidence.events else None,
        "until": until.isoformat(),
    }


def _window(windows: Windows) -> dict[str, Any]:
    spelled = {name: _SPELLED.get(at, at) for name, at in _windows(windows).items()}
    text = (
        f"usual: about the user's last 500 events; failures: {spelled['failures']} of the user, "
        f"{spelled['address_failures']} of the address; denied second factors: "
        f"{spelled['denials']}"
    )
    return {"text": text, **_windows(windows)}


def _windows(windows: Windows) -> dict[str, str]:
    return {name: getattr(windows, name) for name in Windows.__struct_fields__}


def _doubts(asked: Asked) -> list[Doubt]:
    verdict, evidence = asked.verdict, asked.evidence
    doubts: list[Doubt] = []
    if verdict.learning:
        doubts.append(("low", "the user is still being learned"))
    elif evidence is not None and evidence.events < SURE_EVENTS:
        doubts.append(("moderate", f"only {counted(evidence.events, 'event')} of this user known"))
    elif evidence is not None and evidence.days < SURE_DAYS:
        doubts.append(("moderate", "the user is known for less than two weeks"))
    if evidence is None:
        doubts.append(("moderate", "the user's baseline was not kept"))
    if verdict.degraded:
        doubts.append(("low", "a detector did not answer, the others alone decided"))
    if verdict.late:
        doubts.append(("moderate", "the event came late, so its journey was not judged"))
    return doubts


def _confidence(doubts: Sequence[Doubt]) -> dict[str, Any]:
    level = max((level for level, _ in doubts), key=LEVELS.index, default="high")
    text = "; ".join(why for _, why in doubts) or "a settled baseline, and every detector answered"
    return {"level": level, "text": f"{level}: {text}"}
