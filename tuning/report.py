"""An evaluation as files: ``metrics.json`` and one line per labelled event in ``scores.csv``."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tuning.evaluation.judged import Scored

METRICS = "metrics.json"
SCORES = "scores.csv"


def render(metrics: Mapping[str, Any]) -> bytes:
    """Metrics as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(metrics), indent=2) + b"\n"


def write_report(folder: Path, metrics: Mapping[str, Any], scored: Scored) -> None:
    """Write both files into ``folder``, made when missing; each is whole once it has its name."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{SCORES}.part"
    with draft.open("w", encoding="utf-8", newline="") as file:
        _write_scores(csv.writer(file, lineterminator="\n"), scored)
    draft.replace(folder / SCORES)
    draft = folder / f".{METRICS}.part"
    draft.write_bytes(render(metrics))
    draft.replace(folder / METRICS)


def _write_scores(rows: Any, scored: Scored) -> None:
    rows.writerow(("event_id", "is_anomaly", "anomaly_type", "flagged", *scored.scores))
    judged = zip(scored.event_ids, scored.types, scored.flagged, strict=True)
    for (event_id, kind, flagged), *scores in zip(judged, *scored.scores.values(), strict=True):
        rows.writerow((event_id, int(kind is not None), kind or "", int(flagged), *scores))
