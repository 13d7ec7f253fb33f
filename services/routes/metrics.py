"""``/metrics``: what this gateway counts, and what the Recorder does."""

from __future__ import annotations

import logging

from ensemble.scorer import ensemble_of
from services.book import RoutingBook
from services.http import TEXT, Response
from services.metrics import GatewayMetrics, MetricName, Values, labelled
from services.pipeline import Pipeline
from services.recording import Call, called
from services.routes.base import Request, Route
from services.routes.consumers import Workers, counted
from services.streaming.metrics import together

LOG = logging.getLogger("ztad.metrics")

#: The Recorder has this long to tell its metrics, seconds; a scrape does not wait longer for it.
RECORDER_WITHIN_S = 1.0


class MetricsPage:
    """Prometheus' page. It is answered whatever has become of the rest.

    ``recorder`` asks for the Recorder's own page, ``workers`` the stream workers for what they
    count.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        book: RoutingBook,
        metrics: GatewayMetrics,
        recorder: Call,
        workers: Workers | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._book = book
        self._metrics = metrics
        self._recorder = recorder
        self._workers = workers
        self._budgets: dict[str, float] = {}

    def routes(self) -> list[Route]:
        return [Route("GET", "/metrics", self.metrics)]

    async def metrics(self, request: Request) -> Response:
        """GET /metrics"""
        theirs = await self._theirs()
        self._metrics.up.labels("recorder").set(theirs is not None)
        await self._learn_budgets()
        kept = self._kept() | await self._streamed()
        return Response(200, self._metrics.render(kept) + (theirs or b""), TEXT)

    async def _streamed(self) -> dict[MetricName, Values]:
        if self._workers is None:
            return {}
        pages = await counted(self._workers)
        self._metrics.up.labels("stream_worker").set(bool(pages))
        return together(pages)

    async def _theirs(self) -> bytes | None:
        try:
            page: bytes = await called(self._recorder, within_s=RECORDER_WITHIN_S)
        except Exception as error:  # noqa: BLE001 - whatever it is, the rest is told
            LOG.debug("the Recorder does not tell its metrics: %s", type(error).__name__)
            return None
        return page

    async def _learn_budgets(self) -> None:
        """Look once into every version's bundle for what it was made to promise."""
        versions = {live.version for live in self._book.routing.everyone}
        if versions <= self._budgets.keys():
            return
        try:
            bundles = await self._book.described()
            self._budgets = {name: ensemble_of(each).budget for name, each in bundles.items()}
        except Exception:  # a version that cannot be read is told by /v1/models
            LOG.debug("no budget of a version in use", exc_info=True)

    def _kept(self) -> dict[MetricName, Values]:
        pipeline, everyone = self._pipeline, self._pipeline.routing.everyone
        promised = {
            (live.variant, live.version): self._budgets[live.version]
            for live in everyone
            if live.version in self._budgets
        }
        shadow = pipeline.shadow
        return {
            "ztad_unrecorded_events": [((), pipeline.unrecorded)],
            "ztad_refusing": [((), pipeline.refusing)],
            "ztad_lost_records_total": [((), pipeline.lost)],
            "ztad_stage_retries_total": labelled(pipeline.retries),
            "ztad_detector_resting": labelled(pipeline.resting),
            "ztad_routing_weight": [
                ((live.variant, live.version), live.weight) for live in everyone
            ],
            "ztad_alert_budget_promised": promised.items(),
            "ztad_shadow_events_total": [(("judged",), shadow.judged), (("shed",), shadow.shed)],
        }
