"""What ``GET /v1/models`` tells of each version: events of requests and of topics."""

from __future__ import annotations

from typing import Any

from models.bundle import Bundle
from services.metrics import GatewayMetrics, MetricName, Values
from services.routing import only
from services.streaming.counts import Counts, State
from services.streaming.metrics import together, told
from services.variants import Variants
from services.wire import Judged
from tests.unit.services.stages import FakeGraph

IDLE = State("w", 0, {}, 0, False, None, None)


def judged(events: int, alerts: int) -> Judged:
    """So many ordinary events, and so many that are one in 10,000."""
    rare = [events - alerts, 0, 0, 0, alerts, *[0] * 5]
    return Judged([b"{}"] * events, [], list(range(alerts)), rare, degraded=False)


def since_start(bundle: Bundle, streamed: dict[MetricName, Values] | None) -> dict[str, Any]:
    """Of the only version there is, which has judged three events of a request."""
    routing, variants = only(bundle.version, "somewhere"), Variants(GatewayMetrics())
    variants.judged(routing.answering[0], judged(3, 1), 0.01)
    shadow = FakeGraph().pipeline().shadow
    document = variants.document(routing, {bundle.version: bundle}, shadow, streamed)
    told: dict[str, Any] = document["variants"]["champion"]["since_start"]
    return told


def test_events_of_topics_are_counted_beside_those_of_requests(bundle: Bundle) -> None:
    one, other, [live] = Counts(), Counts(), only(bundle.version, "somewhere").answering
    one.judged(live, judged(50, 2))
    other.judged(live, judged(27, 0))
    found = since_start(bundle, together([told(one, IDLE), told(other, IDLE)]))
    assert (found["events"], found["events_from_topics"], found["alerts"]) == (80, 77, 3)
    assert found["alert_rate"] == 3 / 80
    assert found["score_decades"] == [77, 0, 0, 0, 3, 0, 0, 0, 0, 0]
    assert found["p50_ms"] == 10


def test_without_a_stream_there_are_no_events_of_topics(bundle: Bundle) -> None:
    found = since_start(bundle, {})
    assert (found["events"], found["events_from_topics"]) == (3, 0)


def test_nobody_guesses_while_the_workers_do_not_tell(bundle: Bundle) -> None:
    found = since_start(bundle, None)
    assert (found["events"], found["events_from_topics"]) == (3, None)
