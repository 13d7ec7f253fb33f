"""The Grafana dashboard and the alert rules ask for metrics that exist, with labels they have."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml

from k8s.grafana.dashboard import COLUMNS, FILE, dashboard, text
from services.metrics import FAMILIES, RECORDER, STREAM, MetricName, kind

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text()
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FILE.parent / "rules.yaml").read_text())["spec"]["groups"]
    for rule in group["rules"]
]
QUERIES = [
    (panel["title"], target["expr"], target["legendFormat"])
    for panel in dashboard()["panels"]
    for target in panel.get("targets", [])
]
EXAMPLES = [
    (line.split("`")[1], line.rstrip(" |").rpartition("| `")[2].rstrip("`"), "")
    for line in PAGE.splitlines()
    if line.startswith("| `ztad_")
]
ASKED = [*QUERIES, *((rule["alert"], rule["expr"], "") for rule in RULES), *EXAMPLES]


def samples() -> dict[str, MetricName]:
    """What can be asked for, with the metric it belongs to."""
    found: dict[str, MetricName] = {}
    for name in FAMILIES:
        endings = ("_bucket", "_sum", "_count") if kind(name) == "histogram" else ("",)
        found |= {name + ending: name for ending in endings}
    return found


def asked(query: str) -> list[tuple[str, str]]:
    """Names of metrics in a query, each with the label matchers behind it."""
    return re.findall(r"\b((?:ztad|ray_serve)_\w+)(?:\{([^}]*)\})?", query)


@pytest.mark.parametrize(("title", "query", "legend"), ASKED)
def test_every_metric_that_is_asked_for_exists(title: str, query: str, legend: str) -> None:
    known = samples()
    assert asked(query), title
    for name, matchers in asked(query):
        if name.startswith("ray_"):
            assert f"`{name}`" in PAGE
            continue
        family = FAMILIES[known[name]]
        labels = {*re.findall(r"(\w+)(?:=|!=|=~|!~)\"", matchers)}
        assert labels <= set(family.labels)
    ours = [FAMILIES[known[name]].labels for name, _ in asked(query) if name in known]
    if ours:
        grouped = {
            label.strip() for by in re.findall(r"by \(([^)]*)\)", query) for label in by.split(",")
        }
        assert grouped - {"le"} <= {label for labels in ours for label in labels}
    assert {*re.findall(r"{{(\w+)}}", legend)} <= {
        label.strip() for by in re.findall(r"by \(([^)]*)\)", query) for label in by.split(",")
    }


@pytest.mark.parametrize(("title", "query", "legend"), ASKED)
def test_the_recorder_counts_once_however_many_gateways_tell_it(
    title: str, query: str, legend: str
) -> None:
    """What every gateway passes on would be added up as often as there are gateways."""
    known = samples()
    for name, _ in asked(query):
        if known.get(name) in RECORDER | STREAM:
            before = query[: query.index(name)]
            innermost = re.findall(r"\b(sum|max|min|avg|count)\b", before)[-1]
            assert innermost in ("max", "min"), title


def test_every_metric_is_on_the_dashboard() -> None:
    known = samples()
    shown = {known[name] for _, query, _ in QUERIES for name, _ in asked(query) if name in known}
    # Told by panels of their kin: time by version beside that by route, flagged events by day.
    beside: set[MetricName] = {"ztad_variant_seconds", "ztad_day_flagged_events",
                               "ztad_alert_events_total"}  # fmt: skip
    assert set(FAMILIES) - shown == beside


def test_what_is_asked_of_ray_is_what_ray_tells() -> None:
    serve = Path(ray.__file__).parent / "serve"
    source = "\n".join(path.read_text() for path in serve.rglob("_private/*.py"))
    for name in re.findall(r"`ray_(serve_\w+)`", PAGE):
        assert f'"{name}"' in source


def test_the_dashboard_in_the_repository_is_what_the_code_makes() -> None:
    assert FILE.read_text() == text(), "run: python -m k8s.grafana.dashboard"
    assert json.loads(FILE.read_text())["uid"] == "ztad"


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    panels = dashboard()["panels"]
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < COLUMNS
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_every_rule_says_what_to_do() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "first_step"}
        for name in re.findall(r"ztad_\w+", rule["annotations"]["first_step"]):
            assert name in FAMILIES
