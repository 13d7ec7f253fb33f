"""The Gateway deployment: binds the graph's handles to the ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from ray import serve

from ensemble.scorer import load_bundle
from services.audit import Audit, destination, together
from services.audit_record import AuditRecord
from services.auth import Guard
from services.feed import Feed
from services.gateway import GatewayApp
from services.graph import UNREACHABLE, Graph, Handle, by_value
from services.keyring import Keyring
from services.measuring import Measured, measured
from services.metrics import GatewayMetrics
from services.pipeline import Pipeline
from services.recording import Call
from services.routes.alerts import AlertLookups, AlertRoutes
from services.routes.audit import AuditRoutes
from services.routes.consumers import ConsumerLookups, ConsumerRoutes
from services.routes.events import Lookups
from services.routes.feedback import FeedbackLookups, FeedbackRoutes
from services.routes.history import HistoryLookups, HistoryRoutes
from services.routes.metrics import MetricsPage
from services.routes.stream import VerdictStream
from services.routing import only
from services.telemetry import Tracing


class _Gateway:
    """Serves HTTP; everything it knows of the other deployments are their handles."""

    def __init__(
        self,
        args: dict[str, Any],
        preprocessor: Handle,
        detectors: dict[str, Handle],
        combiner: Handle,
        explainer: Handle,
        recorder: Handle,
        stream: Handle | None = None,
    ) -> None:
        tracing = Tracing(enabled=bool(args["tracing"]))
        graph = Graph(preprocessor, detectors, combiner, recorder).by_value()
        preprocessor, recorder, explainer = graph.preprocessor, graph.recorder, by_value(explainer)
        metrics = GatewayMetrics()
        bundle = load_bundle(Path(args["bundle"]))
        start = only(bundle.version, args["bundle"])
        stages = measured(graph.stages(bundle), metrics, UNREACHABLE)
        pipeline = Pipeline(
            stages,
            start,
            transient=UNREACHABLE,
            tracing=tracing,
            durable=args["ack"] == "durable",
        )
        book = graph.book(pipeline, args["models_dir"])
        feedback = _feedback(recorder, preprocessor, metrics)
        audit = AuditRecord(recorder.audit, metrics.lost_audit_lines.inc)
        consumers = None if stream is None else _consumer_lookups(by_value(stream))
        counted = None if consumers is None else consumers.metrics
        self._app = GatewayApp(
            pipeline,
            book,
            _lookups(recorder, explainer, metrics),
            guard=_guard(args, audit),
            tracing=tracing,
            metrics=metrics,
            routes=[
                *MetricsPage(pipeline, book, metrics, recorder.metrics, counted).routes(),
                *VerdictStream(Feed(recorder.flagged)).routes(),
                *AlertRoutes(_alert_lookups(recorder)).routes(),
                *HistoryRoutes(_history_lookups(recorder)).routes(),
                *AuditRoutes(recorder.audits.remote).routes(),
                *feedback.routes(),
                *ConsumerRoutes(consumers).routes(),
            ],
            unavailable=UNREACHABLE,
        )
        if counted is not None:
            self._app.count_streamed(counted)
        self._app.accompany(feedback.follow)
        self._app.accompany(audit.run, audit.emptied)

    def __serve_build_asgi_app__(self) -> GatewayApp:
        """Called by Serve once the replica is up, on its event loop."""
        self._app.start()
        return self._app


def _alert_lookups(recorder: Handle) -> AlertLookups:
    return AlertLookups(
        alerts=recorder.alerts.remote,
        alert=recorder.alert.remote,
        acknowledge=recorder.acknowledge.remote,
        silences=recorder.silences.remote,
        silence=recorder.silence.remote,
        end_silence=recorder.end_silence.remote,
    )


def _history_lookups(recorder: Handle) -> HistoryLookups:
    return HistoryLookups(
        compare=recorder.compare.remote,
        disagreements=recorder.disagreements.remote,
        routing_history=recorder.routing_history.remote,
    )


def _feedback(recorder: Handle, preprocessor: Handle, metrics: GatewayMetrics) -> FeedbackRoutes:
    lookups = FeedbackLookups(
        give_feedback=recorder.give_feedback.remote,
        undo_feedback=recorder.undo_feedback.remote,
        feedback=recorder.feedback.remote,
        feedback_after=recorder.feedback_after.remote,
        correct=preprocessor.correct.remote,
    )
    return FeedbackRoutes(lookups, metrics.feedback_unheard.set)


def _consumer_lookups(stream: Handle) -> ConsumerLookups:
    def all_of(method: str) -> Callable[[], Awaitable[list[Any]]]:
        async def ask() -> list[Any]:
            answers: list[Any] = await stream.broadcast(method).results_async()
            return answers

        return ask

    return ConsumerLookups(all_of("state"), all_of("close_fuse"), all_of("metrics"))


def _guard(args: dict[str, Any], record: AuditRecord) -> Guard:
    """Raises ``services.keys.KeysError`` when keys are asked for that cannot be used."""
    keys = None
    if args["auth"] == "keys":
        file = args["keys_file"]
        keys = Keyring(Path(file) if file else None, args["api_key_hashes"])
    audit = Audit(together(destination(args["audit_log"]), record.put))
    return Guard(keys, requests_per_s=args["requests_per_s"], audit=audit)


def _lookups(recorder: Handle, explainer: Handle, metrics: GatewayMetrics) -> Lookups:
    def asked(call: Call, stage: str) -> Any:
        return Measured(call, stage, metrics, UNREACHABLE).remote

    return Lookups(
        asked(recorder.get, "recorder_get"),
        asked(recorder.page, "recorder_page"),
        asked(explainer.explain, "explainer"),
    )


Gateway: type[Any] = serve.ingress()(_Gateway)
