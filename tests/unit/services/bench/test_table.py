"""The table: medians, worst values, what is met, and every error found."""

import io
from dataclasses import replace

import msgspec
import pytest
from rich.console import Console

from services.bench.faults import Fault
from services.bench.machine import Memory, Processes
from services.bench.outcome import Latency, Outcome
from services.bench.rounds import (
    ASKED_BATCH,
    ASKED_CONNECTIONS,
    CONNECTIONS,
    Plan,
    Report,
    Round,
    Step,
)
from services.bench.rows import Row, all_rows, errors, rows, rungs
from services.bench.table import faults_table, show


def step(rate: float, *, statuses: dict[str, int] | None = None) -> Step:
    told = Latency(7.0, 8.0, 60.0, 80.0, 90.0)
    outcome = Outcome(
        seconds=1.0, requests=round(rate), events=round(rate) * 10, latency_ms=told,
        statuses=statuses or {"200": round(rate)}, cpu_s=0.1, elapsed_s=1.0,
    )  # fmt: skip
    return Step(outcome, Processes({"Gateway": 0.5}, 0.02), 60.0)


def report(*rates: float) -> Report:
    rounds = [
        Round(
            {each: step(rate) for each in CONNECTIONS if number == 0 or each in ASKED_CONNECTIONS},
            {ASKED_BATCH: step(rate)},
            {"lime": Latency(p95=40.0)},
            50,
            paced=step(0.6 * rate),
        )
        for number, rate in enumerate(rates)
    ]
    memory = Memory({"Gateway": 150.0, "raylet": 40.5}, {"Gateway": 200.0, "raylet": 50.0})
    return Report(
        started="2026-11-22T20:00:00+00:00", model="2026-11-22.1", cores=2,
        plan=Plan(events="traffic.ndjson"), ready_s=14.0, idle_memory=memory,
        loaded_memory=memory, rounds=rounds, noop=[step(2000) for _ in rounds],
    )  # fmt: skip


def found(made: Report, what: str) -> Row:
    return next(row for row in rows(made) if row.what.startswith(what))


def test_median_and_worst_of_rates_and_of_latencies() -> None:
    row = found(report(1000, 3000, 2000), "single events, 128")
    assert (row.median, row.worst) == (2000, 1000)
    late = Row("p95", "ms", [1.0, 3.0, 2.0])
    assert (late.median, late.worst) == (2.0, 3.0)


@pytest.mark.parametrize(("rate", "met"), [(2200, "goal"), (1500, "floor"), (1499, "below")])
def test_what_is_met(rate: float, met: str) -> None:
    assert found(report(rate), "single events, 128").met == met


def test_nothing_asked_nothing_met() -> None:
    assert found(report(1), "explanation by lime, p50").met == ""


def test_every_load_is_a_rung_with_as_many_runs_as_it_had() -> None:
    made = {each.what: each for each in rungs(report(1000, 2000, 3000))}
    assert len(made["single events, 16 connections"].steps) == 1
    assert made["single events, 128 connections"].rates == [1000, 2000, 3000]
    paced = made["single events, open loop at 60% of that"]
    assert paced.rates == [600, 1200, 1800]
    assert paced.latencies("p99") == [80.0] * 3
    batches = made["batches of 1,000"]
    assert (batches.unit, batches.rates) == ("events/s", [10_000, 20_000, 30_000])
    assert made["no-op, 128 connections"].errors == 0


def test_names_are_the_same_whatever_was_measured() -> None:
    first, second = all_rows(report(1000)), all_rows(report(2000, 2100))
    assert [row.what for row in first] == [row.what for row in second]
    asked = next(row for row in second if row.what == "single events, 128 connections")
    assert (asked.goal, asked.median) == (2200, 2050)
    assert any(row.what == "single events, 16 connections, p99" for row in first)


def test_share_of_the_noop() -> None:
    assert found(report(1000), "128 connections as a share").values == [0.5]


def test_memory_is_summed() -> None:
    assert found(report(1000), "memory of everything").median == 190.5


def test_errors_come_from_answers_and_from_counters() -> None:
    made = report(10)
    assert errors(made) == 0
    made.counters = {"ztad_degraded_batches_total": 2.0, "ztad_requests_total 200": 99.0}
    made.noop.append(step(10, statuses={"200": 9, "503": 1}))
    assert errors(made) == 3
    made.counters["ztad_requests_total 500"] = 1.0
    assert errors(made) == 4


def test_a_row_is_immutable_data() -> None:
    row = Row("x", "ms", [1.0])
    assert replace(row, floor=2.0).met == "floor"


def test_everything_is_printed() -> None:
    out = io.StringIO()
    answers = {"200": 10, "200 degraded": 5, "503": 2, "refused": 1}
    fault = Fault("Combiner", 18, answers, 1.5, 4.0, 3.25, None)
    show(Console(file=out, width=160), report(1600, 1700), [fault])
    text = out.getvalue()
    assert "single events, 128 connections" in text
    assert "Combiner" in text
    assert "16.67%" in text
    assert "foreign" not in text, "plain words"


def test_the_table_of_faults_says_what_its_columns_mean() -> None:
    out = io.StringIO()
    Console(file=out, width=160).print(
        faults_table([Fault("Combiner", 10, {}, 0.1, 0.2, 0.3, None)])
    )
    told = " ".join(out.getvalue().split())
    assert "took over 1 s or lacked a detector had ended; back: the killed part" in told
    assert "not within 30 s" in told


def test_a_report_survives_json() -> None:
    made = report(1600)
    assert msgspec.json.decode(msgspec.json.encode(made), type=Report) == made
