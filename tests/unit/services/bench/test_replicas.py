"""Graphs with two of something."""

import io
from pathlib import Path

from rich.console import Console

from models.bundle import Bundle
from services.app import AppArgs
from services.bench.machine import Processes
from services.bench.outcome import Latency, Outcome
from services.bench.replicas import (
    Scaled,
    Setup,
    arguments,
    replicas_rows,
    replicas_table,
    setups,
)
from services.bench.rounds import Step


def step(rate: int, events: int) -> Step:
    outcome = Outcome(
        seconds=1.0, requests=rate, events=events, latency_ms=Latency(p95=50.0),
        statuses={"200": rate, "503": 1},
    )  # fmt: skip
    return Step(outcome, Processes({}, 0.0), 60.0)


def test_every_setup_is_a_graph_that_can_be_built(bundle: Bundle, tmp_path: Path) -> None:
    made = setups(bundle.path)
    for setup in made:
        args = AppArgs(**arguments(setup, bundle.path, tmp_path / "x", "redis://h:1/0"))
        assert (args.history == "redis://h:1/0?name=x") == setup.shared
        assert set(args.deployments) == set(setup.doubled)
        assert setup.shared or "Preprocessor" not in setup.doubled, "it would be refused"
    assert "IsolationForest" in made[1].doubled


def test_medians_side_by_side() -> None:
    steps = [step(1000, 1000), step(3000, 3000), step(2000, 2000)]
    found = [Scaled(Setup("one"), steps, [step(10, 9000)], 1800.0)]
    out = io.StringIO()
    Console(file=out, width=160).print(replicas_table(found))
    assert "2,000" in out.getvalue()
    rows = {row.what: row.median for row in replicas_rows(found)}
    assert rows["one: batches of 1,000"] == 9000
    assert rows["one: errors"] == 4
    assert rows["one: their p95"] == 50
