"""Settings and fixtures shared by every test."""

from __future__ import annotations

import os
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.backends import kafka, postgres, redis  # noqa: F401

if TYPE_CHECKING:
    from models.bundle import Bundle
    from models.registry import Registry
    from preprocessing.event import AuthEvent

# Ray and TensorFlow read these when they are imported: no phoning home, no banner.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# A loaded machine is not a failing property; a failure must be repeatable from its output.
settings.register_profile("ztad", deadline=None, print_blob=True)
settings.load_profile("ztad")

#: Later than any generated event, seconds since the epoch.
NOW_S = 4e9
#: Countries of attackers, latitudes and longitudes.
FAR_AWAY = (("NZ", -41.3, 174.8), ("CL", -33.4, -70.6), ("KE", -1.3, 36.8), ("IS", 64.1, -21.9))


def _generated(events: int, seed: int) -> list[AuthEvent]:
    from preprocessing.event import from_mapping
    from tuning.generate import generate

    rows = generate("seedlike", events=events, seed=seed).events
    return [from_mapping(row, b"", now_s=NOW_S) for row in rows]


@pytest.fixture(scope="session")
def training_events() -> list[AuthEvent]:
    """What ``bundle`` was trained on: 2,000 events, four in ten of them anomalous."""
    return _generated(2000, seed=1)


@pytest.fixture(scope="session")
def fresh_events(training_events: list[AuthEvent]) -> list[AuthEvent]:
    """1,000 events that ``bundle`` never saw, by time: the last it did see, five weeks later. Every
    fifth is a plain takeover instead, each by another attacker."""
    from msgspec.structs import replace

    weeks = timedelta(weeks=5)
    later = [
        replace(event, event_id=f"fresh-{index:04}", timestamp=event.timestamp + weeks)
        for index, event in enumerate(sorted(training_events, key=_at)[-1000:])
    ]
    return [_taken_over(event, n) if n % 5 == 0 else event for n, event in enumerate(later)]


def _at(event: AuthEvent) -> datetime:
    return event.timestamp


def _taken_over(event: AuthEvent, index: int) -> AuthEvent:
    """The same from far away, by a machine and in a way that nobody uses."""
    from msgspec.structs import replace

    country, latitude, longitude = FAR_AWAY[index // 5 % len(FAR_AWAY)]
    return replace(
        event, source_ip=f"203.0.{index // 250 + 100}.{index % 250}", country=country, city=None,
        latitude=latitude, longitude=longitude, asn=64500 + index, device_id=f"unheard of {index}",
        user_agent=f"tool{index}/1.0", session_id=None, resource=f"vault {index}",
        auth_method="password", mfa=False, failed_attempts=8,
    )  # fmt: skip


@pytest.fixture(scope="session")
def bundle(training_events: list[AuthEvent], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A small trained bundle on disk, ``bundle.path``; no test may change it."""
    from tuning.bundling import Origin, write
    from tuning.train import TrainingSettings, train

    wanted = TrainingSettings(
        parameters={
            "isolation_forest": {"n_trees": 50},
            "one_class_svm": {"max_rows": 500},
            "autoencoder": {"max_epochs": 5},
            "sequence_model": {"units": 8, "max_epochs": 2, "max_rows": 1000},
        }
    )
    trained = train(training_events, settings=wanted)
    origin = Origin(events=training_events, settings=wanted, fingerprint="0" * 64, training_s=0.0)
    path = tmp_path_factory.mktemp("bundle") / "bundle"
    return write(trained, path, version="2026-11-22.1", origin=origin)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry's database that has its tables, which take MLflow seconds, and nothing in them."""
    from models.registry import Registry

    home = tmp_path_factory.mktemp("registry")
    Registry(home).tracking.client.search_registered_models()
    return home / "registry" / "mlflow.db"


@pytest.fixture
def registry(empty_database: Path, tmp_path: Path) -> Registry:
    """An empty registry in ``tmp_path / "home"``."""
    from models.registry import Registry

    home = tmp_path / "home"
    (home / "registry").mkdir(parents=True)
    shutil.copy(empty_database, home / "registry")
    return Registry(home)
