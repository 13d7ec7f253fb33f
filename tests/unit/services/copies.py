"""The same model under another version, and with other habits."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ensemble.decision import EnsembleSpec
from ensemble.scorer import BACKGROUND_FILE, ENSEMBLE_FILE, HISTORY_FILE, ensemble_of
from models.bundle import Bundle, write_bundle


def copied(
    bundle: Bundle,
    path: Path,
    version: str,
    *,
    detectors: tuple[str, ...] | None = None,
    **changed: object,
) -> Path:
    """A bundle like ``bundle`` at ``path`` with another version, some detectors only, and other
    values for fields of its ``EnsembleSpec``."""
    names = bundle.detectors if detectors is None else detectors
    spec: EnsembleSpec = msgspec.structs.replace(ensemble_of(bundle), **changed)
    if detectors is not None:
        kept = {name: table for name, table in spec.detectors.items() if name in detectors}
        spec = msgspec.structs.replace(spec, detectors=kept)
    manifest = bundle.manifest
    write_bundle(
        path,
        version=version,
        schema=manifest.schema,
        detectors={name: bundle.read(manifest.detectors[name]) for name in names},
        files={
            ENSEMBLE_FILE: spec.encode(),
            HISTORY_FILE: bundle.read(HISTORY_FILE),
            BACKGROUND_FILE: bundle.read(BACKGROUND_FILE),
        },
        sees=bundle.sees,
        details=manifest.details,
    )
    return path
