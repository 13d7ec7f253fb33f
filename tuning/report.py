"""An evaluation as files: ``metrics.json``, ``report.html`` and ``scores.csv``, a line an event."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from tuning.data import LabelsError
from tuning.evaluation.charts import charts
from tuning.evaluation.judged import Judged, Scored

METRICS = "metrics.json"
REPORT = "report.html"
SCORES = "scores.csv"
#: What ``ztad ablate`` writes.
ABLATION = "ablation.json"


def render(metrics: Mapping[str, Any]) -> bytes:
    """Metrics as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(metrics), indent=2) + b"\n"


def read_ablation(path: Path) -> dict[str, Any]:
    """What ``ztad ablate`` wrote; raises LabelsError where a file is something else."""
    try:
        told = msgspec.json.decode(path.read_bytes(), type=dict[str, list[dict[str, Any]]])
    except msgspec.MsgspecError as problem:
        raise LabelsError(str(path), f"expected what ztad ablate writes: {problem}") from None
    return told


def page(metrics: Mapping[str, Any], judged: Judged) -> str:
    """The whole evaluation as one HTML page that needs no other file."""
    templates = Environment(
        loader=PackageLoader("tuning.evaluation", "."), autoescape=True, undefined=StrictUndefined
    )
    drawn = charts(judged, metrics)
    return templates.get_template(REPORT).render(m={"ablation": None, **metrics}, pictures=drawn)


def write_report(folder: Path, metrics: Mapping[str, Any], scored: Scored) -> None:
    """Write the files into ``folder``, made when missing; each is whole once it has its name."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / SCORES, _score_lines(scored).encode())
    _write(folder / METRICS, render(metrics))
    _write(folder / REPORT, page(metrics, Judged.of(scored)).encode())


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.part")
    draft.write_bytes(content)
    draft.replace(path)


def _score_lines(scored: Scored) -> str:
    held = StringIO()
    rows = csv.writer(held, lineterminator="\n")
    rows.writerow(("event_id", "is_anomaly", "anomaly_type", "flagged", *scored.scores))
    judged = zip(scored.event_ids, scored.types, scored.flagged, strict=True)
    for (event_id, kind, flagged), *scores in zip(judged, *scored.scores.values(), strict=True):
        rows.writerow((event_id, int(kind is not None), kind or "", int(flagged), *scores))
    return held.getvalue()
