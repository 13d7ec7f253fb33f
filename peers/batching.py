"""BentoML with adaptive batching: ``bentoml serve peers.batching:Scoring``.

Requests are gathered for as long as BentoML finds worth it, at most a second: with a tenth of that
it answers most of the load with 503. A request holds a list of events, of one or of many.
"""

from __future__ import annotations

from typing import Any

import bentoml

from peers.judging import Judge


@bentoml.service(workers=2, logging={"access": {"enabled": False}}, metrics={"enabled": False})
class Scoring:
    """Two workers, without an access log."""

    def __init__(self) -> None:
        self._judge = Judge()

    @bentoml.api(route="/v1/score", batchable=True, max_latency_ms=1000)  # type: ignore[untyped-decorator]
    def score(self, events: list[dict[str, Any]], /) -> list[dict[str, Any]]:
        """Gathered with the events of other requests."""
        return self._judge(events)

    @bentoml.api(route="/v1/score/batch")  # type: ignore[untyped-decorator]
    def score_batch(self, events: list[dict[str, Any]], /) -> list[dict[str, Any]]:
        """As they come: there are enough of them."""
        return self._judge(events)
