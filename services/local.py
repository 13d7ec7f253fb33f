"""The whole graph in one process and on one event loop, without Ray.

The same stages, pipeline and HTTP application as the deployed graph; only the calls between them
do not leave the process. For tests, notebooks and debuggers::

    app = local_gateway(load_bundle(Path("bundle")))
    app.start()  # on a running event loop
    httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ztad")
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from models.bundle import Bundle
from services.audit import Audit, destination, together
from services.audit_record import AuditRecord
from services.auth import Guard
from services.book import RoutingBook
from services.deployments import Combiner, DetectorReplica, Explainer, Preprocessor
from services.feed import Feed
from services.gateway import GatewayApp
from services.measuring import measured
from services.metrics import GatewayMetrics
from services.pipeline import Pipeline, Stages
from services.recorder import Recorder, RecorderArgs
from services.routes.alerts import AlertLookups, AlertRoutes
from services.routes.audit import AuditRoutes
from services.routes.consumers import ConsumerRoutes
from services.routes.events import Lookups
from services.routes.feedback import FeedbackLookups, FeedbackRoutes
from services.routes.history import HistoryLookups, HistoryRoutes
from services.routes.metrics import MetricsPage
from services.routes.stream import VerdictStream
from services.routing import only
from services.telemetry import NO_TRACING


class LocalCall:
    """A method of an object in this process, called like one of another deployment."""

    def __init__(self, method: Callable[..., Awaitable[Any]]) -> None:
        self._method = method

    def remote(self, *args: Any) -> Awaitable[Any]:
        return self._method(*args)


def local_gateway(
    bundle: Bundle,
    *,
    guard: Guard | None = None,
    most_verdicts: int | None = None,
    models_dir: Path | None = None,
    recorder: Recorder | None = None,
    durable: bool = False,
) -> GatewayApp:
    """The ASGI application over stages of its own; history and verdicts end with it.

    Gateways that share a ``recorder`` share verdicts and routing.
    """
    path = str(bundle.path)
    recorder = recorder or Recorder(RecorderArgs(most_verdicts=most_verdicts))
    explainer = Explainer(path)
    preprocessor, combiner = Preprocessor(path, None), Combiner(path)
    detectors = {name: DetectorReplica(path, name) for name in bundle.detectors}
    stages = _stages(bundle, preprocessor, detectors, combiner, recorder)
    metrics = GatewayMetrics()
    pipeline = Pipeline(measured(stages, metrics, ()), only(bundle.version, path), durable=durable)
    book = RoutingBook(
        pipeline,
        models_dir=models_dir,
        detectors=tuple(detectors),
        loads=[preprocessor.load, combiner.load, *(each.load for each in detectors.values())],
        keep=LocalCall(recorder.save_routing),
        kept=LocalCall(recorder.routing),
    )
    feedback = _feedback(recorder, preprocessor, metrics)
    audit = AuditRecord(LocalCall(recorder.audit), metrics.lost_audit_lines.inc)
    app = GatewayApp(
        pipeline,
        book,
        Lookups(recorder.get, recorder.page, explainer.explain),
        guard=guard or Guard(audit=Audit(together(destination(None), audit.put))),
        tracing=NO_TRACING,
        metrics=metrics,
        routes=[
            *MetricsPage(pipeline, book, metrics, LocalCall(recorder.metrics)).routes(),
            *VerdictStream(Feed(LocalCall(recorder.flagged))).routes(),
            *AlertRoutes(_alert_lookups(recorder)).routes(),
            *HistoryRoutes(_history_lookups(recorder)).routes(),
            *AuditRoutes(recorder.audits).routes(),
            *feedback.routes(),
            *ConsumerRoutes(None).routes(),
        ],
    )
    app.accompany(feedback.follow)
    app.accompany(audit.run, audit.emptied)
    return app


def _stages(
    bundle: Bundle,
    preprocessor: Preprocessor,
    detectors: Mapping[str, DetectorReplica],
    combiner: Combiner,
    recorder: Recorder,
) -> Stages:
    return Stages(
        prepare=LocalCall(preprocessor.prepare),
        learn=LocalCall(preprocessor.learn),
        probe=LocalCall(preprocessor.probe),
        detectors={name: LocalCall(stage.score) for name, stage in detectors.items()},
        judge=LocalCall(combiner.judge),
        shadow_detectors={name: LocalCall(stage.shadow) for name, stage in detectors.items()},
        shadow_judge=LocalCall(combiner.shadow),
        record=LocalCall(recorder.record),
        first=LocalCall(recorder.first),
        sees=bundle.sees,
    )


def _history_lookups(recorder: Recorder) -> HistoryLookups:
    return HistoryLookups(recorder.compare, recorder.disagreements, recorder.routing_history)


def _feedback(
    recorder: Recorder, preprocessor: Preprocessor, metrics: GatewayMetrics
) -> FeedbackRoutes:
    lookups = FeedbackLookups(
        give_feedback=recorder.give_feedback,
        undo_feedback=recorder.undo_feedback,
        feedback=recorder.feedback,
        feedback_after=recorder.feedback_after,
        correct=preprocessor.correct,
    )
    return FeedbackRoutes(lookups, metrics.feedback_unheard.set)


def _alert_lookups(recorder: Recorder) -> AlertLookups:
    return AlertLookups(
        alerts=recorder.alerts,
        alert=recorder.alert,
        acknowledge=recorder.acknowledge,
        silences=recorder.silences,
        silence=recorder.silence,
        end_silence=recorder.end_silence,
    )
