"""What is usual for the user of an event: the evidence an analyst is shown, and the event as its
user usually makes it, which a counterfactual puts in place of what was strange.

Made from the baseline at the moment of scoring and kept with the evidence, so that a counterfactual
asked for months later is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from preprocessing.baseline import HOURS, SAME_PLACE_KM, Places, Rhythm, clock
from preprocessing.event import AuthEvent
from preprocessing.geo import distance_km
from preprocessing.history import CATEGORIES, DAY_S, Evidence, Usual
from preprocessing.state import Baseline, Session
from preprocessing.values import values_of
from preprocessing.whereabouts import Place

#: Fields of an event that hold the value of a category as it is.
_NAMED = {
    "device_id": "device",
    "user_agent": "agent",
    "resource": "resource",
    "auth_method": "method",
}


class Typical(msgspec.Struct, array_like=True, frozen=True):
    """The same event with this user's usual values, and its facts in the order of
    ``history.FACTS``.

    ``event`` has its own value wherever no usual one is known. ``in_hours`` is the share of the
    user's events that lie in the usual hours, in [0, 1].
    """

    event: AuthEvent
    facts: tuple[float, ...]
    in_hours: float

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> Typical:
        return _TYPICAL.decode(data)


_TYPICAL = msgspec.msgpack.Decoder(Typical)


def evidence(
    event: AuthEvent,
    facts: Sequence[float],
    place: Place | None,
    baseline: Baseline | None,
    session: Session | None = None,
    trail: bytes = b"",
) -> Evidence:
    """What an analyst is shown of the baseline of one user."""
    base = baseline or Baseline()
    scale = base.transfer if event.action == "transfer" else base.other_bytes
    hours = base.rhythm.hours
    usual_level = base.rhythm.weight / HOURS / 2
    age_s = event.timestamp.timestamp() - base.first_s if base.events else 0.0
    return Evidence(
        event=event,
        facts=tuple(facts),
        place=place,
        events=int(base.events),
        days=max(0.0, age_s) / DAY_S,
        usual=_usual(base, values_of(event)),
        hours=tuple([h for h, weight in enumerate(hours) if weight > usual_level > 0]),
        usual_bytes=2.0**scale.mean - 1.0 if scale.weight else 0.0,
        began=(session.device, session.agent, session.network) if session else (),
        trail=trail,
    )


def _usual(baseline: Baseline, values: Sequence[str | None]) -> dict[str, Usual]:
    usual: dict[str, Usual] = {}
    habits = baseline.habits
    for field in range(len(CATEGORIES)):
        top = habits.top(field)
        if top is not None:
            observed = habits.count(field, values[field])
            usual[CATEGORIES[field]] = Usual(
                top[0], _rounded(top[1]), _rounded(habits.weight(field)), _rounded(observed)
            )
    return usual


def _rounded(count: float) -> int:
    """As ``round`` of a number >= 0, which compiled code has to look up and call."""
    whole = int(count)
    part = count - whole
    return whole + (part > 0.5 or (part == 0.5 and whole % 2 == 1))


def typical_event(evidence: Evidence, rhythm: Rhythm, places: Places) -> AuthEvent:
    """The event with the usual device, place, time, resource, size, method and second factor.

    What the event does not tell stays untold.
    """
    event, usual = evidence.event, evidence.usual
    values: dict[str, Any] = {"timestamp": usual_time(event.timestamp, rhythm)}
    for field, category in _NAMED.items():
        if getattr(event, field) and category in usual:
            values[field] = usual[category].value
    if event.mfa is not None and "mfa" in usual:
        values["mfa"] = usual["mfa"].value == "with MFA"
    if event.bytes_transferred is not None and evidence.usual_bytes >= 1:
        values["bytes_transferred"] = min(event.bytes_transferred, round(evidence.usual_bytes))
    return msgspec.structs.replace(event, **values, **_place(evidence, places))


def share_of_hours(rhythm: Rhythm, hours: Iterable[int]) -> float:
    """The share of somebody's events in some hours of the day, in [0, 1]."""
    return min(1.0, sum(rhythm.hours[hour] for hour in hours) / max(rhythm.weight, 1.0))


def usual_time(at: datetime, rhythm: Rhythm) -> datetime:
    """The time of an event moved into its user's commonest hour, and to the commonest day of that
    week, each unless it is at least half as common as the average one."""
    if not rhythm.weight:
        return at
    at = at.astimezone(UTC)
    hour, day = clock(at.timestamp())
    hours, days = list(rhythm.hours), list(rhythm.days)
    if days[day] <= rhythm.weight / len(days) / 2:
        at += timedelta(days=days.index(max(days)) - day)
    if hours[int(hour)] <= rhythm.weight / len(hours) / 2:
        at = at.replace(hour=hours.index(max(hours)), minute=0, second=0, microsecond=0)
    return at


def _place(evidence: Evidence, places: Places) -> dict[str, Any]:
    """Country, city, coordinates, network and address together: nobody changes one of them."""
    event, usual = evidence.event, evidence.usual
    values: dict[str, Any] = {}
    if event.country and "country" in usual:
        values |= {"country": usual["country"].value, "city": None}
    if event.source_ip and "address" in usual:
        values["source_ip"] = usual["address"].value
    if "network" in usual:
        network = usual["network"].value
        values["asn"] = int(network[2:]) if network.startswith("AS") else None
    if event.latitude is not None and places.known:
        latitude, longitude, _ = max(places.known, key=lambda place: place[2])
        values |= {"latitude": latitude, "longitude": longitude}
        values["city"] = _city(latitude, longitude, (evidence.place, event))
    return values


def _city(
    latitude: float, longitude: float, named: Iterable[Place | AuthEvent | None]
) -> str | None:
    """The name of a usual place, if the last good place or the event was in it."""
    for place in named:
        if place is None or place.latitude is None or place.longitude is None:
            continue
        if distance_km(latitude, longitude, place.latitude, place.longitude) < SAME_PLACE_KM:
            return place.city
    return None
