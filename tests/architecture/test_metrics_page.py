"""Metrics: the page, the list in the code and the dashboards say the same, by Prometheus' rules."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from services.metrics import FAMILIES, GATEWAY, RECORDER, STREAM, MetricName, kind

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text()
#: What a name may end in: a unit, or what is counted.
UNITS = ("_seconds", "_bytes", "_events", "_users", "_verdicts", "_messages", "_total")
#: Gauges of something else: yes or no, or a share of it.
NO_UNIT = ("_up", "_resting", "_broken", "_degraded", "_unoffered", "_weight", "_in_flight",
           "_promised", "_realised", "_unheard", "_refusing", "_paused", "_fused",
           "_waiting")  # fmt: skip


def section(title: str) -> dict[str, list[str]]:
    """Cells of the rows of a section's table, by the name in their first cell."""
    text = PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in cells}


SECTIONS = {
    "Of each gateway": GATEWAY, "Of the Recorder": RECORDER, "Of the stream workers": STREAM,
}  # fmt: skip


@pytest.mark.parametrize(("title", "families"), SECTIONS.items())
def test_every_metric_has_its_row_and_every_row_its_metric(
    title: str, families: dict[MetricName, object]
) -> None:
    told = {name: cells[:3] for name, cells in section(title).items()}
    assert told == {
        name: [
            kind(name),
            ", ".join(f"`{label}`" for label in FAMILIES[name].labels),
            FAMILIES[name].meaning,
        ]
        for name in families
    }


@pytest.mark.parametrize("name", get_args(MetricName))
def test_every_example_asks_for_its_metric(name: MetricName) -> None:
    rows = {name: row for title in SECTIONS for name, row in section(title).items()}
    query = rows[name][3]
    sample = rf"{name}_(bucket|sum|count)" if kind(name) == "histogram" else name
    assert re.search(rf"\b{sample}\b", query)
    # A counter alone says nothing.
    if kind(name) != "gauge":
        assert re.search(r"\b(rate|increase)\(", query)


def test_the_list_is_whole() -> None:
    assert set(FAMILIES) == set(get_args(MetricName))
    assert sum(len(families) for families in SECTIONS.values()) == len(FAMILIES)


@pytest.mark.parametrize("name", get_args(MetricName))
def test_names_by_convention(name: MetricName) -> None:
    assert re.fullmatch(r"ztad_[a-z]+(_[a-z]+)*", name)
    assert name.endswith(UNITS + NO_UNIT)
    assert (kind(name) == "counter") is name.endswith("_total")
    if kind(name) == "histogram":
        assert name.endswith(("_seconds", "_events", "_verdicts"))


def test_every_label_is_explained_and_none_names_a_person() -> None:
    labels = {label for family in FAMILIES.values() for label in family.labels}
    told = {name for cell in section("Labels") for name in re.findall(r"\w+", cell)}
    assert told == labels
    assert not labels & {"user", "user_id", "address", "source_ip", "event_id", "key"}
