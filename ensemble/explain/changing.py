"""What each change would have been for one event, in an analyst's words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from ensemble.telling import shown, size, spans
from preprocessing.changes import CHANGES, Change
from preprocessing.event import AuthEvent
from preprocessing.history import CATEGORIES, Evidence
from preprocessing.typical import Typical
from preprocessing.values import values_of

#: The usual size is the middle of the user's transfers (mean of the logarithms).
HALF = 0.5


@dataclass(frozen=True, slots=True)
class Changing:
    """One change: ``observed`` becomes ``usual``; ``share`` of the user's events are like that."""

    change: Change
    text: str
    observed: str
    usual: str
    share: float

    def told(self) -> dict[str, Any]:
        return {
            "change": self.change,
            "text": self.text,
            "observed": self.observed,
            "usual": self.usual,
            "share": self.share,
        }


def changing_of(evidence: Evidence | None) -> dict[Change, Changing]:
    """What could have been otherwise: every change whose usual value is not the event's own.

    Empty where nothing usual is kept.
    """
    if evidence is None or not evidence.typical:
        return {}
    typical = Typical.decode(evidence.typical)
    found = (_TELL[change](evidence, typical) for change in CHANGES)
    return {each.change: each for each in found if each is not None}


def _device(evidence: Evidence, typical: Typical) -> Changing | None:
    moved = _moved(evidence, typical, ("device", "agent"))
    if not moved:
        return None
    lead = "from a known device" if "device" in moved else "with the usual browser and system"
    return _category("device", evidence, typical, moved, lead)


def _place(evidence: Evidence, typical: Typical) -> Changing | None:
    moved = _moved(evidence, typical, ("country", "network", "address"))
    if not moved and _where(evidence.event) == _where(typical.event):
        return None
    city, country = typical.event.city, typical.event.country
    elsewhere = "country" in moved or _where(evidence.event) != _where(typical.event)
    name = shown(city or country or "the usual place")
    lead = f"from {name}, as usual" if elsewhere else "from the usual network"
    return _category("place", evidence, typical, moved or ("country",), lead)


def _resource(evidence: Evidence, typical: Typical) -> Changing | None:
    moved = _moved(evidence, typical, ("resource",))
    return _category("resource", evidence, typical, moved, "on a usual resource") if moved else None


def _method(evidence: Evidence, typical: Typical) -> Changing | None:
    moved = _moved(evidence, typical, ("method",))
    lead = f"by {typical.event.auth_method}, as usual"
    return _category("method", evidence, typical, moved, lead) if moved else None


def _mfa(evidence: Evidence, typical: Typical) -> Changing | None:
    moved = _moved(evidence, typical, ("mfa",))
    lead = "with a second factor" if typical.event.mfa else "without a second factor"
    return _category("mfa", evidence, typical, moved, f"{lead}, as usual") if moved else None


def _time(evidence: Evidence, typical: Typical) -> Changing | None:
    own, usual = (each.timestamp.astimezone(UTC) for each in (evidence.event, typical.event))
    if own == usual:
        return None
    hours = f"{spans(evidence.hours)} UTC"
    same_day = own.date() == usual.date()
    lead = f"during usual hours ({hours})"
    if not same_day:
        lead = f"on a usual day of the week, such as {usual:%A}"
        if own.hour != usual.hour:
            lead += f", during usual hours ({hours})"
    told = f"{own:%a %H:%M} UTC"
    share = max(typical.in_hours, 0.01)
    return Changing("time", lead, told, hours if same_day else f"{usual:%a %H:%M} UTC", share)


def _size(evidence: Evidence, typical: Typical) -> Changing | None:
    own, usual = evidence.event.bytes_transferred, typical.event.bytes_transferred
    if own is None or usual is None or usual >= own:
        return None
    return Changing("size", f"at the usual transfer size ({size(usual)})", size(own), size(usual),
                    HALF)  # fmt: skip


_TELL: dict[Change, Callable[[Evidence, Typical], Changing | None]] = {
    "device": _device,
    "place": _place,
    "time": _time,
    "resource": _resource,
    "size": _size,
    "method": _method,
    "mfa": _mfa,
}


def _category(
    change: Change, evidence: Evidence, typical: Typical, moved: Iterable[str], lead: str
) -> Changing:
    """Told with the usual value that is rarest of those that move: all of them must be met."""
    own, usual = _values(evidence.event), _values(typical.event)
    known = [name for name in moved if name in evidence.usual]
    rarest = min(known, key=lambda name: _share(evidence, name), default="")
    share = _share(evidence, rarest) if rarest else HALF
    often = f" ({_often(evidence, rarest, lead)})" if rarest else ""
    names = known or list(moved)
    return Changing(
        change,
        lead + often,
        ", ".join(shown(own[name] or "unknown") for name in names),
        ", ".join(shown(usual[name] or "unknown") for name in names),
        share,
    )


def _often(evidence: Evidence, name: str, lead: str) -> str:
    """The usual value, unless the words before name it, and how often it was seen."""
    usual = evidence.usual[name]
    often = f"{usual.count:,} of {usual.total:,} events"
    named = name == "mfa" or shown(usual.value) in lead
    return often if named else f"{shown(usual.value)}, {often}"


def _share(evidence: Evidence, name: str) -> float:
    usual = evidence.usual[name]
    return usual.count / max(usual.total, 1)


def _moved(evidence: Evidence, typical: Typical, names: Iterable[str]) -> tuple[str, ...]:
    own, usual = _values(evidence.event), _values(typical.event)
    return tuple(name for name in names if own[name] != usual[name])


def _values(event: AuthEvent) -> dict[str, str | None]:
    return dict(zip(CATEGORIES, values_of(event), strict=True))


def _where(event: AuthEvent) -> tuple[float | None, float | None]:
    return event.latitude, event.longitude
