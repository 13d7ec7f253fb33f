"""Distances on the Earth, and how far a device's stated place may be off."""

from __future__ import annotations

from math import asin, cos, radians, sin, sqrt
from typing import Final

#: Mean Earth radius R1, km (IUGG; Moritz 2000, Geodetic Reference System 1980).
EARTH_RADIUS_KM: Final = 6371.0088

#: IP geolocation is right to the city, not to the street: two places closer than this are one.
#: 50-100 km is what peers use as the least distance of a travel alert (BuffaLogs 100, Panther 50).
GEO_ACCURACY_KM: Final = 100.0

#: A shorter interval says more about clocks than about travel; 3 minutes, in hours.
LEAST_TRAVEL_H: Final = 0.05

#: Faster than any airliner over ground: peers alert between 250 (Curity) and 900 (Panther) km/h;
#: Elastic 800, Okta 805. A quarter above 800 allows for jet streams.
FASTEST_KMH: Final = 1000.0


def distance_km(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """Great-circle distance between two points in degrees (haversine formula; Sinnott 1984).

    >>> round(distance_km(52.52, 13.405, 1.352, 103.82))  # Berlin - Singapore
    9916
    """
    phi1, phi2 = radians(lat1), radians(lat2)
    half_lat = sin((phi2 - phi1) / 2)
    half_lon = sin(radians(lon2 - lon1) / 2)
    chord = half_lat * half_lat + cos(phi1) * cos(phi2) * half_lon * half_lon
    return 2 * EARTH_RADIUS_KM * asin(sqrt(min(1.0, chord)))


def beyond_accuracy_km(distance: float) -> float:
    """The part of a distance that geolocation error cannot explain, km >= 0."""
    return max(0.0, distance - GEO_ACCURACY_KM)


def speed_kmh(distance: float, elapsed_s: float) -> float:
    """The least speed that explains a distance in km, geolocation error conceded, km/h >= 0."""
    return beyond_accuracy_km(distance) / max(elapsed_s / 3600.0, LEAST_TRAVEL_H)
