"""From a training to a model bundle on disk."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np

from ensemble.scorer import BACKGROUND_FILE, ENSEMBLE_FILE, HISTORY_FILE, feature_schema
from models.base import Detector
from models.bundle import Bundle, write_bundle
from models.manifest import MANIFEST, BundleError, Details, NotABundle, NotReplaceable, parse
from preprocessing.event import AuthEvent
from tuning.train import Trained, TrainingSettings

_VERSION = re.compile(r"(\d{4}-\d{2}-\d{2})\.(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a training came from: its events, its settings, how long it took."""

    events: Sequence[AuthEvent]
    settings: TrainingSettings
    fingerprint: str
    training_s: float


def next_version(path: Path, today: str, known: Iterable[str] = ()) -> str:
    """``today.N``, N one more than that of any version of the day: ``known`` ones, such as those
    of a registry, and the bundle at ``path``.

    Raises NotReplaceable when there is something else at ``path``: better before training than
    after it.

    >>> next_version(Path("no/such/bundle"), "2026-11-22", ["2026-11-21.7", "2026-11-22.1"])
    '2026-11-22.2'
    """
    found = (_VERSION.fullmatch(version) for version in (*known, _version_at(path) or ""))
    counts = [int(version[2]) for version in found if version and version[1] == today]
    return f"{today}.{max(counts, default=0) + 1}"


def write(trained: Trained, path: Path, *, version: str, origin: Origin) -> Bundle:
    """Export every detector, which checks its ONNX form, and write the bundle in one move.

    Raises ParityError or another ModelError; nothing is then written at ``path``.
    """
    with TemporaryDirectory(prefix="ztad-train-") as folder:
        return write_bundle(
            path,
            version=version,
            schema=feature_schema(),
            detectors=_exported(trained.detectors, Path(folder)),
            sees={name: detector.sees for name, detector in trained.detectors.items()},
            files={
                ENSEMBLE_FILE: trained.spec.encode(),
                HISTORY_FILE: trained.history,
                BACKGROUND_FILE: np.ascontiguousarray(trained.background, np.float32).tobytes(),
            },
            details=Details(
                metrics=_metrics(trained, origin),
                settings=_settings(trained, origin.settings),
                fingerprint=origin.fingerprint,
            ),
        )


def _version_at(path: Path) -> str | None:
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return None
    try:
        return parse((path / MANIFEST).read_bytes(), str(path)).version
    except (NotABundle, FileNotFoundError, NotADirectoryError):
        raise NotReplaceable(str(path)) from None
    except BundleError:
        return None  # damaged, or of a newer format: still ours to replace


def _exported(detectors: Mapping[str, Detector], folder: Path) -> dict[str, Path]:
    files = {name: folder / f"{name}.onnx" for name in detectors}
    for name, file in files.items():
        detectors[name].export(file)
    return files


def _metrics(trained: Trained, origin: Origin) -> dict[str, Any]:
    stamps = [event.timestamp for event in origin.events]
    return {
        "events": len(origin.events),
        "users": len({event.user_id for event in origin.events}),
        "first_event": _stamp(min(stamps)),
        "last_event": _stamp(max(stamps)),
        "set_aside": trained.set_aside,
        "threshold": trained.spec.threshold,
        "training_s": round(origin.training_s, 1),
    }


def _settings(trained: Trained, settings: TrainingSettings) -> dict[str, Any]:
    return {
        "budget": settings.budget,
        "method": settings.method,
        "weights": dict(trained.spec.weights),
        "weighing": msgspec.to_builtins(trained.weighing),
        "detectors": list(settings.detectors),
        "parameters": {name: dict(values) for name, values in settings.parameters.items()},
        "windows": msgspec.structs.asdict(settings.windows),
        "seed": settings.seed,
        "score_quantiles": trained.score_quantiles,
        "detector_quantiles": trained.detector_quantiles,
        "background_shape": list(trained.background.shape),
    }


def _stamp(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
