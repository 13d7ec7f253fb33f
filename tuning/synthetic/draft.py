"""An event while it is being made, before ids are given and fields are lost."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tuning.synthetic.geography import Place

Value = str | int | float | bool
Fields = dict[str, Value]

GEO = ("country", "city", "latitude", "longitude", "asn")
LOSSY = (*GEO, "device_id", "user_agent", "session_id", "bytes_transferred", "auth_method")


@dataclass(slots=True)
class Draft:
    """One event at `at` (seconds since 1970, UTC); an empty `label` means ordinary.

    `cause` names the benign oddity an ordinary event belongs to, if any.
    """

    at: float
    user_id: str
    fields: Fields
    label: str = ""
    campaign: str = ""
    cause: str = ""
    keep: frozenset[str] = field(default_factory=frozenset)

    @property
    def position(self) -> tuple[float, float]:
        """Latitude and longitude in degrees."""
        return float(self.fields["latitude"]), float(self.fields["longitude"])


def place_fields(place: Place) -> Fields:
    """The place as event fields."""
    fields: Fields = {
        "source_ip": place.ip,
        "country": place.country,
        "latitude": place.latitude,
        "longitude": place.longitude,
        "asn": place.asn,
    }
    if place.city is not None:
        fields["city"] = place.city
    return fields


def lose_fields(draft: Draft, rng: random.Random) -> None:
    """Drop fields as real sources do; `draft.keep` names those the event is about."""
    lost: list[str] = []
    if rng.random() < 0.03:
        lost += ["city"] if rng.random() < 0.5 else list(GEO)
    if rng.random() < 0.03:
        lost.append("device_id")
    if rng.random() < 0.05:
        lost.append("user_agent")
    if rng.random() < 0.04:
        lost.append("session_id")
    if rng.random() < 0.03:
        lost.append("bytes_transferred")
    if rng.random() < 0.02:
        lost.append("auth_method")
    for name in lost:
        if name not in draft.keep:
            draft.fields.pop(name, None)
