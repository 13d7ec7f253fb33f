"""How the reasons of chains of events are told: sums over time, sessions, conjunctions."""

from __future__ import annotations

from ensemble.telling import (
    Told,
    _category,
    _duration,
    _fact,
    _observed,
    _stranger,
    _usual,
    _window,
    counted,
    hours,
    shown,
    size,
    transfer,
)
from preprocessing.accumulated import SIZE_UNIT
from preprocessing.history import Evidence


def new_resources(evidence: Evidence) -> Told:
    """Sums are of bits; an analyst is told how many times the usual they are."""
    opened = _observed(evidence, "resource") or "a resource"
    times = _above(evidence, "new_day", _new_bits(evidence))
    week = _above(evidence, "new_week", _new_bits(evidence))
    text = (
        f"{opened}, one more new resource: what was new to this user within a day weighs "
        f"{times:,.1f} times the usual, within a week {week:,.1f} times"
    )
    return text, f"{times:,.1f} times as much new", _usual(evidence, "resource")


def volume(evidence: Evidence) -> Told:
    now = evidence.event.bytes_transferred or 0
    day = _fact(evidence, "bytes_day") * SIZE_UNIT + now
    week = _fact(evidence, "bytes_week") * SIZE_UNIT + now
    per_day, per_week = (
        (2.0 ** _fact(evidence, f"usual_bytes_{window}") - 1.0) * SIZE_UNIT
        for window in ("day", "week")
    )
    text = f"{size(day)} transferred within about a day, {size(week)} within about a week"
    usual = f"about {size(per_day)} a day, {size(per_week)} a week ({_window(evidence)})"
    return text, size(day), usual


def session(evidence: Evidence) -> Told:
    names = ("device", "agent", "network")
    moved = [
        (name, shown(before or "unknown"), _observed(evidence, name))
        for name, before in zip(names, evidence.began, strict=False)
        if _fact(evidence, f"session_{name}") > 0
    ]
    told = "; ".join(f"{name} {before}, now {now}" for name, before, now in moved)
    text = f"the session goes on elsewhere than it began: {told or 'it moved'}"
    observed = ", ".join(now for _, _, now in moved) or "moved session"
    return text, observed, ", ".join(before for _, before, _ in moved) or "where it began"


def new_device_elsewhere(evidence: Evidence) -> Told:
    devices, places = (
        _category(evidence, "device", "on device"),
        _category(evidence, _stranger(evidence, "network", "country"), "from"),
    )
    text = f"{devices[0]}; at once {places[0]}"
    return text, f"{devices[1]} from {places[1]}", f"{devices[2]}; {places[2]}"


def unproven_device(evidence: Evidence) -> Told:
    """What the device did is told in the order of its sums."""
    event = evidence.event
    name = shown(event.device_id or event.source_ip or "unknown device")
    age = _duration(_fact(evidence, "unproven_age_s"))
    count = counted(_fact(evidence, "unproven_events"), "event")
    sums = {"at unusual hours": "hour_bits", "on new resources": "new_bits", "large": "bytes_dev"}
    strange = [what for what, fact in sums.items() if _fact(evidence, f"unproven_{fact}") >= 1]
    text = f"{name} appeared {age} ago and was never where this user usually is; about {count}"
    if strange:
        text += f", some {', '.join(strange)}"
    field = "device" if event.device_id else "network"
    return text, f"{name}, {age} old", _usual(evidence, field)


def scattered_resources(evidence: Evidence) -> Told:
    resource = _observed(evidence, "resource") or "a resource"
    groups = counted(max(1.0, _fact(evidence, "scattered_resources")), "group")
    text = (
        f"{resource}: within about a week this user began to use what belongs to {groups} of "
        "people, hardly anybody of whom is in two"
    )
    return text, f"new resources of {groups}", _usual(evidence, "resource")


def factor_changed(evidence: Evidence) -> Told:
    age_s = _fact(evidence, "factor_age_s")
    when = f"{_duration(age_s)} after" if age_s else "with"
    name = _stranger(evidence, "device", "network")
    text, observed, usual = _category(evidence, name, "on device" if name == "device" else "from")
    return f"{when} a change of the second factor that no factor confirmed: {text}", observed, usual


def off_hours_transfer(evidence: Evidence) -> Told:
    moved, when = transfer(evidence), hours(evidence)
    return f"{moved[0]}, {when[0]}", f"{moved[1]} at {when[1]}", f"{moved[2]}; {when[2]}"


def service_interactive(evidence: Evidence) -> Told:
    share = _fact(evidence, "service_share")
    text, _, usual = _category(evidence, "kind", "a service account, now")
    observed = f"{evidence.event.auth_kind} {evidence.event.action}"
    return f"{text}; at least {share:.0%} of its events were a service's", observed, usual


def _new_bits(evidence: Evidence) -> float:
    return sum(_fact(evidence, f"resource_{who}_bits") for who in ("user", "peer", "tenant"))


def _above(evidence: Evidence, name: str, now: float) -> float:
    """How many times its usual level a sum has come to."""
    level: float = max(1.0, 2.0 ** _fact(evidence, f"usual_{name}") - 1.0)
    return (_fact(evidence, name) + now) / level
