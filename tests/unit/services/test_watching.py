"""What the Recorder tells of itself: batches, the budget as it turns out, alerts, spans."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from alerting.notifiers.base import Retryable
from services.realised import DAY_S
from services.recorder_metrics import RecorderMetrics
from services.telemetry import MOST_LINKS, Tracing
from services.watching import SAVE_EVERY_S, Watch
from services.wire import Recorded

NOW_S = 20_000.5 * DAY_S


def traceparent(number: int, *, sampled: bool = True) -> str:
    return f"00-{number:032x}-{number:016x}-{int(sampled):02x}"


def watch_of(*, traced: bool = False, path: Path | None = None) -> Watch:
    return Watch(RecorderMetrics(), Tracing(enabled=traced), path, lambda: NOW_S)


def batch(
    users: list[str],
    alerts: list[int],
    *,
    shadow: bool = False,
    traces: dict[int, str] | None = None,
) -> Recorded:
    stamps = np.full(len(users), NOW_S).tobytes()
    return Recorded(
        event_ids=users, verdicts=[], columns=1, values=b"", stamps=stamps, addresses=[],
        evidence={}, alerts=alerts, shadow=shadow, users=users, traces=traces or {},
    )  # fmt: skip


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


def test_transactions_and_the_budget_as_it_turns_out() -> None:
    watch = watch_of()
    answered, shadow = batch(["a", "b", "a", "c"], [2]), batch(["x", "y"], [0, 1], shadow=True)
    with watch.writing([answered, shadow]):
        pass
    page = watch.page().decode().splitlines()
    assert "ztad_store_write_verdicts_sum 6.0" in page
    assert "ztad_store_write_verdicts_count 1.0" in page
    # A shadow version answers nobody: neither its users nor its alerts count.
    assert 'ztad_active_users{day="running"} 3.0' in page
    assert 'ztad_day_flagged_events{day="running"} 1.0' in page
    (realised,) = (line for line in page if line.startswith("ztad_alert_budget_realised{"))
    assert float(realised.rpartition(" ")[2]) == pytest.approx(1000 / 3, rel=0.01)


def test_what_was_not_written_is_not_counted() -> None:
    watch = watch_of()
    with pytest.raises(OSError, match="full"), watch.writing([batch(["a"], [])]):
        raise OSError("disk full")
    page = watch.page().decode()
    assert "ztad_store_write_verdicts_count 0.0" in page
    assert "ztad_active_users{" not in page


def test_days_outlast_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "active-users"
    before = watch_of(path=path)
    with before.writing([batch(["a", "b"], [0])]):
        pass
    before.save()
    after = watch_of(path=path)
    with after.writing([batch(["b", "c"], [])]):
        pass
    page = after.page().decode()
    assert 'ztad_active_users{day="running"} 3.0' in page
    assert 'ztad_day_flagged_events{day="running"} 1.0' in page


def test_days_are_saved_now_and_then(tmp_path: Path) -> None:
    path, now = tmp_path / "active-users", [NOW_S]
    watch = Watch(RecorderMetrics(), path=path, clock=lambda: now[0])
    with watch.writing([batch(["a"], [])]):
        pass
    assert not path.exists()
    now[0] += SAVE_EVERY_S
    with watch.writing([batch(["b"], [])]):
        pass
    assert path.exists()


def test_days_that_cannot_be_read_or_kept_stop_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "active-users"
    path.write_bytes(b"something else")
    watch = watch_of(path=path)
    assert watch.realised.running() is None
    path.unlink()
    path.with_suffix(".new").mkdir()
    watch.save()
    anew, kept = (record.getMessage() for record in caplog.records)
    assert "counted anew" in anew
    assert "not kept for a restart" in kept


def test_a_verdict_is_recorded_in_the_trace_of_its_event(exporter: InMemorySpanExporter) -> None:
    traces = {
        0: traceparent(1),
        1: traceparent(2),
        2: traceparent(1),
        3: traceparent(3, sampled=False),
    }
    with watch_of(traced=True).writing([batch(["a", "b", "c", "d"], [], traces=traces)]):
        pass
    spans = exporter.get_finished_spans()
    assert {span.name for span in spans} == {"ztad.record"}
    parents = [span.parent for span in spans if span.parent is not None]
    assert sorted((each.trace_id, each.span_id) for each in parents) == [(1, 1), (2, 2)]


def test_spans_of_a_batch_are_bounded(exporter: InMemorySpanExporter) -> None:
    traces = {row: traceparent(row + 1) for row in range(MOST_LINKS + 10)}
    users = [str(row) for row in traces]
    with watch_of(traced=True).writing([batch(users, [], traces=traces)]):
        pass
    assert len(exporter.get_finished_spans()) == MOST_LINKS


def test_what_goes_wrong_is_told_on_the_span(exporter: InMemorySpanExporter) -> None:
    watch = watch_of(traced=True)
    traced = batch(["a"], [], traces={0: traceparent(1)})
    with pytest.raises(OSError, match="disk full"), watch.writing([traced]):
        raise OSError("disk full")
    (span,) = exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "OSError: disk full"


def refused(watch: Watch) -> None:
    with watch.alerting("ztad.alert.notify", traceparent(1)) as note:
        note(channel="mail", attempt=2)
        raise Retryable("https://ann:s3cret@mail.example.com is down")


def test_a_step_of_an_alert(exporter: InMemorySpanExporter) -> None:
    watch = watch_of(traced=True)
    with watch.alerting("ztad.alert.group", traceparent(1)) as note:
        note(events=3)
    with pytest.raises(Retryable):
        refused(watch)
    grouped, attempted = exporter.get_finished_spans()
    assert (grouped.name, grouped.attributes) == ("ztad.alert.group", {"ztad.events": 3})
    assert attempted.attributes == {"ztad.channel": "mail", "ztad.attempt": 2}
    assert attempted.status.description == "Retryable: https://***@mail.example.com is down"
    (exception,) = attempted.events
    assert set(exception.attributes or {}) == {"exception.type", "exception.message"}
    page = watch.page().decode()
    assert 'ztad_alert_step_seconds_count{outcome="done",step="group"} 1.0' in page
    assert 'ztad_alert_step_seconds_count{outcome="retryable",step="notify"} 1.0' in page


def test_an_event_that_nobody_traces_costs_no_span(exporter: InMemorySpanExporter) -> None:
    watch = watch_of(traced=True)
    with watch.writing([batch(["a"], [])]), watch.alerting("ztad.alert.group", "") as note:
        note(events=1)
    assert exporter.get_finished_spans() == ()
