"""Distances and speeds on the Earth."""

from __future__ import annotations

from math import pi

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.geo import EARTH_RADIUS_KM, beyond_accuracy_km, distance_km, speed_kmh

HALFWAY_KM = EARTH_RADIUS_KM * pi
LATITUDES, LONGITUDES = st.floats(-90, 90), st.floats(-180, 180)


@pytest.mark.parametrize(
    ("here", "there", "km"),
    [
        ((52.52, 13.405), (52.52, 13.405), 0),
        ((52.52, 13.405), (48.137, 11.575), 504),  # Berlin - Munich
        ((52.52, 13.405), (1.352, 103.82), 9916),  # Berlin - Singapore
        ((0, 179.9), (0, -179.9), 22),  # over the date line
        ((90, 0), (-90, 77), HALFWAY_KM),
        ((90, 0), (90, 135), 0),  # the pole has every longitude
    ],
)
def test_distances(here: tuple[float, float], there: tuple[float, float], km: float) -> None:
    assert distance_km(*here, *there) == pytest.approx(km, abs=1)


@given(LATITUDES, LONGITUDES, LATITUDES, LONGITUDES)
def test_any_distance(lat1: float, lon1: float, lat2: float, lon2: float) -> None:
    km = distance_km(lat1, lon1, lat2, lon2)
    assert 0 <= km <= HALFWAY_KM + 1e-6
    assert km == pytest.approx(distance_km(lat2, lon2, lat1, lon1), abs=1e-6)


def test_geolocation_error_is_conceded() -> None:
    assert beyond_accuracy_km(99) == 0
    assert beyond_accuracy_km(150) == 50


def test_speed_is_the_least_that_explains_the_distance() -> None:
    assert speed_kmh(1100, 3600) == 1000
    assert speed_kmh(90, 1) == 0
    assert speed_kmh(150, 0) == 50 / 0.05  # clocks differ: never less than three minutes
